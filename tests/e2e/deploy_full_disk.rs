//! A full disk in the middle of a deploy: what runs and what is stored stays as it was.

use std::{
    env,
    fs::File,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::geteuid;
use serde_json::Value;

use super::bundle_hostile::picture;
use crate::support::{App, Guest, Load, Service, generation, get};

/// Set for the child below, which may mount.
const SMALL_DISK: &str = "HATCHERY_TEST_SMALL_DISK";

/// Of the home's own file system.
const SIZE: u64 = 16 << 20;

/// The room that is left for a deploy, each time more, in KiB.
const ROOM: [u64; 9] = [0, 4, 8, 16, 64, 256, 512, 1024, 4096];

fn version(number: u32, listen: &str) -> App {
    let keys = format!("workers = 2\nlisten = \"{listen}\"");
    // What no other version has, so that there is something to store.
    let guest = if number == 1 { Guest::ProbeP3 } else { Guest::ProbeP2 };
    let mut data = vec![0; 200_000];
    fastrand::Rng::with_seed(number.into()).fill(&mut data);
    App::new("probe")
        .version(&format!("0.{number}.0"))
        .worker(guest, &format!("{keys}\nfolders = [{{ source = \"static\", destination = \"/static\" }}]"))
        .file("static/data", data)
}

/// Takes all room but this.
fn fill(home: &Path, room: u64) {
    let filler = home.join("filler");
    let mut left = vec![0; 1 << 20];
    let mut file = File::create(&filler).unwrap();
    while !left.is_empty() {
        if file.write_all(&left).is_err() {
            left.truncate(left.len() / 2);
        }
    }
    let full = file.metadata().unwrap().len();
    file.set_len((full / 4096 * 4096).saturating_sub(room << 10)).unwrap();
}

#[tokio::test]
#[ignore = "what a child does, on a file system that it fills"]
async fn fills_a_small_disk() {
    if env::var_os(SMALL_DISK).is_none() {
        return;
    }
    let service = Service::with_own_cache();
    let home = service.home();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={SIZE},mode=0700"), "none"])
        .arg(&home)
        .status();
    assert!(mounted.unwrap().success());
    assert_ne!(std::fs::metadata(&home).unwrap().dev(), std::fs::metadata(service.folder()).unwrap().dev());
    assert_eq!(std::fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);

    let first = service.write_to("1", &version(1, "127.0.0.1:0"));
    service.start(&[&first]).await;
    let addr = service.addr_of("probe").await;
    let two = service.write_to("2", &version(2, &addr.to_string()));
    let load = Load::light(addr);
    load.goes_on(50).await;
    let (store, record) = (home.join("store"), home.join("apps/probe/app.json"));
    let (before, processes) = (picture(&store), service.processes());
    let deployed =
        async || service.history("probe").await["deployed"]["version"].as_str().unwrap().to_owned();
    let (mut refusals, mut last) = (0, 0);
    for room in ROOM {
        fill(&home, room);
        let done = service.run(&["deploy", &two]).await;
        let left = service.ok(&["status"]).await;
        if done.code == Some(0) {
            std::fs::remove_file(home.join("filler")).unwrap();
            last = room;
            break;
        }
        assert_eq!(done.code, Some(1), "{room} KiB: {}", done.stderr);
        assert!(done.stderr.contains("No space left on device"), "{room} KiB: {}", done.stderr);
        println!("{room} KiB left: {}", done.stderr.lines().last().unwrap());
        refusals += 1;
        assert!(left.contains("0.1.0"), "{left}");
        assert_eq!(generation(addr).await, 1, "{room} KiB");
        assert!(service.ok(&["store", "verify"]).await.contains("verified"), "{room} KiB");
        assert_eq!(deployed().await, "0.1.0", "{room} KiB");
        load.goes_on(20).await;
        assert_eq!(service.processes(), processes, "{room} KiB");
        std::fs::remove_file(home.join("filler")).unwrap();
        // A bundle that was taken in stays, but whole; and nothing half of one.
        let now = picture(&store);
        assert!(before.iter().all(|one| now.contains(one)), "{room} KiB: {now:#?}");
        assert_eq!(std::fs::read_dir(store.join("tmp")).unwrap().count(), 0, "{room} KiB");
        assert!(serde_json::from_slice::<Value>(&std::fs::read(&record).unwrap()).is_ok(), "{room} KiB");
    }
    assert!(refusals >= 3 && last > 0, "{refusals} refusals, done with {last} KiB left");
    assert_eq!(load.end().await, [""; 0]);
    assert_eq!((generation(addr).await, deployed().await), (2, "0.2.0".to_owned()));
    service.ok(&["restart"]).await;
    let addr = service.addr_of("probe").await;
    assert_eq!(get(addr, "/hello").await.text(), "hello\n");
    // Also with nothing left at all.
    fill(&home, 0);
    service.ok(&["restart"]).await;
    assert_eq!(get(service.addr_of("probe").await, "/hello").await.text(), "hello\n");
    service.ok(&["stop"]).await;
    println!("{refusals} refusals on a small disk, done with {last} KiB left");
}

#[test]
fn a_full_disk_leaves_all_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]).args(arguments);
        command.env(SMALL_DISK, "1").env("TMPDIR", place.path()).stdin(Stdio::null());
        command.output().unwrap()
    };
    // Where nobody may mount, as in some containers, there is no small disk to be had.
    if !unshare(&["mount", "-t", "tmpfs", "none", place.path().to_str().unwrap()]).status.success() {
        let must = env::var_os("CI").is_some() && geteuid().is_root();
        assert!(!must, "root can't mount a small disk, though CI is set");
        eprintln!("skipped: this user can't mount a small disk");
        return;
    }
    let test = "e2e::deploy_full_disk::fills_a_small_disk";
    let me = env::current_exe().unwrap();
    let done = unshare(&[me.to_str().unwrap(), "--ignored", "--exact", "--nocapture", test]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("refusals on a small disk"), "{said}");
    print!("{said}");
}
