//! The events of one long request, from who does it to who asked.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::reply::{Body, boxed};
use crate::admin::Event;

/// Says what happens. Whoever asked may have gone; that stops nothing.
#[derive(Clone, Debug)]
pub(in super::super) struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    /// And the answer's body, which ends when the last clone is dropped. A request has a dozen events
    /// at most, so nothing bounds the channel.
    pub(in super::super) fn new() -> (Self, Body) {
        let (to, from) = mpsc::unbounded_channel();
        let lines = stream::unfold(from, |mut from| async move {
            let event = from.recv().await?;
            let mut line = serde_json::to_vec(&event).unwrap_or_default();
            line.push(b'\n');
            Some((Ok(Frame::data(Bytes::from(line))), from))
        });
        (Self(to), boxed(StreamBody::new(lines.boxed())))
    }

    /// Nobody wants to know.
    pub(in super::super) fn none() -> Self {
        Self(mpsc::unbounded_channel().0)
    }

    pub(in super::super) fn say(&self, event: Event) {
        let _ = self.0.send(event);
    }
}
