//! Takes the inherited fds, does what the command line says, prints one error chain.

use std::process::ExitCode;

use clap::Parser as _;
use hatchery::{
    cli::Cli,
    log,
    manifest::ManifestErrors,
    sys::{inherit, sandbox},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A child is shut in before it does anything else.
    let done = inherit::init().map_err(Into::into).and_then(|()| sandbox::enter());
    let done = done.and_then(|()| Cli::parse().execute());
    match done {
        Ok(code) => code,
        Err(error) => {
            match error.downcast_ref::<ManifestErrors>() {
                // Its own layout, with the places in the files.
                Some(mistakes) => eprintln!("{}", mistakes.render(log::coloured())),
                None => eprintln!("error: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}
