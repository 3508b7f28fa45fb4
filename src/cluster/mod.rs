//! The cluster's words: processes, actions, receivers and errors, as `wit/` has them.
//!
//! Everybody uses these (host, ipc, roles); they use nobody. Nothing here does I/O.

mod action;
mod denials;
mod errors;
mod limit;
mod origin;
mod process;
mod rate;
mod target;

pub use action::{Action, InvalidAction, MAX_ACTION_BYTES, RESERVED_PREFIX};
pub use denials::Denials;
pub use errors::{AskError, SendError};
pub use limit::Limit;
pub use origin::{DialError, MAX_HOST, Origin, Scheme, Why};
pub use process::{Pid, Process, Role, Sender, State};
pub use rate::{MESSAGE_UNIT, Rate, message_cost};
pub use target::{AskTarget, Target, queued_bytes};
