//! The words that both versions of `wit/` have in common, once: `types` and the errors of `messenger`.
//!
//! Generated code of [`super::bindings`] takes them from here, so that what a message carries goes to a guest from
//! the buffer in which it came. They are as `wit/` has them: wasmtime holds them against each component that is linked.

use bytes::Bytes;
use wasmtime::component::{ComponentType, Lower};

/// `types.pid`.
pub type Pid = u64;

/// `types.duration`, in nanoseconds.
pub type Duration = u64;

/// `types.role`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Role {
    #[component(name = "agent")]
    Agent,
    #[component(name = "worker")]
    Worker,
}

/// `types.state`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum State {
    #[component(name = "starting")]
    Starting,
    #[component(name = "ready")]
    Ready,
    #[component(name = "draining")]
    Draining,
}

/// `types.process`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Process {
    pub pid: Pid,
    pub role: Role,
    pub slot: u32,
    pub generation: u64,
    pub state: State,
}

/// `types.app`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct App {
    pub name: String,
    pub version: String,
}

/// `types.sender`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Sender {
    pub pid: Pid,
    pub role: Role,
    pub slot: u32,
}

/// `types.message`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Message {
    pub action: String,
    pub data: Bytes,
    pub sender: Sender,
}

/// `messenger.error`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(variant)]
pub enum SendError {
    #[component(name = "invalid-action")]
    InvalidAction(String),
    #[component(name = "too-large")]
    TooLarge(u64),
    #[component(name = "overloaded")]
    Overloaded,
    #[component(name = "no-such-process")]
    NoSuchProcess,
    #[component(name = "unavailable")]
    Unavailable,
}
