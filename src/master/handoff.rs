//! The master's end of a worker's handoff socket (`ipc::handoff`). `listeners` owns one per worker.
//!
//! Sending never waits: what is under way to a worker is bounded, and the kernel's queue holds all
//! of it. A refused send therefore means a worker that is stuck or gone.

use std::{io, os::fd::AsFd, sync::Arc};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};

use super::turns::Share;
use crate::{
    cluster::Pid,
    ipc::handoff::{FromWorker, MAX_PACKET, ToWorker},
    sys::fd_socket::FdSocket,
};

/// What a worker said, or how it broke the protocol.
pub(crate) type Answer = (Pid, Result<FromWorker, String>);

/// A worker's handoff socket. Dropping it closes it.
pub(crate) struct Handoff {
    socket: Arc<FdSocket>,
    reading: AbortHandle,
}

impl Handoff {
    /// Answers go to `answers` from now on, each in the app's turn.
    pub(crate) fn new(pid: Pid, socket: FdSocket, answers: mpsc::Sender<Answer>, share: Share) -> Self {
        let socket = Arc::new(socket);
        let reading: JoinHandle<()> = tokio::spawn(read(pid, Arc::clone(&socket), answers, share));
        Self { socket, reading: reading.abort_handle() }
    }

    /// Sends one packet, with a connection where there is one.
    pub(crate) fn send(&self, packet: ToWorker, connection: Option<&impl AsFd>) -> io::Result<()> {
        let mut buf = [0; MAX_PACKET];
        let bytes = postcard::to_slice(&packet, &mut buf).map_err(io::Error::other)?;
        self.socket.try_send(bytes, connection.map(AsFd::as_fd))
    }

    /// What a worker that is gone had said and nobody has read. Bounded by what the kernel holds.
    pub(crate) fn last_words(&self) -> Vec<FromWorker> {
        let mut buf = [0; MAX_PACKET];
        let mut words = vec![];
        while let Ok(Some((length, None))) = self.socket.recv_now(&mut buf) {
            let Ok(word) = postcard::from_bytes(&buf[..length]) else { break };
            words.push(word);
        }
        words
    }
}

impl Drop for Handoff {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(pid: Pid, socket: Arc<FdSocket>, answers: mpsc::Sender<Answer>, share: Share) {
    let mut buf = [0; MAX_PACKET];
    loop {
        share.turn().await;
        let answer = match socket.recv(&mut buf).await {
            Ok(Some((length, None))) => postcard::from_bytes(&buf[..length])
                .map_err(|error| format!("sent garbage on its handoff socket: {error}")),
            Ok(Some((_, Some(_)))) => Err("sent an fd on its handoff socket".to_owned()),
            // Its exit is seen elsewhere.
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
            Err(error) => Err(format!("broke its handoff socket: {error}")),
        };
        share.spend(1);
        let broken = answer.is_err();
        if answers.send((pid, answer)).await.is_err() || broken {
            return;
        }
    }
}
