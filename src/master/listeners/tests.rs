//! Real connections handed to workers that are tasks here.

use std::{io::Read, net::SocketAddr, sync::Arc};

use tokio::{net::TcpStream as Client, task::JoinHandle, time::timeout};

use super::*;
use crate::{ipc::handoff::MAX_PACKET, sys::listen};

/// Far more than any of these takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// How a worker behaves.
#[derive(Clone, Copy)]
enum Manner {
    Honest,
    Refuses,
    /// Busy, unless it must.
    Computes,
    Silent,
    /// Gone before it says Taken.
    DiesWithConnection,
    /// Gone after it has said Taken, without having served.
    DiesOnceTaken,
    SendsGarbage,
    TakesWhatItWasNotSent,
    /// Refuses the same one for ever.
    Floods,
}

struct Rig {
    commands: mpsc::UnboundedSender<Command>,
    breaches: mpsc::UnboundedReceiver<Breach>,
    address: SocketAddr,
    workers: Vec<JoinHandle<bool>>,
}

impl Rig {
    fn new() -> Self {
        let listener = listen::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (commands, told) = mpsc::unbounded_channel();
        let (breaches_to, breaches) = mpsc::unbounded_channel();
        let share = turns::Share::alone();
        let options =
            Options { app: "test".to_owned(), policy: Policy::RoundRobin, listener, max_held: 200, share };
        tokio::spawn(run(options, told, breaches_to));
        Self { commands, breaches, address, workers: vec![] }
    }

    fn tell(&self, command: Command) {
        self.commands.send(command).unwrap_or_else(|_| panic!("the listener runs"));
    }

    fn worker(&mut self, pid: u64, manner: Manner) {
        let (ours, theirs) = FdSocket::pair().expect("a socket");
        self.tell(Command::Add(Pid(pid), ours));
        self.tell(Command::Ready(Pid(pid), 1));
        let theirs = FdSocket::from_fd(theirs).expect("a socket");
        self.workers.push(tokio::spawn(work(pid, theirs, manner, self.commands.clone())));
    }

    /// Who serves a new connection: the pid that it says.
    async fn ask(&self) -> u8 {
        serve(Client::connect(self.address).await.expect("connects")).await.expect("is served")
    }

    async fn breach(&mut self) -> String {
        timeout(DEADLINE, self.breaches.recv()).await.expect("in time").expect("a breach").1
    }

    async fn close(&self, within: Duration) {
        let (done, closed) = oneshot::channel();
        self.tell(Command::Close(Instant::now() + within, done));
        timeout(DEADLINE, closed).await.expect("in time").expect("it closes");
    }
}

async fn serve(client: Client) -> Option<u8> {
    let mut byte = [0];
    let read = timeout(DEADLINE, tokio::io::AsyncReadExt::read(&mut { client }, &mut byte)).await;
    (read.expect("in time").ok()? == 1).then_some(byte[0])
}

/// Gives true when it heard Closing.
async fn work(pid: u64, socket: FdSocket, manner: Manner, commands: mpsc::UnboundedSender<Command>) -> bool {
    let mut buf = [0; MAX_PACKET];
    while let Some((length, fd)) = socket.recv(&mut buf).await.expect("a packet") {
        let answer = match (postcard::from_bytes(&buf[..length]).expect("a frame"), manner) {
            (ToWorker::Closing, _) => return true,
            (ToWorker::Offer(id), Manner::Refuses) => FromWorker::Refuse(id),
            (ToWorker::Offer(id), Manner::Computes) => FromWorker::Busy(id),
            (ToWorker::Insist(id), _) => FromWorker::Accept(id),
            (ToWorker::Offer(_), Manner::Silent) => continue,
            (ToWorker::Offer(id), Manner::Floods) => {
                let bytes = postcard::to_stdvec(&FromWorker::Refuse(id)).expect("encodes");
                while socket.send(&bytes, None).await.is_ok() {}
                return false;
            }
            (ToWorker::Offer(_), Manner::SendsGarbage) => {
                socket.send(&[255; 9], None).await.expect("sent");
                continue;
            }
            (ToWorker::Offer(id), Manner::TakesWhatItWasNotSent) => FromWorker::Taken(id),
            (ToWorker::Offer(id), _) => FromWorker::Accept(id),
            (ToWorker::Connection(_), Manner::DiesWithConnection) => return false,
            (ToWorker::Connection(id), Manner::DiesOnceTaken) => {
                let bytes = postcard::to_stdvec(&FromWorker::Taken(id)).expect("encodes");
                socket.send(&bytes, None).await.expect("sent");
                // Before the listener has a turn to read it.
                let _ = commands.send(Command::Gone(Pid(pid)));
                return false;
            }
            (ToWorker::Connection(id), _) => {
                let mut stream = TcpStream::from(fd.expect("a connection"));
                let pid = u8::try_from(pid).expect("small");
                io::Write::write_all(&mut stream, &[pid]).expect("written");
                FromWorker::Taken(id)
            }
        };
        let bytes = postcard::to_stdvec(&answer).expect("encodes");
        socket.send(&bytes, None).await.expect("sent");
    }
    false
}

