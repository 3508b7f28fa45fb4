//! A canary's share of the connections: which are its own, and which workers. Only `balance` and who
//! tells it use it; pure.
//!
//! It hangs on the connection's number alone, so that one that is offered again, since somebody
//! refused it, counts once: of any 100 in a row exactly `percent` are the canary's, evenly spread.

use crate::ipc::handoff::ConnectionId;

/// What a share is a share of.
const WHOLE: u64 = 100;

/// So much of the connections is for one generation, the rest for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Whose.
    pub(crate) generation: u64,
    /// 0 to 100.
    pub(crate) percent: u8,
}

/// Whose a connection or a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Side {
    /// Of those who served before.
    #[default]
    Old = 0,
    /// Of the canary.
    New = 1,
}

impl Share {
    pub(super) fn of_worker(self, generation: u64) -> Side {
        if generation == self.generation { Side::New } else { Side::Old }
    }

    pub(super) fn of_connection(self, id: ConnectionId) -> Side {
        // Numbers of a cycle are as good as all: a cycle's share is a whole number.
        let at = id.0 % WHOLE;
        let percent = u64::from(self.percent).min(WHOLE);
        let until = |count: u64| count * percent / WHOLE;
        if until(at + 1) > until(at) { Side::New } else { Side::Old }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact() {
        for percent in 0..=100 {
            let share = Share { generation: 2, percent };
            for begin in [1, 57, 99, u64::MAX - 99] {
                let its = |at| share.of_connection(ConnectionId(begin + at)) == Side::New;
                let count = (0..100).filter(|at| its(*at)).count();
                assert_eq!(count, usize::from(percent), "from {begin}");
            }
        }
    }

    #[test]
    fn shares_are_spread_evenly() {
        let of = |percent, until| {
            let share = Share { generation: 2, percent };
            (0..until).filter(|id| share.of_connection(ConnectionId(*id)) == Side::New).count()
        };
        for (percent, until, expected) in
            [(10, 10, 1), (10, 50, 5), (50, 3, 1), (50, 4, 2), (1, 99, 0), (99, 2, 1)]
        {
            assert_eq!(of(percent, until), expected, "{percent} % of {until}");
        }
    }
}
