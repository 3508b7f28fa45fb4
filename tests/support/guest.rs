//! The components that the tests run. They are built before the tests, by `guests/build.sh`.

use std::{env, fs, path::PathBuf};

/// A built component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    HelloP2,
    HelloP3,
    ProbeP2,
    ProbeP3,
    Origin,
    CacheWorker,
    CacheAgent,
    HostileP2,
    HostileP3,
    BoardP2,
    BoardP3,
}

impl Guest {
    /// The probe in both versions, for what has to hold in both.
    pub(crate) const PROBES: [Self; 2] = [Self::ProbeP2, Self::ProbeP3];

    fn name(self) -> &'static str {
        match self {
            Self::HelloP2 => "hello_p2",
            Self::HelloP3 => "hello_p3",
            Self::ProbeP2 => "probe_p2",
            Self::ProbeP3 => "probe_p3",
            Self::Origin => "origin",
            Self::CacheWorker => "cache_worker",
            Self::CacheAgent => "cache_agent",
            Self::HostileP2 => "hostile_p2",
            Self::HostileP3 => "hostile_p3",
            Self::BoardP2 => "board_p2",
            Self::BoardP3 => "board_p3",
        }
    }

    /// Its bytes.
    ///
    /// # Panics
    /// When it was not built; the text says how to.
    pub(crate) fn wasm(self) -> Vec<u8> {
        let folder = env::var_os("HATCHERY_GUESTS").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("guests/target/wasm32-wasip2/release"),
            PathBuf::from,
        );
        let file = folder.join(self.name()).with_extension("wasm");
        fs::read(&file).unwrap_or_else(|error| {
            panic!(
                "cannot read {}: {error}; run `just guests` (or `guests/build.sh`) first, or set \
                 HATCHERY_GUESTS to the folder with the built guests",
                file.display()
            )
        })
    }
}
