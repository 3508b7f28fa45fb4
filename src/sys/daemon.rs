//! A master in the background: away from the terminal, and from who started it.

use std::{fs::File, io};

use nix::unistd;

/// Makes this process the first of a session of its own: the terminal's signals and its end no longer
/// concern it.
///
/// # Errors
/// It leads a process group already.
pub fn detach() -> io::Result<()> {
    unistd::setsid()?;
    Ok(())
}

/// Whoever reads what this process prints sees its end.
///
/// # Errors
/// The system's own.
pub fn close_stdout() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    unistd::dup2_stdout(&null)?;
    Ok(())
}
