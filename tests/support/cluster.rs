//! A running `hatchery run`: started in a temporary folder, stopped and checked when dropped.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    App, DEADLINE,
    command::clean,
    in_time,
    lines::Lines,
    place::Place,
    processes::{MARK, OsProcess, marked},
};

/// How long an orderly stop may take when a test is done.
const STOP: Duration = Duration::from_secs(20);

/// One master with all its apps and processes.
pub(crate) struct Cluster {
    command: Command,
    /// None before it is launched.
    master: Option<Child>,
    place: Place,
    apps: Vec<String>,
    /// What it prints for machines.
    pub(crate) stdout: Lines,
    /// Its log, its children's, and what guests print.
    pub(crate) log: Lines,
}

impl Cluster {
    /// Starts the apps and waits until they are ready.
    pub(crate) async fn start(apps: &[App]) -> Self {
        Self::start_with(apps, &[]).await
    }

    /// As [`Cluster::start`], with further arguments.
    pub(crate) async fn start_with(apps: &[App], arguments: &[&str]) -> Self {
        let mut cluster = Self::spawn(apps, arguments);
        cluster.ready().await;
        cluster
    }

    /// Starts the apps, and does not wait.
    pub(crate) fn spawn(apps: &[App], arguments: &[&str]) -> Self {
        let mut cluster = Self::prepare(apps);
        cluster.launch(arguments);
        cluster
    }

    /// As [`Cluster::prepare`], for another verb with the same options, such as `dev`.
    pub(crate) fn prepare_verb(verb: &str, apps: &[App]) -> Self {
        let mut cluster = Self::prepare(apps);
        let mut command = Command::new(binary());
        command.arg(verb).args(cluster.command.get_args().skip(1));
        cluster.instead(command);
        cluster
    }

    /// Another command with the same environment.
    fn instead(&mut self, mut command: Command) {
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
    }

    /// `hatchery dev` of the app in this folder, with these variables; not ready yet.
    pub(crate) fn dev(folder: &Path, variables: &[(&str, OsString)]) -> Self {
        let mut cluster = Self::prepare_verb("dev", &[]);
        cluster.command.arg(folder).envs(variables.iter().map(|(name, value)| (name, value)));
        cluster.apps.push(folder.file_name().unwrap().to_str().unwrap().to_owned());
        cluster.launch(&["--listen", "127.0.0.1:0"]);
        cluster
    }

    /// As [`Cluster::start`], with no more than so many open files in each process.
    pub(crate) async fn start_with_few_files(apps: &[App], files: u32) -> Self {
        let mut cluster = Self::prepare(apps);
        let (hatchery, mut command) = (&cluster.command, Command::new("sh"));
        let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        command.arg("-c").arg(limited).arg(hatchery.get_program()).args(hatchery.get_args());
        cluster.instead(command);
        cluster.launch(&[]);
        cluster.ready().await;
        cluster
    }

    /// Writes all there is to start.
    pub(crate) fn prepare(apps: &[App]) -> Self {
        let place = Place::new();
        let mut command = clean(binary());
        command.arg("run").arg("--home").arg(place.home());
        for app in apps {
            let folder = place.folder.path().join(&app.name);
            fs::create_dir_all(&folder).unwrap();
            app.write(&folder);
            if app.is_named {
                command.arg(folder);
            }
        }
        command.env(MARK, &place.mark).env("HATCHERY_LOG_LEVEL", "debug").env("RUST_BACKTRACE", "1");
        let misbehave = place.folder.path().join("misbehave");
        fs::write(&misbehave, "").unwrap();
        command.env("HATCHERY_TEST_MISBEHAVE", misbehave);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self {
            command,
            master: None,
            place,
            apps: apps.iter().map(|app| app.name.clone()).collect(),
            stdout: Lines::default(),
            log: Lines::default(),
        }
    }

    /// Sets a variable of the master's environment, before it is launched.
    pub(crate) fn env(&mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) {
        self.command.env(name, value);
    }

    /// Starts what is prepared.
    pub(crate) fn launch(&mut self, arguments: &[&str]) {
        let mut master = self.command.args(arguments).spawn().unwrap();
        self.stdout = Lines::of(master.stdout.take().unwrap());
        self.log = Lines::of(master.stderr.take().unwrap());
        self.master = Some(master);
    }

    /// Waits for every app's ready line.
    pub(crate) async fn ready(&mut self) {
        // Interpreters are compiled first, which takes minutes where the machine is busy.
        let all = in_time(6 * DEADLINE, async || {
            self.stdout.count("ready app=") == self.apps.len() || self.status().is_some()
        });
        assert!(all.await, "not ready in time");
        if let Some(status) = self.status() {
            panic!("the master ended before it was ready ({status})");
        }
    }

    /// An app's folder.
    pub(crate) fn folder(&self, app: &str) -> PathBuf {
        self.place.folder.path().join(app)
    }

    /// Where the master keeps its state.
    pub(crate) fn home(&self) -> PathBuf {
        self.place.home()
    }

    /// An app's crash reports, the oldest first.
    pub(crate) fn reports(&self, app: &str) -> Vec<(PathBuf, Value)> {
        let folder = self.home().join("apps").join(app).join("crashes");
        let files = fs::read_dir(folder).map(|files| files.flatten().map(|file| file.path()).collect());
        let mut files: Vec<PathBuf> = files.unwrap_or_default();
        files.sort_unstable();
        let read = |file: &PathBuf| serde_json::from_slice(&fs::read(file).ok()?).ok();
        files.into_iter().filter_map(|file| Some((file.clone(), read(&file)?))).collect()
    }

