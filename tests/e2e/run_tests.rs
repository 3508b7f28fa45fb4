//! `hatchery test`: the app on a free port, its test's exit code, nothing left.

use std::{ffi::OsStr, fs, path::Path};

use crate::support::{App, Done, Guest, hatchery_with, mark, marked};

/// A hello with a test: `script` is run by `sh`.
fn app(script: &str) -> App {
    // A port that nobody can have: the test must come by the free one.
    App::new("hello")
        .worker(Guest::HelloP3, "workers = 1\nlisten = \"127.0.0.1:1\"")
        .file("test.sh", script)
        .more("[test]\ncommand = \"sh test.sh\"")
}

/// Runs it, and looks that nothing is left.
fn test(app: &App) -> Done {
    let folder = tempfile::Builder::new().prefix("hatchery-e2e-").tempdir().unwrap();
    app.write(folder.path());
    let mark = (mark(), folder.path().file_name().unwrap().to_owned());
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let variables: [(&str, &OsStr); 2] = [(mark.0, &mark.1), ("TMPDIR", temporary.as_os_str())];
    let done = hatchery_with(folder.path(), &["test", "."], &variables);
    assert_eq!(marked(mark.1.to_str().unwrap()), [], "processes are left");
    assert_eq!(names(&temporary), [""; 0], "the temporary home is left");
    done
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_test_that_passes_sees_the_app() {
    let done = test(&app("set -eu\necho asking\ncurl --silent --fail \"$HATCHERY_URL/\"\n"));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stdout, "asking\nHello, world");
    assert!(!done.stderr.contains("the app's log"), "{}", done.stderr);
}

#[test]
fn exit_codes_are_the_tests() {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let done = test(&app(script));
        assert_eq!(done.code, Some(code), "{done:?}");
        // Now the log is of interest.
        assert!(done.stderr.contains("--- the app's log\n"), "{}", done.stderr);
        assert!(done.stderr.contains("every process is ready"), "{}", done.stderr);
    }
}

#[test]
fn an_app_that_cant_start_fails_with_its_log() {
    let silent = App::new("hello").worker(Guest::CacheAgent, "").more("[test]\ncommand = \"true\"");
    let done = test(&silent);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("the worker of hello answers no requests"), "{}", done.stderr);
    assert!(done.stderr.contains("hello could not be started"), "{}", done.stderr);
}

#[test]
fn no_test_is_no_success() {
    let done = test(&App::new("hello").worker(Guest::HelloP3, ""));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("hello has no tests: add `[test]` with a `command`"), "{}", done.stderr);
}
