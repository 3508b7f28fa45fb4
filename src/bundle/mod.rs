//! Bundles: an app as one file, with a list of digests inside that a signature covers.
//!
//! ```text
//! App -> plan (walk, hash) -> Plan -> write: zstd( tar( index, signature?, files in the index's order ) )
//! bytes -> Archive::open (index checked against Limits) -> verify -> Archive::extract -> Unpacked
//! ```
//!
//! Called by the CLI (`pack`, `inspect`, `keygen`) and by `store`, in a short-lived process. An archive is
//! read as hostile input: everything in it is checked against its index, and the index against [`Limits`],
//! before anything is written. A bundle has one form only: a header or an index that is not, byte for byte,
//! what [`Plan::write`] makes of the same contents is refused. This module starts nothing, knows no role,
//! and never runs or loads what it unpacks.

mod changes;
mod check;
mod error;
mod header;
mod index;
mod limits;
mod manifest;
mod pack;
mod plain;
mod sign;
mod unpack;

pub use changes::{Change, asks, changes};
pub use error::Error;
pub use index::{File, INDEX_NAME, Index, SIGNATURE_NAME};
pub use limits::Limits;
pub use pack::{Plan, plan};
pub use sign::{KeyId, PublicKey, SignError, Signer, SigningKey, Trust, verify};
pub use unpack::{Archive, Unpacked, unpack};
