//! What a broker may say, and how often. Pure. Part of `broker`: one that says more is killed, since each frame is
//! the master's time.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::{cluster::Pid, ipc::denials::EVERY};

/// Between two reports of denials. A broker of ours waits twice as long.
const APART: Duration = match EVERY.checked_div(2) {
    Some(half) => half,
    None => EVERY,
};

/// Reports that may come at once: as many as are there when the master was held up for long.
const BURST: u32 = 64;

/// What one broker has said so far.
pub(super) struct Manners {
    /// When all reports that came so far were due, at the latest.
    due: Instant,
    /// Peers that it was handed and that still live, each to be named at most once.
    peers: BTreeSet<Pid>,
    /// Peers that are gone: of each the broker may yet say something.
    gone: usize,
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    /// About somebody who is gone.
    Ignore,
    /// None of ours would.
    Breach(&'static str),
}

impl Manners {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now, peers: BTreeSet::new(), gone: 0 }
    }

    /// It has this one's socket.
    pub(super) fn handed(&mut self, pid: Pid) {
        self.peers.insert(pid);
    }

    /// That process is gone.
    pub(super) fn gone(&mut self, pid: Pid) {
        if self.peers.remove(&pid) {
            self.gone += 1;
        }
    }

    /// It reports denials.
    pub(super) fn denied(&mut self, now: Instant) -> Verdict {
        let earliest = now.checked_sub(APART * BURST).unwrap_or(self.due);
        self.due = self.due.max(earliest) + APART;
        if self.due > now + APART { Verdict::Breach("reported denials too often") } else { Verdict::Take }
    }

    /// It says that this peer broke the protocol.
    pub(super) fn accused(&mut self, pid: Pid) -> Verdict {
        if self.peers.remove(&pid) {
            Verdict::Take
        } else if self.gone > 0 {
            self.gone -= 1;
            Verdict::Ignore
        } else {
            Verdict::Breach("named a peer that it does not have, or had named")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reports_have_a_pace_and_a_burst() {
        let begun = Instant::now();
        let mut manners = Manners::new(begun);
        // As ours does, also where the master hears of all of it late.
        for second in 1..=10 {
            assert_eq!(manners.denied(begun + EVERY * second), Verdict::Take, "{second}");
        }
        let late = begun + EVERY * 40;
        assert!((0..30).all(|_| manners.denied(late) == Verdict::Take));
        let flood = (0..=BURST + 1).map(|_| manners.denied(begun + EVERY * 3600));
        assert_eq!(flood.filter(|verdict| *verdict != Verdict::Take).count(), 1);
        let mut manners = Manners::new(begun);
        assert_eq!(manners.denied(begun), Verdict::Take);
        assert_ne!(manners.denied(begun), Verdict::Take);
    }

    #[test]
    fn a_peer_is_named_once() {
        let mut manners = Manners::new(Instant::now());
        for pid in 1..=3 {
            manners.handed(Pid(pid));
        }
        assert_eq!(manners.accused(Pid(1)), Verdict::Take);
        assert!(matches!(manners.accused(Pid(1)), Verdict::Breach(_)));
        assert!(matches!(manners.accused(Pid(9)), Verdict::Breach(_)));
        // It was said when the peer was gone already.
        manners.gone(Pid(2));
        assert_eq!(manners.accused(Pid(2)), Verdict::Ignore);
        assert!(matches!(manners.accused(Pid(2)), Verdict::Breach(_)));
        manners.gone(Pid(1));
        assert!(matches!(manners.accused(Pid(1)), Verdict::Breach(_)), "who was named is not counted again");
    }
}
