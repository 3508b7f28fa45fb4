//! `hatchery-sdk` on WASI 0.2. The sources are those in `../sdk`, read the documentation there; only
//! `host/` is this package's own.
//!
//! Here every `async fn` of the SDK blocks the instance and is ready when it returns, so one call
//! runs at a time, and what is given to `spawn` runs when the call that spawned it has answered.

#[path = "../../sdk/src/body.rs"]
pub mod body;
#[path = "../../sdk/src/cluster.rs"]
pub mod cluster;
#[path = "../../sdk/src/error.rs"]
mod error;
#[path = "../../sdk/src/export.rs"]
mod export;
#[path = "../../sdk/src/fetch.rs"]
pub mod fetch;
#[doc(hidden)]
pub mod host;
#[path = "../../sdk/src/message.rs"]
mod message;
#[path = "../../sdk/src/messenger.rs"]
mod messenger;
#[path = "../../sdk/src/request.rs"]
mod request;
#[path = "../../sdk/src/requests.rs"]
mod requests;
#[path = "../../sdk/src/response.rs"]
mod response;
#[path = "../../sdk/src/roles.rs"]
mod roles;
#[path = "../../sdk/src/sync.rs"]
mod sync;
#[path = "../../sdk/src/time.rs"]
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
