//! The bounds of an app, all checked: `[limits]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// Its share of the CPUs where these are short, from 1 to 100: the app's where the master has a cgroup
    /// for it, else each process's. Default 100.
    pub cpu_weight: u32,
    /// The most that all its processes together get of CPUs, in hundredths of one. Default: any number.
    /// Held by a cgroup alone.
    pub cpus: Option<u32>,
}
