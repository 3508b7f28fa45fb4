//! What the kernel holds another process to, as it says itself: a process could say anything.

use std::{fs, io};

/// Of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confines {
    /// Its effective user id, as this process sees users.
    pub user: u32,
    /// The files and sockets that it may have open.
    pub open_files: u64,
}

/// By the system's pid. Two small reads.
///
/// # Errors
/// It is gone; or `/proc` isn't mounted, or hides it, or says it in a way that this doesn't know.
pub fn of(os_pid: u32) -> io::Result<Confines> {
    let read = |name| fs::read_to_string(format!("/proc/{os_pid}/{name}"));
    let (status, limits) = (read("status")?, read("limits")?);
    let unknown = || io::Error::other(format!("/proc/{os_pid} is not as expected"));
    Ok(Confines {
        user: user(&status).ok_or_else(unknown)?,
        open_files: open_files(&limits).ok_or_else(unknown)?,
    })
}

/// `Uid:` with the real, effective, saved and file system's ids.
fn user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

/// The soft limit, the hard one, the unit.
fn open_files(limits: &str) -> Option<u64> {
    let numbers = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match numbers.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{limits::raise_nofile, user::effective};

    #[test]
    fn this_process_is_as_it_knows_itself() {
        let open_files = raise_nofile().unwrap();
        assert_eq!(of(std::process::id()).unwrap(), Confines { user: effective(), open_files });
        assert!(of(0).is_err());
    }

    #[test]
    fn texts_as_a_table() {
        for (status, expected) in [
            ("Name:\ta\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n", Some(2)),
            ("Uid:\t1\n", None),
            ("Uid:\tx\ty\n", None),
            ("Name:\tUid\n", None),
        ] {
            assert_eq!(user(status), expected, "{status}");
        }
        for (limits, expected) in [
            ("Limit   Soft Limit  Hard Limit  Units\nMax open files    80    4096   files\n", Some(80)),
            ("Max open files            unlimited            unlimited            files\n", Some(u64::MAX)),
            ("Max open files\n", None),
            ("Max processes 5 5\n", None),
        ] {
            assert_eq!(open_files(limits), expected, "{limits}");
        }
    }
}
