//! What the toolchains of others show of wasi:http runs as it is: the examples of their packages, built by
//! `guests/samples.sh`.

use crate::support::{App, Cluster, Connection, Version, full, made, request};

/// A request and what its answer is.
struct Sample {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    expected: &'static str,
}

const fn get(name: &'static str, expected: &'static str) -> Sample {
    Sample { name, method: "GET", path: "/", body: "", expected }
}

const fn echo(name: &'static str, path: &'static str) -> Sample {
    Sample { name, method: "POST", path, body: "said ✓", expected: "said ✓" }
}

const SAMPLES: [Sample; 6] = [
    get("sample-wstd", "Hello, wasi:http/proxy world!\n"),
    echo("sample-wstd", "/echo"),
    get("sample-wasip2", "Hello, WASI!"),
    get("sample-wasip3", "Hello, WASI!"),
    echo("sample-componentize-py", "/echo"),
    echo("sample-componentize-py-0.3", "/echo"),
];

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn samples_of_others_run_as_they_are() {
    for Sample { name, method, path, body, expected } in SAMPLES {
        let Some(wasm) = made(name) else { continue };
        let cluster = Cluster::start(&[App::new("sample").worker_wasm(wasm, "workers = 1")]).await;
        let mut connection = Connection::open(cluster.addr(), Version::H1).await;
        // More than one: it is a resident instance that answers.
        for _ in 0..3 {
            let mut asked = request(method, path, full(body));
            asked.headers_mut().insert("content-type", "text/plain".parse().unwrap());
            let reply = connection.send(asked).await;
            assert_eq!((reply.status, reply.text()), (200, expected), "{name} {method} {path}");
        }
    }
}
