//! Asks a child process to end in order. `hatchery test` does, with the master that it started.

use std::io;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::Child;

/// Sends SIGTERM. Nothing where the child was waited for already: its pid may be another's by now.
///
/// # Errors
/// The system's own.
pub fn terminate(child: &Child) -> io::Result<()> {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return Ok(()) };
    kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Stdio};

    use super::*;

    #[tokio::test]
    async fn it_ends() {
        let mut child = tokio::process::Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        // Kept, or `cat` would end by itself.
        let _input = child.stdin.take();
        terminate(&child).unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(15));
        terminate(&child).unwrap();
    }
}
