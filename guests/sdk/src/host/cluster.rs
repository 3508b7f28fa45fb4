//! The cluster's side of the WIT in the SDK's own types. `hatchery-sdk-p2` has this file too: the
//! bindings of both versions look the same, apart from `async`.

use super::bindings::hatchery::cluster as wit;
use crate::cluster::{App, Process, Role, Sender, State};
use crate::{Answer, AskError, Message, SendError};

pub(crate) fn this() -> Process {
    wit::cluster::self_().into()
}

pub(crate) fn processes() -> Vec<Process> {
    all(wit::cluster::processes())
}

pub(crate) fn app() -> App {
    let app = wit::cluster::app();
    App { name: app.name, version: app.version }
}

pub(crate) fn broadcast(action: &str, data: &[u8]) -> Result<(), SendError> {
    Ok(wit::messenger::broadcast(action, data)?)
}

pub(crate) fn send_to_app(action: &str, data: &[u8]) -> Result<(), SendError> {
    Ok(wit::messenger::send_to_app(action, data)?)
}

pub(crate) fn send_to_agent(action: &str, data: &[u8]) -> Result<(), SendError> {
    Ok(wit::messenger::send_to_agent(action, data)?)
}

pub(crate) fn send_random(action: &str, data: &[u8]) -> Result<(), SendError> {
    Ok(wit::messenger::send_random(action, data)?)
}

pub(crate) fn send_to(pid: u64, action: &str, data: &[u8]) -> Result<(), SendError> {
    Ok(wit::messenger::send_to(pid, action, data)?)
}

pub(super) fn answers(answers: Vec<wit::requests::Answer>) -> Vec<Answer<Vec<u8>>> {
    let one = |a: wit::requests::Answer| Answer { pid: a.pid, result: a.result.map_err(AskError::from) };
    answers.into_iter().map(one).collect()
}

/// For the export macros.
pub fn all(processes: Vec<wit::types::Process>) -> Vec<Process> {
    processes.into_iter().map(Process::from).collect()
}

impl From<wit::types::Role> for Role {
    fn from(role: wit::types::Role) -> Self {
        match role {
            wit::types::Role::Agent => Self::Agent,
            wit::types::Role::Worker => Self::Worker,
        }
    }
}

impl From<wit::types::State> for State {
    fn from(state: wit::types::State) -> Self {
        match state {
            wit::types::State::Starting => Self::Starting,
            wit::types::State::Ready => Self::Ready,
            wit::types::State::Draining => Self::Draining,
        }
    }
}

impl From<wit::types::Process> for Process {
    fn from(p: wit::types::Process) -> Self {
        Self {
            pid: p.pid,
            role: p.role.into(),
            slot: p.slot,
            generation: p.generation,
            state: p.state.into(),
        }
    }
}

impl From<wit::types::Message> for Message {
    fn from(m: wit::types::Message) -> Self {
        let sender = Sender { pid: m.sender.pid, role: m.sender.role.into(), slot: m.sender.slot };
        Self { action: m.action, data: m.data, sender }
    }
}

impl From<wit::messenger::Error> for SendError {
    fn from(error: wit::messenger::Error) -> Self {
        use wit::messenger::Error as E;
        match error {
            E::InvalidAction(why) => Self::InvalidAction(why),
            E::TooLarge(limit) => Self::TooLarge(limit),
            E::Overloaded => Self::Overloaded,
            E::NoSuchProcess => Self::NoSuchProcess,
            E::Unavailable => Self::Unavailable,
        }
    }
}

impl From<wit::requests::AskError> for AskError {
    fn from(error: wit::requests::AskError) -> Self {
        use wit::requests::AskError as E;
        match error {
            E::Timeout => Self::Timeout,
            E::NoSuchProcess => Self::NoSuchProcess,
            E::NoResponder => Self::NoResponder,
            E::Failed(why) => Self::Failed(why),
            E::Overloaded => Self::Overloaded,
            E::InvalidAction(why) => Self::InvalidAction(why),
            E::TooLarge(limit) => Self::TooLarge(limit),
        }
    }
}
