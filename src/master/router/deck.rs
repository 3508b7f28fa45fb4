//! Who is next, at random and in turn: each worker once a round, the rounds shuffled. Pure.

use fastrand::Rng;

use super::members::{Member, Members};
use crate::cluster::Pid;

/// A shuffled round of workers.
#[derive(Debug)]
pub(super) struct Deck {
    cards: Vec<Pid>,
    rng: Rng,
}

impl Deck {
    pub(super) fn new(seed: u64) -> Self {
        Self { cards: vec![], rng: Rng::with_seed(seed) }
    }

    /// The next ready worker that `suits`; else any ready worker; `None` where there is none.
    pub(super) fn draw(&mut self, members: &Members, suits: impl Fn(&Member) -> bool) -> Option<Pid> {
        let ready = |pid: Pid| members.get(pid).filter(|member| member.is_ready_worker());
        let mut passed_over = None;
        // What is left of this round, and then one whole round.
        for _ in 0..2 {
            while let Some(pid) = self.cards.pop() {
                match ready(pid) {
                    Some(member) if suits(member) => return Some(pid),
                    Some(_) => passed_over = Some(pid),
                    None => {}
                }
            }
            self.cards.extend(members.ready_workers());
            self.rng.shuffle(&mut self.cards);
        }
        passed_over
    }
}
