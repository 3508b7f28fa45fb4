//! `[limits]`: defaults that are safe for hostile guests, and how far they can be moved.

use std::time::Duration;

use super::super::{
    Limits,
    document::Section,
    error::Mistakes,
    keys::Table,
    quantity::{Bounds, show_size},
};

const HOUR: Duration = Duration::from_secs(3600);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// `memory`. The least is one page of wasm.
pub const MEMORY: Bounds<u64> = Bounds { default: 256 * MIB, min: 64 * KIB, max: 64 * GIB };

/// `process-memory`. The default is what a mistake stands for.
pub const PROCESS_MEMORY: Bounds<u64> = Bounds { default: GIB, min: 64 * MIB, max: 1024 * GIB };

/// `request-timeout`.
pub const REQUEST_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(30), min: Duration::from_millis(1), max: HOUR.saturating_mul(24) };

/// `cpu-limit`. The least is a tick of the epoch clock.
pub const CPU_LIMIT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(1), min: Duration::from_millis(10), max: HOUR };

/// `start-timeout`.
pub const START_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(30), min: Duration::from_millis(100), max: HOUR };

/// `stop-timeout`.
pub const STOP_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(10), min: Duration::from_millis(100), max: HOUR };

/// `hang-timeout`.
pub const HANG_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(10), min: Duration::from_millis(500), max: HOUR };

/// `message-size`.
pub const MESSAGE_SIZE: Bounds<u64> = Bounds { default: MIB, min: KIB, max: 64 * MIB };

/// `queue-size`.
pub const QUEUE_SIZE: Bounds<u64> = Bounds { default: 16 * MIB, min: 64 * KIB, max: GIB };

/// `drain-timeout`.
pub const DRAIN_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(30), min: Duration::from_millis(100), max: HOUR };

/// The least and the most `trap-limit`.
pub const TRAP_LIMIT: (u32, u32) = (1, 10_000);

/// `trap-limit` without the key.
const DEFAULT_TRAP_LIMIT: u32 = 10;

/// `header-size`. The least is what hyper reads at once.
pub const HEADER_SIZE: Bounds<u64> = Bounds { default: 64 * KIB, min: 8 * KIB, max: MIB };

/// `body-size`, where it is given: without the key there is no bound.
pub const BODY_SIZE: Bounds<u64> = Bounds { default: TIB, min: 0, max: TIB };

/// `header-timeout`.
pub const HEADER_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(30), min: Duration::from_millis(100), max: HOUR };

/// `body-timeout`.
pub const BODY_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(30), min: Duration::from_millis(100), max: HOUR };

/// `write-timeout`.
pub const WRITE_TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(60), min: Duration::from_millis(100), max: HOUR };

/// The least and the most `outbound-connections`.
pub const OUTBOUND_CONNECTIONS: (u32, u32) = (1, 65_536);

/// `outbound-connections` without the key.
const DEFAULT_OUTBOUND_CONNECTIONS: u32 = 256;

/// `outbound-size`.
pub const OUTBOUND_SIZE: Bounds<u64> = Bounds { default: GIB, min: KIB, max: TIB };

/// `app-memory`. The default is what a mistake stands for: without the key there is no bound.
pub const APP_MEMORY: Bounds<u64> = Bounds { default: 1024 * GIB, min: 64 * MIB, max: 1024 * GIB };

/// The least and the most `message-rate`.
pub const MESSAGE_RATE: (u32, u32) = (1, 10_000_000);

/// `message-rate` without the key: what the master can route for one app on a whole CPU.
const DEFAULT_MESSAGE_RATE: u32 = 1_000_000;

/// `log-rate`. The least is a few lines.
pub const LOG_RATE: Bounds<u64> = Bounds { default: MIB, min: KIB, max: GIB };

/// The least and the most `open-files`.
pub const OPEN_FILES: (u32, u32) = (64, 1_100_000);

/// `disk`.
pub const DISK: Bounds<u64> = Bounds { default: GIB, min: 64 * KIB, max: 1024 * TIB };

/// `compile-time`. A Python component of 18 MB takes 11 s in a debug build.
pub const COMPILE_TIME: Bounds<Duration> =
    Bounds { default: Duration::from_secs(120), min: Duration::from_secs(1), max: HOUR };

/// The least and the most `cpu-weight`.
pub const CPU_WEIGHT: (u32, u32) = (1, 100);

/// `cpu-weight` without the key: as any other process of the machine.
const DEFAULT_CPU_WEIGHT: u32 = 100;

/// The least and the most `cpus`, in hundredths. The least is the kernel's: a millisecond of each 100.
pub const CPUS: (u32, u32) = (1, 102_400);

