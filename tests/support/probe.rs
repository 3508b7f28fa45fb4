//! A connection to one worker that runs the probe, with the probe's answers as types.

use std::{net::SocketAddr, time::Instant};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Connection, DEADLINE, Version, empty, full, get, request};

/// One worker. All that is told to it goes over one connection, which stays with that worker.
pub(crate) struct Probe {
    connection: Connection,
    pub(crate) pid: u64,
    pub(crate) slot: u32,
}

/// `GET /self`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    pub(crate) role: String,
    pub(crate) slot: u32,
    pub(crate) generation: u64,
    pub(crate) state: String,
}

/// One line of the probe's log.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) size: Option<usize>,
    pub(crate) sender: Option<Sender>,
    pub(crate) name: Option<String>,
    pub(crate) processes: Option<Vec<Process>>,
}

/// As stamped by the master.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) pid: u64,
    pub(crate) role: String,
    pub(crate) slot: u32,
}

/// How sends went.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) ok: u64,
    pub(crate) errors: Vec<String>,
}

impl Probe {
    /// Whichever worker is given.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let mut connection = Connection::open(addr, Version::H1).await;
        let this: Process = connection.get("/self").await.json();
        Self { connection, pid: this.pid, slot: this.slot }
    }

    /// A connection to each of so many workers, by slot.
    pub(crate) async fn each(addr: SocketAddr, workers: u32) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let end = Instant::now() + DEADLINE;
        while found.len() < workers as usize {
            assert!(Instant::now() < end, "only {} of {workers} workers can be reached", found.len());
            let one = Self::open(addr).await;
            if found.iter().all(|other| other.slot != one.slot) {
                found.push(one);
            }
        }
        found.sort_by_key(|probe| probe.slot);
        found
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> T {
        self.connection.get(path).await.json()
    }

    pub(crate) async fn post<T: DeserializeOwned>(&mut self, path: &str, data: &str) -> T {
        self.connection.send(request("POST", path, full(data.to_owned()))).await.json()
    }

    /// All that happened to it.
    pub(crate) async fn log(&mut self) -> Vec<Entry> {
        self.get("/log").await
    }

    /// What of one kind happened to it.
    pub(crate) async fn events(&mut self, event: &str) -> Vec<Entry> {
        self.get(&format!("/log?event={event}")).await
    }

    /// The messages of one action that it got.
    pub(crate) async fn messages(&mut self, action: &str) -> Vec<Entry> {
        self.get(&format!("/log?event=message&action={action}")).await
    }

    pub(crate) async fn clear(&mut self) {
        assert_eq!(self.connection.send(request("DELETE", "/log", empty())).await.status, 200);
    }

    /// Sends `n` messages, whose data are 0, 1, ….
    pub(crate) async fn send(&mut self, to: &str, action: &str, n: u64) -> Sent {
        self.post(&format!("/send?to={to}&action={action}&n={n}"), "").await
    }

    /// Sends one message of so many bytes.
    pub(crate) async fn send_sized(&mut self, to: &str, action: &str, size: usize) -> Sent {
        self.post(&format!("/send?to={to}&action={action}&size={size}"), "").await
    }

    /// Asks: `{"ok"}`, `{"error"}` or `{"answers"}`.
    pub(crate) async fn ask(&mut self, to: &str, action: &str, data: &str) -> Value {
        self.ask_within(to, action, data, 0).await
    }

    /// Asks with a timeout in milliseconds.
    pub(crate) async fn ask_within(&mut self, to: &str, action: &str, data: &str, ms: u64) -> Value {
        self.post(&format!("/ask?to={to}&action={action}&timeout-ms={ms}"), data).await
    }

    /// The same for whom it asks: what that one is told to do comes back as the probe's JSON.
    async fn tell<T: DeserializeOwned>(&mut self, who: &str, action: &str, what: &Value) -> T {
        let answer = self.ask(who, action, &what.to_string()).await;
        let text = answer["ok"].as_str().unwrap_or_else(|| panic!("{who}, asked for {action}: {answer}"));
        serde_json::from_str(text).unwrap()
    }

    /// Has the agent send.
    pub(crate) async fn agent_sends(&mut self, to: &str, action: &str, n: u64) -> Sent {
        self.tell("agent", "send", &json!({ "to": to, "action": action, "n": n })).await
    }

    /// What of one kind happened to the agent.
    pub(crate) async fn agent_events(&mut self, event: &str) -> Vec<Entry> {
        self.tell("agent", "log", &json!({ "event": event })).await
    }

    /// The messages of one action that the agent got.
    pub(crate) async fn agent_messages(&mut self, action: &str) -> Vec<Entry> {
        self.tell("agent", "log", &json!({ "event": "message", "action": action })).await
    }

    /// The agent's pid.
    pub(crate) async fn agent_pid(&mut self) -> u64 {
        let answer = self.ask("agent", "where", "").await;
        answer["ok"].as_str().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// All processes as it sees them.
    pub(crate) async fn processes(&mut self) -> Vec<Process> {
        self.get("/processes").await
    }
}

/// What the environment of who answers there has as `COLOUR`.
pub(crate) async fn colour(addr: SocketAddr) -> String {
    get(addr, "/env").await.json::<Value>()["COLOUR"].as_str().unwrap().to_owned()
}

/// The generation of who answers there.
pub(crate) async fn generation(addr: SocketAddr) -> u64 {
    get(addr, "/self").await.json::<Value>()["generation"].as_u64().unwrap()
}
