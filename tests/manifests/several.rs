//! Several apps under one master: `[dev] with`, clashes, and what the command line changes.

use std::{
    fs,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use hatchery::manifest::{App, Balance, DevWith, Overrides, load_all};
use tempfile::TempDir;

/// A folder with apps, each in a folder of its own.
struct Apps(TempDir);

impl Apps {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("makes a folder"))
    }

    /// Adds an app with one worker.
    fn app(self, folder: &str, name: &str, listen: &str, with: &[&str]) -> Self {
        let worker = format!("[worker]\ncomponent = \"guest.wasm\"\nlisten = \"{listen}\"\nworkers = 1");
        self.file(folder, &format!("name = \"{name}\"\nversion = \"1\"\n{worker}\n[dev]\nwith = {with:?}\n"))
    }

    fn file(self, folder: &str, text: &str) -> Self {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).expect("makes a folder");
        fs::write(folder.join("hatchery.toml"), text).expect("writes");
        fs::write(folder.join("guest.wasm"), "").expect("writes");
        self
    }

    fn path(&self, folder: &str) -> PathBuf {
        self.0.path().join(folder)
    }

    fn load(&self, folders: &[&str], overrides: &Overrides) -> Result<Vec<App>, String> {
        let paths: Vec<_> = folders.iter().map(|folder| self.path(folder)).collect();
        let root = self.0.path().to_str().expect("is UTF-8");
        load_all(&paths, overrides).map_err(|errors| errors.to_string().replace(root, "$ROOT"))
    }
}

fn names(apps: &[App]) -> Vec<&str> {
    apps.iter().map(|app| app.name.as_str()).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("is an address")
}

#[test]
fn with_is_followed_once_and_cycles_do_no_harm() {
    let apps = Apps::new()
        .app("cache", "cache", "127.0.0.1:0", &["../origin", "../log/hatchery.toml", "."])
        .app("origin", "origin", "127.0.0.1:0", &["../log", "../cache"])
        .app("log", "log", "127.0.0.1:0", &[]);
    let loaded = apps.load(&["cache"], &Overrides::default()).expect("loads");
    assert_eq!(names(&loaded), ["log", "origin", "cache"]);
    let loaded = apps.load(&["origin", "cache", "origin/../cache"], &Overrides::default()).expect("loads");
    assert_eq!(names(&loaded), ["log", "cache", "origin"]);
    let only = Overrides { dev_with: DevWith::Ignore, ..Overrides::default() };
    assert_eq!(names(&apps.load(&["cache"], &only).expect("loads")), ["cache"]);
}

#[test]
fn two_apps_need_two_names_and_addresses() {
    let apps = Apps::new()
        .app("one", "app", "127.0.0.1:7001", &[])
        .app("two", "app", "0.0.0.0:7001", &[])
        .app("three", "other", "127.0.0.1:7002", &[]);
    let found = apps.load(&["one", "two", "three"], &Overrides::default()).expect_err("clash");
    assert_eq!(
        found,
        r#"error: the name `app` is taken by $ROOT/one/hatchery.toml
 --> $ROOT/two/hatchery.toml:1:8
  |
1 | name = "app"
  |        ^^^^^
  |
  = help: give each app a name of its own

error: 0.0.0.0:7001 is taken by app `app`, which listens on 127.0.0.1:7001
 --> $ROOT/two/hatchery.toml:5:10
  |
5 | listen = "0.0.0.0:7001"
  |          ^^^^^^^^^^^^^^
  |
  = help: give each app a port of its own, or port 0 for any free one"#
    );
}

#[test]
fn the_mistakes_of_all_files_are_reported() {
    let apps = Apps::new()
        .file("one", "name = \"one\"\nversion = 1\n[agent]\ncomponent = \"guest.wasm\"\n")
        .app("two", "two", "127.0.0.1:0", &["../nowhere", "../one"]);
    let found = apps.load(&["two", "gone"], &Overrides::default()).expect_err("has mistakes");
    for part in [
        "there is no manifest in $ROOT/nowhere\n --> $ROOT/two/hatchery.toml:8:9",
        "`version` must be a string, not a whole number\n --> $ROOT/two/../one/hatchery.toml:2:11",
        "there is no such manifest\n--> $ROOT/gone",
    ] {
        let found = found.replace("$ROOT/one/hatchery.toml", "$ROOT/two/../one/hatchery.toml");
        assert!(found.contains(part), "not in the errors: {part}\n{found}");
    }
}

