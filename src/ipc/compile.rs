//! The protocol between the master and a compiler, a child that lives for one request.
//!
//! ```text
//!   master                         compiler
//!     | ------ CompileRequest ------> |   with an empty memfd, where something is to be compiled
//!     | <------ CompileReply -------- |   when it has written native code there
//! ```
//!
//! A `SOCK_SEQPACKET` pair on the control fd, one packet each way (postcard). The component is the component
//! fd, a sealed memfd. A compiler has read what a stranger made: nothing that it says is true until checked.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The most bytes of a packet.
pub const MAX_PACKET: usize = 64 << 10;

/// The private memory that a compiler may have, in bytes; it sets this limit for itself. A Python component
/// of 18 MB takes about 0.5 GiB.
pub const MEMORY_LIMIT: u64 = 2 << 30;

/// The most bytes of native code; a compiler sets this limit for itself too. A Python component of 18 MB
/// makes about 70 MB.
pub const CODE_LIMIT: u64 = 1 << 30;

/// The most bytes of a name that a component imports or exports.
const MAX_NAME: usize = 1024;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompileRequest {
    /// Say what this build compiles for.
    Settings,
    /// Compile the component.
    Compile {
        /// What the component is called, for errors.
        name: PathBuf,
        /// The CPU time that it may take, all its threads together (`compile-time`); it sets this limit for
        /// itself, in whole seconds.
        cpu_limit: Duration,
    },
}

/// What became of it. An error is for the user, in one line or more.
pub type CompileReply = Result<Answer, String>;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To `Settings`: a digest of the engine's settings, of its version, of this one, and of the CPU. Code is
    /// only of use where it is the same.
    Settings(Digest),
    /// To `Compile`.
    Compiled {
        /// What was compiled.
        report: Report,
        /// What was written, from the beginning of the memfd.
        code: Code,
    },
}

/// Native code, as it is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Of all of it.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
}

/// What a component is.
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
}

impl Report {
    /// Can it be shown and kept? How many names there are is bounded by the packet.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let is_name = |name: &String| name.len() <= MAX_NAME && !name.chars().any(char::is_control);
        ["0.2", "0.3"].contains(&self.wasi.as_str()) && self.exports.iter().chain(&self.imports).all(is_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_as_a_table() {
        let report = |wasi: &str, name: String| Report {
            wasi: wasi.to_owned(),
            exports: vec!["wasi:http/handler@0.3.0".to_owned()],
            imports: vec![name],
            answers_http: true,
        };
        let name = || "wasi:io/poll@0.2.0".to_owned();
        for (report, bounded) in [
            (report("0.2", name()), true),
            (report("0.3", name()), true),
            (report("0.4", name()), false),
            (report("", name()), false),
            (report("0.2", "x".repeat(MAX_NAME)), true),
            (report("0.2", "x".repeat(MAX_NAME + 1)), false),
            (report("0.2", "a\nb".to_owned()), false),
            (report("0.2", "a\u{1b}[2J".to_owned()), false),
        ] {
            assert_eq!(report.is_bounded(), bounded, "{report:?}");
        }
    }
}
