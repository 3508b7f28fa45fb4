//! What one instance may take of the process: one sum over all its memories and tables.
//!
//! Past it the guest sees a failed grow, as the specification has it; the process goes on.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::Messenger;
use crate::cluster::Limit;

/// What a table's element takes on the host, in bytes.
const TABLE_ELEMENT: usize = 16;

/// Core instances, tables and memories of one component; a bound against components made to hurt.
const MAX_PARTS: usize = 1_000;

/// Counts one store's bytes.
pub(super) struct Limiter {
    limit: usize,
    used: usize,
    /// Hears of it.
    messenger: Option<Arc<dyn Messenger>>,
}

impl Limiter {
    pub(super) fn new(limit: usize, messenger: Option<Arc<dyn Messenger>>) -> Self {
        Self { limit, used: 0, messenger }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        match self.used.checked_add(more) {
            Some(used) if used <= self.limit => {
                self.used = used;
                if let Some(messenger) = &self.messenger {
                    messenger.instance(used);
                }
                true
            }
            _ => {
                if let Some(messenger) = &self.messenger {
                    messenger.hit(Limit::Memory);
                }
                false
            }
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current.saturating_mul(TABLE_ELEMENT), desired.saturating_mul(TABLE_ELEMENT)))
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sum_over_memories_and_tables() {
        let mut limiter = Limiter::new(100, None);
        assert!(limiter.memory_growing(0, 60, None).expect("never fails"));
        assert!(!limiter.memory_growing(0, 41, None).expect("never fails"));
        assert!(limiter.table_growing(0, 2, None).expect("never fails"));
        assert!(limiter.memory_growing(60, 68, None).expect("never fails"));
        assert!(!limiter.table_growing(2, 3, None).expect("never fails"));
        assert!(!limiter.memory_growing(68, usize::MAX, None).expect("never fails"));
    }
}
