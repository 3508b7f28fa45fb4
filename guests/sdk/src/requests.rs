//! Ask and wait for the answer, which the other's `on_request` gives.
//!
//! Each function takes and gives JSON; its `_bytes` twin takes and gives bytes. A timeout is cut to
//! the app's `request-timeout`, and `Duration::ZERO` means that.

use crate::cluster::Pid;
use crate::host;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// None came in time.
    Timeout,
    /// No process has this pid, or it went away.
    NoSuchProcess,
    /// The process has no component with a responder.
    NoResponder,
    /// The responder said so, or trapped.
    Failed(String),
    /// Too many open questions.
    Overloaded,
    /// The action is not 1 to 256 bytes of text, or reserved; the text says which.
    InvalidAction(String),
    /// The data is larger than this many bytes, the app's `message-size`.
    TooLarge(u64),
    /// The question or the answer is not the JSON expected; the text says why.
    NotJson(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::NoSuchProcess => f.write_str("no such process"),
            Self::NoResponder => f.write_str("the process has no responder"),
            Self::Failed(why) => f.write_str(why),
            Self::Overloaded => f.write_str("too many open questions"),
            Self::InvalidAction(why) => write!(f, "invalid action: {why}"),
            Self::TooLarge(limit) => write!(f, "question larger than message-size, {limit} bytes"),
            Self::NotJson(why) => write!(f, "not the json expected: {why}"),
        }
    }
}

impl std::error::Error for AskError {}

/// What one worker answered to [`ask_app`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// Who answered, or should have.
    pub pid: Pid,
    /// The answer, or why there is none.
    pub result: Result<T, AskError>,
}

fn question(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, AskError> {
    serde_json::to_vec(value).map_err(|e| AskError::NotJson(e.to_string()))
}

fn answer<T: DeserializeOwned>(data: &[u8]) -> Result<T, AskError> {
    serde_json::from_slice(data).map_err(|e| AskError::NotJson(e.to_string()))
}

/// Ask the agent.
pub async fn ask_agent<T: DeserializeOwned>(
    action: &str,
    value: &(impl Serialize + ?Sized),
    timeout: Duration,
) -> Result<T, AskError> {
    answer(&ask_agent_bytes(action, question(value)?, timeout).await?)
}

/// [`ask_agent`] with bytes as they are.
pub async fn ask_agent_bytes(
    action: &str,
    data: impl Into<Vec<u8>>,
    timeout: Duration,
) -> Result<Vec<u8>, AskError> {
    host::ask_agent(action, data.into(), nanos(timeout)).await
}

/// Ask that process.
pub async fn ask<T: DeserializeOwned>(
    pid: Pid,
    action: &str,
    value: &(impl Serialize + ?Sized),
    timeout: Duration,
) -> Result<T, AskError> {
    answer(&ask_bytes(pid, action, question(value)?, timeout).await?)
}

/// [`ask`] with bytes as they are.
pub async fn ask_bytes(
    pid: Pid,
    action: &str,
    data: impl Into<Vec<u8>>,
    timeout: Duration,
) -> Result<Vec<u8>, AskError> {
    host::ask(pid, action, data.into(), nanos(timeout)).await
}

/// Ask every worker that is ready, this process too where it is one: one answer each.
pub async fn ask_app<T: DeserializeOwned>(
    action: &str,
    value: &(impl Serialize + ?Sized),
    timeout: Duration,
) -> Result<Vec<Answer<T>>, AskError> {
    let answers = ask_app_bytes(action, question(value)?, timeout).await?;
    let typed = answers
        .into_iter()
        .map(|one| Answer { pid: one.pid, result: one.result.and_then(|data| answer(&data)) });
    Ok(typed.collect())
}

/// [`ask_app`] with bytes as they are.
pub async fn ask_app_bytes(
    action: &str,
    data: impl Into<Vec<u8>>,
    timeout: Duration,
) -> Result<Vec<Answer<Vec<u8>>>, AskError> {
    host::ask_app(action, data.into(), nanos(timeout)).await
}

/// As WIT has it; what does not fit is longer than any timeout.
fn nanos(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
}
