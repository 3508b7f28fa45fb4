//! The admin socket's server (`crate::admin` has the words). `serve` owns it. What a request asks for
//! is done elsewhere; here it is read, bounded, and answered.

mod events;
mod granted;
mod listen;
mod reply;
mod routes;
mod seats;

pub(super) use events::Events;
pub(super) use listen::Socket;
