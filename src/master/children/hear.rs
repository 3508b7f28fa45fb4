//! What a child sends, frame by frame, until its end of the socket is closed or it breaks the protocol. Part
//! of `children`, which starts the task; `manners` says what may come.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{ChildEvent, Events, Happening, manners::Manners};
use crate::{
    cluster::Pid,
    ipc::{
        blackbox, denials,
        link::{LinkError, Reader},
        message::{MAX_TRAP, ToMaster},
    },
    master::{
        reason::{MAX_REASON, broke, cut},
        witness::Witness,
    },
};

/// A child must have said Hello by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Passes on what the child sends, until its end of the socket is closed or it breaks the protocol; each
/// frame in its app's turn.
pub(super) async fn read(
    pid: Pid,
    mut reader: Reader<ToMaster>,
    mut manners: Manners,
    events: Events,
    witness: Arc<Witness>,
) {
    let hello = timeout(HELLO_TIMEOUT, reader.next()).await;
    let Ok(mut next) = hello else {
        let within = humantime::format_duration(HELLO_TIMEOUT);
        let reason = format!("did not say hello within {within}");
        witness.accuse(&reason);
        let what = Happening::Failed(reason);
        let _ = events.send(ChildEvent { pid, what }).await;
        return;
    };
    let mut denied = None;
    loop {
        let what = match next {
            Ok(Some((frame, data))) => {
                events.spend(data.len());
                match manners.check(&frame, &data) {
                    Ok(()) if is_too_soon(&frame, &mut denied) => None,
                    Ok(()) => heard(frame, data, &witness),
                    Err(breach) => Some(Happening::Failed(broke(breach))),
                }
            }
            Ok(None) => return,
            Err(error) => Some(Happening::Failed(why(error))),
        };
        if let Some(what) = what {
            let failed = matches!(what, Happening::Failed(_));
            if let Happening::Failed(reason) = &what {
                witness.accuse(reason);
            }
            if events.send(ChildEvent { pid, what }).await.is_err() || failed {
                return;
            }
        }
        events.share.turn().await;
        next = reader.next().await;
    }
}

/// Why nothing more is read.
fn why(error: LinkError) -> String {
    match error {
        LinkError::Frame(error) => broke(format_args!("sent {:#}", anyhow::Error::from(error))),
        LinkError::Fds => broke(format_args!("sent {error}")),
        LinkError::Io(_) | LinkError::Cut => format!("{:#}", anyhow::Error::from(error)),
    }
}

/// A report of denials that comes before its time is left out: it could be one of a flood.
fn is_too_soon(frame: &ToMaster, last: &mut Option<Instant>) -> bool {
    if !matches!(frame, ToMaster::Denied(_)) {
        return false;
    }
    let is_too_soon = last.is_some_and(|last| last.elapsed() < denials::EVERY / 2);
    if !is_too_soon {
        *last = Some(Instant::now());
    }
    is_too_soon
}

/// What a frame that may come means to the app.
fn heard(frame: ToMaster, data: Bytes, witness: &Witness) -> Option<Happening> {
    match frame {
        ToMaster::Hello { .. } => None,
        ToMaster::Ready => Some(Happening::Ready),
        ToMaster::StartFailed { mut reason } => {
            cut(&mut reason, MAX_REASON);
            Some(Happening::Failed(reason))
        }
        ToMaster::Trapped { mut reason, mut requests } => {
            cut(&mut reason, MAX_TRAP);
            requests.truncate(blackbox::REQUESTS);
            witness.trapped(&reason, requests);
            None
        }
        ToMaster::Ends { mut reason } => {
            cut(&mut reason, MAX_REASON);
            witness.said(reason);
            None
        }
        ToMaster::Sandboxed(report) => {
            let accepted = report.is_bounded() && witness.shut_in(report);
            (!accepted).then(|| Happening::Failed(broke("said twice or at length what it is shut in")))
        }
        frame => Some(Happening::Frame(frame, data)),
    }
}
