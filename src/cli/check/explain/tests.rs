//! Explanations, by manifests in a temporary folder.

use std::fs;

use super::*;
use crate::manifest;

/// `keys` go into the worker's table; `more` after it.
fn explained(keys: &str, more: &str, imports: &[&str], exports: &[&str]) -> Explained {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for file in ["app.wasm", "agent.wasm"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    let text = format!(
        "name = \"app\"\nversion = \"1\"\n[worker]\ncomponent = \"app.wasm\"\nlisten = \"127.0.0.1:0\"\n\
         {keys}\n{more}"
    );
    fs::write(folder.path().join("hatchery.toml"), text).unwrap();
    let app = manifest::load(folder.path()).unwrap();
    let [imports, exports] = [imports, exports].map(|names| names.iter().map(ToString::to_string).collect());
    let names: [Vec<String>; 2] = [imports, exports];
    let role = if more.contains("[agent]") { Role::Agent } else { Role::Worker };
    let (_, component) = app.components().find(|(found, _)| *found == role).unwrap();
    explain(&app, role, &component.capabilities, &Names { imports: &names[0], exports: &names[1] })
}

#[test]
fn what_is_denied_as_a_table() {
    use What::{Environment, Files, Requests, Sockets};
    let environment = "environment = { NAME = \"x\" }";
    let hosts = "allowed-outbound-hosts = [\"https://example.com\"]";
    let folders = "folders = [{ source = \"data\", destination = \"/data\" }]";
    for (import, keys, what, granted) in [
        ("wasi:cli/environment@0.2.6", "", Environment, None),
        ("wasi:cli/environment@0.3.0", environment, Environment, Some("NAME")),
        ("wasi:http/outgoing-handler@0.2.6", "", Requests, None),
        ("wasi:http/client@0.3.0", "", Requests, None),
        ("wasi:http/client@0.3.0", hosts, Requests, Some("https://example.com")),
        ("wasi:filesystem/preopens@0.2.6", "", Files, None),
        ("wasi:filesystem/preopens@0.2.6", folders, Files, Some("/data (read only)")),
        ("wasi:sockets/tcp@0.2.6", hosts, Sockets, None),
    ] {
        let explained = explained(keys, "", &[import], &[]);
        let [access] = explained.access.as_slice() else { panic!("{import}: {explained:?}") };
        assert_eq!((access.what, access.imports.as_slice()), (what, [import.to_owned()].as_slice()));
        assert_eq!(access.granted.first().map(String::as_str), granted, "{import} {keys}");
        assert_eq!(access.denied.is_some(), granted.is_none(), "{import} {keys}");
    }
    // What is asked for by other interfaces is no matter of the manifest.
    let free = ["wasi:filesystem/types@0.2.6", "wasi:clocks/wall-clock@0.2.6", "wasi:http/types@0.2.6"];
    assert_eq!(explained("", "", &free, &[]).access, []);
}

#[test]
fn what_is_ours_and_which_wasi() {
    let explained = explained(
        "",
        "",
        &["hatchery:cluster/messenger@0.3.0", "hatchery:cluster/types@0.3.0", "wasi:io/poll@0.2.6", "plain"],
        &["wasi:http/handler@0.3.0", "hatchery:cluster/receiver@0.3.0", "hatchery:cluster/task@0.3.0"],
    );
    assert_eq!(explained.wasi_versions, ["0.2.6", "0.3.0"]);
    assert_eq!(explained.handler.as_deref(), Some("wasi:http/handler@0.3.0"));
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = Cluster {
        versions: owned(&["0.3.0"]),
        imports: owned(&["messenger"]),
        exports: owned(&["receiver", "task"]),
    };
    assert_eq!(explained.cluster, expected);
    assert_eq!(explained.notes, owned(&[]));
}

#[test]
fn what_does_not_go_together() {
    let schedule = "[[schedule]]\nname = \"tick\"\ninterval = \"1s\"\n";
    let notes =
        |keys: &str, more: &str, exports: &[&str]| explained(keys, more, &[], exports).notes.join("; ");
    let text = notes("", schedule, &[]);
    assert!(text.contains("`tick` fails each time"), "{text}");
    assert_eq!(notes("", schedule, &["hatchery:cluster/task@0.2.0"]), "");
    // The agent's is not the worker's.
    assert_eq!(notes("", &format!("{schedule}\n[agent]\ncomponent = \"agent.wasm\""), &[]), "");
    let text = notes("environment = { A = \"b\" }", "", &[]);
    assert!(text.contains("`environment` grants what it does not ask for"), "{text}");
    let text = notes("", "[agent]\ncomponent = \"agent.wasm\"", &["wasi:http/handler@0.3.0"]);
    assert!(text.contains("an agent gets none"), "{text}");
}
