//! What a worker holds of the value, and how it came by it.

use crate::source::Loaded;
use hatchery_sdk::now_rfc3339;
use serde::{Deserialize, Serialize};

/// What a reload was for.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    /// The process started.
    Start,
    /// The schedule that reloads every worker.
    Force,
    /// A worker asked the source, which had changed.
    Pull,
    /// The agent heard from the source.
    Push,
    /// A write through the cache.
    Put,
}

impl By {
    /// As in the answer's `last-update-by`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Force => "force",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Put => "put",
        }
    }
}

/// A value as it was loaded.
pub(crate) struct Entry {
    pub(crate) value: serde_json::Value,
    pub(crate) version: u64,
    pub(crate) by: By,
    /// RFC 3339.
    pub(crate) at: String,
}

impl Entry {
    pub(crate) fn new(by: By, loaded: Loaded) -> Self {
        Self { value: loaded.value, version: loaded.version, by, at: now_rfc3339() }
    }

    /// It is what another event is about, too.
    pub(crate) fn touch(&mut self, by: By) {
        self.by = by;
        self.at = now_rfc3339();
    }
}
