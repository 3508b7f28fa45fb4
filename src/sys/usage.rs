//! What this process takes of the machine.

use std::{fs, io};

/// Resident memory, in bytes.
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
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc/self/status has no {key}")))
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
    }
}
