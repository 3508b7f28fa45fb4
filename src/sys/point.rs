//! Points at which a test can have the master killed, in builds for tests only: what a deploy leaves
//! behind must be whole wherever it broke off.
//!
//! A child that is shut in can neither read the file nor kill anybody: it has read the file before, ends
//! by a code, and the master, which sees that, kills itself.

/// The variable that names a file. The master is killed at the point whose name is in it.
pub const VARIABLE: &str = "HATCHERY_TEST_KILL_AT";

#[cfg(debug_assertions)]
pub use armed::{keep, passed, reach};

#[cfg(debug_assertions)]
mod armed {
    use std::{fs, os::unix::process::ExitStatusExt as _, process::ExitStatus, sync::OnceLock};

    use nix::{
        libc,
        sys::signal::{Signal, kill},
        unistd::getpid,
    };

    /// A child's exit code, at such a point.
    const EXIT_REACHED: i32 = 113;

    /// In a child: what the file said when it was started.
    static WANTED: OnceLock<Option<String>> = OnceLock::new();

    fn read() -> Option<String> {
        let text = fs::read_to_string(std::env::var_os(super::VARIABLE)?).ok()?;
        Some(text.trim().to_owned())
    }

    /// Here is one. In a build for tests, kills the master (this process, or its parent where this is one
    /// of the master's children) when the file says so. Otherwise nothing.
    pub fn reach(name: &str) {
        match WANTED.get() {
            // A child that went on would finish what its master did not live to see.
            Some(wanted) if wanted.as_deref() == Some(name) => {
                // SAFETY: ends this process at once, as a signal would.
                unsafe { libc::_exit(EXIT_REACHED) }
            }
            None if read().is_some_and(|wanted| wanted == name) => die(),
            _ => {}
        }
    }

    /// To be called in a child, as long as it can read files.
    pub fn keep() {
        let _ = WANTED.set(read());
    }

    /// A child has ended; was that at such a point?
    pub fn passed(status: ExitStatus) {
        if status.into_raw() == EXIT_REACHED << 8 && std::env::var_os(super::VARIABLE).is_some() {
            die();
        }
    }

    fn die() -> ! {
        let _ = kill(getpid(), Signal::SIGKILL);
        std::process::abort();
    }
}

/// Here is one, in a build in which nothing happens there.
#[cfg(not(debug_assertions))]
pub fn reach(_name: &str) {}

/// Nothing, in such a build.
#[cfg(not(debug_assertions))]
pub fn keep() {}

/// Nothing, in such a build.
#[cfg(not(debug_assertions))]
pub fn passed(_status: std::process::ExitStatus) {}
