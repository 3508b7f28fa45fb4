//! A SHA-256 digest in the form that registries use, and the hasher that makes one.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// What content is named by: shown as `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// Not a digest of this form.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a digest that hatchery takes; it takes sha256: and 64 hex digits in lower case")]
pub struct InvalidDigest {
    text: String,
}

impl Digest {
    pub(super) fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let parse = || {
            let hex = text.strip_prefix("sha256:")?.as_bytes();
            let mut digest = [0; 32];
            if hex.len() != 2 * digest.len() {
                return None;
            }
            for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
                *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
            }
            Some(Self(digest))
        };
        parse().ok_or_else(|| InvalidDigest { text: text.chars().take(100).collect() })
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Makes a digest of what it is shown, piece by piece.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let digest = Digest::of(b"{}");
        let text = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        let mut hasher = Hasher::default();
        hasher.update(b"{");
        hasher.update(b"}");
        assert_eq!(hasher.finish(), digest);
    }

    #[test]
    fn others_are_refused() {
        let zeros = "0".repeat(64);
        let wrong = [
            String::new(),
            "sha256:".to_owned(),
            zeros.clone(),
            format!("sha512:{zeros}"),
            format!("sha256:{zeros}0"),
            format!("sha256:{}", &zeros[1..]),
            format!("sha256:{}A", &zeros[1..]),
            format!("sha256:{}/", &zeros[1..]),
            format!("sha256:{}é", &zeros[2..]),
        ];
        for text in wrong {
            let error = text.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains("sha256: and 64 hex digits"), "{text}: {error}");
        }
    }
}
