//! The index: a bundle's first entry, by whose digest the bundle goes. JSON in one form only.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::digest::{self, Digest};

/// The name of the archive's first entry.
pub const INDEX_NAME: &str = "hatchery-bundle.json";

/// The name of the archive's second entry, where the bundle is signed.
pub const SIGNATURE_NAME: &str = "hatchery-bundle.json.minisig";

/// What [`Index::format`] is.
const FORMAT: u64 = 1;

/// What a bundle holds. Its bytes are the fields in this order, without space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// 1.
    pub format: u64,
    /// The app's name, as in the manifest.
    pub name: String,
    /// The app's version, as in the manifest.
    pub version: String,
    /// Folders that hold no file, in ascending order of their bytes.
    pub folders: Vec<String>,
    /// All files, in ascending order of their paths' bytes.
    pub files: Vec<File>,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// From the bundle's top, parts separated by `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Of its bytes; in hex.
    #[serde(with = "digest::bare")]
    pub sha256: Digest,
}

impl Index {
    pub(super) fn new(name: String, version: String, folders: Vec<String>, files: Vec<File>) -> Self {
        Self { format: FORMAT, name, version, folders, files }
    }

    /// The index from its bytes, which must be what [`Index::to_bytes`] gives. Nothing in it is checked
    /// yet against limits.
    ///
    /// # Errors
    /// [`Error::Format`] and [`Error::Index`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        /// Of any version.
        #[derive(Deserialize)]
        struct Versioned {
            format: u64,
        }
        let refuse = |cause: serde_json::Error| Error::Index(format!("it can't be read: {cause}"));
        let Versioned { format } = serde_json::from_slice(bytes).map_err(refuse)?;
        if format != FORMAT {
            return Err(Error::Format(format));
        }
        let index: Self = serde_json::from_slice(bytes).map_err(refuse)?;
        if index.to_bytes() != bytes {
            return Err(Error::Index("it is not in the form that `hatchery pack` writes".to_owned()));
        }
        Ok(index)
    }

    /// Its only form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    /// Bytes of all files together. Without overflow only once it is checked.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_only() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let good = format!(
            r#"{{"format":1,"name":"a","version":"1","folders":[],"files":[{{"path":"x","size":0,"sha256":"{hex}"}}]}}"#
        );
        let index = Index::parse(good.as_bytes()).unwrap();
        assert_eq!(index.to_bytes(), good.as_bytes());
        let cases = [
            (good.replace("\"format\":1", "\"format\":2,\"new\":[]"), "has format 2"),
            (good.replace("\"name\"", " \"name\""), "not in the form"),
            (good.clone() + "\n", "not in the form"),
            (good.replace("\"a\"", "\"\\u0061\""), "not in the form"),
            (good.replace("\"size\":0", "\"size\":0,\"size\":0"), "can't be read"),
            (good.replace("\"size\":0", "\"size\":-1"), "can't be read"),
            (good.replace("\"size\":0", "\"mode\":0"), "can't be read"),
            (good.replace("e3b0", "E3B0"), "can't be read"),
            (good.replace("\"files\"", "\"more\":1,\"files\""), "can't be read"),
            (good.clone() + "{}", "can't be read"),
            ("[".repeat(100_000), "can't be read"),
            (String::new(), "can't be read"),
        ];
        for (text, expected) in cases {
            let error = Index::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} for {}", &text[..text.len().min(200)]);
        }
        assert!(Index::parse(b"{\"format\":1,\"name\":\"\xff\"}").is_err());
    }
}
