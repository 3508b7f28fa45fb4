use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::{bundle::unpack, manifest::load};

/// An app with a folder to read, one to write, and one in the other.
fn app(folder: &Path) -> App {
    let text = "name = \"a\"\nversion = \"1\"\n[worker]\ncomponent = \"w.wasm\"\nlisten = \"127.0.0.1:0\"\n\
                folders = [{ source = \"static\", destination = \"/s\" }, \
                { source = \"static/up\", destination = \"/up\", writable = true }]\n";
    fs::write(folder.join("hatchery.toml"), text).unwrap();
    fs::write(folder.join("w.wasm"), "component").unwrap();
    fs::write(folder.join("source.rs"), "not packed").unwrap();
    for path in ["static/deep/er", "static/empty", "static/up/loads"] {
        fs::create_dir_all(folder.join(path)).unwrap();
    }
    fs::write(folder.join("static/index.html"), "<p>").unwrap();
    fs::write(folder.join("static/deep/er/x"), "x").unwrap();
    fs::write(folder.join("static/up/loads/y"), "not packed").unwrap();
    load(folder).unwrap()
}

fn bytes(folder: &Path, key: Option<&SigningKey>) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan(load(folder).unwrap(), &Limits::default()).unwrap().write(&mut bytes, key).unwrap();
    bytes
}

#[test]
fn the_same_app_gives_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    app(one.path());
    app(two.path());
    fs::set_permissions(two.path().join("w.wasm"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(bytes(one.path(), None), bytes(two.path(), None));
    fs::write(two.path().join("w.wasm"), "other").unwrap();
    assert_ne!(bytes(one.path(), None), bytes(two.path(), None));
}

#[test]
fn what_is_packed_is_what_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path());
    let plan = plan(app, &Limits::default()).unwrap();
    let paths: Vec<_> = plan.index.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["hatchery.toml", "static/deep/er/x", "static/index.html", "worker.wasm"]);
    assert_eq!(plan.index.folders, ["static/empty", "static/up"]);
    let key = SigningKey::generate().unwrap();
    let into = tempfile::tempdir().unwrap();
    let unpacked =
        unpack(bytes(folder.path(), Some(&key)).as_slice(), into.path(), &Limits::default()).unwrap();
    assert_eq!((unpacked.digest, &unpacked.index), (plan.digest(), &plan.index));
    assert!(unpacked.signature.is_some());
    assert_eq!(fs::read(into.path().join("worker.wasm")).unwrap(), b"component");
    assert_eq!(fs::read_dir(into.path().join("static/up")).unwrap().count(), 0);
    let mode = fs::metadata(into.path().join("static/index.html")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o444);
}

#[test]
fn what_can_not_be_packed() {
    let folder = tempfile::tempdir().unwrap();
    let app = app(folder.path());
    let refused = |app: &App| match plan(app.clone(), &Limits { entries: 20, ..Limits::default() }) {
        Ok(plan) => panic!("packed {:?}", plan.index),
        Err(error) => error.to_string(),
    };
    let path = folder.path().join("static/link");
    symlink("/etc/passwd", &path).unwrap();
    assert!(refused(&app).contains("static/link: it is a symbolic link"), "{}", refused(&app));
    fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(refused(&app).contains("neither a file nor a folder"), "{}", refused(&app));
    fs::remove_file(&path).unwrap();
    for number in 0..30 {
        fs::write(folder.path().join(format!("static/{number}")), "").unwrap();
    }
    assert!(refused(&app).contains("files and folders"), "{}", refused(&app));
    let text = fs::read_to_string(&app.manifest).unwrap().replace("\"static\"", "\".\"");
    fs::write(&app.manifest, text).unwrap();
    let whole = load(folder.path()).unwrap();
    assert!(refused(&whole).contains("the app's folder itself"), "{}", refused(&whole));
}

#[test]
fn a_file_that_changes_meanwhile_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(app(folder.path()), &Limits::default()).unwrap();
    fs::write(folder.path().join("w.wasm"), "componenT").unwrap();
    let error = plan.write(io::sink(), None).unwrap_err();
    assert!(error.to_string().contains("changed while it was packed"), "{error}");
}
