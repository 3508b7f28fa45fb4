//! This process's own cgroup of version 2, where it was delegated: systemd's `Delegate=` says so with
//! an extended attribute.

use std::{
    ffi::{CStr, CString},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process, ptr,
};

use nix::libc;

/// The attributes that say that a cgroup's owner may make groups in it; the second where systemd is old.
const MARKS: [&CStr; 2] = [c"user.delegate", c"trusted.delegate"];

/// The folder of this process's cgroup, where that is delegated, counts something, and has no process
/// but this.
#[must_use]
pub fn delegated() -> Option<PathBuf> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = folder_of(&cgroups, &mounts)?;
    let alone = fs::read_to_string(folder.join("cgroup.procs")).ok()?.trim() == process::id().to_string();
    let counts = |one: super::Controller| super::has_word(&folder.join("cgroup.controllers"), one.name());
    (alone && super::Controller::ALL.into_iter().any(counts) && is_marked(&folder)).then_some(folder)
}

/// Of `/proc/self/cgroup` the line of version 2 is `0::/path`. Of `/proc/self/mountinfo` the fourth
/// and fifth fields are what is mounted and where, and the type comes after a lonely `-`.
fn folder_of(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    let path = Path::new(cgroups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        Some(Path::new(point).join(path.strip_prefix(root).ok()?))
    })
}

fn is_marked(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    MARKS.iter().any(|mark| {
        let mut value = [0u8; 1];
        let room = ptr::from_mut(&mut value).cast();
        // SAFETY: both strings end in NUL, and one byte may be written to `room`, which is `value`.
        let length = unsafe { libc::getxattr(path.as_ptr(), mark.as_ptr(), room, value.len()) };
        length == 1 && value == *b"1"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_as_a_table() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      36 31 0:33 / /sys/fs/cgroup/memory rw shared:3 - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let usual = "25 18 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let container = "25 18 0:22 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup ro\n";
        let v1 = "4:memory:/x\n";
        let cases = [
            ("4:memory:/x\n0::/a\n", hybrid, Some("/sys/fs/cgroup/unified/a")),
            ("0::/system.slice/h.service\n", usual, Some("/sys/fs/cgroup/system.slice/h.service")),
            ("0::/docker/1/sub\n", container, Some("/sys/fs/cgroup/sub")),
            ("0::/elsewhere\n", container, None),
            (v1, hybrid, None),
            ("0::/a\n", "", None),
            ("0::/a\n", "- cgroup2\n1 2 - cgroup2\n", None),
        ];
        for (cgroups, mounts, folder) in cases {
            assert_eq!(folder_of(cgroups, mounts), folder.map(PathBuf::from), "{cgroups} in {mounts}");
        }
    }

    #[test]
    fn an_ordinary_folder_is_not_marked() {
        assert!(!is_marked(tempfile::tempdir().unwrap().path()));
        assert!(!is_marked(Path::new("/nowhere at all")));
    }
}
