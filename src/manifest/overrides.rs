//! What the command line changes in the apps that it names.

use std::{net::SocketAddr, num::NonZeroU32};

use super::Balance;

/// What the command line changes. Apps that only `[dev] with` names are left as they are, except for a
/// `listen` with their name.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--workers`.
    pub workers: Option<NonZeroU32>,
    /// `--listen ADDR`, for the first app of the command line, and `--listen APP=ADDR`.
    pub listen: Vec<(Option<String>, SocketAddr)>,
    /// `--balance`.
    pub balance: Option<Balance>,
    /// Whether `[dev] with` is followed.
    pub dev_with: DevWith,
}

/// Whether the apps that `[dev] with` names are loaded too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DevWith {
    /// Yes, each once.
    #[default]
    Follow,
    /// No: only what the command line names.
    Ignore,
}
