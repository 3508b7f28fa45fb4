//! A checked app: what the rest of Hatchery works with.
//!
//! Only `manifest::check` makes one, so that holding an [`App`] means that it is right. It goes to
//! children over the control socket, hence `Serialize`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::cluster::Role;

use super::{outbound::OutboundHost, schedule::Schedule};

/// What one `hatchery.toml` describes. It has a worker, an agent, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Unique among the apps of one master: 1..=64 of `a-z`, `0-9`, `-`, beginning with a letter.
    pub name: String,
    /// As the manifest has it; never empty.
    pub version: String,
    /// The manifest's file, absolute.
    pub manifest: PathBuf,
    /// The folder that holds the manifest, absolute. Paths in the app stay inside it.
    pub folder: PathBuf,
    /// What answers requests.
    pub worker: Option<Worker>,
    /// What runs beside the workers, once.
    pub agent: Option<Agent>,
    /// What runs by the clock. Names are unique.
    pub schedules: Vec<Schedule>,
    /// Bounds.
    pub limits: Limits,
    /// Folders of apps that `hatchery run` starts too, absolute (`[dev] with`).
    pub dev_with: Vec<PathBuf>,
    /// How a new version proves itself.
    pub deploy: Deploy,
    /// What `hatchery test` runs (`[test] command`).
    pub test: Option<Test>,
}

impl App {
    /// Its components, the agent's first, as processes start.
    pub fn components(&self) -> impl Iterator<Item = (Role, &Component)> {
        let agent = self.agent.as_ref().map(|agent| (Role::Agent, &agent.component));
        let worker = self.worker.as_ref().map(|worker| (Role::Worker, &worker.component));
        agent.into_iter().chain(worker)
    }

    /// Is its component in this role granted any host to send requests to?
    #[must_use]
    pub fn is_granted_hosts(&self, role: Role) -> bool {
        !self.outbound_hosts(role).is_empty()
    }

    /// The hosts that its component in this role is granted.
    #[must_use]
    pub fn outbound_hosts(&self, role: Role) -> &[OutboundHost] {
        let component = self.components().find(|(its, _)| *its == role).map(|(_, component)| component);
        component.map_or(&[], |component| &component.capabilities.allowed_outbound_hosts)
    }

    /// The folders that a guest in this role sees.
    pub fn folders_mut(&mut self, role: Role) -> impl Iterator<Item = &mut Folder> {
        let component = match role {
            Role::Agent => self.agent.as_mut().map(|agent| &mut agent.component),
            Role::Worker => self.worker.as_mut().map(|worker| &mut worker.component),
        };
        component.into_iter().flat_map(|component| &mut component.capabilities.folders)
    }

    /// What a process of this role may take of private memory, in bytes, on a machine that has so many:
    /// `process-memory`, or its default. A backstop behind the limit of each instance.
    #[must_use]
    pub fn process_memory(&self, role: Role, machine: u64) -> u64 {
        let one = self.limits.memory as u64;
        let instances = match &self.worker {
            Some(worker) if role == Role::Worker => worker.pooled(),
            _ => 0,
        };
        let guests = match instances {
            0 => one,
            // Requests never come near all that they may take; but one process past the machine's
            // memory takes the others with it.
            instances => one.saturating_mul(instances.into()).min(machine),
        };
        self.limits.process_memory.unwrap_or(guests.saturating_add(PROCESS_HEADROOM))
    }

    /// How many files and sockets a process of this role may have open: `open-files`, or its default.
    #[must_use]
    pub fn open_files(&self, role: Role) -> u64 {
        let connections = match &self.worker {
            Some(worker) if role == Role::Worker => worker.connections.get() as u64,
            _ => 0,
        };
        let outbound = if self.is_granted_hosts(role) { self.limits.outbound_connections as u64 } else { 0 };
        // Each may have one outbound, or a file, for its own.
        let default = connections.saturating_add(connections.max(outbound)).saturating_add(FILES_HEADROOM);
        let most = self.limits.open_files.map_or(default, u64::from);
        most.max(MIN_FILES)
    }

    /// The folders that its guests may write to, on the host; each once.
    #[must_use]
    pub fn writable_folders(&self) -> BTreeSet<&Path> {
        let folders = self.components().flat_map(|(_, component)| &component.capabilities.folders);
        folders.filter(|folder| folder.writable).map(|folder| folder.source.as_path()).collect()
    }
}

/// The `[worker]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// What it loads and may do.
    pub component: Component,
    /// Where the master listens for it. Port 0: any free one.
    pub listen: SocketAddr,
    /// How many processes.
    pub workers: NonZeroU32,
    /// How connections are spread over them.
    pub balance: Balance,
    /// How instances serve requests.
    pub instance: InstanceMode,
    /// The most requests that one worker has in its guest at once (WASI 0.3; a 0.2 component
    /// takes one at a time).
    pub concurrency: NonZeroUsize,
    /// The most requests that wait in one worker for their turn; past it, 503.
    pub queued_requests: usize,
    /// The most connections that one worker keeps open.
    pub connections: NonZeroUsize,
    /// When a worker is replaced though nothing is wrong with it.
    pub recycle: Recycle,
}

