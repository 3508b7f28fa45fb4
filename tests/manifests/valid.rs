//! What loads, and as what.

use std::{
    fs,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use hatchery::manifest::{
    Agent, App, Balance, Build, Capabilities, Component, Deploy, Folder, Health, InstanceMode, Limits, Live,
    Overlap, Recycle, RunOn, Schedule, Test, Trigger, Worker, load,
};

const VALID: &str = "tests/manifests/valid";

fn app(name: &str) -> App {
    load(&Path::new(VALID).join(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn all_load_and_survive_the_way_to_a_child() {
    let mut count = 0;
    for entry in fs::read_dir(VALID).expect("is there") {
        let path = entry.expect("can be read").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let app = load(&path).unwrap_or_else(|error| panic!("{error}"));
            let bytes = postcard::to_stdvec(&app).expect("encodes");
            assert_eq!(postcard::from_bytes::<App>(&bytes).expect("decodes"), app, "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} manifests");
}

#[test]
fn every_key_arrives() {
    let folder = Path::new(VALID).canonicalize().expect("is there");
    let hosts = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("is one")).collect();
    let data = |destination: &str| Folder {
        source: folder.join("data"),
        destination: destination.to_owned(),
        writable: false,
    };
    let expected = App {
        name: "cache".to_owned(),
        version: "0.1.0".to_owned(),
        manifest: folder.join("full.toml"),
        folder: folder.clone(),
        worker: Some(Worker {
            component: Component {
                file: folder.join("guest.wasm"),
                build: Some(Build {
                    command: ["cargo", "build", "--release", "-p", "cache worker"]
                        .map(str::to_owned)
                        .to_vec(),
                    output: folder.join("target/cache_worker.wasm"),
                    tools: vec!["wit-bindgen".to_owned(), "g++".to_owned()],
                    wit: Some(folder.join("wit")),
                    live: Some(Live {
                        files: vec!["*.py".to_owned(), "notes/all.py".to_owned()],
                        command: Some(vec!["sh".to_owned(), "live.sh".to_owned()]),
                    }),
                }),
                capabilities: Capabilities {
                    environment: [("SOURCE_URL", "http://127.0.0.1:7002/"), ("EMPTY", "")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into(),
                    allowed_outbound_hosts: hosts(&["http://127.0.0.1:7002", "https://*.example.com"]),
                    folders: vec![
                        data("/data"),
                        Folder {
                            source: folder.join("data/sub"),
                            destination: "/data/sub".to_owned(),
                            writable: true,
                        },
                    ],
                    secrets: ["API_KEY", "TOKEN"].map(str::to_owned).into(),
                },
            },
            listen: "127.0.0.1:7001".parse().expect("is an address"),
            workers: NonZeroU32::new(2).expect("is not 0"),
            balance: Balance::Shared,
            instance: InstanceMode::PerRequest,
            concurrency: NonZeroUsize::new(16).expect("is not 0"),
            queued_requests: 32,
            connections: NonZeroUsize::new(64).expect("is not 0"),
            recycle: Recycle {
                requests: Some(100_000),
                age: Some(Duration::from_secs(86_400)),
                memory: Some(512 << 20),
                handles: 20_000,
            },
        }),
        agent: Some(Agent {
            component: Component {
                file: folder.join("guest.wasm"),
                build: Some(Build {
                    command: vec!["make".to_owned(), "agent".to_owned()],
                    output: PathBuf::from("/tmp/agent.wasm"),
                    tools: vec![],
                    wit: None,
                    live: None,
                }),
                capabilities: Capabilities {
                    environment: [("ROLE".to_owned(), "agent".to_owned())].into(),
                    allowed_outbound_hosts: hosts(&["*://localhost:*"]),
                    folders: vec![data("/")],
                    secrets: [].into(),
                },
            },
        }),
        schedules: vec![
            Schedule {
                name: "force-refresh".to_owned(),
                trigger: Trigger::Interval(Duration::from_secs(5400)),
                on: RunOn::All,
                immediate: true,
                enabled: false,
                overlap: Overlap::Allow,
                payload: Some("{}".to_owned()),
            },
            Schedule {
                name: "nightly".to_owned(),
                trigger: Trigger::Cron {
                    pattern: "0 3 * * *".to_owned(),
                    timezone: "Europe/Berlin".to_owned(),
                },
                on: RunOn::Agent,
                immediate: false,
                enabled: true,
                overlap: Overlap::Skip,
                payload: None,
            },
        ],
        limits: Limits {
            memory: 128 << 20,
            process_memory: Some(1 << 30),
            request_timeout: Duration::from_secs(10),
            cpu_limit: Duration::from_millis(250),
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(5),
            hang_timeout: Duration::from_secs(10),
            message_size: 64_000,
            queue_size: 1 << 20,
            drain_timeout: Duration::from_secs(20),
            trap_limit: 3,
            header_size: 16 << 10,
            body_size: Some(8 << 20),
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(6),
            write_timeout: Duration::from_secs(7),
            outbound_connections: 32,
            outbound_size: 16 << 20,
            app_memory: Some(4 << 30),
            message_rate: 5000,
            log_rate: 64 << 10,
            open_files: Some(2048),
            disk: 100 << 20,
            compile_time: Duration::from_secs(20),
            cpu_weight: 50,
            cpus: Some(150),
        },
        dev_with: vec![folder.parent().expect("has one").join("origin")],
        deploy: Deploy {
            health: Some(Health {
                path: "/healthz?deep=1".to_owned(),
                status: 204,
                timeout: Duration::from_secs(2),
                successes: 3,
                within: Duration::from_secs(20),
            }),
        },
        test: Some(Test { command: vec!["python3".to_owned(), "test it.py".to_owned()] }),
    };
    assert_eq!(app("full.toml"), expected);
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let app = app("minimal-worker.toml");
    let worker = app.worker.expect("has one");
    assert_eq!(worker.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(worker.workers.get() as usize, std::thread::available_parallelism().expect("is known").get());
    assert_eq!(worker.balance, Balance::RoundRobin);
    assert_eq!(worker.instance, InstanceMode::Resident);
    assert_eq!(worker.concurrency.get(), 1024);
    assert_eq!(worker.queued_requests, 1024);
    assert_eq!(worker.connections.get(), 10_000);
    assert_eq!(worker.component.capabilities, Capabilities::default());
    assert_eq!(worker.component.build, None);
    assert_eq!(app.agent, None);
    assert_eq!((app.schedules, app.dev_with, app.deploy.health), (vec![], vec![], None));
    assert_eq!(app.test, None);
    let expected = Limits {
        memory: 256 << 20,
        process_memory: None,
        request_timeout: Duration::from_secs(30),
        cpu_limit: Duration::from_secs(1),
        start_timeout: Duration::from_secs(30),
        stop_timeout: Duration::from_secs(10),
        hang_timeout: Duration::from_secs(10),
        message_size: 1 << 20,
        queue_size: 16 << 20,
        drain_timeout: Duration::from_secs(30),
        trap_limit: 10,
        header_size: 64 << 10,
        body_size: None,
        header_timeout: Duration::from_secs(30),
        body_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(60),
        outbound_connections: 256,
        outbound_size: 1 << 30,
        app_memory: None,
        message_rate: 1_000_000,
        log_rate: 1 << 20,
        open_files: None,
        disk: 1 << 30,
        compile_time: Duration::from_secs(120),
        cpu_weight: 100,
        cpus: None,
    };
    assert_eq!(app.limits, expected);
}

#[test]
fn the_health_check_has_defaults() {
    let health = app("health.toml").deploy.health.expect("has one");
    let expected = Health {
        path: "/healthz".to_owned(),
        status: 200,
        timeout: Duration::from_secs(5),
        successes: 1,
        within: Duration::from_secs(30),
    };
    assert_eq!(health, expected);
}
