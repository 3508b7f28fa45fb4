//! The machine's monotonic clock: what two processes can compare, and no one can set.

use std::time::Duration;

use nix::time::ClockId;

/// Since some moment that is the same for all processes of this machine. Read without a system call.
#[must_use]
pub fn monotonic() -> Duration {
    // It fails only for a clock that the kernel does not know.
    ClockId::CLOCK_MONOTONIC.now().map(Duration::from).unwrap_or_default()
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
}