    /// Has an agent or worker write these bytes, so many times and with so many fds each, on its control
    /// socket.
    pub(crate) fn misbehave(&self, who: &OsProcess, bytes: &[u8], times: usize, fds: usize) {
        self.write(who, &fds.to_string(), times, bytes);
    }

    /// The same, on its standard error.
    pub(crate) fn scribble(&self, who: &OsProcess, bytes: &[u8], times: usize) {
        self.write(who, "log", times, bytes);
    }

    fn write(&self, who: &OsProcess, to: &str, times: usize, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.order(who, &format!("{to} {times} {hex}"));
    }

    /// Has a process do what the host's `sys::misbehave` knows.
    pub(crate) fn order(&self, who: &OsProcess, what: &str) {
        fs::write(self.place.folder.path().join("misbehave"), format!("{} {what}\n", who.id)).unwrap();
    }

    /// Where an app listens, from its ready line.
    pub(crate) fn addr_of(&self, app: &str) -> SocketAddr {
        let lines = self.stdout.with(&format!("ready app={app} addr="));
        let [line] = lines.as_slice() else { panic!("{} ready lines of {app}", lines.len()) };
        line.rsplit_once("addr=").unwrap().1.parse().unwrap()
    }

    /// Where the only app listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        let [app] = self.apps.as_slice() else { panic!("there are several apps") };
        self.addr_of(app)
    }

    /// The master.
    pub(crate) fn master(&self) -> OsProcess {
        OsProcess { id: self.child().id().try_into().unwrap(), title: "master".to_owned() }
    }

    /// All processes of this cluster, the master included.
    pub(crate) fn processes(&self) -> Vec<OsProcess> {
        marked(&self.place.mark)
    }

    /// The agents or workers by their title's end, such as `worker probe/0`.
    pub(crate) fn process(&self, which: &str) -> OsProcess {
        let found = self.processes_of(which);
        let [one] = found.as_slice() else { panic!("{} processes are `{which}`: {found:?}", found.len()) };
        one.clone()
    }

    /// All that have this in their title.
    pub(crate) fn processes_of(&self, which: &str) -> Vec<OsProcess> {
        self.processes().into_iter().filter(|process| process.title.contains(which)).collect()
    }

    /// Waits until the master has ended, within a bound that the test states.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        let ended = in_time(deadline, async || self.status().is_some()).await;
        assert!(ended, "the master has not ended within {deadline:?}");
        self.status().unwrap()
    }

    /// Waits for a start that fails: an exit code other than 0, no ready line, no process left. Gives
    /// the error, which is one.
    pub(crate) async fn failed(&mut self) -> String {
        let status = self.ended(2 * DEADLINE).await;
        assert_eq!(status.code(), Some(1), "{status}");
        assert_eq!(self.stdout.all(), "");
        assert_eq!(self.processes(), []);
        // The last words of its log are the error, in one line or, with a guest's backtrace, in more.
        let log = self.log.ended().await;
        let lines: Vec<_> = log.lines().collect();
        let first = lines.iter().position(|line| line.starts_with("error: "));
        let error = &lines[first.unwrap_or_else(|| panic!("no error in:\n{log}"))..];
        let errors = lines.iter().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "not one error, but:\n{log}");
        error.join("\n")
    }

    /// How many processes there are by title, without the master.
    pub(crate) fn titles(&self) -> BTreeMap<String, usize> {
        let mut titles = BTreeMap::new();
        for process in self.processes().into_iter().filter(|p| p.id != self.master().id) {
            *titles.entry(process.title).or_default() += 1;
        }
        titles
    }

    /// The CPU time that those which live have spent, in ticks of 10 ms.
    pub(crate) fn spent(&self) -> u64 {
        self.processes().iter().map(OsProcess::spent).sum()
    }

    fn child(&self) -> &Child {
        self.master.as_ref().expect("launched")
    }

    /// How the master ended, if it has.
    fn status(&mut self) -> Option<ExitStatus> {
        self.master.as_mut().expect("launched").try_wait().unwrap()
    }

    /// In order, then by force. True when order was enough.
    fn stop(&mut self) -> bool {
        if self.master.is_none() || self.status().is_some() {
            return true;
        }
        self.master().signal(Signal::SIGTERM);
        let end = Instant::now() + STOP;
        while self.status().is_none() {
            if Instant::now() > end {
                self.master().signal(Signal::SIGKILL);
                self.master.as_mut().expect("launched").wait().unwrap();
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let in_order = self.stop();
        // The kernel's kill of orphans takes a moment.
        let end = Instant::now() + Duration::from_secs(1);
        let mut left = self.processes();
        while !left.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
            left = self.processes();
        }
        for process in &left {
            process.signal(Signal::SIGKILL);
        }
        if thread::panicking() {
            eprintln!("--- stdout\n{}--- log\n{}---", self.stdout.all(), self.log.all());
            return;
        }
        let log = self.log.all();
        assert!(in_order, "SIGTERM did not end the master within {STOP:?}\n{log}");
        assert!(left.is_empty(), "processes survived their master: {left:?}\n{log}");
    }
}

/// What is tested: this build, or what `HATCHERY_BINARY` names, for measurements.
pub(super) fn binary() -> OsString {
    env::var_os("HATCHERY_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_hatchery").into())
}
