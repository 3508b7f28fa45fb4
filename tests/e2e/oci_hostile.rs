//! `push` and `pull` with registries that lie, and over TLS.

use std::fs;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Response, request::Parts};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use super::oci::Place;
use crate::support::{Body, Certificate, Liar, digest, empty, full};

const LAYER: &[u8] = b"\0asm, or what passes for it here";

/// `alice:secret`, as in docker's configuration, and as a header.
const AUTH: &str = "YWxpY2U6c2VjcmV0";
const BASIC: &str = "Basic YWxpY2U6c2VjcmV0";

fn reply(status: u16, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}

/// A body that has no end.
fn endless() -> Body {
    let chunk = Bytes::from_static(&[b'x'; 64 << 10]);
    StreamBody::new(stream::repeat_with(move || Ok(Frame::data(chunk.clone())))).boxed_unsync()
}

/// A component's manifest.
fn manifest() -> Vec<u8> {
    let layer = json!({ "mediaType": "application/wasm", "digest": digest(LAYER), "size": LAYER.len() });
    json!({ "schemaVersion": 2, "layers": [layer] }).to_string().into_bytes()
}

/// An honest registry with one component.
fn honest(parts: &Parts) -> Response<Body> {
    if parts.uri.path().contains("/manifests/") {
        return reply(200, &[], full(manifest()));
    }
    reply(200, &[], full(LAYER))
}

/// Honest about manifests, but not about this layer.
fn with_layer(parts: &Parts, layer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if parts.uri.path().contains("/blobs/") { layer() } else { honest(parts) }
}

fn host(parts: &Parts) -> &str {
    parts.headers["host"].to_str().unwrap()
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get("authorization").map(|value| value.to_str().unwrap())
}

fn docker(hosts: &[&Liar]) -> Value {
    let auths: serde_json::Map<String, Value> =
        hosts.iter().map(|liar| (liar.addr.to_string(), json!({ "auth": AUTH }))).collect();
    json!({ "auths": auths })
}

type Answer = fn(&Parts) -> Response<Body>;

