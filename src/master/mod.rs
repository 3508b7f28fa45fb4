//! The master: spawns, watches, routes and listens. It runs no guest code and does not die.
//!
//! ```text
//!   run -> release -> compile (a child per component)
//!     \--> reload (SIGHUP): the next release
//!     \--> app, one for each, with one of these per generation:
//!                             state (what happens next)   pure
//!                             router (who gets what)      pure
//!                             children (links, exits)
//!                             front -> listeners -> balance (pure), handoff
//! ```
mod admin;
mod app;
mod apps;
mod arguments;
mod balance;
mod bind;
mod children;
mod compile;
mod crash;
mod deploy;
mod exit;
mod front;
mod groups;
mod handoff;
mod heartbeat;
mod isolation;
mod listeners;
mod manager;
mod measure;
mod native;
mod os_pid;
mod pids;
mod plan;
mod reason;
mod release;
mod reload;
mod router;
mod run;
mod serve;
mod signals;
mod state;
mod status;
mod steps;
mod store;
mod witness;

pub use compile::{Compiled, compile};
pub use reload::Load;
pub use run::{Options, run};
pub use serve::{Lifetime, SERVING, Service, serve};
pub use status::{AppStatus, GenerationState, GenerationStatus, ProcessStatus, Sandbox, SlotStatus, Traffic};
