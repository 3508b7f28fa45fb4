//! The operating system's pid of a child, from the moment when it has one.

use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};

/// Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct OsPid(Arc<OnceLock<u32>>);

impl OsPid {
    /// It was started. Once.
    pub(super) fn set(&self, os_pid: Option<u32>) {
        if let Some(os_pid) = os_pid {
            let _ = self.0.set(os_pid);
        }
    }

    pub(super) fn get(&self) -> Option<u32> {
        self.0.get().copied()
    }
}

impl Serialize for OsPid {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(to)
    }
}
