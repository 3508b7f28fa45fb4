//! How long a tenant's answers take: one keep-alive connection on a thread of its own, which does
//! nothing else, so that what is measured is the server and not the test.

use std::{
    fmt,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::DEADLINE;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(2);

/// The most bytes of an answer.
const MAX_ANSWER: usize = 4096;

/// What was measured.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    answers: usize,
    median: Duration,
    pub(crate) p99: Duration,
    longest: Duration,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, median, p99, longest } = self;
        write!(f, "{answers} answers: median {median:.1?}, p99 {p99:.1?}, longest {longest:.1?}")
    }
}

impl Latency {
    /// Asks for `/hello` for so long. Each answer has to be a 200.
    pub(crate) async fn measure(addr: SocketAddr, time: Duration) -> Self {
        tokio::task::spawn_blocking(move || measure(addr, time)).await.unwrap()
    }
}

fn measure(addr: SocketAddr, time: Duration) -> Latency {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // The first one opens the connection, with what that costs.
    ask(&mut stream);
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let asked = Instant::now();
        ask(&mut stream);
        took.push(asked.elapsed());
        thread::sleep(PAUSE);
    }
    took.sort_unstable();
    let part = |of_hundred: usize| took[(took.len() - 1) * of_hundred / 100];
    Latency { answers: took.len(), median: part(50), p99: part(99), longest: part(100) }
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: good\r\n\r\n").unwrap();
    let (mut answer, mut length) = ([0; MAX_ANSWER], 0);
    while !is_whole(&answer[..length]) {
        let more = stream.read(&mut answer[length..]).unwrap();
        assert!(more > 0, "closed after {:?}", String::from_utf8_lossy(&answer[..length]));
        length += more;
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer[..length]));
}

/// Whether it is of known length or in chunks.
fn is_whole(answer: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(answer) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => body.len() == length.parse::<usize>().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}
