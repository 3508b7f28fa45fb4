//! How a process ended, in words. Used for children and compilers.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use tokio::time::timeout;

use crate::sys::spawn::Child;

/// The longest that a child may take to end when it has closed its end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The signals that end processes in practice, by Linux's numbers.
const SIGNALS: [(i32, &str); 14] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (31, "SIGSYS"),
];

/// `exit code 1` or `signal 9 (SIGKILL)`.
pub(crate) fn reason(status: io::Result<ExitStatus>) -> String {
    let status = match status {
        Ok(status) => status,
        Err(error) => return format!("it could not be waited for: {error}"),
    };
    if let Some(code) = status.code() {
        return format!("exit code {code}");
    }
    let signal = status.signal().unwrap_or_default();
    match ended_by(status) {
        Some(name) => format!("signal {signal} ({name})"),
        None => format!("signal {signal}"),
    }
}

/// Reaps a child that has nothing left to do, and kills it where it does not end by itself: one that was taken
/// over may stay for ever.
pub(crate) async fn ended(child: &mut Child) -> io::Result<ExitStatus> {
    match timeout(EXIT_TIMEOUT, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            child.kill().await?;
            child.wait().await
        }
    }
}

/// The name of the signal that ended it, where it is one of those.
pub(crate) fn ended_by(status: ExitStatus) -> Option<&'static str> {
    let signal = status.signal()?;
    SIGNALS.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_as_a_table() {
        let cases = [
            (0, "exit code 0"),
            (1 << 8, "exit code 1"),
            (110 << 8, "exit code 110"),
            (9, "signal 9 (SIGKILL)"),
            (11 | 0x80, "signal 11 (SIGSEGV)"),
            (40, "signal 40"),
        ];
        for (raw, expected) in cases {
            assert_eq!(reason(Ok(ExitStatus::from_raw(raw))), expected);
        }
    }
}
