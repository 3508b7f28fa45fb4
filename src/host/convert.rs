//! Between the cluster's words and those of `wit/`.

use super::bindings::{v02, v03, words};
use crate::{
    cluster::{AskError, Process, Role, SendError, Sender, State},
    host::{Answer, Message},
};

impl From<Role> for words::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Agent => Self::Agent,
            Role::Worker => Self::Worker,
        }
    }
}

impl From<State> for words::State {
    fn from(state: State) -> Self {
        match state {
            State::Starting => Self::Starting,
            State::Ready => Self::Ready,
            State::Draining => Self::Draining,
        }
    }
}

impl From<Process> for words::Process {
    fn from(process: Process) -> Self {
        Self {
            pid: process.pid.0,
            role: process.role.into(),
            slot: process.slot,
            generation: process.generation,
            state: process.state.into(),
        }
    }
}

impl From<Sender> for words::Sender {
    fn from(sender: Sender) -> Self {
        Self { pid: sender.pid.0, role: sender.role.into(), slot: sender.slot }
    }
}

impl From<Message> for words::Message {
    fn from(message: Message) -> Self {
        Self { action: message.action.into(), data: message.data, sender: message.sender.into() }
    }
}

impl From<SendError> for words::SendError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::InvalidAction(why) => Self::InvalidAction(why.to_string()),
            SendError::TooLarge(limit) => Self::TooLarge(limit),
            SendError::Overloaded => Self::Overloaded,
            SendError::NoSuchProcess => Self::NoSuchProcess,
            SendError::Unavailable => Self::Unavailable,
        }
    }
}

macro_rules! asked {
    ($version:ident) => {
        const _: () = {
            use $version::hatchery::cluster::requests;

            impl From<AskError> for requests::AskError {
                fn from(error: AskError) -> Self {
                    match error {
                        AskError::Timeout => Self::Timeout,
                        AskError::NoSuchProcess => Self::NoSuchProcess,
                        AskError::NoResponder => Self::NoResponder,
                        AskError::Failed(why) => Self::Failed(why),
                        AskError::Overloaded => Self::Overloaded,
                        AskError::InvalidAction(why) => Self::InvalidAction(why),
                        AskError::TooLarge(limit) => Self::TooLarge(limit),
                    }
                }
            }

            impl From<Answer> for requests::Answer {
                fn from(answer: Answer) -> Self {
                    Self { pid: answer.pid.0, result: answer.result.map(Into::into).map_err(Into::into) }
                }
            }
        };
    };
}

asked!(v02);
asked!(v03);
