//! How a process fares when there is less CPU time than is wanted.

use std::io;

use nix::{errno::Errno, libc};

/// What is added to the niceness of work that nobody waits for right now: compiling must not be felt by
/// the apps that serve.
const BACKGROUND: libc::c_int = 10;

/// What the kernel gives to a process is less by this factor for each step of niceness.
const STEP: f64 = 1.25;

/// The most steps.
const MOST: f64 = 19.0;

/// Gives way to the other processes, for good.
///
/// # Errors
/// The system's own.
pub fn give_way() -> io::Result<()> {
    nice(BACKGROUND)
}

/// Takes a part of what it would get, for good: 1 to 100 of 100. A step of niceness is a fifth, so that it
/// is about that; the least is 1.5.
///
/// # Errors
/// The system's own.
pub fn weigh(of_hundred: u32) -> io::Result<()> {
    match steps(of_hundred) {
        0 => Ok(()),
        steps => nice(steps),
    }
}

fn steps(of_hundred: u32) -> libc::c_int {
    let share = f64::from(of_hundred.clamp(1, 100)) / 100.0;
    (-share.ln() / STEP.ln()).round().min(MOST) as libc::c_int
}

fn nice(steps: libc::c_int) -> io::Result<()> {
    Errno::clear();
    // SAFETY: takes and gives numbers only.
    let niceness = unsafe { libc::nice(steps) };
    // -1 is a niceness as well.
    if niceness == -1 && Errno::last_raw() != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_as_a_table() {
        for (weight, expected) in
            [(100, 0), (90, 0), (80, 1), (50, 3), (25, 6), (10, 10), (2, 18), (1, 19), (0, 19)]
        {
            assert_eq!(steps(weight), expected, "{weight}");
        }
    }
}
