//! Send and forget. Nothing here waits: a message is queued or refused.
//!
//! Each function takes anything `Serialize` and sends it as JSON; its `_bytes` twin sends bytes as
//! they are. In order per sender and receiver, at most once.

use crate::cluster::Pid;
use crate::host;
use serde::Serialize;
use std::fmt;

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The action is not 1 to 256 bytes of text, or reserved; the text says which.
    InvalidAction(String),
    /// The data is larger than this many bytes, the app's `message-size`.
    TooLarge(u64),
    /// This process has too much queued; try again later.
    Overloaded,
    /// No process has this pid.
    NoSuchProcess,
    /// The process is stopping.
    Unavailable,
    /// The value can't be written as JSON; the text says why.
    NotJson(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidAction(why) => write!(f, "invalid action: {why}"),
            Self::TooLarge(limit) => write!(f, "message larger than message-size, {limit} bytes"),
            Self::Overloaded => f.write_str("too many messages queued in this process"),
            Self::NoSuchProcess => f.write_str("no such process"),
            Self::Unavailable => f.write_str("this process is stopping"),
            Self::NotJson(why) => write!(f, "not json: {why}"),
        }
    }
}

impl std::error::Error for SendError {}

fn json(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, SendError> {
    serde_json::to_vec(value).map_err(|e| SendError::NotJson(e.to_string()))
}

/// To every worker and the agent, this process included.
pub fn broadcast(action: &str, value: &(impl Serialize + ?Sized)) -> Result<(), SendError> {
    broadcast_bytes(action, json(value)?)
}

/// [`broadcast`] of bytes as they are.
pub fn broadcast_bytes(action: &str, data: impl AsRef<[u8]>) -> Result<(), SendError> {
    host::broadcast(action, data.as_ref())
}

/// To every worker, to this process too where it is one.
pub fn send_to_app(action: &str, value: &(impl Serialize + ?Sized)) -> Result<(), SendError> {
    send_to_app_bytes(action, json(value)?)
}

/// [`send_to_app`] of bytes as they are.
pub fn send_to_app_bytes(action: &str, data: impl AsRef<[u8]>) -> Result<(), SendError> {
    host::send_to_app(action, data.as_ref())
}

/// To the agent, from itself too.
pub fn send_to_agent(action: &str, value: &(impl Serialize + ?Sized)) -> Result<(), SendError> {
    send_to_agent_bytes(action, json(value)?)
}

/// [`send_to_agent`] of bytes as they are.
pub fn send_to_agent_bytes(action: &str, data: impl AsRef<[u8]>) -> Result<(), SendError> {
    host::send_to_agent(action, data.as_ref())
}

/// To one ready worker that the master chooses.
pub fn send_random(action: &str, value: &(impl Serialize + ?Sized)) -> Result<(), SendError> {
    send_random_bytes(action, json(value)?)
}

/// [`send_random`] of bytes as they are.
pub fn send_random_bytes(action: &str, data: impl AsRef<[u8]>) -> Result<(), SendError> {
    host::send_random(action, data.as_ref())
}

/// To that process, which may be this one.
pub fn send_to(pid: Pid, action: &str, value: &(impl Serialize + ?Sized)) -> Result<(), SendError> {
    send_to_bytes(pid, action, json(value)?)
}

/// [`send_to`] of bytes as they are.
pub fn send_to_bytes(pid: Pid, action: &str, data: impl AsRef<[u8]>) -> Result<(), SendError> {
    host::send_to(pid, action, data.as_ref())
}
