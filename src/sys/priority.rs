//! How a process fares when there is less CPU time than is wanted.

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    time::{ClockId, clock_gettime},
};

use super::usage::Times;

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

/// After so many bytes of [`worked`] the kernel is asked: some 20 µs of messages.
const LOOK: usize = 16 << 10;

/// The shortest turn that the kernel gives: how long a thread may go on while another one waits for its CPU.
pub const SHORTEST: Duration = Duration::from_micros(100);

/// And the longest.
pub const LONGEST: Duration = Duration::from_millis(100);

/// A turn of a process that begins, of which nobody knows how busy it will be.
pub const BEGINNING: Duration = Duration::from_millis(10);

/// Turns of this length for this thread, and for the threads and processes that it starts. What each gets is the
/// same, but with a shorter one it comes sooner: who wakes up goes before who has longer turns. Kernels before 6.12
/// ignore it.
///
/// # Errors
/// The system's own.
pub fn take_turns(turn: Duration) -> io::Result<()> {
    schedule(0, libc::SCHED_OTHER, turn)
}

/// This thread has done as much as copying so many bytes. Now and then that ends its turn, where the time for it is
/// over and somebody waits. The kernel looks by itself at its ticks only, up to 10 ms apart; asked how long a thread
/// has run, it looks as well. Nothing is given up by that, as it would be with `sched_yield`.
pub fn worked(bytes: usize) {
    thread_local!(static DONE: Cell<usize> = const { Cell::new(0) });
    let done = DONE.get().saturating_add(bytes);
    if done < LOOK {
        DONE.set(done);
        return;
    }
    DONE.set(0);
    // A fraction of a microsecond.
    let _ = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
}

/// The main thread of another process, as the kernel's scheduler sees it.
#[derive(Debug)]
pub struct Scheduled {
    os_pid: u32,
    times: File,
}

impl Scheduled {
    /// # Errors
    /// It is gone, or `/proc` does not show it.
    pub fn open(os_pid: u32) -> io::Result<Self> {
        Ok(Self { os_pid, times: File::open(format!("/proc/{os_pid}/schedstat"))? })
    }

    /// One small read.
    ///
    /// # Errors
    /// It is gone: never those of another process that has its pid now.
    pub fn times(&self) -> io::Result<Times> {
        let mut bytes = [0; MAX_TIMES];
        let length = self.times.read_at(&mut bytes, 0)?;
        Times::parse(&bytes[..length]).ok_or_else(|| io::Error::other("its times are not as expected"))
    }

    /// From [`SHORTEST`] to [`LONGEST`]. Its niceness stays; who changes that at the same time may lose the change.
    ///
    /// # Errors
    /// It is gone, or somebody else's.
    pub fn set_turn(&self, turn: Duration) -> io::Result<()> {
        schedule(self.os_pid, libc::SCHED_OTHER, turn)
    }

    /// The other threads that the process has now interrupt nobody any more: when one of them wakes up it waits until
    /// a turn ends. So it should be with clocks. A request that they interrupt is not at once gone on with: whoever
    /// waits may have a turn before. Their turns are not the shortest: while one waits that comes before who wakes up,
    /// the kernel interrupts nobody for either. Threads that end meanwhile need nothing.
    pub fn calm_others(&self) {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.os_pid)) else { return };
        for thread in threads.flatten() {
            let thread = thread.file_name().to_str().and_then(|thread| thread.parse().ok());
            if let Some(thread) = thread.filter(|thread| *thread != self.os_pid) {
                let _ = schedule(thread, libc::SCHED_BATCH, BEGINNING);
            }
        }
    }
}

/// The most bytes of a thread's times: three numbers.
const MAX_TIMES: usize = 64;

/// A thread; 0 is this one.
fn schedule(thread: u32, policy: libc::c_int, turn: Duration) -> io::Result<()> {
    // SAFETY: takes and gives numbers only.
    let nice = niceness(|| unsafe { libc::getpriority(libc::PRIO_PROCESS, thread) })?;
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?,
        policy: u32::try_from(policy).map_err(io::Error::other)?,
        flags: 0,
        nice,
        priority: 0,
        runtime: u64::try_from(turn.as_nanos()).map_err(io::Error::other)?,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the attributes are as long as they say, and only read.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) };
    Errno::result(done).map(drop).map_err(Into::into)
}

/// `struct sched_attr` of sched_setattr(2), in its first version. For these policies `runtime` is the length of a
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
    // SAFETY: takes and gives numbers only.
    niceness(|| unsafe { libc::nice(steps) }).map(drop)
}

/// What a call gives that gives a niceness: -1 is one, and may be an error as well.
fn niceness(call: impl FnOnce() -> libc::c_int) -> io::Result<libc::c_int> {
    Errno::clear();
    let niceness = call();
    if niceness == -1 && Errno::last_raw() != 0 { Err(io::Error::last_os_error()) } else { Ok(niceness) }
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

    #[test]
    fn another_process_as_it_runs_and_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let scheduled = Scheduled::open(child.id()).unwrap();
        for turn in [LONGEST, SHORTEST] {
            scheduled.set_turn(turn).unwrap();
        }
        let first = scheduled.times().unwrap();
        assert!(first.ran < Duration::from_secs(60), "{first:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        scheduled.times().unwrap_err();
        scheduled.set_turn(SHORTEST).unwrap_err();
    }
}
