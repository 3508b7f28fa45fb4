//! How long a tenant's answers take: one keep-alive connection on a thread of its own, which does
//! nothing else, so that what is measured is the server and not the test.
//!
//! Windows alone and beside another app's trouble are measured in turn, and the medians of their p99
//! compared. What is wanted of the two depends on the machine: on one that does other things too, only that
//! nobody was held up; on a quiet one, which `HATCHERY_E2E_QUIET=1` says it is, that the one is within
//! [`RATIO`] times the other.

use std::{
    fmt,
    net::SocketAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{Cluster, wire::Wire};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);

/// A window: some 300 answers, of which the third worst is the p99.
const WINDOW: Duration = Duration::from_millis(500);

/// So many windows of each kind say whether somebody was held up,
const FEW: usize = 2;

/// so many how the two compare,
const WINDOWS: usize = 5;

/// and up to so many are measured where it is not clear by then.
const MAX_WINDOWS: usize = 10;

/// How much slower than alone an app may be.
const RATIO: f64 = 2.0;

/// What is under this is noise, whatever the ratio: three turns of the shortest kind that the kernel has.
const FLOOR: Duration = Duration::from_micros(300);

/// Beside a guest that could hold others up it would be its `cpu-limit`, 1 s. The kernel's own scheduling
/// comes nowhere near half of that.
const HELD_UP: Duration = Duration::from_millis(500);

/// The p99 of an app's answers, alone and beside another one's trouble.
#[derive(Default)]
pub(crate) struct Compared {
    alone: Vec<Duration>,
    beside: Vec<Duration>,
}

impl Compared {
    /// One window of the app `good` alone, and one while there is trouble: between `begin` and `end`,
    /// which is given what `begin` made.
    pub(crate) async fn windows<T>(
        &mut self,
        cluster: &Cluster,
        begin: impl AsyncFnOnce() -> T,
        end: impl AsyncFnOnce(T),
    ) {
        let good = cluster.addr_of("good");
        self.alone(good).await;
        let trouble = begin().await;
        self.beside(good).await;
        end(trouble).await;
    }

    /// One window of the app at this address, while there is no trouble. Where nothing is compared with it the first
    /// one is enough, to be printed.
    pub(crate) async fn alone(&mut self, good: SocketAddr) {
        if is_quiet() || self.alone.is_empty() {
            self.alone.push(p99(good).await);
        }
    }

    /// And one while there is.
    pub(crate) async fn beside(&mut self, good: SocketAddr) {
        self.beside.push(p99(good).await);
    }

    /// Is another pair of windows needed?
    ///
    /// # Panics
    /// When the app is slower than it may be, after all windows that there may be.
    pub(crate) fn goes_on(&self, trouble: &str) -> bool {
        let (least, most) = if is_quiet() { (WINDOWS, MAX_WINDOWS) } else { (FEW, FEW) };
        if self.beside.len() < least {
            return true;
        }
        let bound = if is_quiet() { median(&self.alone).mul_f64(RATIO).max(FLOOR) } else { HELD_UP };
        let is_fine = median(&self.beside) <= bound;
        assert!(is_fine || self.beside.len() < most, "{trouble}: {self}, more than {bound:.2?}");
        !is_fine
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (alone, beside) = (median(&self.alone), median(&self.beside));
        write!(f, "p99 {beside:.2?}, alone {alone:.2?}; of {} windows", self.beside.len())
    }
}

/// Does nothing else run on this machine? Only then a time says something of Hatchery.
pub(crate) fn is_quiet() -> bool {
    std::env::var_os("HATCHERY_E2E_QUIET").is_some()
}

fn median(windows: &[Duration]) -> Duration {
    let mut windows = windows.to_vec();
    windows.sort_unstable();
    windows[windows.len() / 2]
}

/// The clients stand for other machines, in a quiet run. The one that is measured comes first: how long it waits for
/// one of this machine's CPUs is not the server's time. The others interrupt nobody: nor is it what the server does
/// that requests of this kind end on the same CPU, in the middle of another one.
fn schedule(policy: &[&str], of: &str) {
    if !is_quiet() {
        return;
    }
    let done = Command::new("chrt").args(policy).arg(of).status();
    assert!(done.is_ok_and(|status| status.success()), "a quiet run needs chrt, as root");
}

/// Asks for `/hello` for one window. Each answer has to be a 200.
async fn p99(addr: SocketAddr) -> Duration {
    let all = std::process::id().to_string();
    schedule(&["--batch", "--all-tasks", "--pid", "0"], &all);
    let measured = tokio::task::spawn_blocking(move || {
        schedule(&["--fifo", "--reset-on-fork", "--pid", "1"], &nix::unistd::gettid().to_string());
        let mut wire = Wire::open(addr).unwrap();
        // The first one opens the connection, with what that costs.
        wire.ask("/hello").unwrap();
        let mut took = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < WINDOW {
            let asked = Instant::now();
            wire.ask("/hello").unwrap();
            took.push(asked.elapsed());
            thread::sleep(PAUSE);
        }
        took.sort_unstable();
        took[(took.len() - 1) * 99 / 100]
    });
    let measured = measured.await.unwrap();
    schedule(&["--other", "--all-tasks", "--pid", "0"], &all);
    measured
}
