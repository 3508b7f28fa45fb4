//! The master's end of its children's standard errors: a pipe for each, read by a thread that does nothing
//! else. So a child can neither write in another's name nor change what others have written, and one that was
//! taken over writes no more than `log-rate` lets it: who writes faster waits.
//!
//! Roles of the master ask for a pipe with each child that they start; `cli` waits for what is left at the
//! end. Where the log itself goes slowly, the thread waits for it, and at last the children do.

use std::{
    io::{self, Write as _},
    os::fd::OwnedFd,
    sync::{Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe::Receiver,
    runtime::{Builder, Handle},
    time::sleep,
};

use super::{Whose, checked::Checked};
use crate::{cluster::Rate, sys::priority};

/// What a process that runs no guest may write, in bytes a second.
pub const RATE: u64 = 1 << 20;

/// The most bytes that are read at a time: what a pipe holds.
const PIECE: usize = 64 << 10;

/// A child holds itself to `log-rate` for its guest, and once more for itself; and says when it drops lines.
/// One that does never waits here.
const KINDS: u64 = 2;

/// Bytes a second beside that.
const SPARE: u64 = 64 << 10;

/// What may come at once, as a part of the rate; a child allows itself less.
const BURST: Duration = Duration::from_secs(3);

/// How full the room is to be again before there is more read.
const ENOUGH: f64 = 0.1;

/// The longest wait at the end for what children have left.
const LAST: Duration = Duration::from_secs(1);

/// The thread, and how many pipes it reads.
struct Collector {
    runtime: Handle,
    pipes: Mutex<usize>,
    fewer: Condvar,
}

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

/// A new pipe for a child that may write so many bytes a second (`log-rate`); its standard error.
///
/// # Errors
/// The system's own.
pub fn collect(whose: Whose, per_second: u64) -> io::Result<OwnedFd> {
    let collector = COLLECTOR.get_or_init(start);
    let (ours, theirs) = io::pipe()?;
    let pipe = {
        let _entered = collector.runtime.enter();
        Receiver::from_owned_fd(ours.into())?
    };
    *collector.pipes() += 1;
    collector.runtime.spawn(async move {
        read(pipe, Checked::new(whose, super::look()), per_second).await;
        *collector.pipes() -= 1;
        collector.fewer.notify_all();
    });
    Ok(theirs.into())
}

/// To be called at the end of the process, when children are gone: waits until what they wrote is in the log.
pub fn finish() {
    let Some(collector) = COLLECTOR.get() else { return };
    let left = collector.fewer.wait_timeout_while(collector.pipes(), LAST, |pipes| *pipes > 0);
    drop(left);
}

impl Collector {
    fn pipes(&self) -> std::sync::MutexGuard<'_, usize> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread, with the first pipe.
fn start() -> Collector {
    const WHY: &str = "a process that can't start one thread can't run at all";
    let runtime = Builder::new_current_thread().enable_all().build().expect(WHY);
    let handle = runtime.handle().clone();
    let run = move || {
        // Who writes much waits, rather than those who have requests.
        let _ = priority::give_way();
        runtime.block_on(std::future::pending::<()>());
    };
    thread::Builder::new().name("log".to_owned()).spawn(run).expect(WHY);
    Collector { runtime: handle, pipes: Mutex::new(0), fewer: Condvar::new() }
}

async fn read(mut pipe: Receiver, mut lines: Checked, per_second: u64) {
    let mut rate = Rate::new(per_second.saturating_mul(KINDS).saturating_add(SPARE), BURST);
    let mut bytes = vec![0; PIECE];
    while let Ok(count @ 1..) = pipe.read(&mut bytes).await {
        write(&lines.take(&bytes[..count], Timestamp::now()));
        rate.charge(count as u64, Instant::now());
        if rate.share(Instant::now()) <= 0.0 {
            sleep(rate.until(ENOUGH, Instant::now())).await;
        }
    }
    write(&lines.end(Timestamp::now()));
}

/// A log that can't be written to is no reason to stop reading.
fn write(lines: &str) {
    if !lines.is_empty() {
        let _ = io::stderr().write_all(lines.as_bytes());
    }
}
