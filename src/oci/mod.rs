//! Registries: bundles are pushed to them, bundles and components pulled from them.
//!
//! ```text
//! push:  file -> digest -> HEAD blob -> POST upload -> PUT blob -> PUT manifest
//! pull:  GET manifest -> its one layer -> GET blob -> temporary file -> size, digest -> rename
//! ```
//!
//! Called by the command line, as the user who runs it and with that user's credentials; never by the
//! master. What a registry says is hostile until checked: every answer has a bound ([`limits`]), every
//! digest is verified, and no layer is ever whole in memory. It knows neither what is in a bundle nor
//! whether a component is one.
//!
//! A bundle is an artifact as the OCI image spec 1.1 has them: one layer of our own media type, and the
//! empty config. A component has the layout of the CNCF's "Wasm OCI Artifact", which `wkg` writes.

mod blob;
mod challenge;
mod credentials;
mod error;
pub mod limits;
mod manifest;
mod pieces;
mod progress;
mod pull;
mod push;
mod reference;
mod registry;
mod upload;

pub use error::OciError;
pub use manifest::Kind;
pub(crate) use pieces::pieces;
pub use progress::{Progress, Quiet};
pub use pull::{Destination, Pulled, pull};
pub use push::{Pushed, push};
pub use reference::{InvalidReference, Reference};
pub use registry::{Options, Transport};