pub(super) fn limits(top: &Section<'_, '_>, mistakes: &mut Mistakes) -> Limits {
    let Some(table) = top.table("limits", Table::Limits, mistakes) else { return Limits::default() };
    let message_size = table.size("message-size", &MESSAGE_SIZE, mistakes);
    let queue_size = table.size("queue-size", &QUEUE_SIZE, mistakes);
    if message_size > queue_size {
        let key = if table.has("message-size") { "message-size" } else { "queue-size" };
        let title = "`message-size` is larger than `queue-size`";
        let help =
            format!("a queue must hold one message: make `queue-size` {} or more", show_size(message_size));
        mistakes.at(table.get(key).map_or(table.place(), toml::Spanned::span), title, help);
    }
    let memory = table.size("memory", &MEMORY, mistakes);
    let process_memory =
        table.has("process-memory").then(|| table.size("process-memory", &PROCESS_MEMORY, mistakes));
    if let (Some(whole), Some(place)) = (process_memory, table.get("process-memory"))
        && whole < memory
    {
        let help = format!("a process holds an instance: make it more than {}", show_size(memory));
        mistakes.at(place.span(), "`process-memory` is smaller than `memory`", help);
    }
    Limits {
        memory: bytes(memory),
        process_memory,
        request_timeout: table.duration("request-timeout", &REQUEST_TIMEOUT, mistakes),
        cpu_limit: table.duration("cpu-limit", &CPU_LIMIT, mistakes),
        start_timeout: table.duration("start-timeout", &START_TIMEOUT, mistakes),
        stop_timeout: table.duration("stop-timeout", &STOP_TIMEOUT, mistakes),
        hang_timeout: table.duration("hang-timeout", &HANG_TIMEOUT, mistakes),
        message_size: bytes(message_size),
        queue_size: bytes(queue_size),
        drain_timeout: table.duration("drain-timeout", &DRAIN_TIMEOUT, mistakes),
        trap_limit: table.integer("trap-limit", TRAP_LIMIT, mistakes).unwrap_or(DEFAULT_TRAP_LIMIT) as usize,
        header_size: bytes(table.size("header-size", &HEADER_SIZE, mistakes)),
        body_size: table.has("body-size").then(|| table.size("body-size", &BODY_SIZE, mistakes)),
        header_timeout: table.duration("header-timeout", &HEADER_TIMEOUT, mistakes),
        body_timeout: table.duration("body-timeout", &BODY_TIMEOUT, mistakes),
        write_timeout: table.duration("write-timeout", &WRITE_TIMEOUT, mistakes),
        outbound_connections: table
            .integer("outbound-connections", OUTBOUND_CONNECTIONS, mistakes)
            .unwrap_or(DEFAULT_OUTBOUND_CONNECTIONS) as usize,
        outbound_size: table.size("outbound-size", &OUTBOUND_SIZE, mistakes),
        app_memory: table.has("app-memory").then(|| table.size("app-memory", &APP_MEMORY, mistakes)),
        message_rate: table.integer("message-rate", MESSAGE_RATE, mistakes).unwrap_or(DEFAULT_MESSAGE_RATE),
        log_rate: table.size("log-rate", &LOG_RATE, mistakes),
        open_files: table.integer("open-files", OPEN_FILES, mistakes),
        disk: table.size("disk", &DISK, mistakes),
        compile_time: table.duration("compile-time", &COMPILE_TIME, mistakes),
        cpu_weight: table.integer("cpu-weight", CPU_WEIGHT, mistakes).unwrap_or(DEFAULT_CPU_WEIGHT),
        cpus: table.hundredths("cpus", CPUS, mistakes),
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: bytes(MEMORY.default),
            process_memory: None,
            request_timeout: REQUEST_TIMEOUT.default,
            cpu_limit: CPU_LIMIT.default,
            start_timeout: START_TIMEOUT.default,
            stop_timeout: STOP_TIMEOUT.default,
            hang_timeout: HANG_TIMEOUT.default,
            message_size: bytes(MESSAGE_SIZE.default),
            queue_size: bytes(QUEUE_SIZE.default),
            drain_timeout: DRAIN_TIMEOUT.default,
            trap_limit: DEFAULT_TRAP_LIMIT as usize,
            header_size: bytes(HEADER_SIZE.default),
            body_size: None,
            header_timeout: HEADER_TIMEOUT.default,
            body_timeout: BODY_TIMEOUT.default,
            write_timeout: WRITE_TIMEOUT.default,
            outbound_connections: DEFAULT_OUTBOUND_CONNECTIONS as usize,
            outbound_size: OUTBOUND_SIZE.default,
            app_memory: None,
            message_rate: DEFAULT_MESSAGE_RATE,
            log_rate: LOG_RATE.default,
            open_files: None,
            disk: DISK.default,
            compile_time: COMPILE_TIME.default,
            cpu_weight: DEFAULT_CPU_WEIGHT,
            cpus: None,
        }
    }
}

/// On a machine of 32 bits a size past its memory means all of it.
fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
