//! How a child shows that it is alive: a thread answers the master's beats with the age of the event
//! loop's last turn.
//!
//! The thread depends on neither the loop nor the guest. A process that does not answer is stopped or
//! stuck as a whole; one whose loop is old is stuck in a call that does not return. What to do about
//! it is the master's affair (`master::heartbeat`).

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{ipc::heartbeat::Answer, log, sys::inherit};

/// The loop turns at least this often. Besides, as long as a timer this near is set, those of
/// requests, which are further off, are set without a system call each.
const TURN: Duration = Duration::from_millis(500);

/// And so often within `hang-timeout`, where that is short.
const TURNS: u32 = 4;

/// Begins to answer, and to turn.
///
/// # Errors
///
/// When there is no socket to answer on.
pub(crate) fn start(hang_timeout: Duration) -> anyhow::Result<()> {
    let socket =
        UnixStream::from(inherit::take(inherit::HEARTBEAT_FD).context("no heartbeat was handed over")?);
    let last = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let seen = last.clone();
    thread::Builder::new()
        .name("pulse".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || answer(socket, begun, &seen))
        .context("cannot start the thread that answers the master")?;
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(TURN.min(hang_timeout / TURNS));
        loop {
            turns.tick().await;
            log::say_dropped();
            last.store(millis(begun), Relaxed);
        }
    });
    Ok(())
}

/// Ends with the master: then the process goes as well, for other reasons.
fn answer(mut socket: UnixStream, begun: Instant, last: &AtomicU64) {
    let mut beat = [0];
    while socket.read_exact(&mut beat).is_ok() {
        let age = Duration::from_millis(millis(begun).saturating_sub(last.load(Relaxed)));
        if socket.write_all(&Answer { beat: beat[0], loop_age: age }.encode()).is_err() {
            return;
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
