//! `[worker]`: what the agent has too is `component`'s; the rest is HTTP and processes.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    thread,
    time::Duration,
};

use super::{
    super::{
        Balance, InstanceMode, MAX_HANDLES, Recycle, Worker, document::Section, error::Mistakes, keys::Table,
        quantity::Bounds,
    },
    Context, component, listen,
};

/// The least and the most `workers`. The default is the number of CPUs.
pub const WORKERS: (u32, u32) = (1, 1024);

/// The least and the most `concurrency`; default 1024.
pub const CONCURRENCY: (u32, u32) = (1, 65_536);

/// The least and the most `queued-requests`; default 1024.
pub const QUEUED_REQUESTS: (u32, u32) = (0, 1_000_000);

/// The least and the most `connections`; default 10,000.
pub const CONNECTIONS: (u32, u32) = (1, 1_000_000);

/// The least and the most `recycle.requests`.
const RECYCLE_REQUESTS: (u32, u32) = (1, u32::MAX);

/// `recycle.age`. The default is what a mistake stands for.
const RECYCLE_AGE: Bounds<Duration> = Bounds {
    default: Duration::from_secs(86_400),
    min: Duration::from_secs(1),
    max: Duration::from_secs(315_576_000),
};

/// `recycle.memory`. The default is what a mistake stands for.
const RECYCLE_MEMORY: Bounds<u64> = Bounds { default: 1 << 30, min: 16 << 20, max: 1 << 40 };

/// The least and the most `recycle.handles`. The most leaves room for the jitter below
/// [`MAX_HANDLES`], where the guest traps.
const RECYCLE_HANDLES: (u32, u32) = (1_000, MAX_HANDLES as u32 / 10 * 9);

/// `recycle.handles` without the key: soon enough for the new worker to be ready before the old one's
/// guest traps, and more than a guest needs that gives its handles back.
const DEFAULT_RECYCLE_HANDLES: u32 = MAX_HANDLES as u32 / 2;

const BALANCE: &[(&str, Balance)] = &[
    ("round-robin", Balance::RoundRobin),
    ("least-connections", Balance::LeastConnections),
    ("shared", Balance::Shared),
];

const INSTANCE: &[(&str, InstanceMode)] =
    &[("resident", InstanceMode::Resident), ("per-request", InstanceMode::PerRequest)];

pub(super) fn worker(
    table: &Section<'_, '_>,
    context: &Context<'_>,
    mistakes: &mut Mistakes,
) -> Option<Worker> {
    let component = component::component(table, context, mistakes);
    let listen = listen::listen(table, mistakes);
    let workers = table.integer("workers", WORKERS, mistakes).and_then(NonZeroU32::new);
    let balance = table.choice("balance", BALANCE, mistakes);
    let instance = table.choice("instance", INSTANCE, mistakes);
    let concurrency = table.integer("concurrency", CONCURRENCY, mistakes).unwrap_or(1024);
    let queued_requests = table.integer("queued-requests", QUEUED_REQUESTS, mistakes).unwrap_or(1024);
    let connections = table.integer("connections", CONNECTIONS, mistakes).unwrap_or(10_000);
    let recycle = table.table("recycle", Table::Recycle, mistakes);
    let recycle = recycle.map(|recycle| self::recycle(&recycle, mistakes)).unwrap_or_default();
    Some(Worker {
        component: component?,
        listen: listen?,
        workers: workers.unwrap_or_else(granted_cpus),
        balance: balance.unwrap_or_default(),
        instance: instance.unwrap_or_default(),
        concurrency: NonZeroUsize::new(concurrency as usize)?,
        queued_requests: queued_requests as usize,
        connections: NonZeroUsize::new(connections as usize)?,
        recycle,
    })
}

fn recycle(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Recycle {
    Recycle {
        requests: table.integer("requests", RECYCLE_REQUESTS, mistakes).map(u64::from),
        age: table.has("age").then(|| table.duration("age", &RECYCLE_AGE, mistakes)),
        memory: table.has("memory").then(|| table.size("memory", &RECYCLE_MEMORY, mistakes)),
        handles: table.integer("handles", RECYCLE_HANDLES, mistakes).unwrap_or(DEFAULT_RECYCLE_HANDLES),
    }
}

impl Default for Recycle {
    fn default() -> Self {
        Self { requests: None, age: None, memory: None, handles: DEFAULT_RECYCLE_HANDLES }
    }
}

/// As many as affinity and cgroup grant to this process.
fn granted_cpus() -> NonZeroU32 {
    let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let cpus = u32::try_from(cpus).unwrap_or(WORKERS.1).min(WORKERS.1);
    NonZeroU32::new(cpus).unwrap_or(NonZeroU32::MIN)
}
