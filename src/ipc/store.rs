//! The protocol between the master and a storekeeper, a child that lives for one request about bundles.
//!
//! ```text
//!   master                          storekeeper
//!     | ------ StoreRequest ---------> |   and then its end of the stream
//!     | == the archive, on a pipe ===> |   for `Add` only
//!     | <----- StoreReply ------------ |   and then its end
//! ```
//!
//! Both are postcard. The stream is the control fd, the pipe the component fd.

use std::{num::NonZeroU32, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, manifest::App};

/// The most bytes of a request.
pub const MAX_REQUEST: usize = 8 << 20;

/// The most bytes of a reply.
pub const MAX_REPLY: usize = 16 << 20;

/// What is wanted, of which home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRequest {
    /// The home's folder.
    pub home: PathBuf,
    /// What.
    pub what: What,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Take in the archive that comes by the pipe.
    Add {
        /// Who brings it, where that one has bounds.
        by: Option<UploadBy>,
    },
    /// Find a bundle, and make an app of it that can be run.
    Look {
        /// Its digest, or enough of its beginning.
        digest: String,
        /// The name that the app is to have.
        name: String,
        /// Do the settings' keys decide?
        trust: TrustBy,
        /// How many workers there are to be, instead of the manifest's number.
        workers: Option<NonZeroU32>,
    },
    /// Say what there is.
    List,
    /// Remove bundles, and what only they needed.
    Prune {
        /// The digests of those that stay.
        keep: Vec<String>,
    },
    /// Read everything again.
    Verify,
}

/// Who brings a bundle, and how much that may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadBy {
    /// The user's id.
    pub uid: u32,
    /// The most bytes of this user's bundles that nothing uses.
    pub most: u64,
    /// The digests of bundles that something uses.
    pub used: Vec<String>,
}

/// Whether a signature is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrustBy {
    /// The home's settings say.
    Settings,
    /// No: it has been deployed before.
    Past,
    /// No, but the home's policy is: it has been deployed before with other numbers.
    PastWithPolicy,
}

/// How it went. An error is for the user.
pub type StoreReply = Result<Answer, String>;

/// What was found or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To `Add`.
    Added(Bundle),
    /// To `Look`.
    Found(Bundle, Box<App>),
    /// To `List`.
    List(Vec<Bundle>),
    /// To `Prune`; and the components that no bundle has any more, whose native code is the master's to
    /// remove.
    Pruned(Pruned, Vec<Digest>),
    /// To `Verify`.
    Verified(Verified),
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Bundles.
    pub bundles: usize,
    /// Files that no bundle needs any more.
    pub files: usize,
    /// Native code that no bundle needs any more.
    pub compiled: usize,
    /// Their sum.
    pub bytes: u64,
}

/// What the store is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Bundles that were looked at.
    pub bundles: usize,
    /// Files that were looked at.
    pub files: usize,
    /// What is wrong, a line each.
    pub damaged: Vec<String>,
}

/// A bundle that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// `sha256:` and the hex of it.
    pub digest: String,
    /// The app's name, as its manifest has it.
    pub name: String,
    /// The app's version.
    pub version: String,
    /// The trusted key that signed it, if one did.
    pub signer: Option<String>,
    /// Its files' sum.
    pub bytes: u64,
}
