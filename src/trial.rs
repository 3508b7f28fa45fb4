//! The trial child: shuts itself in as a guest's process does, says what holds, and ends. So the master
//! knows before it starts anything else.

use std::{io::Write as _, os::unix::net::UnixStream};

use anyhow::Context as _;

use crate::sys::{inherit, sandbox};

/// Says it.
///
/// # Errors
/// There is no master to tell.
pub fn run() -> anyhow::Result<()> {
    let control = inherit::take(inherit::CONTROL_FD)
        .context("`hatchery trial` is started by the master, not by hand")?;
    let report = sandbox::report().context("it was not told to shut itself in")?;
    UnixStream::from(control).write_all(&postcard::to_stdvec(report)?)?;
    Ok(())
}
