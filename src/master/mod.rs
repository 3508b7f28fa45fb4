//! The master: spawns, watches, routes and listens. It runs no guest code and does not die.
//!
//! ```text
//!   run (foreground) --> reload (SIGHUP, `hatchery dev`): the next release
//!     |
//!   serve (service) --> admin (its socket) --> deploy: jobs, and what is restored; on file in `home`
//!     |                                          |--> store: asks storekeepers (a child per request)
//!     |                                          v
//!     |----------------------------------> release -> compile -> cache, or compiler (a child per component)
//!     v
//!   apps -> app, one for each, with one of these per generation:
//!                             state (what happens next)   pure
//!                             router (who gets what)      pure
//!                             children (links, exits), broker (its own)
//!                             front -> listeners -> balance (pure), handoff
//! ```
//!
//! All of it is one thread's. `sys::spawn` has another, which starts the children, and `pace` one, which sees to
//! it that who computes does not hold up who serves; what reads or writes files goes to the runtime's own.
mod admin;
mod app;
mod apps;
mod arguments;
mod authorities;
mod balance;
mod bind;
mod broker;
mod children;
mod compile;
mod compiler;
mod crash;
mod deploy;
mod exit;
mod front;
mod groups;
mod handoff;
mod heartbeat;
mod helpers;
mod isolation;
mod ledger;
mod listeners;
mod manager;
mod measure;
mod native;
mod os_pid;
mod pace;
mod pids;
mod plan;
mod reason;
mod release;
mod reload;
mod resolver;
mod router;
mod run;
mod serve;
mod signals;
mod stamp;
mod state;
mod status;
mod stdout;
mod steps;
mod store;
mod taken;
mod tenants;
mod turns;
mod witness;

pub use compile::{Compiled, Order, compile};
pub(crate) use isolation::prepare;
pub use reload::{Load, Wish, Wishes};
pub use run::{Options, run};
pub use serve::{Lifetime, SERVING, Service, serve};
pub use status::{
    AppStatus, BrokerStatus, Denied, GenerationState, GenerationStatus, Helper, HelperStatus, LimitStatus,
    ProcessStatus, Sandbox, Scope, SlotStatus, Traffic, Unit,
};
