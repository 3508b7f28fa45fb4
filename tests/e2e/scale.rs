//! `scale` to a number that can't be had: it ends in time, with a reason, and what served goes on.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::support::{App, Guest, Service, eventually, get};

/// Of a start that takes 2 s at most, on a busy machine.
const SOON: Duration = Duration::from_secs(25);

#[tokio::test]
async fn workers_that_do_not_start_are_given_up() {
    let service = Service::new();
    let keys = "workers = 1\nfolders = [{ source = \"data\", destination = \"/data\", writable = true }]\n\
                environment = { START = \"trap\", START_IF = \"/data/fail\" }";
    let app = App::new("probe").worker(Guest::ProbeP2, keys).file("data/own", b"mine");
    let app = service.write(&app.more("[limits]\nstart-timeout = \"2s\""));
    service.start(&[&app]).await;
    let before = service.processes();
    let fail = service.home().join("apps/probe/data/data/fail");
    fs::write(&fail, "").unwrap();
    let begun = Instant::now();
    let error = service.fails(&["scale", "probe", "3"]).await;
    println!("given up after {:?}: {error}", begun.elapsed());
    assert!(begun.elapsed() < SOON);
    let expected = ["worker 1 was not ready within 2s; its last process: ", "trap"];
    assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    eventually("the workers from before", async || service.processes() == before).await;
    assert_eq!(get(service.addr_of("probe").await, "/hello").await.status, 200);
    // The app's turn is free, and the number that did not come is not on file.
    service.ok(&["store", "prune"]).await;
    fs::remove_file(&fail).unwrap();
    service.ok(&["restart"]).await;
    let workers = || service.processes().iter().filter(|one| one.title.contains("worker")).count();
    assert_eq!(workers(), 1);
    service.ok(&["scale", "probe", "3"]).await;
    assert_eq!(workers(), 3);
}
