//! The protocols of a broker, the child that connects to other hosts for an app's agent and workers.
//!
//! ```text
//!   master                                broker                           agent or worker (a peer)
//!     | ---- Boot (control) ---------------> |                                      |
//!     | ---- Peer + its socket (peers) ----> | ------------- Began ---------------> |
//!     |                                      | <------------ Ask(id) -------------- |
//!     |                                      | --- Connected(id) + a connection --> |
//!     |                                      |       or Failed(id)                  |
//!     | <--- Denied, Breach (control) ------ |                                      |
//! ```
//!
//! The control socket is a `link`; the others are `SOCK_SEQPACKET`, one message a packet (postcard), the fd
//! beside it. Peers have their sockets from their start to their end; the master keeps a copy of each
//! broker's end. So a socket outlives a broker: the next one gets it as well, leaves what it finds in it
//! unread, and says `Began`; the peer then asks again for whatever it still waits for.
//!
//! A peer runs next to a guest: what it asks is hostile until checked, and the broker alone decides. What a
//! peer may ask at once, and how often, is bounded; past it its socket is read later. Who breaks the
//! protocol is read no more, and the master ends it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    cluster::{Denials, DialError, Origin, Pid, Role},
    home::OutboundPolicy,
    manifest::OutboundHost,
};

/// The most bytes of a packet: one with the longest host fits.
pub const MAX_PACKET: usize = 512;

/// The most bytes of a frame to the master.
pub const MAX_REPORT: usize = 64 << 10;

/// The longest that connecting may take: looking the name up, and trying its addresses.
pub const MAX_WITHIN: Duration = Duration::from_secs(30);

/// From the master to a broker, on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToBroker {
    /// The first frame.
    Boot(Box<BrokerBoot>),
}

/// All that a broker must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerBoot {
    /// The app, for logs.
    pub app: String,
    /// What the agent's manifest grants.
    pub agent: Vec<OutboundHost>,
    /// What the workers' manifest grants.
    pub worker: Vec<OutboundHost>,
    /// What the home's policy leaves of it.
    pub policy: OutboundPolicy,
    /// As of any child.
    pub hang_timeout: Duration,
    /// What it may take.
    pub limits: BrokerLimits,
}

/// What a broker may take, by its app's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerLimits {
    /// Of private memory, in bytes.
    pub memory: u64,
    /// Files and sockets.
    pub open_files: u64,
    /// Share of the CPUs where these are short, 1 to 100.
    pub cpu_weight: u32,
    /// Bytes of log lines a second.
    pub log_rate: u64,
}

/// From the master to a broker, on the socket for peers. With an fd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Whose socket it is.
    pub pid: Pid,
    /// What it is: that decides what it is granted.
    pub role: Role,
}

/// From a broker to the master, on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromBroker {
    /// What was denied since the last time; at most once a second.
    Denied(Denials),
    /// A peer broke the protocol. It is read no more.
    Breach {
        /// Which.
        pid: Pid,
        /// For people.
        reason: String,
    },
}

/// A connection that is asked for, numbered by the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialId(pub u64);

/// From a peer to the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// To be given back.
    pub id: DialId,
    /// Where to. The host has at most [`crate::cluster::MAX_HOST`] bytes.
    pub to: Origin,
    /// Nobody waits for longer; at most [`MAX_WITHIN`].
    pub within: Duration,
}

/// From the broker to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A broker is there, and has read nothing of what was asked before.
    Began,
    /// Here it is. With its fd.
    Connected(DialId),
    /// There is none.
    Failed(DialId, DialError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{MAX_HOST, Scheme};

    #[test]
    fn the_longest_packet_fits() {
        let host = "a".repeat(MAX_HOST);
        let to = Origin { scheme: Scheme::Https, host, port: u16::MAX };
        let ask = Ask { id: DialId(u64::MAX), to, within: Duration::MAX };
        let packet = postcard::to_stdvec(&ask).unwrap();
        assert!(packet.len() <= MAX_PACKET, "{}", packet.len());
        assert_eq!(postcard::from_bytes::<Ask>(&packet).unwrap(), ask);
    }
}
