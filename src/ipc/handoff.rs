//! The protocol on a worker's handoff socket: how accepted connections reach it.
//!
//! ```text
//!   master                              worker
//!     | --------- Offer(id) ------------> |
//!     | <-- Accept(id) or Refuse(id) ---- |   no answer in time: the next worker is asked
//!     |       or Busy(id)                 |   all are busy: Insist(id) instead of Offer(id)
//!     | ------ Connection(id) + fd -----> |   only after Accept, so no fd is ever in two places
//!     | <--------- Taken(id) ------------ |   before its first byte is read; the master drops its copy
//!     | <--------- Closed(id) ----------- |
//!     | ------------ Closing -----------> |   nothing more comes
//! ```
//!
//! A `SOCK_SEQPACKET` pair, one message a packet (postcard), the fd beside it. If the worker dies
//! before `Taken`, the master still has the connection and offers it to another one: nothing that
//! was accepted is lost. With `balance = "shared"` there is no handoff socket; workers inherit the
//! listener.

use serde::{Deserialize, Serialize};

/// A connection, numbered by the master; unique in the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// The most bytes of a packet.
pub const MAX_PACKET: usize = 64;

/// From the master to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Would you take one?
    Offer(ConnectionId),
    /// Here it is. With its fd.
    Connection(ConnectionId),
    /// Nothing more comes: the process is to stop.
    Closing,
    /// Would you take one, though your guest computes? Nobody else is there to.
    Insist(ConnectionId),
}

/// From a worker to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// Yes.
    Accept(ConnectionId),
    /// No: it has as many as it may have, or is stopping.
    Refuse(ConnectionId),
    /// It is served; the master may drop its copy.
    Taken(ConnectionId),
    /// It is closed.
    Closed(ConnectionId),
    /// Rather not: its guest computes, and what is asked of it now waits.
    Busy(ConnectionId),
}