impl Worker {
    /// How many instances its pool has room for: one for each request at once, and the resident one. 0
    /// where there is no pool.
    #[must_use]
    pub fn pooled(&self) -> u32 {
        match self.instance {
            InstanceMode::Resident => 0,
            InstanceMode::PerRequest => {
                u32::try_from(self.concurrency.get()).unwrap_or(u32::MAX).saturating_add(1)
            }
        }
    }
}

/// The `[worker.recycle]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recycle {
    /// After so many requests.
    pub requests: Option<u64>,
    /// At this age.
    pub age: Option<Duration>,
    /// When it takes so many bytes of memory.
    pub memory: Option<u64>,
    /// When its resident instance holds so many handles. Default: a half of [`MAX_HANDLES`].
    pub handles: u32,
}

/// The `[agent]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// What it loads and may do.
    pub component: Component,
}

/// A component's file and what it may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// The wasm file, absolute, inside the app's folder.
    pub file: PathBuf,
    /// How it is made from source.
    pub build: Option<Build>,
    /// What it may reach.
    pub capabilities: Capabilities,
}

/// A `[worker.build]` or `[agent.build]` table. The command runs in the app's folder; its output is
/// then copied to the component's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Split as a shell splits words, run without one. Never empty.
    pub command: Vec<String>,
    /// The file that the command leaves, absolute; it may be outside the app's folder.
    pub output: PathBuf,
    /// Programs that it needs beside its first word. Looked for before it is run.
    pub tools: Vec<String>,
    /// The folder with the one world of what it leaves, absolute; for a core module that does not say its own.
    pub wit: Option<PathBuf>,
    /// Sources that the guest can read itself, for `hatchery dev`.
    pub live: Option<Live>,
}

/// `live` and `live-command` of a `build` table: what `hatchery dev` hands to the guest in place of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Files from the app's folder on. Never empty. The last part may begin with a `*`, which stands for any
    /// file there with that end.
    pub files: Vec<String>,
    /// Split as [`Build::command`]: prints what is handed over. Without it, that is the files.
    pub command: Option<Vec<String>>,
}

/// What a guest may reach. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Where it may send requests.
    pub allowed_outbound_hosts: Vec<OutboundHost>,
    /// Folders that it sees.
    pub folders: Vec<Folder>,
    /// The names of its secrets, which it gets as environment variables. The values are the home's.
    pub secrets: BTreeSet<String>,
}

/// A `{ source, destination, writable }` of `folders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// The folder on the host, absolute, inside the app's folder.
    pub source: PathBuf,
    /// Where the guest sees it: absolute, without `.` or `..`.
    pub destination: String,
    /// May the guest change it?
    pub writable: bool,
}

/// How connections are spread over an app's workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// In turn. The master accepts and hands over.
    #[default]
    RoundRobin,
    /// To the worker with the fewest open. The master accepts and hands over.
    LeastConnections,
    /// Workers accept for themselves, from one inherited listener.
    Shared,
}

/// How instances serve requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceMode {
    /// One long-lived instance per worker, which keeps its memory from request to request.
    #[default]
    Resident,
    /// A fresh instance for each request.
    PerRequest,
}

/// The most handles of one instance: resources that the host holds for it, calls under way, ends of
/// streams. Past it the guest traps.
pub const MAX_HANDLES: usize = 100_000;

/// What a process may take beside its instances' memory, in bytes: queues, connections, threads, code.
pub const PROCESS_HEADROOM: u64 = 512 << 20;

/// What a process may have open beside its connections, where `open-files` does not say.
pub const FILES_HEADROOM: u64 = 1024;

/// What a process needs to live, whatever `open-files` says.
pub const MIN_FILES: u64 = 64;

