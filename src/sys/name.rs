//! The short name of a process, as `top` and `ps -o comm` show it.

use std::{ffi::CString, io};

use nix::sys::prctl;

/// Names this process. A child is started through `/proc/self/exe` and would be called `exe`. To
/// be called on the main thread; the kernel keeps the first 15 bytes.
///
/// # Errors
/// The name has a NUL byte.
pub fn set(name: &str) -> io::Result<()> {
    prctl::set_name(&CString::new(name)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_in_proc() {
        set("hatchery-test-of-names").unwrap();
        assert_eq!(std::fs::read_to_string("/proc/thread-self/comm").unwrap(), "hatchery-test-o\n");
        assert_eq!(set("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