#[tokio::test]
async fn connections_go_round() {
    let mut rig = Rig::new();
    for pid in 1..=3 {
        rig.worker(pid, Manner::Honest);
    }
    rig.tell(Command::Open);
    let mut got = [0; 4];
    for _ in 0..31 {
        got[usize::from(rig.ask().await)] += 1;
    }
    got.sort_unstable();
    assert_eq!(got, [0, 10, 10, 11]);
}

#[tokio::test]
async fn connections_wait_in_the_kernel_until_somebody_is_there() {
    let mut rig = Rig::new();
    let early = Client::connect(rig.address).await.expect("connects");
    let asking = tokio::spawn(serve(early));
    rig.tell(Command::Open);
    tokio::task::yield_now().await;
    rig.worker(7, Manner::Honest);
    assert_eq!(asking.await.expect("ends"), Some(7));
    rig.tell(Command::Gone(Pid(7)));
    let between = tokio::spawn(serve(Client::connect(rig.address).await.expect("connects")));
    rig.worker(8, Manner::Honest);
    assert_eq!(between.await.expect("ends"), Some(8));
}

#[tokio::test]
async fn no_connection_waits_for_who_does_not_take_it() {
    for manner in [Manner::Refuses, Manner::Silent] {
        let mut rig = Rig::new();
        rig.worker(1, manner);
        rig.worker(2, Manner::Honest);
        rig.tell(Command::Open);
        for _ in 0..10 {
            assert_eq!(rig.ask().await, 2);
        }
    }
}

#[tokio::test]
async fn what_a_dying_worker_had_not_taken_is_served() {
    let mut rig = Rig::new();
    rig.worker(1, Manner::DiesWithConnection);
    rig.tell(Command::Open);
    let asking = tokio::spawn(serve(Client::connect(rig.address).await.expect("connects")));
    let dead = rig.workers.remove(0);
    timeout(DEADLINE, dead).await.expect("in time").expect("it died");
    rig.worker(2, Manner::Honest);
    rig.tell(Command::Gone(Pid(1)));
    assert_eq!(asking.await.expect("ends"), Some(2));
}

#[tokio::test]
async fn what_a_dying_worker_had_taken_is_not_given_to_another() {
    let mut rig = Rig::new();
    rig.worker(1, Manner::DiesOnceTaken);
    rig.worker(2, Manner::Honest);
    rig.tell(Command::Open);
    let client = Client::connect(rig.address).await.expect("connects");
    assert_eq!(serve(client).await, None, "it may have read of it");
    assert_eq!(rig.ask().await, 2);
}

#[tokio::test]
async fn accepts_no_more_than_its_turn_allows() {
    let listener = listen::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let (answers, _heard) = mpsc::channel(MAX_ANSWERS);
    let (breaches, _breaches) = mpsc::unbounded_channel();
    let share = turns::Turns::new(4).share();
    let options =
        Options { app: "test".to_owned(), policy: Policy::RoundRobin, listener, max_held: 200, share };
    let mut door = Door::new(options, answers, breaches).expect("a listener");
    let (ours, _theirs) = FdSocket::pair().expect("a socket");
    for command in [Command::Add(Pid(1), ours), Command::Ready(Pid(1), 1), Command::Open] {
        door.command(command);
    }
    let _clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).expect("connects")).collect();
    let mut before = 0;
    while before < 20 {
        timeout(DEADLINE, door.share.turn()).await.expect("another round");
        timeout(DEADLINE, door.readable()).await.expect("in time").expect("a listener");
        // However often it looks: others have their turn first.
        (0..3).for_each(|_| door.turn());
        assert!(door.last > before && door.last <= before + 4, "{before}, then {}", door.last);
        before = door.last;
    }
}

