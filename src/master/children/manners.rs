//! What a child may send, and when: its frames in their order, whatever is in them. Pure.
//!
//! ```text
//!   silent -- Hello --> starting -- Ready --> ready
//!                          \-- StartFailed --> over
//! ```
//!
//! `children` asks for every frame. What only the routes know, such as whether a question was asked, is
//! `router`'s.

use bytes::Bytes;

use crate::{
    cluster::Role,
    ipc::message::{PROTOCOL, ToMaster},
};

/// Where a child is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Silent,
    Starting,
    Ready,
    /// Its start has failed, or it has said why it ends.
    Over,
}

/// One child's.
#[derive(Debug)]
pub(super) struct Manners {
    role: Role,
    stage: Stage,
}

impl Manners {
    pub(super) fn new(role: Role) -> Self {
        Self { role, stage: Stage::Silent }
    }

    /// May this come now? Else what is wrong with it: the child is to be killed.
    pub(super) fn check(&mut self, frame: &ToMaster, data: &Bytes) -> Result<(), String> {
        if !data.is_empty() && !may_have_data(frame) {
            return Err(format!("sent {} bytes of data with a frame that has none", data.len()));
        }
        self.stage = self.next(frame)?;
        self.check_role(frame)
    }

    fn next(&self, frame: &ToMaster) -> Result<Stage, String> {
        match (self.stage, frame) {
            (Stage::Silent, ToMaster::Hello { protocol: PROTOCOL }) => Ok(Stage::Starting),
            (Stage::Silent, ToMaster::Hello { protocol }) => Err(format!(
                "it speaks protocol {protocol} and not {PROTOCOL}: the binary was replaced; restart hatchery"
            )),
            (Stage::Silent, _) => Err("did not say hello first".to_owned()),
            (_, ToMaster::Hello { .. }) => Err("said hello twice".to_owned()),
            (Stage::Over, ToMaster::Ends { .. }) => Err("said twice why it ends".to_owned()),
            (Stage::Starting, ToMaster::Ready) => Ok(Stage::Ready),
            (Stage::Starting, ToMaster::StartFailed { .. }) => Ok(Stage::Over),
            (_, ToMaster::Ready | ToMaster::StartFailed { .. }) => {
                Err("sent a frame of its start when it had started".to_owned())
            }
            (_, ToMaster::Ends { .. }) => Ok(Stage::Over),
            (
                Stage::Starting,
                ToMaster::Recycle { .. } | ToMaster::Checked { .. } | ToMaster::TaskDone { .. },
            ) => Err("sent a frame of one that has started before it had".to_owned()),
            (
                stage,
                ToMaster::Send { .. }
                | ToMaster::Ask { .. }
                | ToMaster::Answer { .. }
                | ToMaster::Consumed { .. }
                | ToMaster::RunTask { .. }
                | ToMaster::TaskDone { .. }
                | ToMaster::Trapped { .. }
                | ToMaster::Recycle { .. }
                | ToMaster::Checked { .. }
                | ToMaster::Denied(_)
                | ToMaster::Sandboxed(_),
            ) => Ok(stage),
        }
    }

    fn check_role(&self, frame: &ToMaster) -> Result<(), String> {
        match (self.role, frame) {
            (Role::Worker, ToMaster::RunTask { .. }) => Err("asked for a task though it is not the agent"),
            (Role::Agent, ToMaster::Checked { .. }) => Err("answered a health check though it is the agent"),
            (Role::Agent, ToMaster::TaskDone { .. }) => Err("ended a task though it is the agent"),
            _ => Ok(()),
        }
        .map_err(str::to_owned)
    }
}

