//! `hatchery.toml` -> [`App`].
//!
//! ```text
//! read (bytes, bounded) -> document (TOML with places) -> check (all mistakes) -> App
//!                              one file: load      several: load_all
//! ```
//!
//! Called by the CLI, and by the master on reload, before anything is started. A manifest is read as
//! hostile input: every mistake becomes an error with its place, nothing panics. This module imports no
//! role and starts nothing.

mod app;
mod check;
mod destination;
mod document;
mod error;
mod keys;
mod limits;
mod load;
mod load_all;
mod outbound;
mod overrides;
mod path;
mod quantity;
mod read;
mod schedule;
mod secret;
mod special;

pub use app::{
    Agent, App, Balance, Build, Capabilities, Component, Deploy, Folder, Health, InstanceMode, Live, Recycle,
    Test, Worker,
};
pub use check::{
    APP_MEMORY, BODY_SIZE, BODY_TIMEOUT, COMPILE_TIME, CONCURRENCY, CONNECTIONS, CPU_LIMIT, CPU_WEIGHT, CPUS,
    DISK, DRAIN_TIMEOUT, HANG_TIMEOUT, HEADER_SIZE, HEADER_TIMEOUT, LOG_RATE, MAX_SECRETS, MEMORY,
    MESSAGE_RATE, MESSAGE_SIZE, OPEN_FILES, OUTBOUND_CONNECTIONS, OUTBOUND_SIZE, PROCESS_MEMORY, QUEUE_SIZE,
    QUEUED_REQUESTS, REQUEST_TIMEOUT, START_TIMEOUT, STOP_TIMEOUT, TRAP_LIMIT, WORKERS, WRITE_TIMEOUT,
    is_app_name, is_secret_name,
};
pub use destination::Destination;
pub use error::{ManifestError, ManifestErrors};
#[cfg(test)]
pub(crate) use keys::every_key;
pub use limits::{FILES_HEADROOM, Limits, MAX_HANDLES, MIN_FILES, PROCESS_HEADROOM};
pub use load::{FILE_NAME, load};
pub use load_all::{MAX_APPS, clash, load_all};
pub use outbound::{InvalidOutboundHost, OutboundHost};
pub use overrides::{DevWith, Overrides};
pub use quantity::Bounds;
pub(crate) use quantity::show_size;
pub use read::MAX_MANIFEST_BYTES;
pub use schedule::{MIN_INTERVAL, Overlap, RunOn, Schedule, Trigger};
pub use secret::{Secret, Secrets};
pub use special::Special;
