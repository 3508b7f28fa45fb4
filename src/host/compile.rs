//! From a wasm component to native code, through a cache. Only the compiler child does this.
//!
//! The cache holds native code, which is as good as the process that loads it: a file is named after
//! the component's digest and the engine's settings, and begins with a MAC under a key that only
//! the master's user can read. What does not verify is compiled anew.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wasmtime::component::Component;

use super::{Engine, Guest, Wasi};
use crate::{
    digest::Digest,
    sys::{memfd, native::load_component, point},
};

/// The largest component, in bytes.
const MAX_COMPONENT: u64 = 256 << 20;

/// What the memfd is called in `/proc`.
const CODE: &str = "component";

/// Bytes of a key and of a MAC.
const KEY: usize = 32;

/// A compiled component.
#[derive(Debug)]
pub struct Native {
    /// A sealed memfd: what a process of the same build and settings can load.
    pub code: OwnedFd,
    /// The names of the component's exports.
    pub exports: Vec<String>,
    /// The names of the component's imports.
    pub imports: Vec<String>,
    /// Which WASI it is of.
    pub wasi: Wasi,
    /// Does it answer HTTP?
    pub answers_http: bool,
    /// Was the native code in the cache?
    pub cached: bool,
    /// The component's SHA-256, in hex.
    pub digest: String,
}

/// Compiles the component in `file`, or takes it from the `cache` folder, and checks that the host
/// can run it. Warns of a cache that can't be written; that is no failure.
///
/// # Errors
///
/// When the file can't be read, is no component, can't be compiled, imports what the host does not
/// offer, or exports nothing that the host calls.
pub fn compile(engine: &Engine, file: &Path, cache: &Path) -> anyhow::Result<Native> {
    let wasm = read(file)?;
    let digest = Digest::of(&wasm).hex();
    let entry = Entry::new(engine, cache, &digest);
    point::reach("compile-begun");
    let (component, code, cached) = match entry.load(engine) {
        Some((component, code)) => (component, code, true),
        None => {
            let component = Component::from_binary(&engine.wasmtime, &wasm)
                .map_err(anyhow::Error::from)
                .with_context(|| format!("cannot compile {}", file.display()))?;
            let code = component.serialize()?;
            if let Err(error) = entry.store(&code) {
                tracing::warn!("cannot write to the compile cache in {}: {error:#}", cache.display());
            }
            point::reach("compile-stored");
            (component, memfd::sealed(CODE, &code)?, false)
        }
    };
    let guest = Guest::new(engine.clone(), &component)
        .with_context(|| format!("cannot use {}", file.display()))
        .map_err(|error| explain(engine, &component, error))?;
    let ty = component.component_type();
    Ok(Native {
        code,
        exports: ty.exports(&engine.wasmtime).map(|(name, _)| name.to_owned()).collect(),
        imports: ty.imports(&engine.wasmtime).map(|(name, _)| name.to_owned()).collect(),
        wasi: guest.wasi(),
        answers_http: guest.answers_http(),
        cached,
        digest,
    })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = file.display();
    let opened = fs::File::open(file).with_context(|| format!("cannot read {shown}"))?;
    let mut wasm = Vec::new();
    opened.take(MAX_COMPONENT + 1).read_to_end(&mut wasm).with_context(|| format!("cannot read {shown}"))?;
    if wasm.len() as u64 > MAX_COMPONENT {
        bail!("{shown} is larger than {} MiB, the most that a component may have", MAX_COMPONENT >> 20);
    }
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(wasm),
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

/// A component's place in the cache.
struct Entry {
    file: PathBuf,
    folder: PathBuf,
}

impl Entry {
    fn new(engine: &Engine, folder: &Path, digest: &str) -> Self {
        let mut settings = DefaultHasher::new();
        engine.wasmtime.precompile_compatibility_hash().hash(&mut settings);
        env!("CARGO_PKG_VERSION").hash(&mut settings);
        let name = format!("{digest}-{:016x}.native", settings.finish());
        Self { file: folder.join(name), folder: folder.to_owned() }
    }

    /// What the cache has, when it verifies.
    fn load(&self, engine: &Engine) -> Option<(Component, OwnedFd)> {
        let bytes = fs::read(&self.file).ok()?;
        let key = self.key().ok()?;
        let Some(code) = verified(&key, &self.file, bytes) else {
            tracing::warn!("{} does not verify; compiling anew", self.file.display());
            return None;
        };
        let code = memfd::sealed(CODE, &code).ok()?;
        match load_component(&engine.wasmtime, &code) {
            Ok(component) => Some((component, code)),
            Err(error) => {
                tracing::warn!("{} does not load; compiling anew: {error:#}", self.file.display());
                None
            }
        }
    }

    fn store(&self, code: &[u8]) -> anyhow::Result<()> {
        let key = self.key()?;
        let tag = mac(&key, &self.file, code).finalize().into_bytes();
        let mut temporary = tempfile::NamedTempFile::new_in(&self.folder)?;
        temporary.write_all(&tag)?;
        temporary.write_all(code)?;
        temporary.persist(&self.file)?;
        Ok(())
    }

    /// The cache's key; made when there is none.
    fn key(&self) -> anyhow::Result<[u8; KEY]> {
        let file = self.folder.join("key");
        match fs::read(&file) {
            Ok(bytes) => return whole(&bytes, &file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let mut key = [0; KEY];
        getrandom::fill(&mut key)?;
        let mut temporary = tempfile::Builder::new().permissions(private()).tempfile_in(&self.folder)?;
        temporary.write_all(&key)?;
        match temporary.persist_noclobber(&file) {
            Ok(_) => Ok(key),
            // Another compiler was faster; its key counts.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                whole(&fs::read(&file)?, &file)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The code in a file's bytes, where it is what was once put there. Nothing of it is looked at before.
fn verified(key: &[u8; KEY], file: &Path, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let code = bytes.split_off(bytes.len().min(KEY));
    mac(key, file, &code).verify_slice(&bytes).ok()?;
    Some(code)
}

fn whole(key: &[u8], file: &Path) -> anyhow::Result<[u8; KEY]> {
    key.try_into().with_context(|| format!("{} is damaged; remove it", file.display()))
}

fn private() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o600)
}

/// Over the file's name too, so that one file can't stand in for another.
fn mac(key: &[u8; KEY], file: &Path, code: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(file.file_name().unwrap_or_default().as_encoded_bytes());
    mac.update(&[0]);
    mac.update(code);
    mac
}

#[cfg(test)]
mod tests;
