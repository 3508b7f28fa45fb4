//! What `on_message` and `on_request` are given.

use crate::cluster::Sender;
use crate::{Error, Result};
use serde::de::DeserializeOwned;

/// A message or a question from a process of the same app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name, 1 to 256 bytes.
    pub action: String,
    /// What the sender gave, often JSON. Check it: the sender may be another version of the app.
    pub data: Vec<u8>,
    /// Who sent it; the master says so, not the sender.
    pub sender: Sender,
}

impl Message {
    /// The data as JSON; the error names action and sender.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.data).map_err(|e| {
            Error::from(e).context(format_args!(
                "message `{}` of process {} is not the json expected",
                self.action, self.sender.pid
            ))
        })
    }

    /// The data as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}
