//! `pack`, `inspect` and `keygen`, as a user has them.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
};

use serde_json::Value;

use crate::support::{App, Guest, Program, clean, hatchery};

/// An app with a secret, a folder to read and one to write to.
fn app(version: &str) -> App {
    let keys = format!(
        "workers = 2\nenvironment = {{ TOKEN = \"secret-{version}\" }}\nallowed-outbound-hosts = [\"https://api.example\"]\n\
         folders = [{{ source = \"static\", destination = \"/static\" }}, {{ source = \"data\", destination = \"/data\", writable = true }}]"
    );
    App::new("packed")
        .worker(Guest::HelloP3, &keys)
        .file("static/index.html", format!("<p>{version}"))
        .file("data/own", "stays")
        .file("src/main.rs", "not packed")
}

/// A folder with the app in `app`.
fn folder(version: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("app")).unwrap();
    app(version).write(&folder.path().join("app"));
    folder
}

/// What it prints, where all goes well.
fn fine(folder: &Path, arguments: &[&str]) -> String {
    let done = hatchery(folder, arguments);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}: {done:?}");
    done.stdout
}

/// The error, where it does not.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let done = hatchery(folder, arguments);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{arguments:?}: {done:?}");
    done.stderr
}

fn inspected(folder: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["inspect", "--json"], arguments].concat();
    serde_json::from_str(&fine(folder, &arguments)).unwrap()
}

/// An entry of a bundle's tar.
fn entry(bundle: &Path, name: &str) -> Vec<u8> {
    let tar = zstd::Decoder::new(fs::File::open(bundle).unwrap()).unwrap();
    let mut tar = tar::Archive::new(tar);
    let mut entries = tar.entries().unwrap().map(Result::unwrap);
    let mut found = entries.find(|entry| entry.path().unwrap() == Path::new(name)).unwrap();
    let mut bytes = Vec::new();
    found.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn packed_twice_inspected_once() {
    let (one, two) = (folder("1"), folder("1"));
    let said = fine(one.path(), &["pack", "app"]);
    fine(two.path(), &["pack", "app/hatchery.toml", "-o", "other.hatchery"]);
    let bundle = one.path().join("packed-1.2.3.hatchery");
    assert_eq!(fs::read(&bundle).unwrap(), fs::read(two.path().join("other.hatchery")).unwrap());
    // Again over the first.
    assert_eq!(fine(one.path(), &["pack", "app"]), said);

    let found = inspected(one.path(), &["packed-1.2.3.hatchery"]);
    let digest = found["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && said.contains(digest), "{said}");
    let paths: Vec<_> = found["files"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["hatchery.toml", "static/index.html", "worker.wasm"]);
    assert_eq!(found["folders"], serde_json::json!(["data"]));
    assert_eq!(found["files"][2]["size"], Guest::HelloP3.wasm().len());
    assert_eq!(found["signature"], "none");
    assert_eq!(found["asks"]["worker.allowed-outbound-hosts"], "https://api.example");
    assert_eq!(found["asks"]["worker.folders./data"], "data, writable");
    let shown = fine(one.path(), &["inspect", "packed-1.2.3.hatchery"]);
    assert!(shown.contains("worker.environment.TOKEN = ") && !shown.contains("secret-1"), "{shown}");
    assert!(shown.contains("not signed") && shown.contains("worker.listen = 127.0.0.1:0"), "{shown}");
}

#[test]
fn what_changes_is_shown() {
    let (one, two) = (folder("1"), folder("2"));
    fine(one.path(), &["pack", "app", "-o", "1.hatchery"]);
    let old = one.path().join("1.hatchery");
    fine(two.path(), &["pack", "app", "-o", "2.hatchery"]);
    for against in [old.to_str().unwrap(), one.path().join("app").to_str().unwrap()] {
        let shown = fine(two.path(), &["inspect", "2.hatchery", "--against", against]);
        let (_, changes) = shown.split_once("\nchanges\n").unwrap();
        let lines: Vec<_> = changes.lines().map(|line| line.split(": ").next().unwrap()).collect();
        let expected =
            ["  ~ worker.environment.TOKEN", "  ~ file hatchery.toml", "  ~ file static/index.html"];
        assert_eq!(lines, expected, "{shown}");
        assert!(!shown.contains("secret-"), "{shown}");
    }
    let same = fine(two.path(), &["inspect", "2.hatchery", "--against", "app"]);
    assert!(same.ends_with("changes: none\n"), "{same}");
}

#[test]
fn missing_components_are_built_and_mistakes_shown() {
    let build = "[worker.build]\ncommand = \"cp from.wasm worker.wasm\"\noutput = \"worker.wasm\"\n[dev]\nwith = [\"../x\"]";
    let folder = tempfile::tempdir().unwrap();
    App::new("built").unbuilt_worker(build).file("from.wasm", Guest::HelloP2.wasm()).write(folder.path());
    let done = hatchery(folder.path(), &["pack", "."]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("building built worker"), "{done:?}");
    let manifest =
        String::from_utf8(entry(&folder.path().join("built-1.2.3.hatchery"), "hatchery.toml")).unwrap();
    assert!(!manifest.contains("build") || !manifest.contains("[dev]"), "{manifest}");
    assert!(manifest.contains("component = \"worker.wasm\""), "{manifest}");

    App::new("wrong").worker(Guest::HelloP2, "wrokers = 1").write(folder.path());
    assert!(refused(folder.path(), &["pack", "."]).contains("unknown key `wrokers`"));
    assert!(refused(folder.path(), &["inspect", "from.wasm"]).contains("no bundle made by `hatchery pack`"));
    assert!(refused(folder.path(), &["inspect", "nothing"]).contains("can't read nothing"));
}

#[test]
fn signed_and_trusted() {
    let folder = folder("1");
    let path = folder.path();
    let said = fine(path, &["keygen", "-o", "our.key"]);
    let mode = |file: &str| fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("our.key"), mode("our.key.pub") & 0o644), (0o600, 0o644));
    let public = fs::read_to_string(path.join("our.key.pub")).unwrap();
    assert!(said.contains(public.lines().nth(1).unwrap()), "{said}");
    for taken in ["our.key", "our.key.pub"] {
        let before = fs::read(path.join(taken)).unwrap();
        assert!(refused(path, &["keygen", "-o", "our.key"]).contains("not overwritten"));
        assert_eq!(fs::read(path.join(taken)).unwrap(), before);
    }
    fine(path, &["keygen", "-o", "their.key"]);

    let unsigned = fine(path, &["pack", "app", "-o", "unsigned"]);
    let signed = fine(path, &["pack", "app", "-o", "signed", "--sign", "our.key"]);
    let digest = |said: &str| said.split(' ').find(|word| word.starts_with("digest=")).unwrap().to_owned();
    assert_eq!(digest(&unsigned), digest(&signed));
    assert_eq!(inspected(path, &["signed"])["signature"], "unverified");
    let found = inspected(path, &["signed", "--trust", "their.key.pub", "--trust", "our.key.pub"]);
    assert_eq!(found["signature"], "trusted");
    assert!(said.contains(found["key"].as_str().unwrap()), "{said}");
    assert!(refused(path, &["inspect", "unsigned", "--trust", "our.key.pub"]).contains("not signed"));
    let other = refused(path, &["inspect", "signed", "--trust", "their.key.pub"]);
    assert!(other.contains("which is not trusted"), "{other}");
    assert!(refused(path, &["pack", "app", "--sign", "our.key.pub"]).contains("not a minisign secret key"));
    assert!(
        refused(path, &["inspect", "signed", "--trust", "our.key"]).contains("not a minisign public key")
    );
}

