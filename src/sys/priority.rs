//! How a process fares when there is less CPU time than is wanted.

use std::{io, time::Duration};

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

/// How long a thread may go on while another one waits for its CPU. The kernel's own is about 3 ms, which is
/// what a request would wait for a guest that computes.
const TURN: Duration = Duration::from_micros(300);

/// Short turns for this thread, and for the threads and processes that it starts. What each gets is the same,
/// but it comes sooner. Kernels before 6.12 ignore it.
///
/// # Errors
/// The system's own.
pub fn take_short_turns() -> io::Result<()> {
    // SAFETY: takes numbers only, of this thread.
    let niceness = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?,
        policy: u32::try_from(libc::SCHED_OTHER).map_err(io::Error::other)?,
        flags: 0,
        nice: niceness,
        priority: 0,
        runtime: u64::try_from(TURN.as_nanos()).map_err(io::Error::other)?,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the attributes are as long as they say, and only read.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    Errno::result(done).map(drop).map_err(Into::into)
}

/// `struct sched_attr` of sched_setattr(2), in its first version. For this policy `runtime` is the length of a
/// turn.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
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