#[test]
fn lies_are_refused() {
    let cases: [(&str, Answer, &[&str]); 12] = [
        ("a:1", |_| reply(200, &[], endless()), &["manifest", "more than 4194304 bytes"]),
        ("a:1", |_| reply(500, &[], endless()), &["500 Internal Server Error"]),
        ("a:1", |_| reply(400, &[], full("\x1b[31m\u{202e}\n")), &["400", "\\u{1b}[31m\\u{202e}"]),
        ("a:1", |_| reply(429, &[], full(r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#)), &["429", "TOOMANY"]),
        ("a:1", |_| reply(401, &[], empty()), &["docker login"]),
        ("a:1", |_| reply(403, &[], empty()), &["does not let you pull a"]),
        ("a:1", |_| reply(200, &[], full("{")), &["cannot be used", "cannot be read"]),
        ("a:1", |_| reply(302, &[("location", "/v2/a/manifests/1")], empty()), &["sends on", "more than 4"]),
        (
            "a:1",
            |parts| {
                let mut response = honest(parts);
                let other = digest(b"other").parse().unwrap();
                response.headers_mut().insert("docker-content-digest", other);
                response
            },
            &["the manifest", "its digest is"],
        ),
        (
            "a@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            honest,
            &["the manifest", "its digest is", "not sha256:0000"],
        ),
        ("a:1", |parts| with_layer(parts, || reply(200, &[], endless())), &["came with"]),
        ("a:1", |parts| with_layer(parts, || reply(200, &[], full(&LAYER[1..]))), &["came with"]),
    ];
    let place = Place::new();
    fs::create_dir(place.path().join("out")).unwrap();
    for (name, answer, texts) in cases {
        let liar = Liar::start(answer);
        let reference = format!("oci://{}/{name}", liar.addr);
        place.fails(&["pull", "--plain-http", "-o", "out", &reference], texts);
        assert!(place.files("out").is_empty(), "{texts:?}");
    }
}

#[test]
fn a_token_is_fetched_and_shown_to_the_registry_only() {
    // Where layers really are, as with registries that keep them in a cloud's storage.
    let storage = Liar::start(|_| reply(200, &[], full(LAYER)));
    let at = format!("http://{}/store/layer", storage.addr);
    let registry = Liar::start(move |parts| {
        if parts.uri.path() == "/token" {
            return reply(200, &[], full(r#"{"access_token":"t0ken"}"#));
        }
        if authorization(&parts.headers) != Some("Bearer t0ken") {
            let challenge = format!(
                "Bearer realm=\"http://{}/token\",service=\"the registry\",scope=\"repository:a:pull\"",
                host(parts)
            );
            return reply(401, &[("www-authenticate", &challenge)], empty());
        }
        with_layer(parts, || reply(307, &[("location", &at)], empty()))
    });
    let reference = format!("oci://{}/a:1", registry.addr);
    let scope = "service=the+registry&scope=repository%3Aa%3Apull";
    let form = format!("{scope}&grant_type=refresh_token&client_id=hatchery&refresh_token=r%2Bf");
    let identity = json!({ "auths": { registry.addr.to_string(): { "identitytoken": "r+f" } } });
    let cases = [
        (json!({}), ("GET", None, Some(scope), "")),
        (docker(&[&registry, &storage]), ("GET", Some(BASIC), Some(scope), "")),
        (identity, ("POST", None, None, form.as_str())),
    ];
    for (config, expected) in cases {
        let place = Place::new();
        place.docker(&config);
        let pulled = place.done(&["pull", "--plain-http", "--json", &reference]);
        assert_eq!(pulled["kind"], "component");
        let token = registry.seen("/token").pop().unwrap();
        let body = std::str::from_utf8(token.body()).unwrap();
        let seen = (token.method().as_str(), authorization(token.headers()), token.uri().query(), body);
        assert_eq!(seen, expected);
        let layer = storage.seen("/store").pop().unwrap();
        assert_eq!(authorization(layer.headers()), None);
    }
}

#[test]
fn an_upload_elsewhere_does_not_get_the_credentials() {
    let storage = Liar::start(|_| reply(201, &[], empty()));
    let at = format!("http://{}/store/upload?id=1", storage.addr);
    let registry = Liar::start(move |parts| {
        if authorization(&parts.headers) != Some(BASIC) {
            return reply(401, &[("www-authenticate", "Basic realm=\"r\"")], empty());
        }
        match parts.method.as_str() {
            "HEAD" => reply(404, &[], empty()),
            "POST" => reply(202, &[("location", &at)], empty()),
            _ => reply(201, &[], empty()),
        }
    });
    let place = Place::new();
    place.docker(&docker(&[&registry, &storage]));
    let data = place.archive("a.hatchery", 1_000_000);
    place.done(&["push", "--plain-http", "--json", "a.hatchery", &format!("oci://{}/a:1", registry.addr)]);
    let uploads = storage.seen("/store/upload");
    assert_eq!(uploads.len(), 2);
    assert!(uploads.iter().all(|upload| authorization(upload.headers()).is_none()));
    let query = format!("id=1&digest={}", digest(&data).replace(':', "%3A"));
    assert_eq!(uploads[1].uri().query(), Some(query.as_str()));
    assert_eq!(uploads[1].body(), &data);
    assert_eq!(authorization(registry.seen("/manifests/1")[0].headers()), Some(BASIC));
}

#[test]
fn tls_is_what_it_takes_to_be_trusted() {
    let certificate = Certificate::new();
    let plain = Liar::start(honest);
    let at = format!("http://{}", plain.addr);
    let to = at.clone();
    let registry = Liar::start_tls(&certificate, move |parts| {
        let path = parts.uri.path();
        if path.contains("/to-plain/") {
            return reply(307, &[("location", &format!("{to}{path}"))], empty());
        }
        if path.contains("/token-in-plain/") {
            let challenge = format!("Bearer realm=\"{to}/token\"");
            return reply(401, &[("www-authenticate", &challenge)], empty());
        }
        honest(parts)
    });
    let reference = |name: &str| format!("oci://{}/{name}:1", registry.addr);
    let trusting = Place::new().trusting(&certificate.pem);
    let pulled = trusting.done(&["pull", "--json", &reference("a")]);
    assert_eq!(pulled["size"], LAYER.len());
    assert_eq!(fs::read(trusting.path().join("a-1.wasm")).unwrap(), LAYER);
    trusting.fails(&["pull", &reference("to-plain")], &["sends on", "https to http"]);
    trusting.docker(&docker(&[&registry, &plain]));
    trusting.fails(&["pull", &reference("token-in-plain")], &["cannot talk to", "URL scheme is not allowed"]);
    assert!(plain.seen("/").is_empty());

    let other = Place::new().trusting(&Certificate::new().pem);
    other.fails(&["pull", &reference("a")], &["is not trusted", "SSL_CERT_FILE"]);
    // And to plain HTTP, TLS is noise.
    assert_eq!(other.run(&["pull", "--plain-http", &reference("a")]).code, Some(1));
}
