//! Why a bundle can't be packed or unpacked. Text from an archive is shown escaped and cut.

use std::{io, path::PathBuf};

use crate::digest::Digest;
use crate::manifest::ManifestError;

/// The most characters that are shown of a name from an archive.
const MAX_SHOWN: usize = 100;

/// Why a bundle was refused or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The compressed stream can't be read: broken, cut off, or something else altogether.
    #[error("can't read the archive; it is cut off, damaged, or no bundle made by `hatchery pack`")]
    Read(#[source] io::Error),
    /// An archive of something else.
    #[error("not a bundle: {0}; make one with `hatchery pack`")]
    NotABundle(String),
    /// An index that another version writes.
    #[error("the bundle has format {0} and this hatchery reads format 1; update hatchery")]
    Format(u64),
    /// An index that means nothing.
    #[error("the bundle's index is refused: {0}")]
    Index(String),
    /// More than may be.
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// What is too large, with its size.
        what: String,
        /// The bound, with its unit.
        limit: String,
    },
    /// A path that the index names.
    #[error("the path `{path}` is refused: {reason}")]
    Path {
        /// Escaped.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry of the archive.
    #[error("the archive's entry `{path}` is refused: {reason}")]
    Entry {
        /// Escaped.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry with other content than the index says.
    #[error("the file `{path}` has the digest {found}, and {expected} by the index; fetch the bundle again")]
    Content {
        /// Escaped.
        path: String,
        /// By the index.
        expected: Digest,
        /// By its bytes.
        found: Digest,
    },
    /// Something behind the end.
    #[error("{0} after the end of the bundle")]
    Trailing(&'static str),
    /// A file of this machine.
    #[error("can't {what} {}", path.display())]
    File {
        /// Such as `write`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's own.
        #[source]
        cause: io::Error,
    },
    /// The app can't be packed as it is.
    #[error("can't pack {}: {reason}", path.display())]
    Unpackable {
        /// What stands in the way.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The manifest inside is wrong.
    #[error("the bundle's manifest is wrong:\n{0}")]
    Manifest(Box<ManifestError>),
    /// The manifest does not say what the index does.
    #[error("the bundle's manifest and index disagree: {0}")]
    Disagree(String),
}

impl Error {
    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { what, path, cause }
    }

    pub(super) fn entry(path: &str, reason: impl Into<String>) -> Self {
        Self::Entry { path: shown(path), reason: reason.into() }
    }

    pub(super) fn limit(what: impl Into<String>, limit: impl Into<String>) -> Self {
        Self::Limit { what: what.into(), limit: limit.into() }
    }
}

/// Text of an archive for a message: without control characters, bounded.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut start: String = chars.by_ref().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        start.push('…');
    }
    start
}
