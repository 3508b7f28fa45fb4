//! Requests that were denied, counted by origin. Brokers and children collect them between two reports to
//! the master, which keeps a ledger of them for each app.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Origin, Why};

/// Counts, with a bound on what is counted apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denials {
    /// By origin and reason.
    pub counts: BTreeMap<(Origin, Why), u64>,
    /// Of origins for which there was no room.
    pub more: u64,
}

impl Denials {
    /// Adds some, with room for so many origins. True where this one is new among those counted apart.
    pub fn add(&mut self, origin: Origin, why: Why, times: u64, room: usize) -> bool {
        let is_full = self.counts.len() >= room;
        let key = (origin, why);
        if let Some(count) = self.counts.get_mut(&key) {
            *count = count.saturating_add(times);
            false
        } else if is_full {
            self.more = self.more.saturating_add(times);
            false
        } else {
            self.counts.insert(key, times);
            true
        }
    }

    /// There is nothing to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.more == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Scheme;

    #[test]
    fn what_is_counted_is_bounded() {
        let mut denials = Denials::default();
        assert!(denials.is_empty());
        let origin = |port| Origin { scheme: Scheme::Http, host: "a".to_owned(), port };
        for (port, why, is_new) in [
            (1, Why::Manifest, true),
            (1, Why::Manifest, false),
            (2, Why::Manifest, true),
            (1, Why::Policy, true),
            (3, Why::Manifest, false),
            (2, Why::Manifest, false),
        ] {
            assert_eq!(denials.add(origin(port), why, 1, 3), is_new, "{port} {why:?}");
        }
        let counts: Vec<u64> = denials.counts.values().copied().collect();
        assert_eq!((counts, denials.more), (vec![2, 1, 2], 1));
        denials.add(origin(1), Why::Policy, u64::MAX, 3);
        assert_eq!(denials.counts[&(origin(1), Why::Policy)], u64::MAX);
    }
}
