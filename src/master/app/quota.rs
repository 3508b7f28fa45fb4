//! The limits of a whole app that no process can hold by itself: `app-memory` and `disk`. Pure: what was
//! seen comes in, what is to be done goes out. `generations` has it looked at, and does it.
//!
//! - Past `app-memory` the process that has the most is killed and replaced, one at a look.
//! - Past `disk` the processes are replaced, ready first, and the next ones find their folders read-only;
//!   past twice of it, or where nobody can say how much there is, those that can still write are killed. With
//!   nine tenths of it free of need again, they are replaced once more, and may write.

use std::time::{Duration, Instant};

use crate::{
    manifest::{Limits, show_size},
    master::taken::{Disk, Member, Seen},
};

/// How often is looked, at most.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A walk takes no more than this part of the time.
const WALK_SHARE: u32 = 20;

/// Where folders become writable again, in tenths of `disk`.
const FREE_AGAIN: u64 = 9;

/// So many times `disk` is too much to wait for processes that drain.
const EXCESS: u64 = 2;

/// So many bytes on the disk are enough to know: then those that write are killed.
pub(super) fn enough(disk: u64) -> u64 {
    disk.saturating_mul(EXCESS)
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Kill and replace this one.
    Kill(Member, String),
    /// Replace all that may write and should not, or the other way round, for this reason.
    Replace(String),
    /// Kill and replace all that may write.
    KillWriters(String),
}

/// What is known.
#[derive(Debug)]
pub(super) struct Watch {
    /// Folders are read-only for who starts now.
    is_full: bool,
    /// When folders are looked at again.
    next_walk: Instant,
    /// What was seen last.
    disk: Option<u64>,
    memory: Option<u64>,
    /// How often a limit was passed.
    disk_hits: u64,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self { is_full: false, next_walk: now, disk: None, memory: None, disk_hits: 0 }
    }

    /// Are folders read-only?
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Is it time for a walk through the folders?
    pub(super) fn is_walk_due(&self, now: Instant) -> bool {
        now >= self.next_walk
    }

    /// Bytes on the disk as they were last seen, and how often that was too much.
    pub(super) fn disk(&self) -> (Option<u64>, u64) {
        (self.disk, self.disk_hits)
    }

    /// Bytes in memory. How often that was too much, the reasons of processes that went say.
    pub(super) fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// Judges.
    pub(super) fn seen(&mut self, seen: &Seen, limits: &Limits, now: Instant) -> Vec<Act> {
        let mut acts = vec![];
        if let Some(limit) = limits.app_memory {
            acts.extend(self.judge_memory(&seen.memory, limit));
        }
        if let Some(disk) = seen.disk {
            self.next_walk = now + (disk.took * WALK_SHARE).max(LOOK_EVERY);
            acts.extend(self.judge_disk(disk, limits.disk));
        }
        acts
    }

    fn judge_memory(&mut self, processes: &[(Member, u64)], limit: u64) -> Option<Act> {
        let sum = processes.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        self.memory = Some(sum);
        let (member, most) = processes.iter().max_by_key(|(_, bytes)| *bytes).filter(|_| sum > limit)?;
        let [sum, most, limit] = [sum, *most, limit].map(rough);
        let why =
            format!("the app's processes take {sum}, more than {limit} (`app-memory`), and this one {most}");
        Some(Act::Kill(*member, why))
    }

    fn judge_disk(&mut self, disk: Disk, limit: u64) -> Option<Act> {
        let Disk { bytes, is_whole, .. } = disk;
        self.disk = Some(bytes);
        let (taken, limit_shown) = (rough(bytes), show_size(limit));
        let over = if is_whole || bytes > limit {
            format!("the app's folders take {taken}, more than {limit_shown} (`disk`)")
        } else {
            "the app's folders have more files than can be counted, or too deep ones (`disk`)".to_owned()
        };
        let is_over = bytes > limit || !is_whole;
        if is_over {
            self.disk_hits += u64::from(!self.is_full);
            self.is_full = true;
        } else if bytes <= limit / 10 * FREE_AGAIN {
            self.is_full = false;
        }
        Some(match self.is_full {
            // Waiting for a replacement to be ready, they could go on for ever.
            true if is_over && (!is_whole || bytes > enough(limit)) => Act::KillWriters(over),
            true => Act::Replace(format!("{over}: they are read-only now")),
            false => Act::Replace("there is room in the app's folders again: they are writable".to_owned()),
        })
    }
}

