//! Loading compiled code. Workers and agents do it once, on the fd that the master gave them.

use std::os::fd::{AsRawFd, OwnedFd};

use wasmtime::{Engine, Result, bail, component::Component, error::Context};

use super::{memfd, sandbox};

/// Maps a compiled component: no copy, and the pages are shared by all processes that load it.
///
/// The fd must come from the master, which has it from our compiler; wasmtime checks that the
/// version and settings of its compiler are this engine's, but trusts the code.
///
/// # Errors
/// It isn't sealed, wasn't made by a compiler of this version, or can't be mapped.
pub fn load_component(engine: &Engine, fd: &OwnedFd) -> Result<Component> {
    if !memfd::is_sealed(fd).context("can't read the seals of the compiled component")? {
        bail!("the compiled component is not sealed, so it might change while it runs");
    }
    let path = sandbox::fds().join(fd.as_raw_fd().to_string());
    // SAFETY: the file is a memfd whose content and size are sealed for good, so it can't change
    // while it is mapped; and only our compiler's output is given to a child as its component.
    unsafe { Component::deserialize_file(engine, path) }.context("can't load the compiled component")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_what_is_sealed_and_nothing_else() {
        let engine = Engine::default();
        let code = engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap();

        load_component(&engine, &memfd::sealed("test", &code).unwrap()).unwrap();

        let file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &file, &code).unwrap();
        let error = load_component(&engine, &file.into()).unwrap_err();
        assert!(error.to_string().contains("not sealed"), "{error:#}");

        let error = load_component(&engine, &memfd::sealed("test", b"garbage").unwrap()).unwrap_err();
        assert!(error.to_string().contains("can't load"), "{error:#}");
    }
}
