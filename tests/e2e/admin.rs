//! The admin socket: who gets in, and how little slow clients can do.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream, process::CommandExt as _},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{DEADLINE, Service};

/// As many as are served at once.
const CONNECTIONS: usize = 64;

/// What the master gives a client for a head, or a body.
const LIMIT: Duration = Duration::from_secs(10);

/// Somebody who is neither root nor, it is to be hoped, this user.
const NOBODY: u32 = 65534;

/// Sends it, and reads to the end.
fn say(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(request);
    heard(stream)
}

fn heard(mut stream: UnixStream) -> String {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The socket is its user's alone, and what it is sent is bounded.
#[tokio::test]
async fn the_admin_socket_is_guarded() {
    let service = Service::new();
    service.start(&[]).await;
    let socket = service.home().join("hatchery.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let large = format!(
        "POST /v1/apps/a/deploy HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n{}",
        " ".repeat(100_000)
    );
    let head = format!("GET /v1/status HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    for (request, answer) in [
        (&b"GET /v1/status HTTP/1.1\r\nhost: h\r\n\r\n"[..], "HTTP/1.1 200"),
        (b"GET /v2/status HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 404"),
        (b"DELETE /v1/status HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 404"),
        (b"POST /v1/apps/..%2f/deploy HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 400"),
        (
            b"POST /v1/apps/a/scale HTTP/1.1\r\nhost: h\r\ncontent-length: 13\r\n\r\n{\"workers\":0}",
            "HTTP/1.1 400",
        ),
        (b"POST /v1/apps/a/scale HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\n{", "HTTP/1.1 400"),
        (large.as_bytes(), "HTTP/1.1 400"),
        (b"garbage\r\n\r\n", "HTTP/1.1 400"),
        (head.as_bytes(), "HTTP/1.1 431"),
    ] {
        let said = say(&socket, request);
        assert!(
            said.starts_with(answer),
            "{}: {said}",
            String::from_utf8_lossy(&request[..40.min(request.len())])
        );
    }
    assert_eq!(service.status().await["apps"], json!([]));
}

/// Who takes all places and does nothing with them gives way, and else has as long as the limits say.
#[tokio::test]
async fn idle_clients_lock_nobody_out() {
    let service = Service::new();
    service.start(&[]).await;
    let socket = service.home().join("hatchery.sock");
    let begun = Instant::now();
    let texts: [&[u8]; 3] = [
        b"",
        b"GET /v1/status HTTP/1.1\r\nhos",
        b"POST /v1/apps/a/scale HTTP/1.1\r\nhost: h\r\ncontent-length: 13\r\n\r\n{",
    ];
    let idle: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(texts[number % texts.len()]).unwrap();
            stream
        })
        .collect();
    service.status().await;
    let waited = begun.elapsed();
    println!("the {}th client was answered after {waited:?}", CONNECTIONS + 1);
    assert!(waited < LIMIT / 2, "{waited:?}");
    for (number, stream) in idle.into_iter().enumerate() {
        let answer = heard(stream);
        match number % texts.len() {
            2 => assert!(
                answer.starts_with("HTTP/1.1 408") && answer.contains("did not come within 10s"),
                "{answer}"
            ),
            _ => assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}"),
        }
    }
    let waited = begun.elapsed();
    assert!(
        waited >= LIMIT / 2 && waited < LIMIT * 2,
        "who did not have to give way was cut off: {waited:?}"
    );
}

/// The home's folder keeps others out; and where it did not, their user id would.
#[tokio::test]
async fn another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can be somebody else");
        return;
    }
    let service = Service::new();
    service.start(&[]).await;
    let socket = service.home().join("hatchery.sock");
    let ask = r#"
        use IO::Socket::UNIX;
        $SIG{PIPE} = 'IGNORE';
        my $socket = IO::Socket::UNIX->new($ARGV[0]) or do { print "refused: $!"; exit };
        print $socket "GET /v1/status HTTP/1.1\r\nhost: h\r\n\r\n";
        print "said:", <$socket>;"#;
    let say = |uid: u32| {
        let mut perl = Command::new("perl");
        let done = perl.args(["-e", ask]).arg(&socket).current_dir("/").uid(uid).gid(uid).output();
        let done = done.expect("perl is part of every Debian");
        let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(errors, "");
        said.into_owned()
    };
    assert!(say(0).starts_with("said:HTTP/1.1 200"), "{}", say(0));
    assert_eq!(say(NOBODY), "refused: Permission denied");
    // All doors open.
    for path in [socket.parent().unwrap().parent().unwrap(), socket.parent().unwrap(), &socket] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let said = say(NOBODY);
    assert!(
        said.starts_with("said:HTTP/1.1 403") && said.contains("uid 65534 may do nothing here"),
        "{said}"
    );
    assert!(service.log().contains("somebody else's connection to the admin socket is refused"));
    assert!(say(0).starts_with("said:HTTP/1.1 200"));
}