fn may_have_data(frame: &ToMaster) -> bool {
    match frame {
        ToMaster::Send { .. } | ToMaster::Ask { .. } => true,
        ToMaster::Answer { outcome, .. } => outcome.is_ok(),
        ToMaster::RunTask { has_payload, .. } => *has_payload,
        ToMaster::Hello { .. }
        | ToMaster::Ready
        | ToMaster::StartFailed { .. }
        | ToMaster::Consumed { .. }
        | ToMaster::TaskDone { .. }
        | ToMaster::Trapped { .. }
        | ToMaster::Recycle { .. }
        | ToMaster::Ends { .. }
        | ToMaster::Checked { .. }
        | ToMaster::Denied(_)
        | ToMaster::Sandboxed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        cluster::{Action, AskError, AskTarget, Target},
        ipc::message::{AskId, CheckId, QuestionId, RunId},
        manifest::RunOn,
    };

    fn action() -> Action {
        Action::try_from("a".to_owned()).unwrap()
    }

    fn hello() -> ToMaster {
        ToMaster::Hello { protocol: PROTOCOL }
    }

    fn send() -> ToMaster {
        ToMaster::Send { to: Target::Broadcast, action: action() }
    }

    fn run(has_payload: bool) -> ToMaster {
        ToMaster::RunTask { run: RunId(1), name: "t".to_owned(), on: RunOn::One, has_payload }
    }

    fn done() -> ToMaster {
        ToMaster::TaskDone { run: RunId(1), elapsed: Duration::ZERO, result: Ok(()) }
    }

    fn checked() -> ToMaster {
        ToMaster::Checked { check: CheckId(1), result: Ok(200) }
    }

    fn answer(outcome: Result<(), AskError>) -> ToMaster {
        ToMaster::Answer { question: QuestionId(1), outcome }
    }

    fn failed() -> ToMaster {
        ToMaster::StartFailed { reason: String::new() }
    }

    fn ends() -> ToMaster {
        ToMaster::Ends { reason: String::new() }
    }

    fn recycle() -> ToMaster {
        ToMaster::Recycle { reason: String::new() }
    }

    /// What is wrong with the last of these; the ones before it are fine.
    fn wrong(role: Role, frames: &[ToMaster], data: &'static [u8]) -> Option<String> {
        let mut manners = Manners::new(role);
        let (last, before) = frames.split_last().unwrap();
        for frame in before {
            manners.check(frame, &Bytes::new()).unwrap();
        }
        manners.check(last, &Bytes::from_static(data)).err()
    }

    #[test]
    fn the_order_as_a_table() {
        let ready = || ToMaster::Ready;
        let ask =
            || ToMaster::Ask { ask: AskId(1), to: AskTarget::App, action: action(), timeout: Duration::ZERO };
        let started = "sent a frame of its start when it had started";
        let early = "sent a frame of one that has started before it had";
        let first = "did not say hello first";
        let cases: &[(&[ToMaster], &str)] = &[
            (&[hello(), ready(), send(), ask(), ends()], ""),
            (&[hello(), failed(), ends()], "said twice why it ends"),
            (&[hello(), send()], ""),
            (&[hello(), ends()], ""),
            (&[hello(), ready(), ends(), send()], ""),
            (&[hello(), ready(), ends(), ends()], "said twice why it ends"),
            (&[ready()], first),
            (&[failed()], first),
            (&[send()], first),
            (&[ends()], first),
            (&[hello(), hello()], "said hello twice"),
            (&[hello(), ready(), hello()], "said hello twice"),
            (&[hello(), ready(), ready()], started),
            (&[hello(), ready(), failed()], started),
            (&[hello(), failed(), ready()], started),
            (&[hello(), checked()], early),
            (&[hello(), recycle()], early),
            (&[hello(), done()], early),
            (&[hello(), ready(), checked()], ""),
            (&[hello(), ready(), recycle()], ""),
            (
                &[ToMaster::Hello { protocol: 0 }],
                "it speaks protocol 0 and not 2: the binary was replaced; restart hatchery",
            ),
        ];
        for (frames, expected) in cases {
            assert_eq!(wrong(Role::Worker, frames, b"").unwrap_or_default(), *expected, "{frames:?}");
        }
    }

    #[test]
    fn what_is_anothers_and_what_has_data_as_a_table() {
        let none = "sent 1 bytes of data with a frame that has none";
        let cases: &[(Role, ToMaster, &'static [u8], &str)] = &[
            (Role::Agent, run(false), b"", ""),
            (Role::Agent, run(true), b"x", ""),
            (Role::Agent, run(false), b"x", none),
            (Role::Worker, run(false), b"", "asked for a task though it is not the agent"),
            (Role::Agent, done(), b"", "ended a task though it is the agent"),
            (Role::Agent, checked(), b"", "answered a health check though it is the agent"),
            (Role::Worker, done(), b"", ""),
            (Role::Worker, send(), b"x", ""),
            (Role::Worker, answer(Ok(())), b"x", ""),
            (Role::Worker, answer(Err(AskError::NoResponder)), b"", ""),
            (Role::Worker, answer(Err(AskError::NoResponder)), b"x", none),
            (Role::Worker, ToMaster::Consumed { messages: 0, bytes: 0 }, b"x", none),
            (Role::Worker, ends(), b"x", none),
            (Role::Worker, checked(), b"x", none),
        ];
        for (role, frame, data, expected) in cases {
            let frames = [hello(), ToMaster::Ready, frame.clone()];
            assert_eq!(wrong(*role, &frames, data).unwrap_or_default(), *expected, "{role} {frame:?}");
        }
    }
}
