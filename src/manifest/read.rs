//! A manifest's bytes: found, bounded, and UTF-8. Called by `load`; knows no TOML.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    error::{ManifestError, Mistake, Place},
    load::FILE_NAME,
};

/// The most bytes that a manifest may have.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A manifest as it was read.
pub(super) struct Source {
    /// As the user named it, for errors.
    pub(super) shown: PathBuf,
    /// Absolute, links resolved.
    pub(super) file: PathBuf,
    /// The folder of `file`.
    pub(super) folder: PathBuf,
    pub(super) text: String,
}

/// Reads the manifest at `path`, which is its folder or the file itself.
pub(super) fn read(path: &Path) -> Result<Source, ManifestError> {
    let shown = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    let fail = |title: String, help: &str, place| {
        ManifestError::file(shown.clone(), Mistake { title, help: help.to_owned(), place })
    };

    let bytes = match bytes(&shown) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let help = format!("name an app's folder, which holds its `{FILE_NAME}`, or the file itself");
            return Err(fail("there is no such manifest".to_owned(), &help, Place::File));
        }
        Err(cause) => {
            let help = "check that it is a file that you may read";
            return Err(fail(format!("can't read the manifest: {cause}"), help, Place::File));
        }
    };
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        let title = format!("the manifest is larger than {MAX_MANIFEST_BYTES} bytes");
        return Err(fail(title, "move data out of it, into files of a `folders` entry", Place::File));
    }
    let text = String::from_utf8(bytes).map_err(|cause| {
        let good = cause.utf8_error().valid_up_to();
        let line = cause.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
        let title = format!("the manifest is not UTF-8 (from byte {good} on)");
        fail(title, "save it as UTF-8", Place::Line(line))
    })?;

    let resolved = fs::canonicalize(&shown).and_then(|file| {
        let folder = file.parent().map(Path::to_owned).ok_or(io::ErrorKind::NotFound)?;
        Ok((file, folder))
    });
    let (file, folder) = resolved.map_err(|cause| {
        fail(format!("can't resolve the manifest's path: {cause}"), "check its folders", Place::File)
    })?;
    if file.to_str().is_none() {
        // It goes to child processes as text.
        return Err(fail("the manifest's path is not UTF-8".to_owned(), "rename its folder", Place::File));
    }
    Ok(Source { shown, file, folder, text })
}

/// At most one byte more than allowed. A pipe or device is refused before it is opened, since that
/// could block.
fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
