//! Hosting a component: everything that knows wasmtime, and nothing that knows a role or the wire.
//!
//! A process makes one [`Engine`], loads its component into a [`Guest`], and runs it as one
//! [`resident`] instance or as a fresh instance [`per_request`]. What guests send goes out through
//! the [`Messenger`] that the process hands in, and requests to other hosts through [`Outgoing`].
//!
//! ```text
//!   engine ── linker ── guest (pre-instantiated, exports found)
//!                         ├── resident: one store, one task, many jobs at once
//!                         └── per_request: a store for each request
//! ```

mod again;
mod bindings;
mod body;
mod calls;
mod clock;
mod compile;
mod convert;
mod dial;
mod engine;
mod exchange;
mod gate;
mod guest;
mod handle;
mod handles;
mod http;
mod imports;
mod jobs;
mod limits;
mod linker;
mod messenger;
mod meter;
mod outbound;
mod outgoing;
mod output;
mod per_request;
mod request_body;
mod resident;
mod store;
mod trap;
mod wasi;

pub use body::ResponseBody;
pub use clock::Computing;
pub use compile::{Native, compile, settings};
pub use dial::{Dial, Dialling};
pub use engine::{Engine, Purpose, pool_reserve};
pub use gate::Requests;
pub use guest::{Guest, Wasi};
pub use handle::{Busy, Handle};
pub use http::{Failure, IncomingRequest, Response};
pub use jobs::{Job, Message, Reply};
pub use messenger::{Answer, Messenger, Waiting};
pub use outgoing::{OnHit, Outgoing, OutgoingOptions};
pub use output::Stream;
pub use per_request::PerRequest;
pub use request_body::{BodyFailure, BodyLimits, RequestBody, Upload};
pub use resident::{Ended, Resident};
pub use store::{Settings, Writes};
