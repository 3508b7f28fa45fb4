//! The master: spawns, watches, routes and listens. It runs no guest code and does not die.
//!
//! ```text
//!   run -> compile (a child per component)
//!     \--> app, one for each: state (what happens next)   pure
//!                             router (who gets what)      pure
//!                             children (links, exits)
//!                             front -> listeners -> balance (pure), handoff
//! ```
mod app;
mod arguments;
mod balance;
mod children;
mod compile;
mod crash;
mod exit;
mod front;
mod handoff;
mod heartbeat;
mod listeners;
mod pids;
mod reason;
mod router;
mod run;
mod state;
mod status;
mod witness;

pub use compile::{Compiled, compile};
pub use run::{Options, run};
pub use status::{AppStatus, ProcessStatus, SlotStatus, StatusRequest};
