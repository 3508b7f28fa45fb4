//! What goes between the master and a compiler child: one packet each way, on a `SOCK_SEQPACKET`
//! pair; the reply has the native code beside it, a sealed memfd.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// The most bytes of a packet.
pub const MAX_PACKET: usize = 64 * 1024;

/// What is to be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileRequest {
    /// The wasm file.
    pub component: PathBuf,
    /// The folder of the compile cache.
    pub cache: PathBuf,
}

/// What has become of it.
pub type CompileReply = Result<Report, String>;

/// What was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The names of the component's exports.
    pub exports: Vec<String>,
    /// The names of the component's imports.
    pub imports: Vec<String>,
    /// Does it answer HTTP?
    pub answers_http: bool,
    /// Was the native code in the cache?
    pub cached: bool,
    /// How long it took, reading included.
    pub elapsed: Duration,
}
