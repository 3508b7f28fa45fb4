//! Why the store can't do what it is asked for.

use std::{io, path::PathBuf, time::Duration};

use bytesize::ByteSize;

use crate::{
    bundle::{self, SignError},
    digest::Digest,
};

/// Why the store can't do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive is refused.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The archive's signature is refused.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A file or folder of the store.
    #[error("can't {what} {}", path.display())]
    File {
        /// Such as `write`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's own.
        #[source]
        cause: io::Error,
    },
    /// No bundle goes by that.
    #[error("there is no bundle `{0}` in the store; name it by at least {min} digits of its digest", min = super::MIN_PREFIX)]
    NotFound(String),
    /// More than one bundle goes by that.
    #[error("`{name}` is {one} and {other}, perhaps more; write more digits")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// One of them.
        one: Digest,
        /// Another one.
        other: Digest,
    },
    /// A bundle whose index is gone or is another's.
    #[error("the bundle {digest} in the store is damaged: {why}; add it again")]
    Damaged {
        /// Which.
        digest: Digest,
        /// How.
        why: String,
    },
    /// One user would bring more than it may.
    #[error(
        "the bundle has {bytes}, and bundles of uid {uid} that nothing uses may have {most} together (`uploads.undeployed` in settings.toml)"
    )]
    TooMuch {
        /// The user's id.
        uid: u32,
        /// The bundle's.
        bytes: ByteSize,
        /// The limit.
        most: ByteSize,
    },
    /// Somebody else has the lock.
    #[error("another hatchery works in the store {} and has not finished in {} s; try again", path.display(), waited.as_secs())]
    Busy {
        /// The lock's file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
}

impl Error {
    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { what, path, cause }
    }
}
