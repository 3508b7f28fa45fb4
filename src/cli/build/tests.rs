//! Building, with tools that every machine has.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::manifest::load;

/// An app whose agent is built by `command` from `source.wasm` to `app.wasm` by way of `out/made.wasm`.
fn app(command: &str) -> (TempDir, App) {
    let folder = tempfile::tempdir().expect("makes a folder");
    let manifest = format!(
        "name = \"app\"\nversion = \"1\"\n[agent]\ncomponent = \"lib/app.wasm\"\n\
         build = {{ command = '''{command}''', output = \"out/made.wasm\" }}\n"
    );
    fs::write(folder.path().join("hatchery.toml"), manifest).expect("writes");
    fs::write(folder.path().join("source.wasm"), "one").expect("writes");
    fs::create_dir(folder.path().join("out")).expect("makes a folder");
    let app = load(folder.path()).expect("loads");
    (folder, app)
}

fn component(app: &App) -> &Component {
    &app.agent.as_ref().expect("has one").component
}

async fn fails(command: &str) -> String {
    let (_folder, app) = app(command);
    format!("{:#}", build(&app).await.expect_err("fails"))
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::options().append(true).open(path).and_then(|file| file.set_modified(time)).expect("sets");
}

#[tokio::test]
async fn what_is_built_is_put_in_place_when_it_differs() {
    let (folder, app) = app("cp source.wasm out/made.wasm");
    let file = &component(&app).file;
    assert!(needs_build(&app));

    build(&app).await.expect("builds");
    assert_eq!(fs::read_to_string(file).expect("is there"), "one");
    assert!(!needs_build(&app));

    // The same again: not even its time changes, though the output's does.
    set_time(file, 1_000_000);
    build(&app).await.expect("builds");
    let changed = fs::metadata(file).and_then(|found| found.modified()).expect("is there");
    assert_eq!(changed, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
    assert!(!needs_build(&app));

    // Somebody ran the command by hand.
    let output = folder.path().join("out/made.wasm");
    fs::write(&output, "two").expect("writes");
    assert!(needs_build(&app));
    set_time(&output, 999_999);
    assert!(!needs_build(&app), "it is older");

    fs::write(folder.path().join("source.wasm"), "two").expect("writes");
    build(&app).await.expect("builds");
    assert_eq!(fs::read_to_string(file).expect("is there"), "two");
    let left: Vec<_> = fs::read_dir(file.parent().expect("has one")).expect("is there").collect();
    assert_eq!(left.len(), 1, "a temporary file is left");
}

#[tokio::test]
async fn a_script_of_the_app_is_found_from_anywhere() {
    let (folder, app) = app("./make it");
    // A link, since a program that was just written can't be run while another thread forks.
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("make")).expect("links");
    fs::write(folder.path().join("it"), "cp source.wasm out/made.wasm").expect("writes");
    build(&app).await.expect("builds");
    assert!(component(&app).file.exists());
}

#[tokio::test]
async fn failures_name_command_code_and_remedy() {
    assert_eq!(
        fails("sh -c 'exit 7'").await,
        "building app agent: `sh -c 'exit 7'` failed (exit code 7); see what it said above"
    );
    let text = fails("sh -c 'kill -9 $$'").await;
    assert!(text.contains("failed (signal: 9 (SIGKILL))"), "{text}");
    let text = fails("no-such-tool --release").await;
    assert!(text.starts_with("building app agent: can't run `no-such-tool`: it is not on PATH; "), "{text}");
    let text = fails("./source.wasm").await;
    assert!(text.contains("it is not executable"), "{text}");
    let text = fails("./gone.sh").await;
    assert!(text.contains("there is no such file in the app's folder"), "{text}");
    let text = fails("true").await;
    assert!(text.contains("the command left no file") && text.contains("out/made.wasm"), "{text}");
}
