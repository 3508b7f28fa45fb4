//! What a broker may take: its app's limits, as far as they mean anything for it. Pure; `broker` asks.

use crate::{
    ipc::broker::BrokerLimits,
    manifest::{FILES_HEADROOM, Limits, MIN_FILES},
};

/// The most private memory, in bytes: far more than a broker takes, whatever `process-memory` allows.
const MEMORY: u64 = 256 << 20;

/// What serving one peer takes of files, where `open-files` does not say: its socket, and what it may ask for at
/// once.
const PER_PEER: u64 = 128;

/// What a peer takes at the least: its socket, and a connection.
const LEAST_PER_PEER: u64 = 2;

/// For so many peers. (With more than there is room for, it ends, and the next one has that room.)
pub(super) fn limits(app: &Limits, peers: usize) -> BrokerLimits {
    let peers = u64::try_from(peers).unwrap_or(u64::MAX);
    let least = MIN_FILES.saturating_add(peers.saturating_mul(LEAST_PER_PEER));
    let default = FILES_HEADROOM.saturating_add(peers.saturating_mul(PER_PEER));
    BrokerLimits {
        memory: app.process_memory.unwrap_or(MEMORY).min(MEMORY),
        open_files: app.open_files.map_or(default, u64::from).max(least),
        cpu_weight: app.cpu_weight,
        log_rate: app.log_rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn limits_as_a_table() {
        for (memory, files, peers, expected) in [
            (None, None, 3, (256, 1024 + 3 * 128)),
            (Some(64 * MIB), Some(500), 3, (64, 500)),
            (Some(1024 * MIB), Some(64), 3, (256, 70)),
            (None, Some(64), 100, (256, 264)),
        ] {
            let app = Limits { process_memory: memory, open_files: files, ..Limits::default() };
            let found = limits(&app, peers);
            assert_eq!((found.memory / MIB, found.open_files), expected, "{memory:?} {files:?} {peers}");
            assert_eq!((found.cpu_weight, found.log_rate), (app.cpu_weight, app.log_rate));
        }
    }
}
