//! A SHA-256, by which files, bundles and what registries hold are named.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize};

/// How a digest's text begins.
const PREFIX: &str = "sha256:";

/// A SHA-256. Shown as `sha256:` and 64 hex digits in lower case, and read in that form only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// The text is no digest of this form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest that hatchery takes; it takes sha256: and 64 hex digits in lower case")]
pub struct InvalidDigest {
    text: String,
}

impl InvalidDigest {
    fn new(text: &str) -> Self {
        Self { text: text.chars().take(100).collect() }
    }
}

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// From 64 hex digits in lower case.
    pub(crate) fn from_hex(text: &str) -> Result<Self, InvalidDigest> {
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidDigest::new(text)),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(InvalidDigest::new(text));
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(bytes))
    }
}

/// Passes bytes on, and hashes and counts them.
pub(crate) struct Hashing<W> {
    to: W,
    hash: sha2::Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, hash: sha2::Digest::new(), size: 0 }
    }

    pub(crate) fn get_ref(&self) -> &W {
        &self.to
    }

    /// These bytes as well, which go nowhere.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.hash, bytes);
        self.size += bytes.len() as u64;
    }

    /// How many bytes it was so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Of what was written, and how many bytes that was.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest(sha2::Digest::finalize(self.hash).into()), self.size)
    }
}

impl<W: io::Write> io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.strip_prefix(PREFIX).ok_or_else(|| InvalidDigest::new(text))?;
        Self::from_hex(hex).map_err(|_| InvalidDigest::new(text))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// As a field of the index: the hex digits alone.
pub(crate) mod bare {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Digest;

    pub(crate) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digest.hex())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        Digest::from_hex(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_a_table() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Digest::of(b"")));
        let of_another_kind = empty.replace("256", "512");
        let wrong = [
            "",
            "sha256:",
            &empty[7..],
            &empty[..70],
            &empty.to_uppercase(),
            &format!("{empty}00"),
            &of_another_kind,
            &format!("{}é", &empty[..69]),
        ];
        for text in wrong {
            let error = text.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?} is not a digest")), "{error}");
        }
    }
}
