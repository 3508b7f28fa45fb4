//! The kernel's files for limits: which there are, and what is written to them. Version 1 and version 2
//! differ in names and in a few numbers.

use std::{fs, io, path::Path};

use super::{AppLimits, OutOf, hierarchy::Version};

/// How often the kernel looks whether an app has had its CPUs, in microseconds. Its own default.
const PERIOD: u64 = 100_000;

/// What version 1 has for an ordinary group's share.
const SHARES: u64 = 1024;

/// The least that version 1 takes.
const MIN_SHARES: u64 = 2;

/// The share of an ordinary group of version 2, and the most that `cpu-weight` may be.
const WEIGHT: u64 = 100;

/// What the master's own group has of version 2, the most: all wait for it.
const MASTER_WEIGHT: &str = "10000";

/// Of an app: its share, and its cap.
pub(super) fn limit_cpu(version: Version, folder: &Path, limits: &AppLimits) -> io::Result<()> {
    let weight = u64::from(limits.cpu_weight);
    let quota = limits.cpus.map(|hundredths| u64::from(hundredths) * PERIOD / 100);
    match version {
        Version::V1 => {
            write(folder, "cpu.shares", (weight * SHARES / WEIGHT).max(MIN_SHARES))?;
            let quota = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
            write_changed(folder, "cpu.cfs_period_us", &PERIOD.to_string())?;
            write_changed(folder, "cpu.cfs_quota_us", &quota)
        }
        Version::V2 => {
            write(folder, "cpu.weight", weight)?;
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            write_changed(folder, "cpu.max", &format!("{quota} {PERIOD}"))
        }
    }
}

/// Of the master itself, where its group is ours.
pub(super) fn prefer(folder: &Path) -> io::Result<()> {
    write_existing(folder, "cpu.weight", MASTER_WEIGHT)
}

/// Of an app: processes and threads. Both versions are the same.
pub(super) fn limit_tasks(folder: &Path, tasks: u64) -> io::Result<()> {
    write(folder, "pids.max", tasks)
}

/// Of an app's processes together.
pub(super) fn limit_app_memory(version: Version, folder: &Path, bytes: Option<u64>) -> io::Result<()> {
    let (file, any) = match version {
        Version::V1 => ("memory.limit_in_bytes", "-1"),
        Version::V2 => ("memory.max", "max"),
    };
    write_changed(folder, file, &bytes.map_or_else(|| any.to_owned(), |bytes| bytes.to_string()))
}

/// Of one process. Swap does not count as more.
pub(super) fn limit_memory(version: Version, folder: &Path, bytes: u64) -> io::Result<()> {
    let (limit, others): (_, &[_]) = match version {
        Version::V1 => ("memory.limit_in_bytes", &[("memory.memsw.limit_in_bytes", bytes)]),
        Version::V2 => ("memory.max", &[("memory.swap.max", 0), ("memory.oom.group", 1)]),
    };
    write(folder, limit, bytes)?;
    for (file, value) in others {
        // Kernels without swap don't have them.
        let _ = write_existing(folder, file, &value.to_string());
    }
    Ok(())
}

/// A process that was killed counts in its own group, whosever memory was short; that its own limit was
/// in the way, only where it was.
pub(super) fn out_of_memory(version: Version, folder: &Path) -> Option<OutOf> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let number = |text: &str, key: &str| -> u64 {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or_default()
    };
    let (kills, own) = match version {
        Version::V1 => {
            let own = ["memory.failcnt", "memory.memsw.failcnt"].map(|file| number(&read(file), ""));
            (number(&read("memory.oom_control"), "oom_kill "), own[0].max(own[1]))
        }
        Version::V2 => {
            let events = read("memory.events");
            (number(&events, "oom_kill "), number(&events, "max "))
        }
    };
    (kills > 0).then_some(if own > 0 { OutOf::Process } else { OutOf::App })
}

fn write(folder: &Path, file: &str, value: u64) -> io::Result<()> {
    fs::write(folder.join(file), value.to_string())
}

/// Some kernels lack what is never asked of them.
fn write_changed(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = folder.join(file);
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == text) {
        return Ok(());
    }
    fs::write(path, text)
}

fn write_existing(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = folder.join(file);
    if path.exists() { fs::write(path, text) } else { Ok(()) }
}
