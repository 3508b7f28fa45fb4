//! What becomes of a release, step by step. Who brought it holds the one end; `app` tells the other.

use std::{net::SocketAddr, time::Duration};

use tokio::sync::mpsc;

/// One step on a release's way, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its first process is being started, as this generation.
    Starts {
        /// Counted from 1.
        generation: u64,
    },
    /// Every process is ready, and each worker has passed the health check, where there is one.
    Healthy,
    /// It gets a share of the new connections from now on, and is compared with the one before it.
    Canary {
        /// Of new connections.
        percent: u8,
        /// [`Step::Promoted`] comes after that, or [`Step::Failed`] before.
        time: Duration,
    },
    /// It was no worse than the one before it, and gets all from now on; [`Step::Serves`] follows.
    Promoted {
        /// What was compared, in words.
        seen: String,
    },
    /// It has taken over: new connections are its own.
    Serves {
        /// Counted from 1.
        generation: u64,
        /// Where it listens.
        address: Option<SocketAddr>,
    },
    /// Nothing is left of the one before it. The last, when all went well.
    Alone,
    /// It never served, or no longer does, for this reason; the one before it goes on. The last.
    Failed(String),
}

/// Tells who brought a release. Whoever no longer listens misses nothing.
#[derive(Clone, Debug)]
pub(crate) struct Steps(mpsc::UnboundedSender<Step>);

impl Steps {
    /// Both ends. There are at most a handful of steps to a release, so nothing bounds the channel.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Step>) {
        let (to, from) = mpsc::unbounded_channel();
        (Self(to), from)
    }

    pub(crate) fn say(&self, step: Step) {
        let _ = self.0.send(step);
    }

    pub(crate) fn failed(&self, why: impl Into<String>) {
        self.say(Step::Failed(why.into()));
    }
}