#[test]
fn the_command_line_changes_what_it_names() {
    let apps = Apps::new()
        .app("cache", "cache", "127.0.0.1:7001", &["../origin"])
        .app("origin", "origin", "127.0.0.1:7001", &[])
        .app("log", "log", "127.0.0.1:7003", &[]);
    let overrides = Overrides {
        workers: NonZeroU32::new(3),
        listen: vec![(None, address("127.0.0.1:0")), (Some("origin".to_owned()), address("127.0.0.1:8002"))],
        balance: Some(Balance::Shared),
        dev_with: DevWith::Follow,
    };
    let loaded = apps.load(&["cache", "log"], &overrides).expect("loads");
    let found: Vec<_> = loaded
        .iter()
        .map(|app| (app.name.as_str(), app.worker.as_ref().expect("has one")))
        .map(|(name, worker)| (name, worker.listen.to_string(), worker.workers.get(), worker.balance))
        .collect();
    assert_eq!(
        found,
        [
            ("origin", "127.0.0.1:8002".to_owned(), 1, Balance::RoundRobin),
            ("cache", "127.0.0.1:0".to_owned(), 3, Balance::Shared),
            ("log", "127.0.0.1:7003".to_owned(), 3, Balance::Shared),
        ]
    );
}

#[test]
fn wishes_that_fit_no_app_are_refused() {
    let apps = Apps::new()
        .app("cache", "cache", "127.0.0.1:7001", &[])
        .file("agent", "name = \"timer\"\nversion = \"1\"\n[agent]\ncomponent = \"guest.wasm\"\n");
    let listen = |wishes: &[(Option<&str>, &str)]| Overrides {
        listen: wishes.iter().map(|(name, text)| (name.map(str::to_owned), address(text))).collect(),
        ..Overrides::default()
    };
    let any = "127.0.0.1:0";
    let cases = [
        (
            listen(&[(Some("cash"), any)]),
            "error: `--listen cash=127.0.0.1:0` is for no app\n |\n = help: the apps are `cache` and `timer`",
        ),
        (
            listen(&[(Some("timer"), any)]),
            "error: `--listen timer=127.0.0.1:0` is for app `timer`, which has no worker\n",
        ),
        (
            listen(&[(None, any), (Some("cache"), any)]),
            "error: `--listen cache=127.0.0.1:0` is the second address for app `cache`\n",
        ),
        (
            Overrides { workers: NonZeroU32::new(1025), ..Overrides::default() },
            "error: `--workers 1025` is out of range\n",
        ),
    ];
    for (overrides, expected) in cases {
        let found = apps.load(&["cache", "agent"], &overrides).expect_err("does not fit");
        assert!(found.starts_with(expected), "{expected}\n---\n{found}");
    }
    let clash = Overrides { listen: vec![(None, address("127.0.0.1:7002"))], ..Overrides::default() };
    let apps = apps.app("origin", "origin", "127.0.0.1:7002", &[]);
    let found = apps.load(&["origin", "cache"], &Overrides::default());
    assert_eq!(names(&found.expect("loads")), ["origin", "cache"]);
    let found = apps.load(&["cache", "origin"], &clash).expect_err("clash");
    assert!(found.starts_with("error: 127.0.0.1:7002 is taken by app `cache`"), "{found}");
}

#[test]
fn a_long_chain_ends_at_the_bound() {
    let mut apps = Apps::new();
    for n in 0..260 {
        let with = format!("../app-{}", n + 1);
        apps = apps.app(&format!("app-{n}"), &format!("app-{n}"), "127.0.0.1:0", &[&with]);
    }
    assert!(Path::new(&apps.path("app-0")).exists());
    let found = apps.load(&["app-0"], &Overrides::default()).expect_err("is too long");
    assert!(found.starts_with("error: there are more than 256 apps"), "{found}");
}
