//! What goes over a child's heartbeat socket, a stream of its own, so that neither messages nor the
//! child's event loop hold it up.
//!
//! ```text
//!   master ── beat (1 byte, a number) ──> child's thread
//!          <── the number, the age of the loop's last turn in ms (u64 LE) ──
//! ```

use std::time::Duration;

/// The bytes of an answer.
pub const ANSWER: usize = 9;

/// A child's answer to one beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The beat's number.
    pub beat: u8,
    /// Since the child's event loop last turned.
    pub loop_age: Duration,
}

impl Answer {
    /// As it is sent.
    #[must_use]
    pub fn encode(self) -> [u8; ANSWER] {
        let mut bytes = [self.beat; ANSWER];
        let age = u64::try_from(self.loop_age.as_millis()).unwrap_or(u64::MAX);
        bytes[1..].copy_from_slice(&age.to_le_bytes());
        bytes
    }

    /// As it came.
    #[must_use]
    pub fn decode(bytes: [u8; ANSWER]) -> Self {
        let [beat, age @ ..] = bytes;
        Self { beat, loop_age: Duration::from_millis(u64::from_le_bytes(age)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (beat, ms) in [(0, 0), (255, 1), (7, u64::MAX)] {
            let answer = Answer { beat, loop_age: Duration::from_millis(ms) };
            assert_eq!(Answer::decode(answer.encode()), answer);
        }
    }
}
