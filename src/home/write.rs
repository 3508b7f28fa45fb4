//! Replacing a small file so that after a crash or a loss of power it is the old one or the new one,
//! whole.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::sys::point;

/// A file's new content, on the disk beside it already: what is left to do takes no more room.
#[derive(Debug)]
pub struct Prepared {
    temporary: NamedTempFile,
    file: PathBuf,
}

/// Writes it, readable by this user only.
pub(super) fn prepare(file: &Path, content: &[u8]) -> io::Result<Prepared> {
    // Made with 0600.
    let mut temporary = NamedTempFile::new_in(folder(file))?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    Ok(Prepared { temporary, file: file.to_owned() })
}

impl Prepared {
    /// Puts it in the old one's place, and returns when that will last.
    ///
    /// # Errors
    /// The system's own.
    pub fn commit(self) -> io::Result<()> {
        point::reach("record-written");
        self.temporary.persist(&self.file)?;
        point::reach("record-renamed");
        // The name is in the folder's own blocks.
        fs::File::open(folder(&self.file))?.sync_all()
    }
}

/// Both at once.
pub(super) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    prepare(file, content)?.commit()
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}
