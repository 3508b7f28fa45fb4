//! The admin API: HTTP with JSON over the home's Unix socket. The words are here, and the client; the
//! server is `master::admin`. The CLI uses nothing else, but for `inspect`, which reads the deployed bundle
//! in the store as well.
//!
//! | request | what it does | answer |
//! |---|---|---|
//! | `GET /v1/master` | is it there? | [`Master`] |
//! | `GET /v1/status` | | [`Status`] |
//! | `POST /v1/bundles`, body: an archive | puts a bundle into the store | [`store::Bundle`] |
//! | `POST /v1/apps/NAME/deploy`, body: [`Deploy`] | | [`Event`]s |
//! | `POST /v1/apps/NAME/rollback`, body: [`Rollback`] | | [`Event`]s |
//! | `POST /v1/apps/NAME/reload` | new processes of the same bundle | [`Event`]s |
//! | `POST /v1/apps/NAME/scale`, body: [`Scale`] | another number of workers | [`Event`]s |
//! | `DELETE /v1/apps/NAME` | takes it away | [`Event`]s |
//! | `GET /v1/apps/NAME/history` | | [`History`] |
//! | `GET /v1/store` | | list of [`Bundle`] |
//! | `POST /v1/store/prune`, body: [`Prune`] | removes what nothing needs | [`Pruned`] |
//! | `POST /v1/store/verify` | reads everything again | [`Verified`] |
//! | `POST /v1/stop` | ends the master, in order | [`Stopping`] |
//!
//! [`Event`]s come as lines of JSON (`application/x-ndjson`), each as soon as it happens; the last is
//! [`Event::Done`] or [`Event::Failed`]. Who goes away meanwhile stops nothing. Whatever else goes wrong
//! is a status from 400 up, with an [`Error`].

mod client;

use std::{net::SocketAddr, num::NonZeroU32};

use serde::{Deserialize, Serialize};

pub use client::{Body, Client, Events, NotRunning};

pub use crate::ipc::store::{Pruned, Verified};
use crate::{
    cluster::Role,
    home::Record,
    ipc::store,
    master::{AppStatus, HelperStatus},
};

/// The most bytes of a request's body, archives excepted.
pub const MAX_BODY: usize = 64 << 10;

/// The most bytes of an archive: no bundle is larger unpacked.
pub const MAX_ARCHIVE: u64 = 1 << 30;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// For people, in one line or more.
    pub error: String,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    /// The binary's version.
    pub hatchery: String,
    /// Its OS pid.
    pub os_pid: u32,
}

impl Master {
    /// This process.
    #[must_use]
    pub fn here() -> Self {
        Self { hatchery: env!("CARGO_PKG_VERSION").to_owned(), os_pid: std::process::id() }
    }
}

/// How everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The binary's.
    pub hatchery: String,
    /// The master's OS pid.
    pub os_pid: u32,
    /// Where its state is.
    pub home: String,
    /// Those that run, by name.
    pub apps: Vec<AppStatus>,
    /// Those that should run and could not be started; each is tried again.
    pub failed: Vec<FailedApp>,
    /// Compilers and storekeepers that run right now, for whichever app; brokers are with their apps.
    #[serde(default)]
    pub helpers: Vec<HelperStatus>,
}

/// An app that should run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedApp {
    /// Its name.
    pub name: String,
    /// Why it does not.
    pub reason: String,
}

/// A bundle in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// What it is.
    #[serde(flatten)]
    pub bundle: store::Bundle,
    /// The apps that it is deployed as.
    pub deployed_as: Vec<String>,
}

/// What is to be deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deploy {
    /// The digest of a bundle in the store, or enough of its beginning.
    pub bundle: String,
    /// Only for a share of the new connections at first.
    pub canary: Option<Canary>,
    /// May it be older than what is deployed?
    pub allow_downgrade: bool,
}

/// How a new version is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Of new connections.
    pub percent: u8,
    /// How long.
    pub seconds: u64,
}

/// What is to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// A bundle's digest; the one before the present one where it is not given.
    pub bundle: Option<String>,
}

/// How many workers there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Instead of the manifest's number, from now on.
    pub workers: NonZeroU32,
}

/// What is to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prune {
    /// Bundles of each app beside the deployed one; the settings' where it is not given.
    pub keep: Option<usize>,
}

/// The master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Its OS pid.
    pub os_pid: u32,
}

/// What was done with an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Its name.
    pub app: String,
    /// What is on file.
    #[serde(flatten)]
    pub record: Record,
}

/// What happens on the way to a new generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The bundle is there, whole, and may be deployed.
    Checked {
        /// The bundle's.
        digest: String,
        /// The app's.
        version: String,
    },
    /// A component is ready to be loaded.
    Compiled {
        /// What it is for.
        role: Role,
        /// It had been compiled before.
        cached: bool,
        /// How long that took.
        elapsed_ms: u64,
    },
    /// The new generation's processes are being started.
    Starting {
        /// Its number.
        generation: u64,
    },
    /// Its processes are ready, and passed the health check where there is one.
    Healthy,
    /// It gets a share of the new connections.
    Canary {
        /// Of new connections.
        percent: u8,
        /// For how long.
        seconds: u64,
    },
    /// It did no worse than the one before it.
    Promoted {
        /// What was compared, in words.
        seen: String,
    },
    /// It gets all new connections, and the one before it finishes what it has.
    Serving {
        /// Its number.
        generation: u64,
        /// Where it listens.
        address: Option<SocketAddr>,
    },
    /// The last: all went well, and nothing is left of the one before it.
    Done {
        /// From the request on.
        elapsed_ms: u64,
        /// The longest that the master's loop was held up meanwhile, up to a canary where there is one.
        loop_delay_ms: u64,
        /// Of these, by what it did itself: the rest it waited for a CPU, or was interrupted.
        loop_busy_ms: u64,
    },
    /// The last: what was there before goes on.
    Failed {
        /// For people, in one line or more.
        reason: String,
    },
}
