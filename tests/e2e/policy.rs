//! What a home's policy does not allow is refused, by name: before the deploy by `check`, and by the deploy.

use std::fs;

use serde_json::Value;

use crate::support::{App, Guest, Service};

const POLICY: &str = "
[any]
workers = 2
environment = ['APP_*']
secrets = []
message-rate = 1000
disk = '10MiB'
request-timeout = '10s'

[app.trusted]
secrets = ['*']
";

fn app(name: &str, worker: &str, limits: &str) -> App {
    let keys = format!("workers = 1\n{worker}");
    let limits =
        format!("[limits]\nmessage-rate = 1000\ndisk = \"10MiB\"\nrequest-timeout = \"10s\"\n{limits}");
    App::new(name).worker(Guest::HelloP3, &keys).more(&limits)
}

#[tokio::test]
async fn each_wish_beyond_it_is_named() {
    let service = Service::new();
    let file = service.file("policy.toml", POLICY);
    fs::write(service.home().join("policy.toml"), POLICY).unwrap();
    let check = async |app: &App| {
        let folder = service.write(app);
        let done = service.run(&["check", &folder, "--json", "--policy", &file]).await;
        let json: Value = serde_json::from_str(&done.stdout).unwrap();
        let beyond = json[0]["beyond_policy"].as_array().unwrap().clone();
        assert_eq!(done.code, Some(i32::from(!beyond.is_empty())), "{}", done.stderr);
        let keys: Vec<String> = beyond.iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect();
        (keys, folder)
    };
    assert_eq!(check(&app("a", "", "")).await.0, [""; 0]);
    assert_eq!(check(&app("a", "environment = { APP_KEY = \"1\" }", "")).await.0, [""; 0]);
    assert_eq!(check(&app("trusted", "secrets = [\"KEY\"]", "")).await.0, [""; 0]);
    for (worker, limits, key, text) in [
        (
            "environment = { HOME = \"/\" }",
            "",
            "worker.environment",
            "the environment variable HOME of the worker",
        ),
        ("secrets = [\"KEY\"]", "", "worker.secrets", "the secret KEY for the worker (it allows none)"),
    ] {
        let (keys, folder) = check(&app("a", worker, limits)).await;
        assert_eq!(keys, [key]);
        // The home's, without a file.
        let done = service.run(&["check", &folder, "--policy"]).await;
        assert!(done.stdout.contains(text), "{}", done.stdout);
        assert!(done.stdout.starts_with("refused app=a "), "{}", done.stdout);
    }
    // Defaults are wishes too.
    let plain = App::new("plain").worker(Guest::HelloP3, "workers = 3");
    let (keys, folder) = check(&plain).await;
    assert_eq!(keys, ["worker.workers", "limits.disk", "limits.request-timeout", "limits.message-rate"]);
    service.start(&[]).await;
    let error = service.fails(&["deploy", &folder]).await;
    for text in [
        "3 workers (it allows 2)",
        "disk = 1.0 GiB (it allows 10.0 MiB)",
        "message-rate = 1000000 (it allows 1000)",
    ] {
        assert!(error.contains(text), "{error}");
    }
}

#[tokio::test]
async fn scaling_is_held_against_it_too() {
    let service = Service::new();
    fs::write(service.home().join("policy.toml"), POLICY).unwrap();
    let folder = service.write(&app("a", "", ""));
    service.start(&[&folder]).await;
    service.ok(&["scale", "a", "2"]).await;
    let error = service.fails(&["scale", "a", "3"]).await;
    assert!(error.contains("3 workers (it allows 2)"), "{error}");
    // A reload is no new wish.
    fs::write(service.home().join("policy.toml"), "[any]\nworkers = 1\n").unwrap();
    service.ok(&["reload", "a"]).await;
}
