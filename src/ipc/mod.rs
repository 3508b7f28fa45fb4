//! What goes between the master and its children. Knows no role.
pub mod handoff;
pub mod message;
