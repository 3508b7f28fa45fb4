//! `hatchery check`: what a component is, and what its manifest denies it.

use serde_json::Value;

use crate::support::{App, Guest, hatchery};

fn folder_of(app: &App) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    app.write(folder.path());
    folder
}

/// What is said of `what` of the first component.
fn access<'a>(checked: &'a Value, what: &str) -> Option<&'a Value> {
    checked[0]["components"][0]["access"].as_array()?.iter().find(|access| access["what"] == what)
}

#[test]
fn what_a_component_uses_and_is_denied() {
    let denied = App::probe(Guest::ProbeP3, 1);
    let keys = "environment = { NAME = \"x\" }\nallowed-outbound-hosts = [\"http://127.0.0.1:1\"]";
    let granted = App::new("probe").worker(Guest::ProbeP3, keys);
    let json = |app: &App| -> Value {
        let folder = folder_of(app);
        let done = hatchery(folder.path(), &["check", "--json", "."]);
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    };
    let checked = json(&denied);
    let component = &checked[0]["components"][0];
    assert!(component["handler"].as_str().unwrap().starts_with("wasi:http/handler@0.3"), "{component}");
    assert!(component["wasi_versions"].as_array().unwrap().iter().any(|version| version == "0.3.0"));
    let names = |value: &Value| value.as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>();
    for (which, expected) in
        [("imports", ["\"messenger\"", "\"requests\""]), ("exports", ["\"receiver\"", "\"task\""])]
    {
        let found = names(&component["cluster"][which]);
        assert!(expected.iter().all(|name| found.iter().any(|one| one == name)), "{which}: {found:?}");
    }
    for what in ["environment", "requests"] {
        assert!(access(&checked, what).unwrap()["denied"].is_string(), "{what}: {component}");
    }

    let checked = json(&granted);
    assert_eq!(access(&checked, "environment").unwrap()["granted"], serde_json::json!(["NAME"]));
    let requests = access(&checked, "requests").unwrap();
    assert_eq!(requests["granted"], serde_json::json!(["http://127.0.0.1:1"]));
    assert!(requests["denied"].is_null(), "{requests}");
}

#[test]
fn the_text_says_the_same() {
    let folder = folder_of(&App::probe(Guest::ProbeP2, 1));
    let done = hatchery(folder.path(), &["check", "."]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for text in [
        "ok app=probe version=1.2.3\n",
        "answers  requests, by wasi:http/incoming-handler@0.2",
        "cluster  0.2.0: exports ",
        "denied   requests: every request; name where it may go in `allowed-outbound-hosts`",
    ] {
        assert!(done.stdout.contains(text), "no {text:?} in:\n{}", done.stdout);
    }
}

#[test]
fn what_does_not_go_together_is_said() {
    let schedule = "[[schedule]]\nname = \"tick\"\ninterval = \"1s\"";
    let folder = folder_of(&App::new("hello").worker(Guest::HelloP3, "").more(schedule));
    let done = hatchery(folder.path(), &["check", "."]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("note     the schedule `tick` fails each time"), "{}", done.stdout);

    let folder = folder_of(&App::new("silent").worker(Guest::CacheAgent, ""));
    let done = hatchery(folder.path(), &["check", "."]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.stderr.contains("the worker of silent answers no requests"), "{}", done.stderr);
}