/// To the mebibyte or so: for people.
fn rough(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Pid;

    const MIB: u64 = 1 << 20;

    #[test]
    fn memory_as_a_table() {
        let limits = Limits { app_memory: Some(100 * MIB), ..Limits::default() };
        let now = Instant::now();
        for (sizes, killed) in [
            (vec![], None),
            (vec![50, 50], None),
            (vec![50, 51], Some(1)),
            (vec![60, 20, 30], Some(0)),
            (vec![101], Some(0)),
            (vec![30, 30, 40], None),
            (vec![30, 30, 41], Some(2)),
            (vec![50, 30, 30], Some(0)),
        ] {
            let members = [Member::Process(Pid(1)), Member::Process(Pid(2)), Member::Broker(1)];
            let memory = members.into_iter().zip(sizes.iter().map(|size| size * MIB)).collect();
            let acts = Watch::new(now).seen(&Seen { memory, disk: None }, &limits, now);
            match (acts.as_slice(), killed) {
                ([], None) => {}
                ([Act::Kill(member, why)], Some(expected)) => {
                    assert_eq!(*member, members[expected]);
                    assert!(why.contains("more than 100.0 MiB (`app-memory`)"), "{why}");
                }
                other => panic!("{sizes:?}: {other:?}"),
            }
        }
        // Without the key any sum is right.
        let seen = Seen { memory: vec![(Member::Broker(1), u64::MAX)], disk: None };
        assert_eq!(Watch::new(now).seen(&seen, &Limits::default(), now), []);
    }

    #[test]
    fn the_disk_as_a_table() {
        let limits = Limits { disk: 100 * MIB, ..Limits::default() };
        let now = Instant::now();
        let mut watch = Watch::new(now);
        // MiB, whether all was seen; then: full, how often it was passed, what is done.
        for (mib, is_whole, full, hits, expected) in [
            (100, true, false, 0, "writable"),
            (101, true, true, 1, "take 101.0 MiB, more than 100MiB (`disk`): they are read-only now"),
            (95, true, true, 1, "read-only"),
            (201, true, true, 1, "KillWriters"),
            (90, true, false, 1, "writable"),
            (99, true, false, 1, "writable"),
            (1, false, true, 2, "KillWriters(\"the app's folders have more files than can be counted"),
            (1, false, true, 2, "KillWriters"),
            (300, false, true, 2, "KillWriters(\"the app's folders take 300.0 MiB, more than 100MiB"),
            (1, true, false, 2, "writable"),
        ] {
            let disk = Disk { bytes: mib * MIB, is_whole, took: Duration::ZERO };
            let acts = watch.seen(&Seen { memory: vec![], disk: Some(disk) }, &limits, now);
            assert_eq!((watch.is_full(), watch.disk()), (full, (Some(mib * MIB), hits)), "{mib} MiB");
            let [act] = acts.as_slice() else { panic!("{acts:?}") };
            let act = format!("{act:?}");
            assert!(act.contains(expected), "{mib} MiB: {act}");
        }
    }

    #[test]
    fn a_walk_that_takes_long_is_rare() {
        let now = Instant::now();
        let mut watch = Watch::new(now);
        assert!(watch.is_walk_due(now));
        let disk = Disk { bytes: 0, is_whole: true, took: Duration::from_millis(500) };
        watch.seen(&Seen { memory: vec![], disk: Some(disk) }, &Limits::default(), now);
        assert!(!watch.is_walk_due(now + Duration::from_secs(9)));
        assert!(watch.is_walk_due(now + Duration::from_secs(10)));
    }
}
