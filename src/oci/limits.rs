//! Every bound of the talk with a registry.

use std::time::Duration;

/// The most bytes of a manifest, as the OCI distribution spec asks of registries.
pub const MANIFEST: u64 = 4 << 20;

/// The most bytes of a layer: a bundle or a component.
pub const LAYER: u64 = 1 << 30;

/// The most bytes that a token service may answer.
pub const TOKEN: u64 = 1 << 20;

/// The most bytes that are read of an answer that says what went wrong.
pub const REFUSAL: u64 = 64 << 10;

/// The most characters that are shown of what a registry says.
pub const SHOWN: usize = 300;

/// The most bytes of docker's `config.json`.
pub const CREDENTIALS: u64 = 1 << 20;

/// How many redirects are followed for one request.
pub const REDIRECTS: usize = 4;

/// Bytes of a file that are read at once.
pub const CHUNK: usize = 256 << 10;

/// How long a connection may take.
pub const CONNECT: Duration = Duration::from_secs(10);

/// How long the head of an answer may take.
pub const ANSWER: Duration = Duration::from_secs(60);

/// How long nothing may move in a body, in either direction.
pub const STALL: Duration = Duration::from_secs(30);

/// How long a registry may check and keep what it was sent whole.
pub const COMMIT: Duration = Duration::from_secs(300);

/// How long a credential helper may take, which may ask its user for a password.
pub const HELPER: Duration = Duration::from_secs(120);

/// How long a whole push or pull may take.
pub const TOTAL: Duration = Duration::from_secs(3600);
