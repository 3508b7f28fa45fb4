//! Escape drills: what a guest that owns its process would try, really tried. In builds for tests only,
//! and only where a test asks for it.
//!
//! Each attempt is made in a process of its own, forked when all but the last part holds; it puts that last
//! part, seccomp, on by itself. So those attempts that end in a kill are all made. `tests/hostile/drills.rs`
//! reads the lines: `drill ROLE | ATTEMPT | OUTCOME`.

mod attempts;

use std::io::{self, Write as _};

use nix::{errno::Errno, libc};

use self::attempts::{ATTEMPTS, Targets};
use super::{Profile, Room, seccomp};

/// Asks for it: `FILTER PORT SOCKET FILE HOME PID FOLDER LOG`, by blanks. With `FILTER` as `off`, seccomp does not
/// go on: then one sees what the other parts keep. A port that listens, the name of an abstract socket that does, a
/// file of the host's, and the master's home; and of another tenant: a process, a folder, and its master's log.
pub const VARIABLE: &str = "HATCHERY_TEST_DRILL";

/// Makes all attempts, where it is asked for, and returns.
pub(super) fn run(profile: &Profile) {
    let Ok(asked) = std::env::var(VARIABLE) else { return };
    let words: Vec<&str> = asked.split_whitespace().collect();
    let [filter, port, socket, file, home, tenant, folder, log] = words[..] else { return };
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    let targets = Targets {
        port: port.parse().unwrap_or_default(),
        socket: socket.to_owned(),
        file: file.into(),
        home: home.into(),
        master: arguments.next().and_then(|text| text.parse().ok()).unwrap_or_default(),
        tenant: tenant.parse().unwrap_or_default(),
        folder: folder.into(),
        log: log.into(),
    };
    let room = match profile.room {
        Room::Guest => role,
        Room::Compiler => "compiler".to_owned(),
        Room::Storekeeper => "storekeeper".to_owned(),
        Room::Broker => "broker".to_owned(),
    };
    for (name, attempt) in ATTEMPTS {
        let outcome = forked(|| {
            if filter != "off" {
                seccomp::install(profile)?;
            }
            attempt(&targets)
        });
        // With one call: others write too.
        let _ = io::stderr().write_all(format!("drill {room} | {name} | {outcome}\n").as_bytes());
    }
}

/// What came of it, in a process of its own.
fn forked(attempt: impl FnOnce() -> io::Result<()>) -> String {
    // SAFETY: this process has one thread, so the other one may do whatever this one may.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = match attempt() {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(255),
        };
        // SAFETY: ends the process at once, without what is the parent's to do.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: the status is written.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, 0) => "ALLOWED".to_owned(),
        (true, errno) => format!("denied, {:?}", Errno::from_raw(errno)),
        (false, _) => format!("killed, signal {}", libc::WTERMSIG(status)),
    }
}
