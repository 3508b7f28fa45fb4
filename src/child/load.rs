//! Loading the compiled component that the master handed over.

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    host::{Engine, Guest, Purpose},
    sys::{inherit, native},
};

/// The guest of this process.
///
/// # Errors
///
/// When there is no component, or it is not what our compiler made with this engine's settings.
pub fn load(purpose: Purpose) -> anyhow::Result<Arc<Guest>> {
    let code = inherit::take(inherit::COMPONENT_FD).context("no component was handed over")?;
    let engine = Engine::new(purpose)?;
    let component = native::load_component(engine.wasmtime(), &code)?;
    Ok(Arc::new(Guest::new(engine, &component)?))
}
