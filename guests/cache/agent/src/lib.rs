//! The agent of the cache demo: the one subscriber of the source, and the one way to write to it.
//!
//! ```text
//!   source ── long poll ──► push ──► message refresh to every worker
//!   worker ── question put ──► put ──► source, then question refresh to every worker, then the answer
//!   worker ── message announce ──► announcements ──► message all-workers-ready to one of them
//! ```

mod announcements;
mod push;
mod put;
mod source;

use announcements::Announcements;
use hatchery_sdk::cluster::Process;
use hatchery_sdk::{Agent, Error, Message, Result, Watch, send_to_app, spawn};
use std::cell::Cell;

#[derive(Default)]
struct CacheAgent {
    /// The newest version that every worker was told of.
    told: Cell<u64>,
    /// Writes to the source that have not come back. What the long poll says meanwhile may be theirs.
    puts: Watch<u32>,
    announcements: Announcements,
}

hatchery_sdk::agent!(CacheAgent);

impl Agent for CacheAgent {
    async fn start(&'static self) -> Result<()> {
        self.announcements.configure()?;
        if push::is_on() {
            // Before the workers load, so that no change falls between their load and the first poll.
            self.told.set(push::baseline().await);
            spawn(push::run(self));
        }
        Ok(())
    }

    async fn cluster_ready(&'static self) {
        // After a restart the workers have announced themselves already, to the agent before this one.
        if let Err(reason) = send_to_app("announce-again", &()) {
            eprintln!("can't ask the workers to announce themselves: {reason}");
        }
        self.announcements.look();
    }

    async fn processes_changed(&'static self, _processes: Vec<Process>) {
        self.announcements.look();
    }

    async fn on_message(&'static self, message: Message) {
        match message.action.as_str() {
            "announce" => self.announcements.heard(message.sender),
            other => eprintln!("unknown message `{other}` of process {}", message.sender.pid),
        }
    }

    async fn on_request(&'static self, request: Message) -> Result<Vec<u8>> {
        match request.action.as_str() {
            "put" => put::run(self, request.data).await,
            other => Err(Error::new(format_args!("no answer to `{other}`"))),
        }
    }
}
