//! `encode CORE OUT`: a component of a core module that says its world itself, as wit-bindgen's C does.
//! `encode CORE OUT WIT WORLD`: of one that does not, as Go's. What it imports of the old WASI
//! (`wasi_snapshot_preview1`) is adapted to WASI 0.2.

use anyhow::{Context, Result, bail};
use std::{env, fs};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (core, out, world) = match arguments.as_slice() {
        [core, out] => (core, out, None),
        [core, out, wit, world] => (core, out, Some((wit, world))),
        _ => bail!("usage: encode CORE OUT [WIT WORLD]"),
    };
    let mut module = fs::read(core).with_context(|| format!("can't read {core}"))?;
    if let Some((wit, world)) = world {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(wit).with_context(|| format!("can't read the wit in {wit}"))?;
        let world = resolve.select_world(&[package], Some(world))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(NAME, ADAPTER))
        .and_then(|mut encoder| encoder.encode())
        .with_context(|| format!("can't make a component of {core}"))?;
    fs::write(out, component).with_context(|| format!("can't write {out}"))
}
