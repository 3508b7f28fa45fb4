//! Reading a small file of a home: the whole of it, or why not. `settings`, `policy` and `record` call it.

use std::{fs, io, io::Read as _, path::Path};

use anyhow::{Context as _, bail};

use crate::sys::sandbox;

/// Its text; `None` where there is no such file.
///
/// # Errors
/// It can't be read, or has more than so many bytes: a part of it must not pass for the whole.
pub(super) fn read(file: &Path, most: u64) -> anyhow::Result<Option<String>> {
    let shown = file.display();
    // It may be a link, to what lies elsewhere in a process that is shut in.
    let read = match fs::File::open(sandbox::place(file)) {
        Ok(opened) => io::read_to_string(opened.take(most + 1)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    };
    let text = read.with_context(|| format!("cannot read {shown}"))?;
    if text.len() as u64 > most {
        bail!("{shown} has more than {most} bytes, the most that it may have; shorten it");
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(read(&file, 4).unwrap(), None);
        for (bytes, found) in [
            (&b""[..], Ok("")),
            (b"four", Ok("four")),
            (b"fiver", Err("has more than 4 bytes")),
            (b"\xff", Err("cannot read ")),
        ] {
            fs::write(&file, bytes).unwrap();
            match (read(&file, 4), found) {
                (Ok(text), Ok(expected)) => assert_eq!(text.as_deref(), Some(expected)),
                (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
                (other, _) => panic!("{bytes:?}: {other:?}"),
            }
        }
        assert!(read(folder.path(), 4).is_err(), "a folder");
    }
}
