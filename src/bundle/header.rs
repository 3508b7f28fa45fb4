//! Tar headers. There is one header for a path and a size, and a reader takes no other; what is wrong with
//! another is looked at only to say it. Called by `pack` and `unpack`.

use tar::{EntryType, Header};

use super::{Error, error::shown};

/// Tar's unit.
pub(super) const BLOCK: usize = 512;

/// A header, or data, as it is in the archive.
pub(super) type Block = [u8; BLOCK];

/// How many zeros follow so many bytes of data.
pub(super) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The header of a file: ustar, mode 0644, everything else zero or empty.
///
/// # Errors
/// The path does not fit: its last part may have 100 bytes, the folders above it 155.
pub(super) fn header(path: &str, size: u64) -> Result<Header, Error> {
    let mut header = Header::new_ustar();
    header.set_path(path).map_err(|_| Error::Path {
        path: shown(path),
        reason: "its last part has more than 100 bytes, or the folders above it more than 155".to_owned(),
    })?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Is this the header of that file?
pub(super) fn expect(block: &Block, path: &str, size: u64) -> Result<(), Error> {
    if header(path, size)?.as_bytes() == block { Ok(()) } else { Err(refusal(block, path, Some(size))) }
}

/// The size of a file of which only the name is known.
pub(super) fn size(block: &Block, path: &str, most: u64) -> Result<u64, Error> {
    let size = Header::from_byte_slice(block).entry_size().map_err(|_| refusal(block, path, None))?;
    if header(path, size)?.as_bytes() != block {
        return Err(refusal(block, path, None));
    }
    if size > most {
        let what = format!("the archive's entry `{path}` with {size} bytes");
        return Err(Error::limit(what, format!("{most} bytes")));
    }
    Ok(size)
}

/// The name in a header, escaped.
pub(super) fn name(block: &Block) -> String {
    shown(&String::from_utf8_lossy(&Header::from_byte_slice(block).path_bytes()))
}

/// What is wrong with a header that should have been this file's.
fn refusal(block: &Block, path: &str, size: Option<u64>) -> Error {
    if block.iter().all(|byte| *byte == 0) {
        return Error::entry(path, "it is missing; the archive ends before it");
    }
    let found = Header::from_byte_slice(block);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    if found.cksum().ok() != Some(sum - field + 8 * u32::from(b' ')) {
        return Error::entry(path, "its header is damaged (checksum)");
    }
    let kind = match found.entry_type() {
        EntryType::Regular => None,
        EntryType::Link => Some("a hard link"),
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::Fifo => Some("a FIFO"),
        EntryType::Directory => Some("a folder of its own"),
        EntryType::GNULongName | EntryType::GNULongLink => Some("a GNU long name"),
        EntryType::GNUSparse => Some("a sparse file"),
        EntryType::XGlobalHeader | EntryType::XHeader => Some("a pax header"),
        _ => Some("of an unknown kind"),
    };
    let name = String::from_utf8_lossy(&found.path_bytes()).into_owned();
    if let Some(kind) = kind {
        return Error::entry(&name, format!("it is {kind}; a bundle holds regular files only"));
    }
    if name != path {
        return Error::entry(&name, format!("the index has `{}` here", shown(path)));
    }
    if found.mode().is_ok_and(|mode| mode & 0o7000 != 0) {
        return Error::entry(path, "it is setuid, setgid or sticky");
    }
    if let (Some(size), Ok(there)) = (size, found.entry_size())
        && size != there
    {
        return Error::entry(path, format!("it has {there} bytes, and {size} by the index"));
    }
    Error::entry(path, "its header has a mode, owner, time or format that `hatchery pack` does not write")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bundle of today must stay readable: these bytes are the format.
    #[test]
    fn a_header_is_these_bytes() {
        let header = header(&format!("{}/{}", "a".repeat(60), "b".repeat(60)), 1234).unwrap();
        let mut expected = [0; BLOCK];
        let mut put = |at: usize, text: &[u8]| expected[at..at + text.len()].copy_from_slice(text);
        put(0, &[b'b'; 60]);
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, b"00000002322\0");
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, b"0");
        put(257, b"ustar\x0000");
        put(345, &[b'a'; 60]);
        let sum: u32 = expected.iter().map(|byte| u32::from(*byte)).sum();
        expected[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
        assert_eq!(header.as_bytes(), &expected);
    }

    #[test]
    fn padding_fills_a_block() {
        for (size, zeros) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)] {
            assert_eq!(padding(size), zeros, "{size}");
        }
    }
}
