//! The protocol between the master and a compiler, a child that lives for one component.
//!
//! ```text
//!   master                         compiler
//!     | ------ CompileRequest ------> |
//!     | <------ CompileReply -------- |   with the native code, a sealed memfd, when it went well
//! ```
//!
//! A `SOCK_SEQPACKET` pair on the control fd, one packet each way (postcard).

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::cluster::Role;

/// The most bytes of a packet.
pub const MAX_PACKET: usize = 64 << 10;

/// The private memory that a compiler may have, in bytes; it sets this limit for itself. A Python component
/// of 18 MB takes about 0.5 GiB.
pub const MEMORY_LIMIT: u64 = 2 << 30;

/// What is to be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileRequest {
    /// The wasm file, absolute.
    pub component: PathBuf,
    /// The folder of what was compiled before.
    pub cache: PathBuf,
    /// What the component is to be, for errors.
    pub role: Role,
    /// Its app, for errors.
    pub app: String,
    /// The CPU time that it may take, all its threads together (`compile-time`); it sets this limit for
    /// itself, in whole seconds.
    pub cpu_limit: Duration,
}

/// What became of it. An error is for the user, in one line or more.
pub type CompileReply = Result<Report, String>;

/// What was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The WASI that it is made for: `0.2` or `0.3`.
    pub wasi: String,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// The names of its imports.
    pub imports: Vec<String>,
    /// Can it answer HTTP?
    pub answers_http: bool,
    /// It was in the cache.
    pub cached: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// The component's SHA-256, in hex: has the file changed?
    pub digest: String,
}
