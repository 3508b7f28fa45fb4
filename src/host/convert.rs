//! Between the cluster's words and those generated from `wit/`, in both versions.

use super::bindings::{v02, v03};
use crate::{
    cluster::{AskError, Process, Role, SendError, Sender, State},
    host::{Answer, Message},
};

macro_rules! words {
    ($version:ident) => {
        const _: () = {
            use $version::hatchery::cluster::{messenger, requests, types};

            impl From<Role> for types::Role {
                fn from(role: Role) -> Self {
                    match role {
                        Role::Agent => Self::Agent,
                        Role::Worker => Self::Worker,
                    }
                }
            }

            impl From<State> for types::State {
                fn from(state: State) -> Self {
                    match state {
                        State::Starting => Self::Starting,
                        State::Ready => Self::Ready,
                        State::Draining => Self::Draining,
                    }
                }
            }

            impl From<Process> for types::Process {
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

            impl From<Sender> for types::Sender {
                fn from(sender: Sender) -> Self {
                    Self { pid: sender.pid.0, role: sender.role.into(), slot: sender.slot }
                }
            }

            impl From<Message> for types::Message {
                fn from(message: Message) -> Self {
                    Self {
                        action: message.action.into(),
                        data: message.data.into(),
                        sender: message.sender.into(),
                    }
                }
            }

            impl From<SendError> for messenger::Error {
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

words!(v02);
words!(v03);
