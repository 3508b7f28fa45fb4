//! What is to be done with one app. Words only; `work` does it.

use std::num::NonZeroU32;

use crate::admin::Deploy;

/// One job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The app's name, checked.
    pub(crate) app: String,
    /// Who wants it.
    pub(crate) uid: u32,
    /// What.
    pub(crate) action: Action,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Another bundle, or the first one.
    Deploy(Deploy),
    /// A bundle that was deployed before; the last such where none is named.
    Rollback(Option<String>),
    /// New processes of the same bundle.
    Reload,
    /// Another number of workers.
    Scale(NonZeroU32),
    /// Take it away.
    Undeploy,
}

impl Action {
    /// Does it end what is under way for the app, instead of waiting for that?
    pub(super) fn comes_first(&self) -> bool {
        matches!(self, Self::Rollback(_) | Self::Undeploy)
    }

    /// For the history and the log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Deploy(_) => "deploy",
            Self::Rollback(_) => "rollback",
            Self::Reload => "reload",
            Self::Scale(_) => "scale",
            Self::Undeploy => "undeploy",
        }
    }
}
