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

use super::{
    limits::{FILES_HEADROOM, Limits, MIN_FILES, PROCESS_HEADROOM},
    outbound::OutboundHost,
    schedule::Schedule,
};

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
