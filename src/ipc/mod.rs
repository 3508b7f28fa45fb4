//! What goes between the master and its children. Knows no role.

pub mod blackbox;
pub mod broker;
pub mod codec;
pub mod compile;
pub mod counters;
pub mod denials;
pub mod handoff;
pub mod heartbeat;
pub mod link;
pub mod message;
mod queue;
pub mod store;
