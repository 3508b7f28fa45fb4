//! `bindings c|go WIT OUT`: writes the language's bindings of the world `app` into the folder OUT.
//! `bindings encode CORE OUT`: makes a component of a core module that says its world itself, as one with
//! the C bindings does. `bindings encode CORE OUT WIT`: of one that does not, as Go's. What it imports of
//! the old WASI (`wasi_snapshot_preview1`) is adapted to WASI 0.2.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::{env, fs};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

const WORLD: &str = "app";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["c", wit, out] => generate(wit_bindgen_c::Opts::default().build(), wit, out),
        ["go", wit, out] => generate(wit_bindgen_go::Opts::default().build(), wit, out),
        ["encode", core, out] => encode(core, out, None),
        ["encode", core, out, wit] => encode(core, out, Some(wit)),
        _ => bail!("usage: bindings c|go WIT OUT, or bindings encode CORE OUT [WIT]"),
    }
}

fn world(wit: &str) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).with_context(|| format!("can't read the wit in {wit}"))?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    Ok((resolve, world))
}

fn generate(mut generator: Box<dyn WorldGenerator>, wit: &str, out: &str) -> Result<()> {
    let (mut resolve, world) = world(wit)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, contents) in files.iter() {
        let file = Path::new(out).join(name);
        let written =
            file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, contents));
        written.with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

fn encode(core: &str, out: &str, wit: Option<&str>) -> Result<()> {
    let mut module = fs::read(core).with_context(|| format!("can't read {core}"))?;
    if let Some(wit) = wit {
        let (resolve, world) = world(wit)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(NAME, ADAPTER))
        .and_then(ComponentEncoder::encode)
        .with_context(|| format!("can't make a component of {core}"))?;
    fs::write(out, component).with_context(|| format!("can't write {out}"))
}
