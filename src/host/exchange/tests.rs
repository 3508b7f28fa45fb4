//! Exchanges with servers that behave and such that do not.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream as Socket},
    sync::Mutex,
    thread,
};

use bytes::Bytes;
use http_body_util::Full;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivatePkcs8KeyDer,
};

use super::*;
use crate::{
    cluster::Limit,
    host::{Dial, Dialling, OutgoingOptions},
};

/// Far more than any of these takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// For what is not to come.
const SHORT: Duration = Duration::from_millis(50);

/// Connects there, whatever is asked for.
struct Direct(Option<SocketAddr>);

impl Dial for Direct {
    fn dial(&self, _: Origin, _: Duration) -> Dialling {
        let to = self.0;
        Box::pin(async move {
            match to {
                Some(to) => TcpStream::connect(to).await.map_err(|_| DialError::Refused),
                None => std::future::pending().await,
            }
        })
    }
}

/// Does this with every connection, for as long as the test runs.
fn server(act: impl Fn(Socket) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let act = act.clone();
            thread::spawn(move || act(stream.unwrap()));
        }
    });
    addr
}

/// Reads a request's head, says this, and then waits for the client to go.
fn says(text: impl Into<Vec<u8>>) -> SocketAddr {
    let text = text.into();
    server(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&text);
        while stream.read(&mut [0; 65536]).is_ok_and(|read| read > 0) {}
    })
}

/// The same, and then goes itself.
fn says_and_goes(text: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(text.as_bytes());
    })
}

struct Given {
    to: Option<SocketAddr>,
    scheme: Scheme,
    host: &'static str,
    size: u64,
    connections: usize,
    authorities: Vec<Vec<u8>>,
    body: usize,
    timeouts: Timeouts,
    hits: Hits,
}

/// The limits that were hit, in order.
type Hits = Arc<Mutex<Vec<Limit>>>;

impl Given {
    fn new(to: SocketAddr) -> Self {
        Self {
            to: Some(to),
            scheme: Scheme::Http,
            host: "127.0.0.1",
            size: 1 << 20,
            connections: 1,
            authorities: vec![],
            body: 0,
            timeouts: Timeouts { connect: DEADLINE, first_byte: DEADLINE, between_bytes: DEADLINE },
            hits: Hits::default(),
        }
    }

    fn outgoing(&self) -> Arc<Outgoing> {
        let hits = Arc::clone(&self.hits);
        Outgoing::new(OutgoingOptions {
            dial: Arc::new(Direct(self.to)),
            connections: self.connections,
            size: self.size,
            authorities: self.authorities.clone(),
            on_hit: Arc::new(move |limit| hits.lock().unwrap().push(limit)),
        })
    }

    async fn begin(&self, outgoing: &Outgoing) -> Result<(Response<WasiBody>, Io)> {
        let to = Origin { scheme: self.scheme, host: self.host.to_owned(), port: 1 };
        let body =
            Full::new(Bytes::from(vec![b'x'; self.body])).map_err(|never| match never {}).boxed_unsync();
        let method = if self.body > 0 { "POST" } else { "GET" };
        let request = Request::builder().method(method).uri("http://host/path?query").header("host", "host");
        let request = request.body(body).unwrap();
        exchange(outgoing, Exchange { to, request, timeouts: self.timeouts }).await
    }

    /// The whole of it: status and body, or how it failed.
    async fn run(&self) -> Result<(u16, Bytes), String> {
        let outgoing = self.outgoing();
        let whole = async {
            let (response, io) = self.begin(&outgoing).await?;
            let io = tokio::spawn(Box::into_pin(io));
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            io.abort();
            Ok((status, body))
        };
        let done: Result<_> = timeout(DEADLINE, whole).await.expect("an end in time");
        done.map_err(|error| format!("{error:?}"))
    }
}

#[tokio::test]
async fn requests_are_sent_as_they_should_be() {
    let (tell, told) = std::sync::mpsc::channel();
    let addr = server(move |mut stream| {
        let mut seen = [0; 4096];
        let length = stream.read(&mut seen).unwrap();
        tell.send(String::from_utf8_lossy(&seen[..length]).into_owned()).unwrap();
        stream
            .write_all(b"HTTP/1.1 302 Found\r\nlocation: http://other/\r\ncontent-length: 4\r\n\r\nhere")
            .unwrap();
    });
    // A redirect is not followed.
    assert_eq!(Given::new(addr).run().await, Ok((302, Bytes::from("here"))));
    let seen = told.recv_timeout(DEADLINE).unwrap();
    assert!(seen.starts_with("GET /path?query HTTP/1.1\r\nhost: host\r\n"), "{seen}");
}

