//! `hatchery new`, then `build`, `test` and a request, in each language.
//!
//! The tools are those of `guests/toolchain.sh` and `guests/build.sh`, put where an app's own first build would put
//! them, so that they are fetched once. A language whose tools can't be had here is skipped with one line; with
//! CI set that is an error.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use nix::sys::signal::Signal;

use crate::support::{App, Cluster, DEADLINE, Done, eventually, get, hatchery, hatchery_with, in_time};

/// Of `toolchain.sh`: the machine lacks something.
const LACKING: i32 = 3;

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// A folder with apps in it, and a folder of programs that come first.
struct Scratch {
    folder: tempfile::TempDir,
    /// Of its environment.
    variables: Vec<(&'static str, OsString)>,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // Components of interpreters take seconds to compile: with the others'.
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/e2e-cache");
        fs::create_dir_all(cache).unwrap();
        symlink(cache, home.join("cache")).unwrap();
        let path = env::var_os("PATH").unwrap();
        let path = env::join_paths([bin].into_iter().chain(env::split_paths(&path))).unwrap();
        Self { folder, variables: vec![("PATH", path)] }
    }

    /// A program that runs this line of shell.
    fn program(&self, name: &str, line: &str) {
        let file = self.folder.path().join("bin").join(name);
        let path = env::var("PATH").unwrap();
        fs::write(&file, format!("#!/bin/sh\nPATH='{path}'\nexport PATH\n{line}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn hatchery(&self, arguments: &[&str]) -> Done {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
        hatchery_with(self.folder.path(), arguments, &variables)
    }

    fn app(&self) -> PathBuf {
        self.folder.path().join("my-app")
    }

    /// Makes the app, lets `prepare` put tools into it, builds and tests it, and asks it twice.
    async fn goes_all_the_way(language: &str, agent: bool, prepare: impl Fn(&mut Self)) -> Self {
        let mut scratch = Self::new();
        let mut arguments = vec!["new", "my-app", "--lang", language];
        arguments.extend(agent.then_some("--agent"));
        let done = scratch.hatchery(&arguments);
        assert_eq!(done.code, Some(0), "{language}: {done:?}");
        assert!(done.stdout.contains("hatchery dev my-app"), "{}", done.stdout);
        prepare(&mut scratch);

        let begun = Instant::now();
        let done = scratch.hatchery(&["build", "my-app"]);
        assert_eq!(done.code, Some(0), "{language}: {}", done.stderr);
        let built = begun.elapsed();
        let done = scratch.hatchery(&["check", "my-app"]);
        assert_eq!(done.code, Some(0), "{language}: {done:?}");
        assert!(done.stdout.contains("answers  requests, by wasi:http/"), "{language}: {}", done.stdout);
        let begun = Instant::now();
        let done = scratch.hatchery(&["test", "my-app"]);
        assert_eq!(done.code, Some(0), "{language}: {}", done.stderr);
        assert_eq!(done.stdout, "both calls were counted\n", "{language}");
        let tested = begun.elapsed();

        let wasm = fs::read(scratch.app().join("app.wasm")).unwrap();
        let size = wasm.len();
        let mut app = App::new("my-app").worker_wasm(wasm.clone(), "workers = 2");
        if agent {
            app = app.agent_wasm(wasm, "");
        }
        let cluster = Cluster::start(&[app]).await;
        let answers = [get(cluster.addr(), "/").await, get(cluster.addr(), "/").await];
        let texts = answers.map(|answer| answer.text().to_owned());
        // Each of the workers counts for itself, or the agent for both.
        let second = if agent { "hello, call 2\n" } else { "hello, call 1\n" };
        assert_eq!(texts, ["hello, call 1\n", second], "{language}");
        println!("new: {language} agent={agent}: built in {built:?}, tested in {tested:?}, {size} bytes");
        scratch
    }
}

/// `hatchery dev`: a save of a script takes over without a build, a failure of it has its place in the log, what only
/// a build gives is built, and so is what was saved last, at the end.
async fn follows_saves(
    scratch: &Scratch,
    file: &str,
    place: (&str, &str),
    fail: (&str, &str),
    built: Option<&str>,
) {
    let source = scratch.app().join(file);
    let mut cluster = Cluster::dev(&scratch.app(), &scratch.variables);
    cluster.ready().await;
    let builds = cluster.log.count("building my-app worker");
    let text = fs::read_to_string(&source).unwrap();
    let save = |text: &str| {
        fs::write(&source, text).unwrap();
        Instant::now()
    };
    for word in ["hallo", "ahoj", "hei"] {
        let saved = save(&text.replace("hello,", &format!("{word},")));
        eventually(word, async || get(cluster.addr(), "/").await.text().starts_with(word)).await;
        println!("dev: from a save of {file} to the new answer: {:?}", saved.elapsed());
    }
    save(&text.replace(fail.0, fail.1));
    cluster.log.wait_for("reloaded app=my-app generation=5").await;
    assert_eq!(get(cluster.addr(), "/").await.status, 500);
    let line = text.lines().position(|line| line.contains(fail.0)).unwrap() + 1;
    cluster.log.wait_for(&format!("{}{line}{}", place.0, place.1)).await;
    assert_eq!(cluster.log.count("building my-app"), builds, "{}", cluster.log.all());
    if let Some(built) = built {
        save(&format!("{built}\n{text}"));
        cluster.log.wait_for("what was saved needs a build").await;
        // An interpreter is compiled meanwhile.
        let reloaded = async || cluster.log.count("reloaded app=my-app") == 5;
        assert!(in_time(6 * DEADLINE, reloaded).await, "{}", cluster.log.all());
        assert!(get(cluster.addr(), "/").await.text().starts_with("hello, call "));
    } else {
        let before = fs::read(scratch.app().join("app.wasm")).unwrap();
        cluster.master().signal(Signal::SIGINT);
        eventually("its end", async || cluster.processes().is_empty()).await;
        assert_ne!(fs::read(scratch.app().join("app.wasm")).unwrap(), before, "the last save was not built");
    }
}

/// False, with one line, where they can't be had.
fn has_tools(name: &str) -> bool {
    let script = guests().join("toolchain.sh");
    let output = Command::new(script).arg(name).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(LACKING) {
        println!("skipped: new --lang {name}: {}", said.trim().lines().last().unwrap_or_default());
        return false;
    }
    assert!(output.status.success(), "{name}: {said}");
    true
}

fn toolchain(name: &str) -> PathBuf {
    guests().join("target/toolchains").join(name)
}

/// Puts a virtual environment where `build.sh` looks for its own.
fn link_venv(scratch: &Scratch, name: &str, stamp: &str) {
    let venv = toolchain(name);
    fs::write(venv.join(stamp), "").unwrap();
    symlink(venv, scratch.app().join(".venv")).unwrap();
}

#[tokio::test]
async fn rust() {
    for agent in [false, true] {
        Scratch::goes_all_the_way("rust", agent, |scratch| {
            let build = guests().join("build.sh");
            scratch.program("cargo", &format!("exec '{}' cargo \"$@\"", build.display()));
            // What it depends on is built once.
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-rust");
            fs::create_dir_all(&target).unwrap();
            symlink(target, scratch.app().join("target")).unwrap();
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn python() {
    if has_tools("python") {
        let scratch = Scratch::goes_all_the_way("python", false, |scratch| {
            link_venv(scratch, "python", "componentize-py-0.25.1");
        })
        .await;
        let fail = ("self.calls += 1", "self.calls += 1; raise RuntimeError(\"on purpose\")");
        follows_saves(
            &scratch,
            "main.py",
            ("File \"main.py\", line ", ", in handle"),
            fail,
            Some("import csv"),
        )
        .await;
    }
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn javascript_and_typescript() {
    // Components of these take half a minute each to compile on a slow machine.
    for (language, agent) in [("js", false), ("ts", true)] {
        if has_tools(language) {
            let scratch = Scratch::goes_all_the_way(language, agent, |scratch| {
                let modules = toolchain(language).join("node_modules");
                symlink(modules, scratch.app().join("node_modules")).unwrap();
            })
            .await;
            if language == "js" {
                let fail = ("calls += 1;", "calls += 1; throw new Error('on purpose');");
                follows_saves(&scratch, "main.js", ("handle@main.js:", ":"), fail, None).await;
            }
        }
    }
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn c() {
    for agent in [false, true] {
        if has_tools("c") {
            Scratch::goes_all_the_way("c", agent, |scratch| {
                link_venv(scratch, "c", "ziglang-0.17.0");
                put_wit_bindgen(scratch);
            })
            .await;
        }
    }
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn go() {
    for agent in [false, true] {
        if has_tools("go") {
            Scratch::goes_all_the_way("go", agent, |scratch| {
                put_wit_bindgen(scratch);
                let (go, cache) = (toolchain("go").join("bin/go"), toolchain(".go-cache"));
                let environment = format!("GOPROXY=off GOCACHE='{}'", cache.display());
                scratch.program("go", &format!("{environment} exec '{}' \"$@\"", go.display()));
                scratch.variables.push(("GO_PKG", go_package().into()));
            })
            .await;
        }
    }
}

/// wit-bindgen's library, as the guests here have it: `wit-bindgen c wit --world app --out-dir build/gen`.
fn put_wit_bindgen(scratch: &Scratch) {
    let bindings = toolchain("bindings").join("bindings");
    scratch.program("wit-bindgen", &format!("exec '{}' \"$1\" \"$2\" \"$6\"", bindings.display()));
}

/// What Go would fetch; the crate that generates the bindings has it.
fn go_package() -> PathBuf {
    let manifest = guests().join("bindings/Cargo.toml");
    let output = Command::new("cargo")
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let crate_ = packages.iter().find(|package| package["name"] == "wit-bindgen-go").unwrap();
    Path::new(crate_["manifest_path"].as_str().unwrap()).with_file_name("src").join("pkg")
}

#[test]
fn what_is_missing_is_said_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(hatchery(folder.path(), &["new", "my-app", "--lang", "js"]).code, Some(0));
    // Only what `sh` needs.
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink("/bin/sh", bin.join("sh")).unwrap();
    let done = hatchery_with(folder.path(), &["build", "my-app"], &[("PATH", bin.as_os_str())]);
    assert_eq!(done.code, Some(1), "{done:?}");
    for text in ["can't run `node`", "can't run `npm`", "install Node.js 20 or newer"] {
        assert!(done.stderr.contains(text), "no {text:?} in {}", done.stderr);
    }
}

#[test]
fn what_is_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("my-app")).unwrap();
    // Empty is fine.
    assert_eq!(hatchery(folder.path(), &["new", "my-app", "--lang", "c"]).code, Some(0));
    let before = fs::read(folder.path().join("my-app/hatchery.toml")).unwrap();
    let done = hatchery(folder.path(), &["new", "my-app", "--lang", "rust"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.stderr.contains("has something in it"), "{}", done.stderr);
    assert_eq!(fs::read(folder.path().join("my-app/hatchery.toml")).unwrap(), before);
    let done = hatchery(folder.path(), &["new", "My App", "--lang", "rust"]);
    assert!(done.code == Some(1) && done.stderr.contains("can't be the name of an app"), "{done:?}");
}
