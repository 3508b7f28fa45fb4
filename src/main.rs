//! Takes the inherited fds, does what the command line says, prints one error chain.

use std::process::ExitCode;

use clap::Parser as _;
use hatchery::{
    cli::{Cli, print_failure},
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
            print_failure(&error);
            ExitCode::FAILURE
        }
    }
}
