//! A real registry, Debian's `docker-registry`: started on a free port with a folder of its own.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
    sync::LazyLock,
};

use bytes::Bytes;
use http::header;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{
    Program,
    http::{Connection, Reply, Version, empty, full, request},
    lines::Lines,
};

/// Its name in the log, before the address.
const LISTENING: &str = "listening on ";

/// Its program.
static PROGRAM: LazyLock<Option<Program>> =
    LazyLock::new(|| Program::find("docker-registry", &["docker-registry"]));

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Everybody.
    Anybody,
    /// Who knows [`User::NAME`] and [`User::PASSWORD`].
    Known,
}

impl User {
    pub(crate) const NAME: &str = "alice";
    pub(crate) const PASSWORD: &str = "correct horse";
    /// The password's, by bcrypt with few rounds: what htpasswd writes.
    const HASH: &str = "$2b$05$mmdX40aEjuzLF4wL13Urru9Y1.bKY0iWJi2/GZ4Uuy9whepTNumou";
}

pub(crate) struct Registry {
    process: Child,
    folder: TempDir,
    pub(crate) addr: SocketAddr,
}

impl Registry {
    /// None, and a line that says why, where there is no docker-registry and none can be fetched.
    ///
    /// # Panics
    /// In that case too, where the environment has `CI`.
    pub(crate) async fn start(user: User) -> Option<Self> {
        let program = PROGRAM.as_ref()?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: '{at}/store'}}, maintenance: {{uploadpurging: {{enabled: false}}}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n"
        );
        if user == User::Known {
            let line = format!("{}:{}\n", User::NAME, User::HASH);
            fs::write(folder.path().join("htpasswd"), line).unwrap();
            config += &format!("auth: {{htpasswd: {{realm: test, path: '{at}/htpasswd'}}}}\n");
        }
        let file = folder.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let mut command = program.command();
        command.arg("serve").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let log = Lines::of(process.stderr.take().unwrap());
        log.wait_for(LISTENING).await;
        let line = log.with(LISTENING).remove(0);
        let addr = line.split_once(LISTENING).unwrap().1;
        let addr = addr.split(|c: char| !matches!(c, '0'..='9' | '.' | ':')).next().unwrap();
        Some(Self { process, addr: addr.parse().unwrap(), folder })
    }

    /// The text for this name and tag or digest: `oci://127.0.0.1:…/NAME`.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.addr)
    }

    /// Where it keeps a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = "store/docker/registry/v2/blobs/sha256";
        self.folder.path().join(blobs).join(&hex[..2]).join(hex).join("data")
    }

    /// Puts a blob there, as any tool would; its digest.
    pub(crate) async fn put_blob(&self, repository: &str, data: impl Into<Bytes>) -> String {
        let data = data.into();
        let digest = digest(&data);
        let mut connection = Connection::open(self.addr, Version::H1).await;
        let begun =
            connection.send(request("POST", &format!("/v2/{repository}/blobs/uploads/"), empty())).await;
        let location = begun.headers[header::LOCATION].to_str().unwrap();
        let path = location.split_once(&self.addr.to_string()).map_or(location, |(_, path)| path);
        let put = connection.send(request("PUT", &format!("{path}&digest={digest}"), full(data))).await;
        assert_eq!(put.status, 201, "{}", put.text());
        digest
    }

    /// Puts a manifest there; its digest.
    pub(crate) async fn put_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let body = manifest.to_string();
        let digest = digest(body.as_bytes());
        let media_type = manifest["mediaType"].as_str().unwrap();
        let mut asked = request("PUT", &format!("/v2/{repository}/manifests/{tag}"), full(body));
        asked.headers_mut().insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        let put = Connection::open(self.addr, Version::H1).await.send(asked).await;
        assert_eq!(put.status, 201, "{}", put.text());
        digest
    }

    /// Puts a component there as wkg does: the CNCF's layout. Its manifest's digest.
    pub(crate) async fn put_component(&self, repository: &str, tag: &str, wasm: Vec<u8>) -> String {
        let config = json!({
            "created": "2026-01-01T00:00:00Z", "author": null, "architecture": "wasm", "os": "wasip2",
            "layerDigests": [digest(&wasm)],
            "component": { "exports": ["wasi:http/handler@0.3.0"], "imports": [], "target": null },
        });
        let (config, size) = (config.to_string(), wasm.len());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "digest": self.put_blob(repository, config.clone()).await,
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/wasm",
                "digest": self.put_blob(repository, wasm).await,
                "size": size,
            }],
            "annotations": { "org.opencontainers.image.version": tag },
        });
        self.put_manifest(repository, tag, &manifest).await
    }

    /// A manifest that is there, as JSON.
    pub(crate) async fn manifest(&self, repository: &str, tag: &str) -> Value {
        let mut asked = request("GET", &format!("/v2/{repository}/manifests/{tag}"), empty());
        let accept = "application/vnd.oci.image.manifest.v1+json";
        asked.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
        let reply: Reply = Connection::open(self.addr, Version::H1).await.send(asked).await;
        serde_json::from_slice(&reply.body).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As registries write it.
pub(crate) fn digest(data: &[u8]) -> String {
    let hex: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
