//! What processes take of the machine.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    sync::OnceLock,
    time::Duration,
};

use nix::{
    sys::resource::{UsageWho, getrusage},
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};

use super::limits::page;

/// What one process takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// User and system time since its start, all of its threads.
    pub cpu: Duration,
}

/// Of another process, by the system's pid. One small read.
///
/// # Errors
/// It is gone; or `/proc` isn't mounted, or says it in a way that this doesn't know.
pub fn of(os_pid: u32) -> io::Result<Usage> {
    let path = format!("/proc/{os_pid}/stat");
    let tick = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|tick| u64::try_from(tick).ok());
    let tick = tick.filter(|tick| *tick > 0).unwrap_or(100);
    parse(&fs::read_to_string(&path)?, page() as u64, tick)
        .ok_or_else(|| io::Error::other(format!("{path} is not as expected")))
}

/// How many files and sockets another process has open.
///
/// # Errors
/// It is gone, or its list is nobody else's to read.
pub fn open_files(os_pid: u32) -> io::Result<u64> {
    Ok(fs::read_dir(format!("/proc/{os_pid}/fd"))?.count() as u64)
}

/// See proc_pid_stat(5): after the name, which may hold anything, come 3 to 52, by blanks.
fn parse(stat: &str, page: u64, tick: u64) -> Option<Usage> {
    let (_, rest) = stat.rsplit_once(')')?;
    // utime, stime, rss
    let wanted = |(number, _): &(u32, &str)| matches!(number, 14 | 15 | 24);
    let mut fields = (3..).zip(rest.split_ascii_whitespace()).filter(wanted);
    let mut next = || fields.next()?.1.parse::<u64>().ok();
    let (user, system, pages) = (next()?, next()?, next()?);
    let cpu = Duration::from_secs_f64(user.saturating_add(system) as f64 / tick as f64);
    Some(Usage { memory: pages.saturating_mul(page), cpu })
}

/// This process's own, for when `/proc` is out of sight.
static STATUS: OnceLock<File> = OnceLock::new();

/// The most bytes of it that are read.
const MAX_STATUS: usize = 16 << 10;

/// Opens what this process will want to read of itself, before it goes to where there is no `/proc`.
pub(super) fn keep_open() {
    if let Ok(status) = File::open("/proc/self/status") {
        let _ = STATUS.set(status);
    }
}

/// This process's resident memory, in bytes.
///
/// # Errors
/// `/proc` isn't mounted, or says it in a way that this doesn't know.
pub fn resident() -> io::Result<u64> {
    status("VmRSS:")
}

/// Private memory that was asked for, touched or not, in bytes: what `limits::cap_data` caps.
///
/// # Errors
/// As [`resident`].
pub fn data() -> io::Result<u64> {
    status("VmData:")
}

fn status(key: &str) -> io::Result<u64> {
    let status = match STATUS.get() {
        Some(file) => {
            let mut bytes = vec![0; MAX_STATUS];
            let length = file.read_at(&mut bytes, 0)?;
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        }
        None => fs::read_to_string("/proc/self/status")?,
    };
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc/self/status has no {key}")))
}

/// What a thread has done with its time, since its start. The rest it has slept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// On a CPU.
    pub ran: Duration,
    /// Waiting for one.
    pub waited: Duration,
}

impl Times {
    /// Of a `schedstat`, see proc(5): both in nanoseconds, and how often.
    pub(super) fn parse(schedstat: &[u8]) -> Option<Self> {
        let text = str::from_utf8(schedstat).ok()?;
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
        let mut next = || numbers.next().map(Duration::from_nanos);
        Some(Self { ran: next()?, waited: next()? })
    }
}

/// What a thread has spent its time with, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// On a CPU, without the interrupts that were handled meanwhile.
    pub cpu: Duration,
    /// Waiting for a CPU though it had something to do; nothing where the kernel does not say.
    pub waited: Duration,
    /// How often it has slept: for events, a lock, a disk.
    pub sleeps: u64,
}

/// Of this thread.
#[must_use]
pub fn thread() -> Thread {
    let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
    let times = fs::read("/proc/thread-self/schedstat").ok().and_then(|bytes| Times::parse(&bytes));
    let usage = getrusage(UsageWho::RUSAGE_THREAD).map(|usage| usage.voluntary_context_switches());
    Thread {
        cpu,
        waited: times.unwrap_or_default().waited,
        sleeps: usage.ok().and_then(|sleeps| u64::try_from(sleeps).ok()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_counts() {
        let before = resident().unwrap();
        let much = vec![1u8; 64 << 20];
        let after = resident().unwrap();
        assert!(data().unwrap() >= 64 << 20);
        assert!(after >= before + (32 << 20), "{before} {after} {}", much.len());
        let seen = of(std::process::id()).unwrap().memory;
        assert!(seen >= before + (32 << 20), "{before} {seen} {}", much.len());
    }

    #[test]
    fn work_takes_time() {
        let this = std::process::id();
        let before = of(this).unwrap().cpu;
        let patience = std::time::Instant::now() + Duration::from_secs(20);
        while of(this).unwrap().cpu < before + Duration::from_millis(50) {
            assert!(std::time::Instant::now() < patience, "no time was counted");
        }
    }

    #[test]
    fn a_thread_works_and_sleeps() {
        let before = thread();
        let patience = std::time::Instant::now() + Duration::from_secs(20);
        while thread().cpu < before.cpu + Duration::from_millis(10) {
            assert!(std::time::Instant::now() < patience, "no time was counted");
        }
        let worked = thread();
        std::thread::sleep(Duration::from_millis(10));
        let slept = thread();
        assert!(slept.sleeps > worked.sleeps, "{worked:?} {slept:?}");
        assert!(slept.cpu < worked.cpu + Duration::from_millis(10), "{worked:?} {slept:?}");
    }

    #[test]
    fn stat_as_a_table() {
        let tail = "S 1 42 42 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 1 0 99 1000000 321 18446744073709551615 1";
        let usage = Usage { memory: 321 * 4096, cpu: Duration::from_secs(3) };
        for (stat, expected) in [
            (format!("7 (hatchery-worker) {tail}"), Some(usage)),
            (format!("7 (a) b ) 9 (c) {tail}"), Some(usage)),
            (format!("7 (a) {}", &tail[..40]), None),
            (format!("7 (a) {}", tail.replace("250", "-1")), None),
            ("7 (a".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(parse(&stat, 4096, 100), expected, "{stat}");
        }
        assert!(of(0).is_err());
    }
}
