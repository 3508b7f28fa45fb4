//! From a core module to a component, as `wasm-tools component new` does it: for compilers that know no
//! components. Called by `install`.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use wasi_preview1_component_adapter_provider as adapter;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The largest module, in bytes. As for components.
const MAX_MODULE: u64 = 256 << 20;

/// How a core module begins.
const CORE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// The custom section in which wit-bindgen says what the module's world is; what follows names it.
const TYPE_SECTION: &[u8] = b"component-type";

/// The component that the core module in `file` makes; `None` where the file is no core module. One that does
/// not say its world gets that of the folder `wit`.
///
/// # Errors
/// It can't be read, says nothing of its world, or does not fit the world that it says.
pub(super) fn encode(file: &Path, wit: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    let shown = file.display();
    let Some(mut module) = read(file).with_context(|| format!("can't read {shown}"))? else {
        return Ok(None);
    };
    if module.len() as u64 > MAX_MODULE {
        bail!("{shown} is larger than {} MiB, the most that a module may have", MAX_MODULE >> 20);
    }
    if !module.windows(TYPE_SECTION.len()).any(|bytes| bytes == TYPE_SECTION) {
        let Some(wit) = wit else {
            bail!(
                "{shown} is a core module that does not say what its component is; name the folder with its WIT in \
                 the `build` table (`wit = \"wit\"`), link what `wit-bindgen` generated with it (for C, the file \
                 `…_component_type.o`), or build for wasm32-wasip2"
            );
        };
        embed(&mut module, wit).with_context(|| format!("can't use the WIT in {}", wit.display()))?;
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| {
            // Only used where the module imports it.
            encoder.adapter(
                adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode());
    component.map(Some).with_context(|| format!("can't make a component of the core module {shown}"))
}

/// Puts the folder's world into the module.
fn embed(module: &mut Vec<u8>, wit: &Path) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], None)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(file)?;
    let mut begin = Vec::new();
    file.by_ref().take(CORE.len() as u64).read_to_end(&mut begin)?;
    if begin != CORE {
        return Ok(None);
    }
    file.rewind()?;
    let mut module = Vec::new();
    file.take(MAX_MODULE + 1).read_to_end(&mut module)?;
    Ok(Some(module))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A module of a world that exports `run: func()`, as wit-bindgen's linkers leave it.
    fn module(wat: &str, world: Option<&str>) -> Vec<u8> {
        let mut module = wat::parse_str(wat).unwrap();
        if let Some(world) = world {
            let mut resolve = Resolve::default();
            let package = resolve.push_source("world.wit", world).unwrap();
            let world = resolve.select_world(&[package], None).unwrap();
            embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        }
        module
    }

    fn encoded(bytes: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        encode(file.path(), None)
    }

    const WORLD: &str = "package a:b; world app { export run: func(); }";

    #[test]
    fn modules_become_components() {
        let plain = module("(module (func (export \"run\")))", Some(WORLD));
        let component = encoded(&plain).unwrap().expect("is encoded");
        assert_eq!(component[..8], *b"\0asm\x0d\0\x01\0");
        // One that uses preview 1 gets the adapter, which is far larger.
        let wat = "(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))
                    (memory (export \"memory\") 1) (func (export \"run\") call 0 drop))";
        let adapted = encoded(&module(wat, Some(WORLD))).unwrap().expect("is encoded");
        assert!(adapted.len() > component.len() + 1000, "{} and {}", adapted.len(), component.len());
        // And one that is a component stays what it is.
        assert!(encoded(&component).unwrap().is_none());
        assert!(encoded(b"text").unwrap().is_none());
    }

    #[test]
    fn a_world_can_come_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("world.wit"), WORLD).unwrap();
        let file = folder.path().join("core.wasm");
        fs::write(&file, module("(module (func (export \"run\")))", None)).unwrap();
        assert!(encode(&file, Some(folder.path())).unwrap().is_some());
        let error = format!("{:#}", encode(&file, Some(&folder.path().join("gone"))).unwrap_err());
        assert!(error.contains("can't use the WIT in ") && error.contains("gone"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let error = |bytes: &[u8]| format!("{:#}", encoded(bytes).unwrap_err());
        let text = error(&module("(module)", None));
        assert!(text.contains("does not say what its component is"), "{text}");
        let text = error(&module("(module)", Some(WORLD)));
        assert!(text.contains("can't make a component") && text.contains("run"), "{text}");
    }
}
