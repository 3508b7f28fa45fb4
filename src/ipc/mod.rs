//! What goes between the master and its children. Knows no role.

pub mod blackbox;
pub mod codec;
pub mod compile;
pub mod counters;
pub mod handoff;
pub mod heartbeat;
pub mod link;
pub mod message;
mod queue;
