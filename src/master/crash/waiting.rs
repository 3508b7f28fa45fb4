//! What waits to be written, by app. Pure; `crash` writes it, one after the other for each app.
//!
//! ```text
//!   push -> the first of its app: somebody begins -> pop, pop, ... -> none is left: over
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::KEPT;

/// Of apps that are being written for, what is still to come: the newest [`KEPT`], since older ones would be
/// removed as soon as they are written.
#[derive(Debug)]
pub(super) struct Waiting<T>(BTreeMap<String, VecDeque<T>>);

impl<T> Waiting<T> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// True: nobody writes for this app, and somebody is to begin.
    #[must_use]
    pub(super) fn push(&mut self, app: &str, new: T) -> bool {
        let is_first = !self.0.contains_key(app);
        let queue = self.0.entry(app.to_owned()).or_default();
        if queue.len() == KEPT {
            queue.pop_front();
        }
        queue.push_back(new);
        is_first
    }

    /// The next one, the oldest first. None: who writes for this app is done.
    pub(super) fn pop(&mut self, app: &str) -> Option<T> {
        let next = self.0.get_mut(app)?.pop_front();
        if next.is_none() {
            self.0.remove(app);
        }
        next
    }

    /// Is nothing being written?
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_for_each_app_and_the_newest_wait() {
        let mut waiting = Waiting::new();
        assert!(waiting.push("a", 0), "somebody begins");
        assert_eq!(waiting.pop("a"), Some(0));
        assert!(!waiting.push("a", 1), "it is being written for");
        assert!(waiting.push("b", 7), "another app's is another's");
        assert!((2..KEPT + 5).all(|number| !waiting.push("a", number)));
        let left: Vec<usize> = std::iter::from_fn(|| waiting.pop("a")).collect();
        assert_eq!(left, (5..KEPT + 5).collect::<Vec<_>>());
        assert_eq!((waiting.pop("b"), waiting.is_empty()), (Some(7), false), "it may be under way still");
        assert_eq!((waiting.pop("b"), waiting.is_empty()), (None, true));
        assert!(waiting.push("a", 0), "anew");
    }
}