#[tokio::test]
async fn what_a_server_may_do_as_a_table() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let fields = "a: b\r\n".repeat(MAX_FIELDS);
    let long = "b".repeat(2 * MAX_HEAD);
    for (text, expected) in [
        (format!("{ok}content-length: 4\r\n\r\nhere"), Ok("here")),
        (format!("{ok}transfer-encoding: chunked\r\n\r\n4\r\nhere\r\n0\r\n\r\n"), Ok("here")),
        (format!("{ok}{fields}content-length: 0\r\n\r\n"), Err("HttpResponseHeaderSectionSize")),
        (format!("{ok}a: {long}\r\n\r\n"), Err("HttpResponseHeaderSectionSize")),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Err("HttpProtocolError")),
        ("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n".to_owned(), Err("HttpProtocolError")),
        (format!("{ok}content-length: 1\r\ncontent-length: 2\r\n\r\nhere"), Err("HttpProtocolError")),
        (format!("{ok}content-length: x\r\n\r\nhere"), Err("HttpProtocolError")),
        (format!("{ok}transfer-encoding: chunked\r\n\r\nxyz\r\n"), Err("Http")),
    ] {
        let shown = &text[..text.len().min(60)];
        match (Given::new(says(text.clone())).run().await, expected) {
            (Ok((200, body)), Ok(expected)) => assert_eq!(body, expected, "{shown}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{shown}: {error}"),
            (other, _) => panic!("{shown}: {other:?}"),
        }
    }
    for (text, expected) in [
        ("", "HttpResponseIncomplete"),
        ("HTTP/1.1 200 OK\r\ncont", "HttpResponseIncomplete"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhere", "Http"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhere\r\n", "Http"),
    ] {
        let error = Given::new(says_and_goes(text)).run().await.unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[tokio::test]
async fn every_wait_ends() {
    let silent = says("");
    let stalls = says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhere");
    let long = Given::new(silent).timeouts;
    for (to, timeouts, scheme, expected) in [
        (None, Timeouts { connect: SHORT, ..long }, Scheme::Http, "ConnectionTimeout"),
        (Some(silent), Timeouts { connect: SHORT, ..long }, Scheme::Https, "ConnectionTimeout"),
        (Some(silent), Timeouts { first_byte: SHORT, ..long }, Scheme::Http, "ConnectionReadTimeout"),
        (Some(stalls), Timeouts { between_bytes: SHORT, ..long }, Scheme::Http, "ConnectionReadTimeout"),
    ] {
        let error = Given { to, timeouts, scheme, ..Given::new(silent) }.run().await.unwrap_err();
        assert!(error.contains(expected), "{timeouts:?} {scheme:?}: {error}");
    }
}

#[tokio::test]
async fn bytes_are_bounded_both_ways_together() {
    let four = says("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere");
    for (body, size, expected) in [
        (0, 4, None),
        (6, 10, None),
        (0, 3, Some("HttpResponseBodySize(Some(3))")),
        (7, 10, Some("HttpResponseBodySize(Some(10))")),
        (11, 10, Some("HttpRequestBodySize(Some(10))")),
    ] {
        let given = Given { body, size, ..Given::new(four) };
        let run = given.run().await;
        let hits = expected.map(|_| Limit::OutboundSize);
        assert_eq!(*given.hits.lock().unwrap(), Vec::from_iter(hits), "{body} {size}");
        match expected {
            None => assert_eq!(run, Ok((200, Bytes::from("here"))), "{body} {size}"),
            Some(error) => assert_eq!(run, Err(error.to_owned()), "{body} {size}"),
        }
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let stalls = says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhere");
    let given = Given { connections: 2, ..Given::new(stalls) };
    let outgoing = given.outgoing();
    let one = given.begin(&outgoing).await.unwrap();
    let _two = given.begin(&outgoing).await.unwrap();
    assert!(matches!(given.begin(&outgoing).await, Err(Error::ConnectionLimitReached)));
    assert_eq!(*given.hits.lock().unwrap(), [Limit::OutboundConnections]);
    // A guest that gives one up has room again.
    drop(one);
    let _three = given.begin(&outgoing).await.unwrap();
}

fn tls(name: &str) -> (SocketAddr, Vec<u8>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let addr = server(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere");
        let _ = stream.flush();
        let _ = stream.read(&mut [0; 4096]);
    });
    (addr, cert.der().to_vec())
}

#[tokio::test]
async fn tls_is_for_the_host_that_was_named() {
    let (named, its_own) = tls("a.example");
    let (addressed, its) = tls("127.0.0.1");
    let plain = says("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere");
    for (to, host, authorities, expected) in [
        (named, "a.example", vec![its_own.clone()], None),
        (named, "a.example.", vec![its_own.clone()], None),
        (addressed, "127.0.0.1", vec![its.clone()], None),
        (named, "b.example", vec![its_own.clone()], Some("TlsCertificateError")),
        (named, "127.0.0.1", vec![its_own.clone()], Some("TlsCertificateError")),
        (named, "a.example", vec![its], Some("TlsCertificateError")),
        (named, "a.example", vec![], Some("TlsCertificateError")),
        (plain, "a.example", vec![its_own.clone()], Some("TlsProtocolError")),
        (says_and_goes(""), "a.example", vec![its_own], Some("ConnectionTerminated")),
    ] {
        let run = Given { scheme: Scheme::Https, host, authorities, ..Given::new(to) }.run().await;
        match expected {
            None => assert_eq!(run, Ok((200, Bytes::from("here"))), "{host}"),
            Some(error) => assert!(run.as_ref().is_err_and(|found| found.contains(error)), "{host}: {run:?}"),
        }
    }
}

#[test]
fn timeouts_are_the_shorter_ones() {
    let second = Duration::from_secs(1);
    let hour = Duration::from_secs(3600);
    assert_eq!(Timeouts::of(None), LONGEST);
    let options = RequestOptions {
        connect_timeout: Some(hour),
        first_byte_timeout: Some(second),
        between_bytes_timeout: None,
    };
    assert_eq!(Timeouts::of(Some(options)), Timeouts { first_byte: second, ..LONGEST });
}
