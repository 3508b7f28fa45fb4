//! Who is served at the admin socket at once, and who gives way. Pure.
//!
//! The owner and root have seats of their own, and every other user has a few: nobody can take another's.
//! Where a user's are taken, who has not yet said what it wants, for the longest time, gives way to who comes
//! next; so clients that only sit there keep nobody out.

/// The owner's and root's, together.
const OWNER: usize = 64;

/// Of every other user.
const EACH: usize = 8;

/// Of all other users, together.
const OTHERS: usize = 64;

/// Whose seats count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The owner, and root.
    Owner,
    /// This user.
    Other(u32),
}

/// One seat that is taken.
#[derive(Debug)]
struct Seat {
    id: u64,
    class: Class,
    /// It has said what it wants.
    asked: bool,
}

/// What a new one gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// This seat.
    Seat(u64),
    /// This seat, and that one is to be thrown out.
    InsteadOf(u64, u64),
    /// None: all are busy.
    None,
}

/// All that are taken, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Seats {
    last: u64,
    taken: Vec<Seat>,
}

impl Seats {
    /// Somebody comes.
    pub(super) fn come(&mut self, class: Class) -> Room {
        let is_other = |seat: &&Seat| matches!(seat.class, Class::Other(_));
        let same = self.taken.iter().filter(|seat| seat.class == class).count();
        let is_full = match class {
            Class::Owner => same >= OWNER,
            Class::Other(_) => same >= EACH || self.taken.iter().filter(is_other).count() >= OTHERS,
        };
        let mut instead = None;
        if is_full {
            let Some(at) = self.taken.iter().position(|seat| seat.class == class && !seat.asked) else {
                return Room::None;
            };
            instead = Some(self.taken.remove(at).id);
        }
        self.last += 1;
        self.taken.push(Seat { id: self.last, class, asked: false });
        instead.map_or(Room::Seat(self.last), |instead| Room::InsteadOf(self.last, instead))
    }

    /// It has said what it wants, and stays until it has its answer.
    pub(super) fn asked(&mut self, id: u64) {
        if let Some(seat) = self.taken.iter_mut().find(|seat| seat.id == id) {
            seat.asked = true;
        }
    }

    /// It is gone.
    pub(super) fn left(&mut self, id: u64) {
        self.taken.retain(|seat| seat.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many of this class come, and each asks or not. What the last one got.
    fn come(seats: &mut Seats, class: Class, count: usize, asks: bool) -> Room {
        let mut last = Room::None;
        for _ in 0..count {
            last = seats.come(class);
            if let (true, Room::Seat(id) | Room::InsteadOf(id, _)) = (asks, last) {
                seats.asked(id);
            }
        }
        last
    }

    #[test]
    fn who_sits_there_gives_way() {
        let mut seats = Seats::default();
        assert_eq!(come(&mut seats, Class::Owner, OWNER, false), Room::Seat(64));
        assert_eq!(come(&mut seats, Class::Owner, 1, false), Room::InsteadOf(65, 1));
        seats.asked(2);
        assert_eq!(come(&mut seats, Class::Owner, 1, true), Room::InsteadOf(66, 3));
        seats.left(4);
        assert_eq!(come(&mut seats, Class::Owner, 1, true), Room::Seat(67));
        assert_eq!(come(&mut seats, Class::Owner, 10_000, false), Room::InsteadOf(10_067, 10_006));
        assert_eq!(seats.taken.len(), OWNER);
    }

    #[test]
    fn nobody_takes_anothers() {
        let mut seats = Seats::default();
        assert_eq!(come(&mut seats, Class::Other(7), EACH, true), Room::Seat(8));
        assert_eq!(come(&mut seats, Class::Other(7), 10_000, true), Room::None);
        assert_eq!(come(&mut seats, Class::Owner, 1, true), Room::Seat(9));
        assert_eq!(come(&mut seats, Class::Other(8), 1, false), Room::Seat(10));
        for uid in 100..200 {
            come(&mut seats, Class::Other(uid), EACH, true);
        }
        assert_eq!(come(&mut seats, Class::Other(8), 1, true), Room::InsteadOf(seats.last, 10));
        assert_eq!(come(&mut seats, Class::Other(9), 1, false), Room::None);
        assert!(matches!(come(&mut seats, Class::Owner, OWNER - 1, true), Room::Seat(_)));
        assert_eq!(come(&mut seats, Class::Owner, 1, true), Room::None);
        assert!(seats.taken.len() <= OWNER + OTHERS);
    }
}
