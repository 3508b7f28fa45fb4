//! From a wasm component to native code. Only the compiler child does this; it knows nothing of the cache.

use std::{
    hash::{Hash as _, Hasher},
    path::Path,
};

use anyhow::{Context as _, bail};
use wasmtime::component::Component;

use super::{Engine, Guest, Wasi};
use crate::digest::{Digest, Hashing};

/// A compiled component.
#[derive(Debug)]
pub struct Native {
    /// What a process of the same build and settings can load.
    pub code: Vec<u8>,
    /// The names of the component's exports.
    pub exports: Vec<String>,
    /// The names of the component's imports.
    pub imports: Vec<String>,
    /// Which WASI it is of.
    pub wasi: Wasi,
    /// Does it answer HTTP?
    pub answers_http: bool,
}

/// Compiles a component, and checks that the host can run it. `name` is for errors.
///
/// # Errors
///
/// When it is no component, can't be compiled, imports what the host does not offer, or exports nothing that
/// the host calls.
pub fn compile(engine: &Engine, wasm: &[u8], name: &Path) -> anyhow::Result<Native> {
    let shown = name.display();
    check(wasm, name)?;
    let component = Component::from_binary(&engine.wasmtime, wasm)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot compile {shown}"))?;
    let guest = Guest::new(engine.clone(), &component)
        .with_context(|| format!("cannot use {shown}"))
        .map_err(|error| explain(engine, &component, error))?;
    let ty = component.component_type();
    Ok(Native {
        code: component.serialize()?,
        exports: ty.exports(&engine.wasmtime).map(|(name, _)| name.to_owned()).collect(),
        imports: ty.imports(&engine.wasmtime).map(|(name, _)| name.to_owned()).collect(),
        wasi: guest.wasi(),
        answers_http: guest.answers_http(),
    })
}

/// What decides whether native code can be loaded: the engine's settings and version, the CPU, and, since the
/// host's own part may change with it, the version of this package.
#[must_use]
pub fn settings(engine: &Engine) -> Digest {
    let mut hasher = Sha(Hashing::new(std::io::sink()));
    engine.wasmtime.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    hasher.0.finish().0
}

/// For what is to be the same in another process and next year.
struct Sha(Hashing<std::io::Sink>);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // What is hashed asks for no sum in between.
        0
    }
}

fn check(wasm: &[u8], name: &Path) -> anyhow::Result<()> {
    let shown = name.display();
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => bail!(
            "{shown} is a core module, not a component; build it for the target wasm32-wasip2, or encode it \
             with `wasm-tools component new`"
        ),
        _ => bail!("{shown} is not a WebAssembly component"),
    }
}

/// Adds what the host offers to an error about imports.
fn explain(engine: &Engine, component: &Component, error: anyhow::Error) -> anyhow::Error {
    const OFFERED: &[&str] = &[
        "wasi:cli",
        "wasi:clocks",
        "wasi:filesystem",
        "wasi:http",
        "wasi:io",
        "wasi:random",
        "wasi:sockets",
        "hatchery:cluster",
    ];
    let ty = component.component_type();
    let foreign: Vec<&str> = ty
        .imports(&engine.wasmtime)
        .map(|(name, _)| name)
        .filter(|name| {
            !OFFERED
                .iter()
                .any(|package| name.strip_prefix(package).is_some_and(|rest| rest.starts_with('/')))
        })
        .collect();
    if foreign.is_empty() {
        return error;
    }
    error.context(format!(
        "the component imports {}, which Hatchery does not offer; it offers WASI 0.2 and 0.3 with wasi:http, \
         and hatchery:cluster 0.2 and 0.3",
        foreign.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Purpose;

    #[test]
    fn settings_are_the_same_each_time() {
        let compiles = || Engine::new(Purpose::Compile).unwrap();
        assert_eq!(settings(&compiles()), settings(&compiles()));
    }

    #[test]
    fn what_is_no_component_as_a_table() {
        let engine = Engine::new(Purpose::Compile).unwrap();
        for (bytes, expected) in [
            (&b""[..], "a.wasm is not a WebAssembly component"),
            (b"\0asm", "is not a WebAssembly component"),
            (b"\0asm\x01\0\0\0", "a.wasm is a core module, not a component"),
            (b"\0asm\x0d\0\x01\0garbage", "cannot compile a.wasm"),
            (b"\0asm\x0d\0\x01\0", "cannot use a.wasm"),
        ] {
            let error = compile(&engine, bytes, Path::new("a.wasm")).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{bytes:?}: {error:#}");
        }
    }
}