#[tokio::test]
async fn bad_workers_are_told_on() {
    for (manner, expected) in [
        (Manner::SendsGarbage, "sent garbage on its handoff socket"),
        (Manner::TakesWhatItWasNotSent, "took a connection that it was not sent"),
    ] {
        let mut rig = Rig::new();
        rig.worker(1, manner);
        rig.tell(Command::Open);
        let _client = Client::connect(rig.address).await.expect("connects");
        let breach = rig.breach().await;
        assert!(breach.starts_with(&format!("broke the protocol: {expected}")), "{breach}");
    }
}

#[tokio::test]
async fn who_answers_for_ever_keeps_nobody_from_being_heard() {
    let mut rig = Rig::new();
    (1..=8).for_each(|pid| rig.worker(pid, Manner::Floods));
    rig.tell(Command::Open);
    let _client = Client::connect(rig.address).await.expect("connects");
    let breach = rig.breach().await;
    assert_eq!(breach, "broke the protocol: answered more than it was asked");
    rig.close(Duration::from_millis(100)).await;
    (1..=8).for_each(|pid| rig.tell(Command::Gone(Pid(pid))));
    for worker in rig.workers.drain(..) {
        timeout(DEADLINE, worker).await.expect("it is heard that it is gone").expect("no panic");
    }
}

#[tokio::test]
async fn answers_take_their_turn() {
    const WORKERS: u64 = 8;
    let (answers_to, mut answers) = mpsc::channel::<Answer>(MAX_ANSWERS);
    let share = turns::Turns::new(4).share();
    let mut sockets = vec![];
    let mut handoffs = vec![];
    for pid in 1..=WORKERS {
        let (ours, theirs) = FdSocket::pair().expect("a socket");
        handoffs.push(Handoff::new(Pid(pid), ours, answers_to.clone(), share.clone()));
        let theirs = FdSocket::from_fd(theirs).expect("a socket");
        let bytes = postcard::to_stdvec(&FromWorker::Closed(ConnectionId(1))).expect("encodes");
        while theirs.try_send(&bytes, None).is_ok() {}
        sockets.push(theirs);
    }
    for _ in 0..20 {
        timeout(DEADLINE, share.turn()).await.expect("another round");
        tokio::task::yield_now().await;
        let mut taken = 0;
        while answers.try_recv().is_ok() {
            taken += 1;
        }
        // Some rounds of four may have gone by. Without them it would be as many as there is room for.
        assert!(taken <= MAX_ANSWERS / 4, "{taken}");
    }
}

#[tokio::test]
async fn at_the_end_what_the_kernel_took_is_served() {
    let mut rig = Rig::new();
    rig.worker(1, Manner::Honest);
    rig.tell(Command::Open);
    assert_eq!(rig.ask().await, 1);
    // In the backlog, all of them: the listener has no turn before Close.
    let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(rig.address).expect("connects")).collect();
    rig.close(DEADLINE).await;
    for mut client in clients {
        client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let mut byte = [0];
        client.read_exact(&mut byte).expect("is served");
        assert_eq!(byte, [1]);
    }
    let refused = TcpStream::connect(rig.address).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
    assert!(rig.workers.remove(0).await.expect("ends"), "it heard Closing");
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let mut rig = Rig::new();
    rig.worker(1, Manner::Silent);
    rig.tell(Command::Open);
    let client = Client::connect(rig.address).await.expect("connects");
    rig.close(Duration::from_millis(50)).await;
    assert_eq!(serve(client).await, None, "it is closed");
    assert!(rig.workers.remove(0).await.expect("ends"), "it heard Closing");
}

#[tokio::test]
async fn more_than_may_be_held_are_all_served() {
    let mut rig = Rig::new();
    rig.worker(1, Manner::Silent);
    rig.tell(Command::Open);
    let address = rig.address;
    let clients = tokio::task::spawn_blocking(move || {
        (0..500).map(|_| TcpStream::connect(address).expect("connects")).collect::<Vec<_>>()
    });
    let clients = Arc::new(clients.await.expect("connected"));
    rig.worker(2, Manner::Honest);
    let served = Arc::clone(&clients);
    let reading = tokio::task::spawn_blocking(move || {
        served.iter().all(|mut client| {
            client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
            client.read_exact(&mut [0]).is_ok()
        })
    });
    assert!(timeout(DEADLINE, reading).await.expect("in time").expect("ends"), "all are served");
}

#[tokio::test]
async fn who_computes_takes_connections_when_all_do() {
    let mut rig = Rig::new();
    rig.worker(1, Manner::Computes);
    rig.worker(2, Manner::Honest);
    rig.tell(Command::Open);
    for _ in 0..3 {
        assert_eq!(rig.ask().await, 2);
    }
    rig.tell(Command::Gone(Pid(2)));
    assert_eq!(rig.ask().await, 1);
}
