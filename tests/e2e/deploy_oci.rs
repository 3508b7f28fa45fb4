//! Deploys from a registry: bundles by tag and by digest, components of other tools with a manifest, and
//! what was tampered with.

use std::fs;

use serde_json::Value;

use crate::support::{App, Guest, Load, Registry, Service, User, colour, digest, eventually, get};

/// A version that says which it is.
fn version(number: u32, listen: &str) -> App {
    let keys = format!("workers = 1\nlisten = \"{listen}\"\nenvironment = {{ COLOUR = \"{number}\" }}");
    App::new("probe").version(&format!("0.{number}.0")).worker(Guest::ProbeP3, &keys)
}

/// Packs a version and pushes it; what `push --json` says.
async fn push(service: &Service, registry: &Registry, number: u32, listen: &str) -> Value {
    let app = service.write_to(&format!("v{number}"), &version(number, listen));
    let file = service.file(&format!("{number}.hatchery"), "");
    service.ok(&["pack", &app, "-o", &file]).await;
    let tag = registry.reference(&format!("team/probe:0.{number}.0"));
    serde_json::from_str(&service.ok(&["push", "--plain-http", "--json", &file, &tag]).await).unwrap()
}

#[tokio::test]
async fn a_bundle_by_tag_and_by_digest() {
    let Some(registry) = Registry::start(User::Anybody).await else { return };
    let service = Service::new();
    push(&service, &registry, 1, "127.0.0.1:0").await;
    service.start(&[]).await;
    let deploy = |name: &str| {
        let reference = registry.reference(name);
        let service = &service;
        async move { service.ok(&["deploy", &reference, "--plain-http"]).await }
    };
    let printed = deploy("team/probe:0.1.0").await;
    let addr = service.addr_of("probe").await;
    assert_eq!(printed, format!("ready app=probe addr={addr}\n"));
    assert_eq!(colour(addr).await, "1");

    let listen = addr.to_string();
    let second = push(&service, &registry, 2, &listen).await;
    let load = Load::light(addr);
    deploy(&format!("team/probe@{}", second["digest"].as_str().unwrap())).await;
    assert_eq!(colour(addr).await, "2");

    // One byte of the next one is another where it is kept.
    push(&service, &registry, 3, &listen).await;
    let manifest = registry.manifest("team/probe", "0.3.0").await;
    let blob = registry.blob(manifest["layers"][0]["digest"].as_str().unwrap());
    let mut data = fs::read(&blob).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    fs::write(&blob, &data).unwrap();
    let absent = format!("team/probe@{}", digest(b"absent"));
    for (what, reasons) in [
        ("team/probe:0.3.0", ["its digest is", &digest(&data)]),
        (&absent, ["127.0.0.1", "has no team/probe@sha256:"]),
        ("team/probe:0.4.0", ["127.0.0.1", "has no team/probe:0.4.0"]),
    ] {
        let error = service.fails(&["deploy", &registry.reference(what), "--plain-http"]).await;
        for reason in reasons {
            assert!(error.contains(reason), "{what}: {error}");
        }
        assert_eq!(colour(addr).await, "2");
    }
    // Plain HTTP is spoken only where it is asked for.
    let error = service.fails(&["deploy", &registry.reference("team/probe:0.1.0")]).await;
    assert!(error.contains("--plain-http"), "{error}");
    load.goes_on(50).await;
    assert_eq!(load.end().await, [""; 0]);
    let history = service.history("probe").await;
    let versions: Vec<_> =
        history["history"].as_array().unwrap().iter().map(|entry| entry["version"].as_str()).collect();
    assert_eq!(versions, [Some("0.1.0"), Some("0.2.0")]);
}

#[tokio::test]
async fn a_component_of_another_tool_with_a_manifest() {
    let Some(registry) = Registry::start(User::Anybody).await else { return };
    let service = Service::new();
    service.start(&[]).await;
    registry.put_component("hello", "1.0.0", Guest::HelloP3.wasm()).await;
    let reference = registry.reference("hello:1.0.0");
    let error = service.fails(&["deploy", &reference, "--plain-http"]).await;
    assert!(error.contains("a component without a manifest") && error.contains("--manifest"), "{error}");

    let part = |role: &str, component: &str| format!("[{role}]\ncomponent = \"{component}\"\n");
    let head = "name = \"hello\"\nversion = \"1.0.0\"\n";
    for (text, reason) in [
        ("name".to_owned(), "is no TOML"),
        (head.to_owned(), "names no component"),
        (format!("{head}{}{}", part("worker", "a.wasm"), part("agent", "b.wasm")), "names two components"),
        (format!("{head}{}", part("worker", "../../a.wasm")), "is not inside"),
        (format!("{head}{}", part("worker", "/etc/a.wasm")), "is not inside"),
        (format!("{head}colour = 1\n{}", part("worker", "a.wasm")), "colour"),
    ] {
        let manifest = service.file("bad.toml", text);
        let error = service.run(&["deploy", &reference, "--plain-http", "--manifest", &manifest]).await;
        assert_eq!(error.code, Some(1), "{error:?}");
        assert!(error.stderr.contains(reason), "{reason}: {}", error.stderr);
    }

    let text =
        format!("{head}{}listen = \"127.0.0.1:0\"\nworkers = 1\n", part("worker", "deep/er/hello.wasm"));
    let manifest = service.file("hello.toml", text);
    let arguments = ["deploy", &reference, "--plain-http", "--manifest", &manifest];
    let printed = service.ok(&arguments).await;
    let addr = service.addr_of("hello").await;
    assert_eq!(printed, format!("ready app=hello addr={addr}\n"));
    assert_eq!(get(addr, "/").await.status, 200);
    // It is a bundle as any other: it comes back, and can be pushed.
    service.ok(&["restart"]).await;
    let addr = service.addr_of("hello").await;
    eventually("an answer", async || get(addr, "/").await.status == 200).await;

    push(&service, &registry, 1, "127.0.0.1:0").await;
    let bundle = registry.reference("team/probe:0.1.0");
    let error = service.fails(&["deploy", &bundle, "--plain-http", "--manifest", &manifest]).await;
    assert!(error.contains("is a bundle, which has a manifest"), "{error}");
}
