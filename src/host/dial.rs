//! How a guest's requests get a connection. The process hands it in, as it does the messenger.

use std::pin::Pin;

use tokio::net::TcpStream;

use crate::cluster::{DialError, Origin};

/// A connection to come.
pub type Dialling = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>> + Send>>;

/// Who connects, and decides whether that may be.
pub trait Dial: Send + Sync {
    /// Connects, if it may. Nobody waits for longer than `within` (the caller sees to that); dropping the
    /// future gives it up.
    fn dial(&self, to: Origin, within: std::time::Duration) -> Dialling;
}
