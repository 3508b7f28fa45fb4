//! The admin socket: other users of the machine, granted something or nothing, with garbage and with ten
//! thousand connections. What one of them can do at most is in `master::admin`.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{Watch, good};
use crate::support::{Service, eventually};

/// Users that nobody is.
const READER: u32 = 61_001;
const DEPLOYER: u32 = 61_002;
const STRANGER: u32 = 61_003;
const ADMIN: u32 = 61_004;

/// The seats of the owner, and of one other user.
const OWNER: usize = 64;
const EACH: usize = 8;

/// How long the owner may wait beside all that.
const SOON: Duration = Duration::from_secs(3);

const SETTINGS: &str = "
[[admin]]
uid = 61001
may = [\"read\"]

[[admin]]
uid = 61002
may = [\"deploy good\"]

[[admin]]
uid = 61004
may = [\"admin\"]

[[admin]]
user = \"root\"
may = [\"read\"]
";

/// Sends `$ARGV[1]` and says what comes back.
const ASK: &str = r#"
    use IO::Socket::UNIX;
    $SIG{PIPE} = 'IGNORE';
    my $socket = IO::Socket::UNIX->new($ARGV[0]) or do { print "refused: $!"; exit };
    print $socket $ARGV[1]; $socket->flush;
    print <$socket>;"#;

/// Sends the archive `$ARGV[1]` to the store and says what comes back.
const UPLOAD: &str = r#"
    use IO::Socket::UNIX;
    $SIG{PIPE} = 'IGNORE';
    open my $file, '<:raw', $ARGV[1] or die; local $/; my $data = <$file>;
    my $socket = IO::Socket::UNIX->new($ARGV[0]) or die;
    printf $socket "POST /v1/bundles HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n", length $data;
    print $socket $data; $socket->flush;
    print <$socket>;"#;

/// So many connections, each with some bytes, kept open until its stdin ends. Says how many it has.
const FLOOD: &str = r#"
    use IO::Socket::UNIX;
    $SIG{PIPE} = 'IGNORE';
    $| = 1;
    my @all;
    for my $number (1..$ARGV[1]) {
        my $socket = IO::Socket::UNIX->new($ARGV[0]) or last;
        syswrite $socket, ("", "\x00\xff\x00garbage", "GET /v1/status HTTP/1.1\r\nhos")[$number % 3];
        push @all, $socket;
    }
    print scalar(@all), "\n";
    <STDIN>;"#;

/// False, with a line that says so, where this user can be nobody else.
fn is_root() -> bool {
    let is = nix::unistd::geteuid().is_root();
    if !is {
        eprintln!("SKIPPED: only root can be somebody else");
    }
    is
}

/// A service whose doors are open, with the settings above.
async fn open_to_all() -> Service {
    let service = Service::new();
    fs::write(service.home().join("settings.toml"), SETTINGS).unwrap();
    let folder = service.write(&good());
    service.start(&[&folder]).await;
    for path in [service.folder(), &service.home()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
    }
    let socket = service.home().join("hatchery.sock");
    let mode = || fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    eventually("others may connect", async || mode() == 0o666).await;
    service
}

fn say(service: &Service, uid: u32, method: &str, path: &str) -> String {
    let socket = service.home().join("hatchery.sock");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    let mut perl = Command::new("perl");
    perl.args(["-e", ASK]).arg(&socket).arg(request).current_dir("/").uid(uid).gid(uid);
    String::from_utf8_lossy(&perl.output().expect("perl is part of every Debian").stdout).into_owned()
}

#[tokio::test]
async fn each_may_what_the_settings_say() {
    if !is_root() {
        return;
    }
    let service = open_to_all().await;
    let cases = [
        ("GET", "/v1/status", [200, 403]),
        ("GET", "/v1/store", [200, 403]),
        ("GET", "/v1/apps/good/history", [200, 200]),
        ("GET", "/v1/apps/other/history", [404, 403]),
        ("POST", "/v1/bundles", [403, 422]),
        ("POST", "/v1/apps/good/reload", [403, 200]),
        ("POST", "/v1/apps/other/reload", [403, 403]),
        ("DELETE", "/v1/apps/other", [403, 403]),
        ("POST", "/v1/store/prune", [403, 403]),
        ("POST", "/v1/store/verify", [403, 403]),
        ("POST", "/v1/stop", [403, 403]),
        ("GET", "/nothing", [404, 404]),
        ("GET", "/v1/nothing", [403, 403]),
    ];
    for (method, path, expected) in cases {
        for (uid, status) in [READER, DEPLOYER].into_iter().zip(expected) {
            let said = say(&service, uid, method, path);
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{uid} {method} {path}: {said}");
        }
        let said = say(&service, STRANGER, method, path);
        assert!(said.starts_with("HTTP/1.1 403 ") && said.contains("61003 may do nothing here"), "{said}");
        assert_eq!(said.lines().count(), 6, "one line, and no more: {said}");
    }
    assert!(say(&service, READER, "POST", "/v1/stop").contains("it needs \\\"admin\\\" below [[admin]]"));
    // Taken back as it was given.
    fs::write(service.home().join("settings.toml"), "").unwrap();
    eventually("it is the owner's alone again", async || {
        say(&service, READER, "GET", "/v1/status") == "refused: Permission denied"
    })
    .await;
    assert!(say(&service, 0, "GET", "/v1/status").starts_with("HTTP/1.1 200 "));
}

/// A verb of the command line, as this user: whether it went well, and what was said.
fn verb(service: &Service, uid: u32, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hatchery"));
    command.args(arguments).current_dir("/").uid(uid).gid(uid);
    command.env("HATCHERY_HOME", service.home()).env("HOME", "/nonexistent").stdin(Stdio::null());
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The verbs ask for no more than the manual says.
#[tokio::test]
async fn verbs_work_with_the_grants_that_the_manual_names() {
    if !is_root() {
        return;
    }
    let service = open_to_all().await;
    let next = service.write_to("next", &good().version("1.2.4"));
    let digest = service.history("good").await["history"][0]["digest"].as_str().unwrap().to_owned();
    let cases: &[(&[&str], [bool; 3])] = &[
        (&["status"], [true, false, true]),
        (&["store", "list"], [true, false, true]),
        (&["history", "good"], [true, true, true]),
        (&["deploy", &next], [false, true, true]),
        (&["deploy", &digest, "--app", "good", "--allow-downgrade"], [false, true, true]),
        (&["deploy", &digest, "--allow-downgrade"], [false, false, true]),
        (&["deploy", &digest, "--app", "other"], [false, false, true]),
        (&["rollback", "good"], [false, true, true]),
        (&["reload", "good"], [false, true, true]),
        (&["scale", "good", "1"], [false, true, true]),
        (&["store", "verify"], [false, false, true]),
        (&["stop"], [false, false, true]),
    ];
    for (arguments, expected) in cases {
        for (uid, expected) in [READER, DEPLOYER, ADMIN].into_iter().zip(expected) {
            let (went_well, said) = verb(&service, uid, arguments);
            assert_eq!(went_well, *expected, "{arguments:?} as {uid}: {said}");
            assert!(went_well || said.contains("below [[admin]]"), "{arguments:?} as {uid}: {said}");
        }
        // It is cut before it has asked, which the client may see as a broken answer.
        let (went_well, said) = verb(&service, STRANGER, arguments);
        assert!(!went_well, "{arguments:?}: {said}");
    }
    eventually("nothing is left", async || service.processes().is_empty()).await;
}

/// Ten thousand connections of this user, open until the child is dropped.
fn flood(service: &Service, uid: u32) -> Child {
    let socket = service.home().join("hatchery.sock");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 20000; exec perl -e \"$0\" \"$@\"", FLOOD]).arg(&socket).arg("10000");
    shell.current_dir("/").uid(uid).gid(uid).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The owner asks for the status, from this process: that others are started would be felt.
async fn ask(service: &Service) -> io::Result<String> {
    let mut socket = UnixStream::connect(service.home().join("hatchery.sock")).await?;
    socket.write_all(b"GET /v1/status HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await?;
    let mut said = String::new();
    socket.read_to_string(&mut said).await?;
    Ok(said)
}

#[tokio::test]
async fn ten_thousand_connections_keep_nobody_out() {
    if !is_root() {
        return;
    }
    let service = open_to_all().await;
    let master = service.master().unwrap();
    let watch = Watch::new(master.clone(), service.addr_of("good").await);
    let before = master.fds();
    // Who may do nothing, who may do something, and the owner himself.
    for (uid, seats) in [(STRANGER, 0), (READER, EACH), (0, OWNER)] {
        let what = format!("ten thousand connections of uid {uid}");
        let mut flood = flood(&service, uid);
        let mut lines = BufReader::new(flood.stdout.take().unwrap());
        let mut opened = String::new();
        if uid == 0 {
            // While he opens them he throws out himself.
            lines.read_line(&mut opened).unwrap();
        }
        let mut longest = Duration::ZERO;
        let mut most = 0;
        watch
            .through(&what, async || {
                let begun = Instant::now();
                let said = ask(&service).await.unwrap();
                assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
                longest = longest.max(begun.elapsed());
                most = most.max(master.fds());
            })
            .await;
        if uid != 0 {
            lines.read_line(&mut opened).unwrap();
        }
        println!("{what}: {} were opened; the owner waited {longest:.1?} at most; {most} fds", opened.trim());
        assert_eq!(opened.trim(), "10000");
        assert!(longest < SOON, "{longest:?}");
        // The owner's own request, and what it costs to look at processes.
        assert!(most <= before + seats + 16, "{most} fds, {before} before");
        drop(flood.stdin.take());
        assert!(flood.wait().unwrap().success());
        watch.is_unchanged(&what).await;
    }
    let refusals = service.log().matches("connection to the admin socket is refused").count();
    assert!((1..20).contains(&refusals), "{refusals} lines for ten thousand refusals");
}

/// Who may deploy one app brings bundle after bundle.
#[tokio::test]
async fn who_may_deploy_can_not_fill_the_disk() {
    if !is_root() {
        return;
    }
    let service = open_to_all().await;
    let archive = service.folder().join("archive").display().to_string();
    let upload = async |number: u32| {
        let version = good().version(&format!("7.0.{number}"));
        let folder = service.write_to(&format!("good-{number}"), &version);
        let _ = fs::remove_file(&archive);
        service.ok(&["pack", &folder, "-o", &archive]).await;
        fs::set_permissions(&archive, fs::Permissions::from_mode(0o644)).unwrap();
        let socket = service.home().join("hatchery.sock");
        let mut perl = Command::new("perl");
        perl.args(["-e", UPLOAD]).arg(&socket).arg(&archive).current_dir("/").uid(DEPLOYER).gid(DEPLOYER);
        String::from_utf8_lossy(&perl.output().unwrap().stdout).into_owned()
    };
    let versions = async || {
        let listed: serde_json::Value =
            serde_json::from_str(&service.ok(&["store", "list", "--json"]).await).unwrap();
        let mut found: Vec<_> =
            listed.as_array().unwrap().iter().map(|one| one["version"].to_string()).collect();
        found.sort_unstable();
        found
    };
    let set = |text: &str| {
        fs::write(service.home().join("settings.toml"), format!("{SETTINGS}\n[uploads]\n{text}")).unwrap();
    };
    let said = upload(1).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    let (_, bytes) = said.split_once("\"bytes\":").unwrap();
    let bytes: u64 = bytes.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    // Two, and no third one.
    set(&format!("undeployed = {}", bytes * 2 + bytes / 2));
    for number in 2..=5 {
        let said = upload(number).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    }
    assert_eq!(versions().await, ["\"1.2.3\"", "\"7.0.4\"", "\"7.0.5\""]);
    // None at all.
    set(&format!("undeployed = {}", bytes / 2));
    let said = upload(6).await;
    assert!(said.contains("bundles of uid 61002 that nothing uses may have"), "{said}");
    set("keep-free = \"1EiB\"");
    let said = upload(6).await;
    assert!(said.contains("nobody but its owner uploads (`uploads.keep-free` in settings.toml)"), "{said}");
    // The owner has no bounds.
    service.ok(&["deploy", &archive]).await;
    assert!(versions().await.contains(&"\"7.0.6\"".to_owned()));
}
