//! Guests for Hatchery in Rust: one trait for a worker, one for an agent, and what they call.
//!
//! ```text
//!   your type ── impl Worker ── worker!(Type) ──► wasi:http/handler, hatchery:cluster/{lifecycle,…}
//!       │
//!       └── broadcast, ask_agent, cluster::this, fetch, sleep, spawn ──► host/ ──► imports
//! ```
//!
//! An instance lives as long as its process: what the type holds stays from request to request. The
//! type is made once with `Default` and every method gets `&'static self`, so keep state in it, in
//! `Cell` and `RefCell` (an instance has one thread; only never hold a `RefCell` borrow over an
//! `.await`, since on WASI 0.3 other requests run meanwhile).
//!
//! ```no_run
//! use hatchery_sdk::{Request, Response, Result, Worker};
//! #[derive(Default)]
//! struct Hello { calls: std::cell::Cell<u64> }
//! impl Worker for Hello {
//!     async fn handle(&'static self, _: Request) -> Result<Response> {
//!         self.calls.set(self.calls.get() + 1);
//!         Ok(Response::text(format!("hello, call {}\n", self.calls.get())))
//!     }
//! }
//! hatchery_sdk::worker!(Hello);
//! ```
//!
//! Two packages have these sources: `hatchery-sdk` for WASI 0.3 and `hatchery-sdk-p2` for WASI 0.2,
//! where the same `async fn`s block and one call runs at a time. What differs is in `host/`.

pub mod body;
pub mod cluster;
mod error;
mod export;
pub mod fetch;
#[doc(hidden)]
pub mod host;
mod message;
mod messenger;
mod request;
mod requests;
mod response;
mod roles;
mod sync;
mod time;

pub use body::{Body, BodyWriter};
pub use error::{Error, Result};
pub use fetch::fetch;
pub use host::{sleep, spawn};
pub use message::Message;
pub use messenger::{
    SendError, broadcast, broadcast_bytes, send_random, send_random_bytes, send_to, send_to_agent,
    send_to_agent_bytes, send_to_app, send_to_app_bytes, send_to_bytes,
};
pub use request::Request;
pub use requests::{Answer, AskError, ask, ask_agent, ask_agent_bytes, ask_app, ask_app_bytes, ask_bytes};
pub use response::Response;
pub use roles::{Agent, Worker};
pub use sync::{Guard, Lock, Watch};
pub use time::{duration_of_env, now_rfc3339, timeout};