#[test]
fn a_key_with_a_password() {
    let folder = folder("1");
    let with = |password: Option<&str>, arguments: &[&str]| {
        let mut command = clean(env!("CARGO_BIN_EXE_hatchery"));
        command.args(arguments).current_dir(folder.path());
        command.envs(password.map(|password| ("HATCHERY_KEY_PASSWORD", password)));
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    assert_eq!(with(Some("right"), &["keygen", "--password"]), (Some(0), String::new()));
    let pack = ["pack", "app", "--sign", "hatchery.key"];
    assert_eq!(with(Some("right"), &pack), (Some(0), String::new()));
    let (code, error) = with(Some("wrong"), &pack);
    assert_eq!(code, Some(1));
    assert!(error.contains("Wrong password"), "{error}");
    assert!(with(Some(""), &["keygen", "--password", "-o", "x"]).1.contains("the password is empty"));
}

/// Both ways with minisign itself.
#[test]
fn minisign_reads_and_writes_the_same() {
    let folder = folder("1");
    let path = folder.path();
    let Some(program) = Program::find("minisign", &["minisign", "libsodium23"]) else { return };
    let minisign = |arguments: &[&str]| {
        let done = program.command().args(arguments).current_dir(path).stdin(Stdio::null()).output();
        let done = done.unwrap();
        (done.status.success(), format!("{done:?}"))
    };
    fine(path, &["keygen", "-o", "our.key"]);
    fine(path, &["pack", "app", "-o", "ours", "--sign", "our.key"]);
    fs::write(path.join("index"), entry(&path.join("ours"), "hatchery-bundle.json")).unwrap();
    fs::write(path.join("index.minisig"), entry(&path.join("ours"), "hatchery-bundle.json.minisig")).unwrap();
    let (is_right, said) = minisign(&["-Vm", "index", "-p", "our.key.pub"]);
    assert!(is_right && said.contains("hatchery bundle packed 1.2.3 sha256:"), "{said}");
    fs::OpenOptions::new().append(true).open(path.join("index")).unwrap().write_all(b" ").unwrap();
    assert!(!minisign(&["-Vm", "index", "-p", "our.key.pub"]).0);
    // It takes our secret key, and we take its.
    let (is_right, said) = minisign(&["-Sm", "index", "-s", "our.key"]);
    assert!(is_right, "{said}");
    let (is_right, said) = minisign(&["-GW", "-p", "its.pub", "-s", "its.key"]);
    assert!(is_right, "{said}");
    fine(path, &["pack", "app", "-o", "its", "--sign", "its.key"]);
    assert_eq!(inspected(path, &["its", "--trust", "its.pub"])["signature"], "trusted");
}
