//! The machine's monotonic clock, which two processes can compare and no one can set; and a thread's
//! own time.

use std::time::Duration;

use nix::time::ClockId;

/// Since some moment that is the same for all processes of this machine. Read without a system call.
#[must_use]
pub fn monotonic() -> Duration {
    // It fails only for a clock that the kernel does not know.
    ClockId::CLOCK_MONOTONIC.now().map(Duration::from).unwrap_or_default()
}

/// The CPU time of this thread. A system call.
#[must_use]
pub fn thread_cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on() {
        let before = monotonic();
        assert!(before > Duration::ZERO);
        assert!(monotonic() >= before);
    }

    #[test]
    fn sleeping_takes_no_cpu() {
        let before = thread_cpu();
        std::thread::sleep(Duration::from_millis(50));
        assert!(thread_cpu() - before < Duration::from_millis(25));
        while thread_cpu() - before < Duration::from_millis(30) {}
    }
}
