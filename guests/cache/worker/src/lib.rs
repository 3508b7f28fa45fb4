//! A worker of the cache demo: one value in memory, filled from a slow source, refreshed in four ways.
//!
//! ```text
//!   start ─────────────────────────────┐
//!   task force-refresh (every worker) ─┤
//!   message refresh (by pull, push) ───┼──► reload ──► entry ──► GET /
//!   question refresh (by put) ─────────┘
//!   task pull-refresh (one worker): source changed? ──► message refresh to every worker
//!   PUT / ──► question put to the agent, which asks every worker to refresh before it answers
//! ```
//!
//! The agent's side is `../../agent`. Each refresh prints one line, `reload by=… version=… slot=…`.

mod entry;
mod source;

use entry::{By, Entry};
use hatchery_sdk::{
    Error, Lock, Message, Request, Response, Result, Worker, ask_agent_bytes, cluster, send_to_agent,
    send_to_app,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// How long a `PUT` may take: the source and every worker's reload.
const PUT_TIMEOUT: Duration = Duration::from_secs(20);

/// What `refresh` says, as message and as question.
#[derive(Serialize, Deserialize)]
struct Refresh {
    by: By,
    version: u64,
}

/// What a reload is to bring.
enum Wanted {
    /// What the source has now.
    Newest,
    /// This version or a newer one.
    Version(u64),
}

#[derive(Default)]
struct Cache {
    entry: RefCell<Option<Entry>>,
    /// One reload at a time, so that lines and entries come in the same order.
    reloading: Lock,
    hits: Cell<u64>,
}

hatchery_sdk::worker!(Cache);

impl Worker for Cache {
    async fn start(&'static self) -> Result<()> {
        self.store(By::Start, source::load_with_patience().await?);
        Ok(())
    }

    async fn cluster_ready(&'static self) {
        // What changed between the load in `start` and being reachable was told to others only.
        match source::version().await {
            Ok(version) if version > self.version() => {
                self.reload_or_say(By::Start, Wanted::Version(version)).await
            }
            Ok(_) => {}
            Err(reason) => eprintln!("can't ask the source for its version: {reason}"),
        }
        announce();
    }

    async fn handle(&'static self, mut request: Request) -> Result<Response> {
        match (request.method(), request.path()) {
            ("GET", "/") => {
                self.hits.set(self.hits.get() + 1);
                self.answer()
            }
            ("PUT", "/") => {
                let value = request.bytes().await?;
                match ask_agent_bytes("put", value, PUT_TIMEOUT).await {
                    Ok(_) => self.answer(),
                    Err(reason) => Ok(Response::text(format!("{reason}\n")).status(502)),
                }
            }
            (_, "/") => Ok(Response::text("method not allowed\n").status(405)),
            _ => Ok(Response::text("not found\n").status(404)),
        }
    }

    async fn on_message(&'static self, message: Message) {
        match message.action.as_str() {
            "refresh" => match message.json::<Refresh>() {
                Ok(refresh) => self.reload_or_say(refresh.by, Wanted::Version(refresh.version)).await,
                Err(reason) => eprintln!("{reason}"),
            },
            "announce-again" => announce(),
            "all-workers-ready" => println!("all-workers-ready slot={}", cluster::this().slot),
            other => eprintln!("unknown message `{other}` of process {}", message.sender.pid),
        }
    }

    async fn on_request(&'static self, request: Message) -> Result<Vec<u8>> {
        match request.action.as_str() {
            "refresh" => {
                let refresh: Refresh = request.json()?;
                self.reload(refresh.by, Wanted::Version(refresh.version)).await?;
                if self.version() < refresh.version {
                    return Err(Error::new(format_args!(
                        "the source gave version {}, not {}",
                        self.version(),
                        refresh.version
                    )));
                }
            }
            "version" => {}
            other => return Err(Error::new(format_args!("no answer to `{other}`"))),
        }
        Ok(serde_json::to_vec(&self.version())?)
    }

    async fn run_task(&'static self, name: String, _payload: Option<Vec<u8>>) -> Result<()> {
        match name.as_str() {
            "force-refresh" => self.reload(By::Force, Wanted::Newest).await,
            "pull-refresh" => {
                let version = source::version().await?;
                if version > self.version() {
                    send_to_app("refresh", &Refresh { by: By::Pull, version })?;
                }
                Ok(())
            }
            other => Err(Error::new(format_args!("no task `{other}`"))),
        }
    }
}

impl Cache {
    /// 0 before the first load.
    fn version(&self) -> u64 {
        self.entry.borrow().as_ref().map_or(0, |entry| entry.version)
    }

    fn answer(&self) -> Result<Response> {
        let entry = self.entry.borrow();
        let entry = entry.as_ref().ok_or_else(|| Error::new("nothing was loaded"))?;
        let this = cluster::this();
        Response::json(&json!({
            "value": entry.value,
            "version": entry.version,
            "last-update-by": entry.by,
            "updated-at": entry.at,
            "slot": this.slot,
            "pid": this.pid,
            "hits": self.hits.get(),
        }))
    }

    async fn reload(&self, by: By, wanted: Wanted) -> Result<()> {
        let _one_at_a_time = self.reloading.lock().await;
        match (wanted, self.entry.borrow_mut().as_mut()) {
            // The reload before this one brought it, where several events came at once.
            (Wanted::Version(version), Some(entry)) if entry.version >= version => {
                entry.touch(by);
                self.say(by, entry.version);
                return Ok(());
            }
            _ => {}
        }
        self.store(by, source::load().await?);
        Ok(())
    }

    async fn reload_or_say(&self, by: By, wanted: Wanted) {
        if let Err(reason) = self.reload(by, wanted).await {
            eprintln!("reload by={} failed: {reason}", by.name());
        }
    }

    /// An older version than there is comes from a source that lags behind: it is not taken.
    fn store(&self, by: By, loaded: source::Loaded) {
        if loaded.version >= self.version() {
            self.entry.replace(Some(Entry::new(by, loaded)));
        }
        self.say(by, self.version());
    }

    fn say(&self, by: By, version: u64) {
        println!("reload by={} version={version} slot={}", by.name(), cluster::this().slot);
    }
}

fn announce() {
    if let Err(reason) = send_to_agent("announce", &()) {
        eprintln!("can't announce to the agent: {reason}");
    }
}
