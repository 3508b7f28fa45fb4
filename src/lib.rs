//! Hatchery
pub mod agent;
pub mod child;
pub mod cli;
pub mod cluster;
pub mod compiler;
pub mod host;
pub mod ipc;
pub mod log;
pub mod manifest;
pub mod master;
#[expect(unsafe_code, reason = "the one place that talks to the operating system")]
pub mod sys;
pub mod worker;
