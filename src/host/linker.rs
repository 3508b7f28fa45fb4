//! Everything that a component may import: WASI 0.2 and 0.3, `wasi:http` of both, and
//! `hatchery:cluster` of both.

use wasmtime::component::Linker;

use super::{Engine, body, imports, store::State};

pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(&engine.wasmtime);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    imports::add(&mut linker)?;
    body::attach_eagerly(&mut linker)?;
    Ok(linker)
}
