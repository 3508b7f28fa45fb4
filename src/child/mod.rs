//! What agents and workers have in common: the life of a child of the master.
//!
//! A child says Hello, gets its [`Boot`](crate::ipc::message::Boot), loads its component, starts its
//! resident instance, and then hears what the master sends until it is told to stop. If the master
//! goes, it goes at once.

mod asks;
mod broker;
mod cluster;
mod inbox;
mod instance;
mod load;
mod outgoing;
mod process;
mod pulse;

pub use cluster::Cluster;
pub use inbox::{Event, Inbox};
pub use instance::Instance;
pub(crate) use instance::settings;
pub use load::load;
pub use process::Child;
pub(crate) use pulse::start as beat;
