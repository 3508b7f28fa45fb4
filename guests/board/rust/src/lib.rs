//! The board in Rust, on WASI 0.3 and 0.2: see `../README.md` for what is said between processes.

mod notes;

use hatchery_sdk::cluster::{Role, this};
use hatchery_sdk::{
    Error, Message, Request, Response, Result, Worker, ask_agent, ask_agent_bytes, ask_app, broadcast,
};
use notes::{List, Note, Notes};
use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest text, in bytes.
const MAX_TEXT: usize = 1000;

const ASK_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Board {
    notes: RefCell<Notes>,
}

hatchery_sdk::worker!(Board);

impl Worker for Board {
    async fn start(&'static self) -> Result<()> {
        let lists: Vec<List> = match this().role {
            Role::Worker => vec![ask_agent("list", &(), ASK_TIMEOUT).await?],
            // No worker is there yet, but when this agent is a replacement.
            Role::Agent => {
                let answers = ask_app("list", &(), ASK_TIMEOUT).await.unwrap_or_default();
                answers.into_iter().filter_map(|answer| answer.result.ok()).collect()
            }
        };
        for list in lists {
            self.notes.borrow_mut().merge(list);
        }
        Ok(())
    }

    async fn handle(&'static self, mut request: Request) -> Result<Response> {
        match (request.method(), request.path()) {
            ("GET", "/") => Response::json(self.notes.borrow().all()),
            ("POST", "/") => {
                let text = request.bytes().await?;
                if text.len() > MAX_TEXT {
                    return Ok(Response::text("a note has at most 1000 bytes\n").status(413));
                }
                if text.is_empty() || std::str::from_utf8(&text).is_err() {
                    return Ok(Response::text("a note is text\n").status(400));
                }
                let note: Note =
                    serde_json::from_slice(&ask_agent_bytes("add", text, ASK_TIMEOUT).await?)?;
                self.notes.borrow_mut().add(note.clone());
                Ok(Response::json(&note)?.status(201))
            }
            ("GET", "/where") => {
                Response::json(&serde_json::json!({ "slot": this().slot, "language": "rust" }))
            }
            ("GET", "/fail") => fail(),
            _ => Ok(Response::text("not found\n").status(404)),
        }
    }

    async fn on_message(&'static self, message: Message) {
        let mut notes = self.notes.borrow_mut();
        match message.action.as_str() {
            "added" => match message.json() {
                Ok(note) => notes.add(note),
                Err(reason) => eprintln!("{reason}"),
            },
            "drop" => match message.json() {
                Ok(id) => notes.drop_to(id),
                Err(reason) => eprintln!("{reason}"),
            },
            other => eprintln!("unknown message `{other}` of process {}", message.sender.pid),
        }
    }

    async fn on_request(&'static self, request: Message) -> Result<Vec<u8>> {
        let mut notes = self.notes.borrow_mut();
        match request.action.as_str() {
            "add" => {
                let note = notes.new_note(request.text(), now());
                broadcast("added", &note)?;
                if let Some(id) = notes.surplus() {
                    broadcast("drop", &id)?;
                }
                Ok(serde_json::to_vec(&note)?)
            }
            "list" => Ok(serde_json::to_vec(&notes.list())?),
            other => Err(Error::new(format_args!("no answer to `{other}`"))),
        }
    }

    async fn run_task(&'static self, name: String, _payload: Option<Vec<u8>>) -> Result<()> {
        if name != "expire" {
            return Err(Error::new(format_args!("no task `{name}`")));
        }
        let keep = std::env::var("BOARD_KEEP").ok().and_then(|text| text.parse::<u64>().ok());
        let oldest = now().saturating_sub(keep.unwrap_or(600) * 1000);
        if let Some(id) = self.notes.borrow().older(oldest) {
            broadcast("drop", &id)?;
        }
        Ok(())
    }
}

/// Traps, and the log says where.
fn fail() -> Result<Response> {
    panic!("asked to fail");
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
