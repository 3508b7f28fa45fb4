//! How long a tenant's answers take: one keep-alive connection on a thread of its own, which does
//! nothing else, so that what is measured is the server and not the test.
//!
//! The machine does other things too. So windows of both kinds are measured in turn, the medians of their
//! p99 are compared, and of many windows those count in which the machine did least else.

use std::{
    fmt, fs,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{Cluster, wire::Wire};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);

/// A window: some 300 answers, of which the third worst is the p99.
const WINDOW: Duration = Duration::from_millis(500);

/// So many windows of each kind count,
const WINDOWS: usize = 5;

/// and up to so many are measured where it is not clear by then.
const MAX_WINDOWS: usize = 10;

/// How much slower than alone an app may be.
const RATIO: f64 = 2.0;

/// What is under this is noise, whatever the ratio.
const FLOOR: Duration = Duration::from_millis(1);

/// The same, where the machine does more than [`MUCH`] else. With some ten processes that want to run, the
/// kernel lets one wait for several time slices; beside a guest that could hold others up it would be a
/// `cpu-limit` of hundreds of milliseconds.
const BUSY_FLOOR: Duration = Duration::from_millis(30);

/// The part of all CPUs that processes outside the cluster may take: this test's clients do, too.
const MUCH: f64 = 0.2;

/// The p99 of an app's answers, alone and beside another one's trouble.
#[derive(Default)]
pub(crate) struct Compared {
    alone: Vec<Window>,
    beside: Vec<Window>,
}

#[derive(Clone, Copy)]
struct Window {
    p99: Duration,
    /// The part of all CPUs that others took.
    others: f64,
}

/// The windows that count.
struct Median {
    p99: Duration,
    others: f64,
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
        self.alone.push(Window::measure(cluster).await);
        let trouble = begin().await;
        self.beside.push(Window::measure(cluster).await);
        end(trouble).await;
    }

    /// Is another pair of windows needed?
    ///
    /// # Panics
    /// When the app is slower than it may be, after all windows that there may be.
    pub(crate) fn goes_on(&self, trouble: &str) -> bool {
        if self.alone.len() < WINDOWS {
            return true;
        }
        let (alone, beside) = (Median::of(&self.alone), Median::of(&self.beside));
        let is_busy = alone.others > MUCH || beside.others > MUCH;
        let is_last = self.alone.len() >= MAX_WINDOWS;
        let floor = if is_busy && is_last { BUSY_FLOOR } else { FLOOR };
        let most = alone.p99.mul_f64(RATIO).max(floor);
        let is_fine = beside.p99 <= most;
        assert!(is_fine || !is_last, "{trouble}: {self}, more than {most:.2?}");
        !is_fine
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (alone, beside) = (Median::of(&self.alone), Median::of(&self.beside));
        write!(
            f,
            "p99 {:.2?}, alone {:.2?}; of {} windows each; CPU of others {:.0} % and {:.0} %",
            beside.p99,
            alone.p99,
            self.alone.len(),
            beside.others * 100.0,
            alone.others * 100.0
        )
    }
}

impl Median {
    fn of(windows: &[Window]) -> Self {
        let mut windows = windows.to_vec();
        windows.sort_by(|one, other| one.others.total_cmp(&other.others));
        windows.truncate(WINDOWS);
        let others = windows.last().map_or(0.0, |most| most.others);
        windows.sort_by_key(|window| window.p99);
        Self { p99: windows[windows.len() / 2].p99, others }
    }
}

impl Window {
    async fn measure(cluster: &Cluster) -> Self {
        let (all, own) = (Cpus::now(), cluster.spent());
        let p99 = p99(cluster.addr_of("good")).await;
        // What ended meanwhile has taken its time with it.
        let own = cluster.spent().saturating_sub(own);
        Self { p99, others: Cpus::now().busy_since(&all, own) }
    }
}

/// What all CPUs have done since the machine's start, in ticks of 10 ms.
struct Cpus {
    busy: u64,
    all: u64,
}

impl Cpus {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        // user, nice, system, idle, iowait, irq, softirq, steal: see proc(5).
        let first = stat.lines().next().unwrap();
        let ticks: Vec<u64> = first.split_whitespace().skip(1).take(8).map(|n| n.parse().unwrap()).collect();
        let all = ticks.iter().sum();
        Self { busy: all - ticks[3] - ticks[4], all }
    }

    /// The part of the time since then that others than these `own` ticks took.
    fn busy_since(&self, then: &Self, own: u64) -> f64 {
        let busy = (self.busy - then.busy).saturating_sub(own);
        busy as f64 / (self.all - then.all).max(1) as f64
    }
}

/// Asks for `/hello` for one window. Each answer has to be a 200.
async fn p99(addr: SocketAddr) -> Duration {
    let measured = tokio::task::spawn_blocking(move || {
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
    measured.await.unwrap()
}