/// The `[limits]` table. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of one instance, summed over its memories and tables. Default 256 MiB.
    pub memory: usize,
    /// Of one process's private memory, without what a pool of instances reserves and has not used.
    /// Default: [`App::process_memory`].
    pub process_memory: Option<u64>,
    /// From a request's headers to the head of its response; also the longest that a question may
    /// take. Default 30 s.
    pub request_timeout: Duration,
    /// Guest time without an await. Default 1 s.
    pub cpu_limit: Duration,
    /// From spawn to ready, agent and workers alike. Default 30 s.
    pub start_timeout: Duration,
    /// From the wish to stop to SIGKILL. Default 10 s.
    pub stop_timeout: Duration,
    /// How long a process may show no life, before it is killed and replaced. Default 10 s.
    pub hang_timeout: Duration,
    /// The most data of one message, question or answer. Default 1 MiB.
    pub message_size: usize,
    /// The most bytes of messages that wait for one process, or from it. Default 16 MiB.
    pub queue_size: usize,
    /// What a process that is replaced has to finish what it has accepted. Default 30 s.
    pub drain_timeout: Duration,
    /// The most traps of a worker's or agent's resident instances within a minute; past it the
    /// process is replaced. Default 10.
    pub trap_limit: usize,
    /// The most bytes of a request's head. Default 64 KiB.
    pub header_size: usize,
    /// The most bytes of a request's body. Default: any number.
    pub body_size: Option<u64>,
    /// For a request's head, from the connection's or the last request's end. Default 30 s.
    pub header_timeout: Duration,
    /// Between two reads of a request's body for which the guest waits. Default 30 s.
    pub body_timeout: Duration,
    /// For a client to take some more of what is written to it. Default 60 s.
    pub write_timeout: Duration,
    /// The most connections to other hosts that one process has at once. Default 256.
    pub outbound_connections: usize,
    /// The most bytes of one request to another host and its response, bodies of both together. Default
    /// 1 GiB.
    pub outbound_size: u64,
    /// Of all processes of the app together: what they have in memory. Default: any number.
    pub app_memory: Option<u64>,
    /// Messages and questions a second that the app's processes may send together; one to several
    /// receivers counts for each. Default 1,000,000.
    pub message_rate: u32,
    /// Bytes a second of a process's log lines, what its guest prints included. Default 1 MiB.
    pub log_rate: u64,
    /// Files and sockets that one process may have open. Default: [`App::open_files`].
    pub open_files: Option<u32>,
    /// What the folders that its guests may write to may take of the disk together. Default 1 GiB.
    pub disk: u64,
    /// The CPU time that compiling one component may take. Default 2 min.
    pub compile_time: Duration,
    /// Its processes' share of the CPUs where these are short, from 1 to 100. Default 100.
    pub cpu_weight: u32,
}

/// The `[test]` table. The command runs in the app's folder, against the running app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// As [`Build::command`].
    pub command: Vec<String>,
}

/// The `[deploy]` table. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// What every worker must pass before its generation serves.
    pub health: Option<Health>,
}

/// The `health` keys of `[deploy]`. Only an app with a worker has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Of the GET: begins with `/`, may have a query.
    pub path: String,
    /// The response's.
    pub status: u16,
    /// From the request to the end of its response.
    pub timeout: Duration,
    /// In a row, of each worker.
    pub successes: u32,
    /// From the moment when every process is ready.
    pub within: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MACHINE: u64 = 4096 * MIB;

    fn app(instance: InstanceMode, concurrency: usize, process_memory: Option<u64>) -> App {
        let component =
            Component { file: PathBuf::new(), build: None, capabilities: Capabilities::default() };
        let worker = Worker {
            component,
            listen: ([127, 0, 0, 1], 0).into(),
            workers: NonZeroU32::MIN,
            balance: Balance::default(),
            instance,
            concurrency: NonZeroUsize::new(concurrency).expect("not 0"),
            queued_requests: 0,
            connections: NonZeroUsize::MIN,
            recycle: Recycle::default(),
        };
        App {
            name: "a".to_owned(),
            version: "1".to_owned(),
            manifest: PathBuf::new(),
            folder: PathBuf::new(),
            worker: Some(worker),
            agent: None,
            schedules: vec![],
            limits: Limits { memory: 256 << 20, process_memory, ..Limits::default() },
            dev_with: vec![],
            deploy: Deploy::default(),
            test: None,
        }
    }

    #[test]
    fn process_memory_as_a_table() {
        use InstanceMode::{PerRequest, Resident};
        use Role::{Agent, Worker};
        for (instance, concurrency, set, role, expected) in [
            (Resident, 1024, None, Worker, 256 + 512),
            (PerRequest, 1024, None, Agent, 256 + 512),
            (PerRequest, 3, None, Worker, 4 * 256 + 512),
            (PerRequest, 1024, None, Worker, 4096 + 512),
            (PerRequest, usize::MAX, None, Worker, 4096 + 512),
            (PerRequest, 1024, Some(300 * MIB), Worker, 300),
            (Resident, 1, Some(300 * MIB), Agent, 300),
        ] {
            let found = app(instance, concurrency, set).process_memory(role, MACHINE);
            assert_eq!(found, expected * MIB, "{instance:?} {concurrency} {set:?} {role}");
        }
    }

    #[test]
    fn open_files_as_a_table() {
        use Role::{Agent, Worker};
        for (connections, set, role, expected) in [
            (10_000, None, Worker, 21_024),
            (10_000, None, Agent, 1024),
            (1, Some(100), Worker, 100),
            (1, Some(1), Agent, MIN_FILES),
        ] {
            let mut app = app(InstanceMode::Resident, 1, None);
            app.limits.open_files = set;
            if let Some(worker) = &mut app.worker {
                worker.connections = NonZeroUsize::new(connections).expect("not 0");
            }
            assert_eq!(app.open_files(role), expected, "{connections} {set:?} {role}");
        }
    }
}
