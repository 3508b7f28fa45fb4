//! How a failure is shown: once, on standard error. `main` calls it, and `dev`, which goes on.

use crate::{log, manifest::ManifestErrors};

/// One error with its causes; mistakes of manifests in their own layout, with the places in the files.
pub fn print(error: &anyhow::Error) {
    match error.downcast_ref::<ManifestErrors>() {
        Some(mistakes) => eprintln!("{}", mistakes.render(log::coloured())),
        None => eprintln!("error: {error:#}"),
    }
}
