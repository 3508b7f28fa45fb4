//! Whether a child still lives: beats on its heartbeat socket (`ipc::heartbeat`).
//!
//! Two beats within `hang-timeout`. A child that has answered neither of the last two, or whose loop
//! has not turned for as long, hangs. If it is the master that was held up, the answers are there
//! when it looks, and are read first. So each beat has one answer, and what nobody asked for ends the child:
//! a flood of it would be all that is ever read.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::{MissedTickBehavior, interval},
};

use super::reason::broke;
use crate::ipc::heartbeat::{ANSWER, Answer};

/// Beats that may be unanswered.
const MISSED: u8 = 2;

/// Returns when the child hangs, and says how. Never returns when the socket has ended: the child's
/// exit is seen elsewhere.
pub(crate) async fn watch(mut socket: UnixStream, hang_timeout: Duration) -> String {
    match beat(&mut socket, hang_timeout).await {
        Ok(reason) => reason,
        Err(_) => std::future::pending().await,
    }
}

async fn beat(socket: &mut UnixStream, hang_timeout: Duration) -> io::Result<String> {
    let (mut read, mut write) = socket.split();
    let mut ticks = interval(hang_timeout / u32::from(MISSED));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut answered) = (0u8, 0u8);
    let mut answer = [0; ANSWER];
    let mut got = 0;
    let within = humantime::format_duration(hang_timeout);
    loop {
        tokio::select! {
            biased;
            read = read.read(&mut answer[got..]) => {
                match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    more => got += more,
                }
                if got == ANSWER {
                    got = 0;
                    let Answer { beat, loop_age } = Answer::decode(answer);
                    // One of those under way. They may be answered together, but in order.
                    if !(1..=sent.wrapping_sub(answered)).contains(&beat.wrapping_sub(answered)) {
                        return Ok(broke("answered a beat that it was not sent"));
                    }
                    answered = beat;
                    if loop_age >= hang_timeout {
                        let age = humantime::format_duration(loop_age);
                        return Ok(format!("hangs: its event loop has not turned for {age} (`hang-timeout`)"));
                    }
                }
            }
            _ = ticks.tick() => {
                if sent.wrapping_sub(answered) >= MISSED {
                    return Ok(format!("hangs: it has not answered for {within} (`hang-timeout`)"));
                }
                sent = sent.wrapping_add(1);
                write.write_all(&[sent]).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const HANG: Duration = Duration::from_millis(100);
    const DEADLINE: Duration = Duration::from_secs(10);

    /// A child that answers so many beats, with this age.
    async fn child(mut socket: UnixStream, beats: u32, loop_age: Duration) {
        let mut beat = [0];
        for _ in 0..beats {
            if socket.read_exact(&mut beat).await.is_err() {
                return;
            }
            let _ = socket.write_all(&Answer { beat: beat[0], loop_age }.encode()).await;
        }
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn one_that_answers_is_left_alone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(child(theirs, u32::MAX, Duration::ZERO));
        assert!(timeout(HANG * 10, watch(ours, HANG)).await.is_err());
    }

    #[tokio::test]
    async fn one_that_stops_answering_hangs() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(child(theirs, 3, Duration::ZERO));
        let reason = timeout(DEADLINE, watch(ours, HANG)).await.unwrap();
        assert!(reason.contains("has not answered for 100ms"), "{reason}");
    }

    #[tokio::test]
    async fn one_whose_loop_is_old_hangs() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(child(theirs, 1, HANG));
        let reason = timeout(DEADLINE, watch(ours, HANG)).await.unwrap();
        assert!(reason.contains("has not turned for 100ms"), "{reason}");
    }

    #[tokio::test]
    async fn answers_to_no_beat_end_it() {
        // What it answers to the first beat: again, before its time, and backwards.
        for numbers in [&[1, 1][..], &[2], &[0]] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let watching = tokio::spawn(watch(ours, DEADLINE));
            assert_eq!(theirs.read_u8().await.unwrap(), 1);
            for number in numbers {
                let answer = Answer { beat: *number, loop_age: Duration::ZERO };
                theirs.write_all(&answer.encode()).await.unwrap();
            }
            let reason = timeout(DEADLINE, watching).await.unwrap().unwrap();
            assert!(reason.contains("broke the protocol"), "{numbers:?}: {reason}");
        }
    }

    #[tokio::test]
    async fn two_beats_may_be_under_way() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let hang = Duration::from_secs(2);
        let watching = tokio::spawn(watch(ours, hang));
        for _ in 0..2 {
            let beats = [theirs.read_u8().await.unwrap(), theirs.read_u8().await.unwrap()];
            for beat in beats {
                theirs.write_all(&Answer { beat, loop_age: Duration::ZERO }.encode()).await.unwrap();
            }
        }
        assert!(!watching.is_finished());
    }

    #[tokio::test]
    async fn one_that_is_gone_is_for_others_to_see() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(timeout(HANG * 5, watch(ours, HANG)).await.is_err());
    }
}
