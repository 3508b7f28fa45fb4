//! `hatchery.toml` -> [`App`].
mod app;
mod outbound;
mod schedule;

pub use app::{Agent, App, Balance, Build, Capabilities, Component, Folder, InstanceMode, Limits, Worker};
pub use outbound::OutboundHost;
pub use schedule::{MIN_INTERVAL, Overlap, RunOn, Schedule, Trigger};
