//! The questions that a process has asked and that are not yet answered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, timeout_at},
};

use crate::{
    cluster::{AskError, Pid},
    host::Answer,
    ipc::message::AskId,
};

/// The most open questions of one process.
const MAX_OPEN: usize = 1024;

/// What the master says of a question.
#[derive(Debug)]
pub(super) enum Heard {
    /// Who was asked.
    Asked(Vec<Pid>),
    /// One answer, or why there is none.
    Answered(Option<Pid>, Result<Bytes, AskError>),
}

/// The open ones.
#[derive(Clone, Default)]
pub(super) struct Asks(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    last: u64,
    open: HashMap<AskId, UnboundedSender<Heard>>,
}

impl Asks {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new one; none where too many are open.
    pub(super) fn open(&self) -> Option<Open> {
        let mut table = self.lock();
        if table.open.len() >= MAX_OPEN {
            return None;
        }
        table.last += 1;
        let id = AskId(table.last);
        let (sender, heard) = unbounded_channel();
        table.open.insert(id, sender);
        Some(Open { id, heard, asks: self.clone() })
    }

    /// Too late, if nobody waits any more: dropped. The master counts those.
    pub(super) fn heard(&self, ask: AskId, heard: Heard) {
        if let Some(waiting) = self.lock().open.get(&ask) {
            let _ = waiting.send(heard);
        }
    }
}

/// One open question. Dropping it forgets it.
pub(super) struct Open {
    id: AskId,
    heard: UnboundedReceiver<Heard>,
    asks: Asks,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.asks.lock().open.remove(&self.id);
    }
}

impl Open {
    pub(super) fn id(&self) -> AskId {
        self.id
    }

    /// Waits for the one answer.
    pub(super) async fn one(&mut self, timeout: Duration) -> Result<Bytes, AskError> {
        let deadline = Instant::now() + timeout;
        loop {
            match timeout_at(deadline, self.heard.recv()).await {
                Ok(Some(Heard::Answered(_, result))) => return result,
                Ok(Some(Heard::Asked(_))) => {}
                Ok(None) | Err(_) => return Err(AskError::Timeout),
            }
        }
    }

    /// Waits for an answer from each who was asked; those that do not come in time are marked.
    pub(super) async fn all(&mut self, timeout: Duration) -> Result<Vec<Answer>, AskError> {
        let deadline = Instant::now() + timeout;
        let mut asked: Option<Vec<Pid>> = None;
        let mut answers: Vec<Answer> = Vec::new();
        while asked.as_ref().is_none_or(|asked| answers.len() < asked.len()) {
            match timeout_at(deadline, self.heard.recv()).await {
                Ok(Some(Heard::Asked(pids))) => asked = Some(pids),
                Ok(Some(Heard::Answered(Some(pid), result))) => answers.push(Answer { pid, result }),
                Ok(Some(Heard::Answered(None, Err(error)))) => return Err(error),
                Ok(Some(Heard::Answered(None, Ok(_)))) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let asked = asked.ok_or(AskError::Timeout)?;
        Ok(asked
            .into_iter()
            .map(|pid| match answers.iter().position(|answer| answer.pid == pid) {
                Some(at) => answers.swap_remove(at),
                None => Answer { pid, result: Err(AskError::Timeout) },
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pid: u64, text: &'static str) -> Heard {
        Heard::Answered(Some(Pid(pid)), Ok(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn one_answer_for_each_who_was_asked() {
        let asks = Asks::default();
        let mut open = asks.open().expect("there is room");
        let id = open.id();
        asks.heard(id, Heard::Asked(vec![Pid(1), Pid(2), Pid(3)]));
        asks.heard(id, answer(3, "c"));
        asks.heard(id, Heard::Answered(Some(Pid(1)), Err(AskError::NoResponder)));
        let answers = open.all(Duration::from_millis(20)).await.expect("somebody was asked");
        assert_eq!(
            answers,
            [
                Answer { pid: Pid(1), result: Err(AskError::NoResponder) },
                Answer { pid: Pid(2), result: Err(AskError::Timeout) },
                Answer { pid: Pid(3), result: Ok(Bytes::from_static(b"c")) },
            ]
        );
    }

    #[tokio::test]
    async fn a_late_answer_is_dropped() {
        let asks = Asks::default();
        let mut open = asks.open().expect("there is room");
        let id = open.id();
        assert_eq!(open.one(Duration::from_millis(1)).await, Err(AskError::Timeout));
        drop(open);
        asks.heard(id, answer(1, "late"));
        assert!(asks.lock().open.is_empty());
    }

    #[test]
    fn open_questions_are_bounded() {
        let asks = Asks::default();
        let open: Vec<_> = std::iter::from_fn(|| asks.open()).take(MAX_OPEN + 1).collect();
        assert_eq!(open.len(), MAX_OPEN);
        drop(open);
        assert!(asks.open().is_some());
    }
}
