//! Points at which a test can have the master killed, in builds for tests only: what a deploy leaves
//! behind must be whole wherever it broke off.

/// The variable that names a file. The master is killed at the point whose name is in it.
pub const VARIABLE: &str = "HATCHERY_TEST_KILL_AT";

/// Here is one. In a build for tests, kills the master (this process, or its parent where this is one of
/// the master's children) when the file says so. Otherwise nothing.
#[cfg(debug_assertions)]
pub fn reach(name: &str) {
    use nix::{
        sys::signal::{Signal, kill},
        unistd::{getpid, getppid},
    };
    let Some(file) = std::env::var_os(VARIABLE) else { return };
    if std::fs::read_to_string(file).is_ok_and(|wanted| wanted.trim() == name) {
        let is_child =
            std::env::args().nth(1).is_some_and(|role| role == "storekeeper" || role == "compiler");
        let _ = kill(if is_child { getppid() } else { getpid() }, Signal::SIGKILL);
        // A child that went on would finish what its master did not live to see.
        std::process::abort();
    }
}

/// Here is one, in a build in which nothing happens there.
#[cfg(not(debug_assertions))]
pub fn reach(_name: &str) {}
