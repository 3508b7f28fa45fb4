//! Hatchery
pub mod cluster;
pub mod ipc;
pub mod manifest;
