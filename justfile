# Hatchery's tasks. `just` lists them.

[private]
default:
    @just --list --unsorted

# Build what PATH needs, start it, and serve until Ctrl-C: `just run guests/cache`
[group('use')]
run path *args: build
    @target/debug/hatchery build {{ path }}
    @target/debug/hatchery run {{ path }} {{ args }}

# Build the guests, in every language that this machine has the tools of; or only these packages in Rust
[group('build')]
guests *packages:
    @guests/build.sh {{ packages }}
    @{{ if packages == "" { "guests/components.sh" } else { "true" } }}
    @{{ if packages == "" { "guests/samples.sh" } else { "true" } }}

# Install the tools of languages, below guests/target: python, js, ts, c, go, or all of them
[group('build')]
toolchains *names="python js ts c go":
    @HATCHERY_INSTALL=1 guests/toolchain.sh {{ names }}

# Build hatchery, with optimised dependencies
[group('build')]
build:
    @cargo build --locked

# Build what is shipped: target/release/hatchery
[group('build')]
release:
    @cargo build --locked --release

# Run every test: units, manifests, the real binary end to end, then guests in each language whose tools are here
[group('check')]
test *args: guests
    @cargo test --locked {{ args }}
    @{{ if args == "" { "cargo test --locked --test all -- --ignored e2e::board e2e::new e2e::samples" } else { "true" } }}

# libFuzzer on what strangers send: a target of tests/fuzz/fuzz_targets, or all, for so many seconds each
[group('check')]
fuzz target="all" seconds="60":
    @tests/fuzz/run.sh {{ target }} {{ seconds }}

# Formatting and lints, warnings denied
[group('check')]
lint:
    @cargo fmt --check
    @cargo clippy --locked --all-targets -- -D warnings

# Requests per second beside `wasmtime serve` and a native server, interleaved
[group('check')]
bench *args: release (guests "hello-p3" "hello-p2")
    @cargo build --locked --release --example native
    @tests/bench/run.py {{ args }}

# What the sandbox costs a request, with and without it, interleaved
[group('check')]
bench-sandbox *args: (guests "hello-p3" "hello-p2")
    @tests/bench/sandbox.py {{ args }}

# The board in each language: component size, compile time, instances, requests, memory
[group('check')]
languages *args: release guests
    @tests/bench/languages.py {{ args }}

# What CI runs
[group('check')]
ci: lint test
