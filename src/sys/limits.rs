//! Resource limits: the master's, which its children inherit, and a child's own.

use std::{fs, io, os::fd::RawFd, sync::LazyLock, time::Duration};

use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{SysconfVar, close, sysconf},
};

/// Files for which there is room from the start: 32 KiB of the kernel's memory.
const ROOM: RawFd = 4095;

/// Raises the limit of open files to what this user may have, and gives that number. Connections
/// are fds, and the usual soft limit of 1024 is kept low only for programs that use `select`.
///
/// # Errors
/// The system's own.
pub fn raise_nofile() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    make_room(hard);
    Ok(hard)
}

/// Has the kernel make this process's table of files as large as it may get, or [`ROOM`], at once. It doubles the
/// table whenever it is full, and in a process with threads that waits for all CPUs (`expand_fdtable` in
/// fs/file.c): 5 to 16 ms in which the loop that needs one more fd stands still.
fn make_room(most: u64) {
    let last = RawFd::try_from(most.saturating_sub(1)).unwrap_or(ROOM).min(ROOM);
    // Closed at once; the table stays. Where it fails, it grows later.
    if let Ok(fd) = fcntl(io::stderr(), FcntlArg::F_DUPFD_CLOEXEC(last)) {
        let _ = close(fd);
    }
}

/// Caps what this process may have of private memory, in bytes: past it the system gives no more, and
/// the process ends. Counts memory that was asked for, touched or not.
///
/// # Errors
/// The system's own.
pub fn cap_data(bytes: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?)
}

/// Caps the CPU time of this process, in whole seconds, all its threads together: past it the system
/// ends the process by SIGXCPU.
///
/// # Errors
/// The system's own.
pub fn cap_cpu(time: Duration) -> io::Result<()> {
    // The hard limit is later: at that one it is SIGKILL, which does not say why.
    Ok(setrlimit(Resource::RLIMIT_CPU, time.as_secs(), time.as_secs() + 1)?)
}

/// Caps the files and sockets that this process may have open, for good. Where it may have fewer, it is
/// left at that.
///
/// # Errors
/// The system's own.
pub fn cap_nofile(most: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let most = most.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    make_room(most);
    Ok(())
}

/// Caps the size of the files that this process writes, in bytes, for good: past it a write is an error
/// (`sandbox` ignores the signal). Where less is allowed, it is left at that.
///
/// # Errors
/// The system's own.
pub fn cap_file_size(most: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE)?;
    let most = most.min(hard);
    Ok(setrlimit(Resource::RLIMIT_FSIZE, most, most)?)
}

/// What [`cap_data`] has set, in bytes.
///
/// # Errors
/// The system's own.
pub fn data_cap() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_DATA)?.0)
}

/// What the machine has of memory, in bytes; all there could be where the system doesn't say. Read once.
#[must_use]
pub fn machine_memory() -> u64 {
    static MEMORY: LazyLock<u64> = LazyLock::new(read_machine_memory);
    *MEMORY
}

fn read_machine_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib.saturating_mul(1024))
}

/// The size of a page of memory, in bytes.
#[must_use]
pub fn page() -> usize {
    /// Of most machines.
    const USUAL: usize = 4096;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    page.and_then(|page| usize::try_from(page).ok()).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    use nix::sys::signal::Signal;

    use super::*;

    /// What the child below takes, and may take.
    const TAKES: usize = 512 << 20;
    const MAY: u64 = 256 << 20;

    #[test]
    #[ignore = "what a child does"]
    fn takes_much() {
        if std::env::var_os("HATCHERY_TEST_CAP").is_some() {
            cap_data(MAY).unwrap();
            let mut much: Vec<u8> = Vec::new();
            println!("refused {}", much.try_reserve_exact(TAKES).is_err());
        }
    }

    #[test]
    #[ignore = "what a child does"]
    fn computes_for_ever() {
        if std::env::var_os("HATCHERY_TEST_CAP").is_some() {
            cap_cpu(Duration::from_secs(1)).unwrap();
            loop {
                std::hint::spin_loop();
            }
        }
    }

    #[test]
    fn past_the_cpu_time_it_ends() {
        let test = ["sys::limits::tests::computes_for_ever", "--exact", "--ignored", "--nocapture"];
        let child = Command::new("/proc/self/exe").args(test).env("HATCHERY_TEST_CAP", "1").output().unwrap();
        assert_eq!(child.status.signal(), Some(Signal::SIGXCPU as i32), "{child:?}");
    }

    #[test]
    fn past_the_cap_there_is_no_more() {
        let test = ["sys::limits::tests::takes_much", "--exact", "--ignored", "--nocapture"];
        let child = Command::new("/proc/self/exe").args(test).env("HATCHERY_TEST_CAP", "1").output().unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("refused true"), "{said}");
    }

    #[test]
    fn a_machine_has_some_memory_in_pages() {
        assert!((1 << 26..1 << 60).contains(&machine_memory()), "{}", machine_memory());
        assert!(page().is_power_of_two() && page() >= 4096, "{}", page());
    }

    #[test]
    fn soft_becomes_hard() {
        let hard = raise_nofile().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        // The table's size.
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(size.trim().parse::<u64>().unwrap() >= hard.min(4096), "{size}");
    }
}
