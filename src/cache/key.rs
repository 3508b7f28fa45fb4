//! The key of a cache: made where there is none, read by the master alone.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::sys::open::{self, Links};

/// Bytes of a key.
const KEY: usize = 32;

/// Bytes of a MAC.
pub(super) const MAC: usize = 32;

/// Of one home's cache.
pub(super) struct Key([u8; KEY]);

impl Key {
    /// That of the cache in this folder; made when there is none.
    pub(super) fn open(cache: &Path) -> anyhow::Result<Self> {
        // Homes that share a cache by a link share its key.
        let mut file = cache.canonicalize()?.into_os_string();
        file.push(".key");
        let file = Path::new(&file);
        match read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            bytes => return Self::of(bytes, file),
        }
        let mut key = [0; KEY];
        getrandom::fill(&mut key)?;
        let folder = file.parent().context("a cache is in a folder")?;
        let private = fs::Permissions::from_mode(0o600);
        let mut temporary = tempfile::Builder::new().permissions(private).tempfile_in(folder)?;
        temporary.write_all(&key)?;
        match temporary.persist_noclobber(file) {
            Ok(_) => Ok(Self(key)),
            // Another one was faster; its key counts.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Self::of(read(file), file),
            Err(error) => Err(error.error).with_context(|| format!("cannot write {}", file.display())),
        }
    }

    fn of(bytes: io::Result<Vec<u8>>, file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let bytes = bytes.with_context(|| format!("cannot read {shown}"))?;
        let key = bytes.as_slice().try_into();
        Ok(Self(key.with_context(|| format!("{shown} is damaged; remove it"))?))
    }

    /// Of an entry.
    pub(super) fn mac(&self, name: &str, head: &[u8]) -> [u8; MAC] {
        self.begun(name, head).finalize().into_bytes().into()
    }

    pub(super) fn verifies(&self, name: &str, head: &[u8], mac: &[u8; MAC]) -> bool {
        self.begun(name, head).verify_slice(mac).is_ok()
    }

    /// No name has a NUL, so none with its head is another one with another head.
    fn begun(&self, name: &str, head: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(head);
        mac
    }
}

/// One byte more than there is to be is enough to see that it is not right.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open::regular(file, Links::Refuse)?.take(KEY as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
