//! `push` and `pull` with a real registry. Where there is none the tests say so and end; with `CI` in
//! the environment they fail.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{Done, Guest, Registry, User, digest, hatchery_with};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE_TYPE: &str = "application/vnd.hatchery.bundle.v1.tar+zstd";

/// A folder to run the command in: with docker's configuration, if any, and no proxy.
pub(super) struct Place {
    folder: tempfile::TempDir,
    path: String,
    certificates: Option<PathBuf>,
}

impl Place {
    pub(super) fn new() -> Self {
        let path = env::var("PATH").unwrap_or_default();
        Self { folder: tempfile::tempdir().unwrap(), path, certificates: None }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The certificates that are trusted, in the place of the system's.
    pub(super) fn trusting(mut self, pem: &str) -> Self {
        let file = self.path().join("trusted.pem");
        fs::write(&file, pem).unwrap();
        self.certificates = Some(file);
        self
    }

    pub(super) fn docker(&self, config: &Value) {
        fs::create_dir_all(self.path().join("docker")).unwrap();
        fs::write(self.path().join("docker/config.json"), config.to_string()).unwrap();
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Done {
        let docker = self.path().join("docker");
        let certificates = self.certificates.clone().unwrap_or_default();
        let mut variables: Vec<(&str, &OsStr)> = vec![
            ("DOCKER_CONFIG", docker.as_os_str()),
            ("NO_PROXY", OsStr::new("127.0.0.1")),
            ("PATH", OsStr::new(&self.path)),
        ];
        if self.certificates.is_some() {
            variables.push(("SSL_CERT_FILE", certificates.as_os_str()));
        }
        hatchery_with(self.path(), arguments, &variables)
    }

    pub(super) fn done(&self, arguments: &[&str]) -> Value {
        let done = self.run(arguments);
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// Runs what has to fail, and its error has to contain all these.
    #[track_caller]
    pub(super) fn fails(&self, arguments: &[&str], texts: &[&str]) {
        let done = self.run(arguments);
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{arguments:?}: {done:?}");
        for text in texts {
            assert!(done.stderr.contains(text), "no {text:?} in: {}", done.stderr);
        }
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }

    /// An archive's outside: a registry does not look into it, nor do push and pull.
    pub(super) fn archive(&self, name: &str, size: usize) -> Vec<u8> {
        let mut data = vec![0; size];
        fastrand::Rng::with_seed(size as u64).fill(&mut data);
        data[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
        fs::write(self.path().join(name), &data).unwrap();
        data
    }

    /// The files in a folder of its.
    pub(super) fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path().join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_bundle_comes_back_as_it_was() {
    let Some(registry) = Registry::start(User::Anybody).await else { return };
    let place = Place::new();
    let data = place.archive("cache-0.1.0.hatchery", 5_000_000);
    let tag = registry.reference("team/cache:0.1.0");
    let pushed = place.done(&["push", "--plain-http", "--json", "cache-0.1.0.hatchery", &tag]);
    let expected = json!({
        "reference": tag, "digest": pushed["digest"], "size": 5_000_000, "kind": "bundle",
        "file": "cache-0.1.0.hatchery",
    });
    assert_eq!(pushed, expected);
    // What is there is an artifact as the image spec has them.
    let manifest = registry.manifest("team/cache", "0.1.0").await;
    assert_eq!(manifest["mediaType"], MANIFEST_TYPE);
    assert_eq!(manifest["artifactType"], BUNDLE_TYPE);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    let layer = json!({
        "mediaType": BUNDLE_TYPE, "digest": digest(&data), "size": data.len(),
        "annotations": { "org.opencontainers.image.title": "cache-0.1.0.hatchery" },
    });
    assert_eq!(manifest["layers"], json!([layer]));
    // The same again is the same, also where it is there already.
    let again = place.run(&["push", "--plain-http", "cache-0.1.0.hatchery", &tag]);
    let digest = pushed["digest"].as_str().unwrap();
    let line = format!(
        "pushed reference={tag} digest={digest} size=5000000 kind=bundle file=cache-0.1.0.hatchery\n"
    );
    assert_eq!((again.code, again.stdout), (Some(0), line), "{}", again.stderr);

    // By tag into a folder, and over what is there; by digest to a file.
    fs::create_dir(place.path().join("out")).unwrap();
    fs::write(place.path().join("out/cache-0.1.0.hatchery"), "old").unwrap();
    let pulled = place.done(&["pull", "--plain-http", "--json", &tag, "-o", "out"]);
    assert_eq!((&pulled["digest"], &pulled["kind"]), (&pushed["digest"], &json!("bundle")));
    assert_eq!(pulled["file"], "out/cache-0.1.0.hatchery");
    let by_digest = registry.reference(&format!("team/cache@{digest}"));
    place.done(&["pull", "--plain-http", "--json", &by_digest, "-o", "out/other"]);
    for file in ["out/cache-0.1.0.hatchery", "out/other"] {
        assert!(fs::read(place.path().join(file)).unwrap() == data, "{file} is another");
    }
    assert_eq!(place.files("out"), ["cache-0.1.0.hatchery", "other"]);
}

#[tokio::test]
async fn a_component_of_another_tool_is_told_from_a_bundle() {
    let Some(registry) = Registry::start(User::Anybody).await else { return };
    let place = Place::new();
    let wasm = Guest::HelloP3.wasm();
    let digest = registry.put_component("hello", "1.0.0", wasm.clone()).await;
    let pulled = place.done(&["pull", "--plain-http", "--json", &registry.reference("hello:1.0.0")]);
    assert_eq!((&pulled["kind"], &pulled["digest"]), (&json!("component"), &json!(digest)));
    assert_eq!(fs::read(place.path().join("hello-1.0.0.wasm")).unwrap(), wasm);
    // With a manifest beside it, it is an app.
    let app = "name = \"hello\"\nversion = \"1.0.0\"\n[worker]\ncomponent = \"hello-1.0.0.wasm\"\nlisten = \"127.0.0.1:0\"\n";
    fs::write(place.path().join("hatchery.toml"), app).unwrap();
    let checked = place.run(&["check", "."]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test]
async fn what_is_not_there_or_not_ours_is_refused() {
    let Some(registry) = Registry::start(User::Anybody).await else { return };
    let place = Place::new();
    place.archive("a.hatchery", 1000);
    place.done(&["push", "--plain-http", "--json", "a.hatchery", &registry.reference("a:1")]);
    fs::create_dir(place.path().join("out")).unwrap();
    let pull = |name: &str, texts: &[&str]| {
        place.fails(&["pull", "--plain-http", "-o", "out", &registry.reference(name)], texts);
    };
    pull("a:2", &["has no a:2", "name and the tag"]);
    pull("b:1", &["has no b:1"]);
    let absent = digest(b"absent");
    pull(&format!("a@{absent}"), &[&format!("has no a@{absent}")]);

    // A layer above the limit is not begun with; nor is one of a type that we don't know.
    let blob = registry.put_blob("a", "x").await;
    let with = |media_type: &str, size: u64| {
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": blob, "size": 1 },
            "layers": [{ "mediaType": media_type, "digest": blob, "size": size }],
        })
    };
    registry.put_manifest("a", "large", &with(BUNDLE_TYPE, (1 << 30) + 1)).await;
    pull("a:large", &["cannot be used", "1073741825 bytes", "1073741824"]);
    registry.put_manifest("a", "image", &with("application/vnd.oci.image.layer.v1.tar", 1)).await;
    pull("a:image", &["cannot be used", "image.layer.v1.tar", "application/wasm"]);
    // One byte is there, and two are announced.
    registry.put_manifest("a", "short", &with(BUNDLE_TYPE, 2)).await;
    pull("a:short", &["1 bytes", "not with 2"]);
    assert!(place.files("out").is_empty());

    let to = registry.reference("a:3");
    let push = |file: &str, texts: &[&str]| place.fails(&["push", "--plain-http", file, &to], texts);
    fs::File::create(place.path().join("large")).unwrap().set_len((1 << 30) + 1).unwrap();
    push("large", &["large has more than 1073741824 bytes"]);
    fs::write(place.path().join("text"), "no archive").unwrap();
    push("text", &["text is not a bundle", "hatchery pack"]);
    push("absent", &["cannot read absent", "No such file"]);
    let by_digest = registry.reference(&format!("a@{absent}"));
    place.fails(&["push", "--plain-http", "a.hatchery", &by_digest], &["a push makes a tag"]);
}

#[tokio::test]
async fn a_layer_that_was_tampered_with_is_refused() {
    let Some(registry) = Registry::start(User::Anybody).await else { return };
    let place = Place::new();
    let mut data = place.archive("a.hatchery", 100_000);
    let reference = registry.reference("a:1");
    place.done(&["push", "--plain-http", "--json", "a.hatchery", &reference]);
    let blob = registry.blob(&digest(&data));
    data[50_000] ^= 1;
    fs::write(blob, &data).unwrap();
    fs::create_dir(place.path().join("out")).unwrap();
    fs::write(place.path().join("out/a-1.hatchery"), "old").unwrap();
    let actual = digest(&data);
    place.fails(
        &["pull", "--plain-http", "-o", "out", &reference],
        &["its digest is", &actual, "nothing was kept"],
    );
    assert_eq!(place.files("out"), ["a-1.hatchery"]);
    assert_eq!(fs::read(place.path().join("out/a-1.hatchery")).unwrap(), b"old");
}

#[tokio::test]
async fn plain_http_has_to_be_asked_for() {
    let Some(registry) = Registry::start(User::Anybody).await else { return };
    let place = Place::new();
    place.archive("a.hatchery", 1000);
    let reference = registry.reference("a:1");
    place.fails(&["push", "a.hatchery", &reference], &["speaks plain HTTP", "--plain-http"]);
    place.fails(&["pull", &reference], &["speaks plain HTTP", "--plain-http"]);
}

#[tokio::test]
async fn credentials_are_dockers() {
    let Some(registry) = Registry::start(User::Known).await else { return };
    let mut place = Place::new();
    let data = place.archive("a.hatchery", 1000);
    let (host, reference) = (registry.addr.to_string(), registry.reference("a:1"));
    let push = ["push", "--plain-http", "--json", "a.hatchery", &reference];
    let login = format!("docker login {host}");
    // Without any configuration, with one for others, with a wrong password.
    place.fails(&push, &["has none for it", &login]);
    place.docker(&json!({ "auths": { "other.example": { "auth": "YTpi" } } }));
    place.fails(&push, &["has none for it", &login]);
    place.docker(&json!({ "auths": { &host: { "username": User::NAME, "password": "wrong" } } }));
    place.fails(&push, &["does not take the credentials", &login]);
    // As `docker login` writes them: in base64.
    place.docker(&json!({ "auths": { &host: { "auth": "YWxpY2U6Y29ycmVjdCBob3JzZQ==" } } }));
    place.done(&push);

    // From a helper.
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // Written by another process: what another test starts meanwhile would inherit our open file, and
    // a file that is open for writing cannot be run.
    let (source, helper) = (place.path().join("helper.sh"), bin.join("docker-credential-test"));
    let helper = |script: &str| {
        fs::write(&source, format!("#!/bin/sh\n{script}\n")).unwrap();
        let done = Command::new("install").args(["-m", "755"]).args([&source, &helper]).status();
        assert!(done.unwrap().success());
    };
    place.path = format!("{}:{}", bin.display(), place.path);
    place.docker(&json!({ "auths": { &host: {} }, "credsStore": "test" }));
    let pull = ["pull", "--plain-http", "--json", "-o", "back", &reference];
    helper("cat >&2; echo 'credentials not found in native keychain'; exit 1");
    place.fails(&pull, &["has none for it", &login]);
    helper("cat >&2; echo 'it is secret'; echo 'no keyring' >&2; exit 1");
    place.fails(&pull, &["docker-credential-test failed", "no keyring"]);
    assert!(!place.run(&pull).stderr.contains("it is secret"));
    helper(&format!(
        "[ \"$1\" = get ] && [ \"$(cat)\" = {host} ] && echo '{}'",
        json!({ "ServerURL": host, "Username": User::NAME, "Secret": User::PASSWORD })
    ));
    place.done(&pull);
    assert_eq!(fs::read(place.path().join("back")).unwrap(), data);
    fs::write(place.path().join("docker/config.json"), "{").unwrap();
    place.fails(&pull, &["docker/config.json is not what docker writes"]);
}
