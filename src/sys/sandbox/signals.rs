//! Ends by signals, in a process that is the first of its pid namespace.
//!
//! The kernel gives such a one no signal that it has no handler for, SIGKILL from outside and its own
//! faults excepted: abort() would go on into an illegal instruction, and SIGXCPU would be nothing. So it
//! has handlers that end it, with a code that says which signal it was, and its parent reads that code.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

/// Those that end a process.
const ENDING: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT, Signal::SIGTERM, Signal::SIGXCPU];

/// What shells add to a signal's number to have an exit code.
const BASE: i32 = 128;

/// Has them end this process by a code.
pub(super) fn end_by_code() {
    let end = SigAction::new(SigHandler::Handler(end), SaFlags::SA_ONSTACK, SigSet::empty());
    for signal in ENDING {
        // SAFETY: the handler makes one system call, which does not return.
        let set = unsafe { sigaction(signal, &end) };
        debug_assert!(set.is_ok(), "{signal}");
    }
}

extern "C" fn end(signal: libc::c_int) {
    // SAFETY: it is async-signal-safe.
    unsafe { libc::_exit(BASE + signal) }
}

/// The signal that such a code stands for.
pub(in super::super) fn meant(status: ExitStatus) -> ExitStatus {
    let signal = status.code().map(|code| code - BASE);
    match signal.filter(|signal| ENDING.iter().any(|one| *one as i32 == *signal)) {
        Some(signal) => ExitStatus::from_raw(signal),
        None => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_as_a_table() {
        for (raw, expected) in [
            (0, 0),
            (1 << 8, 1 << 8),
            (134 << 8, libc::SIGABRT),
            (152 << 8, libc::SIGXCPU),
            (143 << 8, libc::SIGTERM),
            // Nothing sends that.
            (138 << 8, 138 << 8),
            (9, 9),
        ] {
            assert_eq!(meant(ExitStatus::from_raw(raw)), ExitStatus::from_raw(expected), "{raw}");
        }
    }
}
