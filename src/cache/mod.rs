//! Native code that was compiled before. It is as good as the process that loads it, so who can write an
//! entry that is taken decides what code runs.
//!
//! ```text
//!   HOME/cache.key                             32 bytes, by chance, 0600 (`key`)
//!   HOME/cache/COMPONENT-OWNER-SETTINGS.native one entry (`entry`)
//!
//!     MAC, 32 bytes | length of the head, u32 | head: report, digest and length of the code | code
//! ```
//!
//! The MAC is over the entry's name and its head, and so over all of it: what component it was made of, for
//! whom, for what engine, what the compiler said of it, and the code. Nothing of an entry is looked at before.
//! One that does not verify, or is another one's, is not found.
//!
//! The key is beside the folder, not in it: the storekeeper has the folder. Nobody but the master reads or
//! writes either, and all of it waits for files: call it where that is allowed. It knows neither wasm nor
//! roles.

mod entry;
mod key;
mod prune;

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::SystemTime,
};

pub use self::prune::{Removed, prune};
use self::{entry::Head, key::Key};
use crate::{
    digest::{Digest, Hashing},
    ipc::compile::{CODE_LIMIT, Code, Report},
    sys::{
        memfd,
        open::{self, Links},
    },
};

/// What the memfd is called in `/proc`.
pub const CODE: &str = "component";

/// How an entry's name ends.
const ENDING: &str = "native";

/// Bytes that are copied and digested at a time.
const PIECE: usize = 64 << 10;

/// What is compiled, for whom, and for what: an entry is of use where all three are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Of the wasm.
    pub component: Digest,
    /// The user id that owns the app. Owners share no entries.
    pub owner: u32,
    /// What the compiler says it compiles for.
    pub settings: Digest,
}

/// What was compiled.
#[derive(Debug)]
pub struct Entry {
    /// Native code, in a sealed memfd.
    pub code: OwnedFd,
    /// What it is of.
    pub report: Report,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Id {
    fn name(&self) -> String {
        let Self { component, owner, settings } = self;
        format!("{}-{owner}-{}.{ENDING}", component.hex(), settings.hex())
    }

    /// `None` for a name that is none of ours.
    fn of_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(ENDING)?.strip_suffix('.')?.split('-');
        let component = Digest::from_hex(parts.next()?).ok()?;
        let owner = parts.next()?.parse().ok()?;
        let settings = Digest::from_hex(parts.next()?).ok()?;
        let id = Self { component, owner, settings };
        // Other spellings are nobody's.
        (id.name() == name).then_some(id)
    }
}

impl Cache {
    /// The one in this folder, which exists.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What is there, when it verifies. Says in the log what does not.
    #[must_use]
    pub fn find(&self, id: &Id) -> Option<Entry> {
        let file = self.folder.join(id.name());
        match self.read(&file, &id.name()) {
            Ok(entry) => Some(entry),
            Err(error) if is_absent(&error) => None,
            Err(error) => {
                tracing::warn!("{} does not verify; compiling anew: {error:#}", file.display());
                None
            }
        }
    }

    fn read(&self, path: &Path, name: &str) -> anyhow::Result<Entry> {
        let mut file = open::regular(path, Links::Refuse)?;
        let head = Head::read(&mut file, &Key::open(&self.folder)?, name)?;
        let mut memory = memfd::create(CODE)?;
        let found = copy(&mut file, &mut memory, CODE_LIMIT)?;
        if found != head.code {
            anyhow::bail!("its code has changed");
        }
        // What is used stays longest.
        let _ = file.set_modified(SystemTime::now());
        Ok(Entry { code: memfd::seal(CODE, memory)?, report: head.report })
    }

    /// Keeps what was compiled, whole or not at all, and removes what is too much then. `code` is what is in
    /// `memory`, which is sealed.
    ///
    /// # Errors
    /// The folder or the key can't be written to or read.
    pub fn put(&self, id: &Id, memory: &OwnedFd, code: Code, report: &Report) -> anyhow::Result<()> {
        let name = id.name();
        let head = Head { report: report.clone(), code };
        let mut temporary = tempfile::NamedTempFile::new_in(&self.folder)?;
        head.write(&mut temporary, &Key::open(&self.folder)?, &name)?;
        if copy(&mut whole(memory)?, &mut temporary, CODE_LIMIT)? != code {
            anyhow::bail!("the code has changed");
        }
        // No fsync: one that a power cut has torn does not verify.
        temporary.persist(self.folder.join(name))?;
        prune(&self.folder, |_| false).map(drop)
    }
}

/// Copies all there is, but no more than `most` bytes, and digests it. Never has much of it in memory.
///
/// # Errors
/// The system's own; there is more.
pub fn copy(from: &mut impl Read, to: &mut impl Write, most: u64) -> io::Result<Code> {
    let (mut to, mut buf) = (Hashing::new(to), vec![0; PIECE]);
    loop {
        let count = match from.read(&mut buf) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if to.size() + count as u64 > most {
            let reason = format!("there is more than {} MiB of it", most >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        to.write_all(&buf[..count])?;
    }
    let (digest, bytes) = to.finish();
    Ok(Code { digest, bytes })
}

/// From its beginning, to be read. The fd of another process may share its place in the file.
///
/// # Errors
/// The system's own.
pub fn whole(memory: &OwnedFd) -> io::Result<impl Read + use<>> {
    Ok(At { file: memory.try_clone()?.into(), offset: 0 })
}

/// A file and a place in it that nobody else moves.
struct At {
    file: File,
    offset: u64,
}

impl Read for At {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt as _;
        let count = self.file.read_at(buf, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests;
