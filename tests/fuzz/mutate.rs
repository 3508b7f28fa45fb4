//! Inputs near those of a corpus.

use fastrand::Rng;

/// Changes of one input, at most.
const MOST: usize = 6;

/// The longest input, in bytes.
const LONGEST: usize = 16 << 10;

/// Lengths that are wrong in most places.
const NUMBERS: &[u32] =
    &[0, 1, 4, 8, 0x7f, 0x80, 0xff, 0xffff, 1 << 20, (1 << 20) + 1, 65 << 20, i32::MAX as u32, u32::MAX];

/// Makes one after the other; the same ones from the same seed.
pub(super) struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: Rng,
}

impl Mutator {
    pub(super) fn new(corpus: &[Vec<u8>], seed: u64) -> Self {
        Self { corpus: corpus.to_vec(), rng: Rng::with_seed(seed) }
    }

    pub(super) fn next(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let mut input = rng.choice(&self.corpus).cloned().unwrap_or_default();
        for _ in 0..rng.usize(1..=MOST) {
            let (at, to) = (rng.usize(0..=input.len()), rng.usize(0..=input.len()));
            let range = at.min(to)..at.max(to);
            match rng.u8(0..8) {
                0 if at < input.len() => input[at] ^= 1 << rng.u8(0..8),
                1 if at < input.len() => input[at] = rng.u8(..),
                2 if at + 4 <= input.len() => {
                    let number = rng.choice(NUMBERS).copied().unwrap_or_default();
                    input[at..at + 4].copy_from_slice(&number.to_le_bytes());
                }
                3 => drop(input.drain(range)),
                4 => {
                    let again = input[range].to_vec();
                    input.splice(at..at, again);
                }
                5 => input.insert(at, rng.u8(..)),
                6 => input.truncate(at),
                _ => {
                    let other = rng.choice(&self.corpus).cloned().unwrap_or_default();
                    let from = rng.usize(0..=other.len());
                    input.splice(range, other[from..].iter().copied());
                }
            }
        }
        input.truncate(LONGEST);
        input
    }
}
