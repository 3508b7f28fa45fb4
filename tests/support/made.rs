//! Components that `guests/component.sh` and `guests/samples.sh` have made.

use std::{env, fs, path::PathBuf};

/// None, with one line, where it can't be made here, which was said when it was tried. In CI that is an error.
pub(crate) fn made(name: &str) -> Option<Vec<u8>> {
    let folder = env::var_os("HATCHERY_COMPONENTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("guests/target/components"),
        PathBuf::from,
    );
    let file = folder.join(format!("{name}.wasm"));
    match (fs::read(&file), fs::read_to_string(folder.join(format!("{name}.missing")))) {
        (Ok(wasm), _) => Some(wasm),
        (Err(_), Ok(reason)) if env::var_os("CI").is_none() => {
            eprintln!("skipped, {name} was not built: {}", reason.trim());
            None
        }
        (Err(error), _) => panic!(
            "cannot read {}: {error}; run `just guests` first, or \
             set HATCHERY_COMPONENTS to the folder with the built components",
            file.display()
        ),
    }
}
