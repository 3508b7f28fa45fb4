//! The languages that `new` knows, and what each takes from where.

use include_dir::{Dir, include_dir};

/// What an app is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Rust,
    Js,
    Ts,
    Python,
    C,
    Go,
}

/// Files that go into a new app.
pub(super) struct Part {
    /// In which of its folders; empty for the app's own.
    pub(super) folder: &'static str,
    pub(super) from: &'static Dir<'static>,
}

static COMMON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/common");
static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/rust");
static JS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/js");
static TS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/ts");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/python");
static C: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/c");
static GO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/go");
static WASI: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/new/templates/wasi-0.2");
static CLUSTER_P2: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/wit/0.2");
static CLUSTER_P3: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/wit/0.3");
static SDK_RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/guests/sdk/src");
static SDK_PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/guests/sdk-python/hatchery");
static SDK_GO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/guests/sdk-go");
static SDK_JS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/guests/sdk-js");

impl Language {
    /// All that goes into an app of this language.
    pub(super) fn parts(self) -> Vec<Part> {
        let part = |folder, from| Part { folder, from };
        let wasi = [part("wit/deps", &WASI), part("wit/deps/cluster", &CLUSTER_P2)];
        let mut parts = vec![part("", &COMMON)];
        match self {
            Self::Rust => {
                parts.extend([part("", &RUST), part("sdk/src", &SDK_RUST), part("sdk/wit", &CLUSTER_P3)]);
            }
            Self::Js => parts.extend([part("", &JS), part("hatchery", &SDK_JS)]),
            Self::Ts => parts.extend([part("", &TS), part("hatchery", &SDK_JS)]),
            Self::Python => parts.extend([part("", &PYTHON), part("hatchery", &SDK_PYTHON)]),
            Self::C => parts.push(part("", &C)),
            Self::Go => parts.extend([part("", &GO), part("hatchery", &SDK_GO)]),
        }
        if self != Self::Rust {
            parts.extend(wasi);
        }
        parts
    }

    /// The WASI of its components. componentize-js has built in which one its engine imports.
    pub(super) fn wasi(self) -> &'static str {
        match self {
            Self::Rust => "0.3.0",
            Self::Js | Self::Ts => "0.2.10",
            Self::Python | Self::C | Self::Go => "0.2.12",
        }
    }

    /// What the user may have to install first.
    pub(super) fn tools(self) -> Option<&'static str> {
        match self {
            Self::Rust => Some("rustup target add wasm32-wasip2      once, for Rust"),
            Self::C => Some("cargo install --locked wit-bindgen-cli@0.62.0      once, for C"),
            Self::Go => Some("cargo install --locked wit-bindgen-cli@0.62.0      once, for Go"),
            // The first build gets what it needs into the app's folder.
            Self::Js | Self::Ts | Self::Python => None,
        }
    }
}
