//! How a failure is shown: once, on standard error. `main` calls it, and `dev`, which goes on.

use std::io::{self, Write as _};

use crate::{log, manifest::ManifestErrors};

/// One error with its causes; mistakes of manifests in their own layout, with the places in the files.
pub fn print(error: &anyhow::Error) {
    let text = match error.downcast_ref::<ManifestErrors>() {
        Some(mistakes) => mistakes.render(log::coloured()),
        None => format!("error: {error:#}"),
    };
    // Who read it may have gone; `eprintln` would end a master for that.
    let _ = writeln!(io::stderr(), "{text}");
}
