//! What a user id of its own keeps when nothing else does: a process of the host that is a tenant's user, in no
//! namespace and under no filter, against another tenant and against the master. As root only.

use std::process::{Command, Stdio};

use crate::support::{App, Guest, OsProcess, Service, get, put};

fn is_root() -> bool {
    let is = nix::unistd::geteuid().is_root();
    if !is {
        eprintln!("SKIPPED: only root can give apps users of their own");
    }
    is
}

/// Does this work, as that user?
fn works(uid: u32, script: &str) -> bool {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()]);
    command.args(["sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}

#[tokio::test]
async fn a_tenants_user_alone_reaches_no_other_tenant() {
    if !is_root() {
        return;
    }
    let service = Service::with_own_cache();
    let folders = "workers = 1\nfolders = [{ source = \"data\", destination = \"/data\", writable = true }]";
    let app = |name: &str| App::new(name).worker(Guest::ProbeP2, folders).file("data/keep", "");
    service.start(&[&service.write(&app("one")), &service.write(&app("two"))]).await;
    for name in ["one", "two"] {
        put(service.addr_of(name).await, "/fs/write?path=/data/own", name).await;
    }
    let worker = |name: &str| -> OsProcess {
        let title = format!("hatchery: worker {name}/0");
        service.processes().into_iter().find(|process| process.title == title).unwrap()
    };
    let (one, two) = (worker("one"), worker("two"));
    let uid = *one.ids().0.first().unwrap();
    let home = service.home();
    let home = home.display();
    // So that only files' own rights are in the way.
    let opened =
        Command::new("chmod").arg("711").arg(service.home()).arg(service.home().join("apps")).status();
    assert!(opened.unwrap().success());
    // It is not for nothing that the others fail.
    for allowed in [format!("kill -0 {}", one.id), "test $(id -u) != 0".to_owned()] {
        assert!(works(uid, &allowed), "{allowed}");
    }
    for (name, pid) in [("two", two.id), ("the master", service.master().unwrap().id)] {
        for denied in [
            format!("kill -0 {pid}"),
            format!("kill -9 {pid}"),
            format!("cat /proc/{pid}/environ"),
            format!("cat /proc/{pid}/maps"),
            format!("ls /proc/{pid}/fd/"),
            format!("ls /proc/{pid}/root/"),
            format!("ls /proc/{pid}/cwd/"),
            format!("head -c 1 /proc/{pid}/mem"),
            format!("renice 19 {pid}"),
            format!("prlimit --pid {pid} --nofile=10"),
            format!("nsenter --target {pid} --user true"),
        ] {
            assert!(!works(uid, &denied), "{name}: {denied}");
        }
    }
    for denied in [
        format!("ls {home}/apps/two"),
        format!("ls {home}/apps/two/data/data"),
        format!("cat {home}/apps/two/data/data/own"),
        format!("touch {home}/apps/two/data/data/new"),
        // Nor its own, but by what it is handed.
        format!("cat {home}/apps/one/data/data/own"),
        format!("cat {home}/logs/hatchery.log"),
        format!("ls {home}/cache/"),
        format!("ls {home}/store/"),
        format!("cat {home}/tenants.json"),
    ] {
        assert!(!works(uid, &denied), "{denied}");
    }
    assert_eq!(get(service.addr_of("two").await, "/hello").await.text(), "hello\n");
}
