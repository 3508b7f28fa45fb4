//! Native code for a component: out of the cache, or compiled by a child, since the master never looks into
//! wasm.
//!
//! ```text
//!   digest the file -> cache: there? -> done, without a child
//!        | no
//!   copy the file into a sealed memfd -> compiler writes to another one, reports, and ends
//!        -> seal that one -> is it what the compiler said? -> cache
//! ```
//!
//! `run`, `deploy` and `check` call it before anything of an app starts. What the compiler was given is what
//! was digested, whatever becomes of the file meanwhile; and nothing is taken before nobody can write to it
//! any more. Files are read, digested and copied on the runtime's other threads, piece by piece: the master
//! never has one in its memory.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{sync::OnceCell, task::spawn_blocking, try_join};

use super::{compiler, native::Native};
use crate::{
    cache::{self, CODE, Cache, Entry, Id},
    cluster::Role,
    digest::Digest,
    ipc::compile::{CODE_LIMIT, Code, Report},
    sys::{
        cgroup::AppLimits,
        memfd,
        open::{self, Links},
        point,
    },
};

/// The largest component, in bytes.
const MAX_COMPONENT: u64 = 256 << 20;

/// What the memfd with a component is called in `/proc`.
const WASM: &str = "wasm";

/// What is to be had.
#[derive(Clone, Debug)]
pub struct Order {
    /// The wasm file.
    pub component: PathBuf,
    /// The folder of what was compiled before.
    pub cache: PathBuf,
    /// The user id that owns the app: no other one gets the same code.
    pub owner: u32,
    /// What the component is to be, for errors.
    pub role: Role,
    /// Its app, for errors.
    pub app: String,
    /// The CPU time that compiling may take (`compile-time`).
    pub cpu_limit: Duration,
    /// What its app may have altogether, to which the compiler counts. `None`: to nobody.
    pub limits: Option<AppLimits>,
}

/// A compiled component.
#[derive(Debug)]
pub struct Compiled {
    /// Native code, in a sealed memfd.
    pub code: OwnedFd,
    /// What it is.
    pub report: Report,
    /// The component's SHA-256, in hex: has the file changed?
    pub digest: String,
    /// It was in the cache.
    pub cached: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// Finds it in the cache, or compiles it. Dropping the future kills the child. A cache that can't be written
/// to is no failure; that is in the log.
///
/// # Errors
/// The file can't be read, or its component not be compiled or hosted; the compiler passed a limit or lied.
pub async fn compile(order: Order) -> anyhow::Result<Compiled> {
    let begun = Instant::now();
    point::reach("compile-begun");
    let what = format!("{} of {} ({})", order.role, order.app, order.component.display());
    let cannot = || format!("cannot compile the {what}");
    let (file, owner) = (order.component.clone(), order.owner);
    let digested = async { blocking(move || digest(&file)).await.with_context(cannot) };
    let (component, settings) = try_join!(digested, settings())?;
    let id = Id { component, owner, settings };
    let cache = Cache::new(&order.cache);
    let looked = cache.clone();
    if let Some(Entry { code, report }) = blocking(move || Ok(looked.find(&id))).await? {
        return Ok(Compiled {
            code,
            report,
            digest: component.hex(),
            cached: true,
            elapsed: begun.elapsed(),
        });
    }
    let file = order.component.clone();
    let (component, wasm) = blocking(move || load(&file)).await.with_context(cannot)?;
    let id = Id { component, ..id };
    // Also where nothing comes of it, what was written is not to be freed on this thread.
    let memory = Native::new(memfd::create(CODE).with_context(cannot)?.into());
    let theirs = memory.try_clone().with_context(cannot)?;
    let task = compiler::Task {
        app: &order.app,
        role: order.role,
        what: &what,
        name: &order.component,
        cpu_limit: order.cpu_limit,
        limits: order.limits,
    };
    let (report, said) = task.compile(wasm, theirs).await?;
    let kept = report.clone();
    let code = blocking(move || {
        let code = take(memory.into_fd()?.into(), said)?;
        if let Err(error) = cache.put(&id, &code, said, &kept) {
            tracing::warn!("cannot write to the compile cache: {error:#}");
        }
        Ok(code)
    })
    .await
    .with_context(|| format!("the compiler of the {what} gave no code that can be used"))?;
    point::reach("compile-stored");
    Ok(Compiled { code, report, digest: component.hex(), cached: false, elapsed: begun.elapsed() })
}

/// What this build compiles for, which decides what in the cache is of use. A child says it, once: making an
/// engine would give the master wasmtime's signal handlers, which are for guests' traps.
async fn settings() -> anyhow::Result<Digest> {
    static SETTINGS: OnceCell<Digest> = OnceCell::const_new();
    SETTINGS.get_or_try_init(compiler::settings).await.copied()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    spawn_blocking(work).await.context("the thread that read its files broke")?
}

fn digest(file: &Path) -> anyhow::Result<Digest> {
    read(file, &mut io::sink())
}

/// The component in memory that is not the master's, where nobody changes it any more.
fn load(file: &Path) -> anyhow::Result<(Digest, OwnedFd)> {
    let mut memory = memfd::create(WASM)?;
    let digest = read(file, &mut memory)?;
    Ok((digest, memfd::seal(WASM, memory)?))
}

fn read(file: &Path, to: &mut impl io::Write) -> anyhow::Result<Digest> {
    let cannot = || format!("cannot read {}", file.display());
    let mut opened = open::regular(file, Links::Follow).with_context(cannot)?;
    match cache::copy(&mut opened, to, MAX_COMPONENT) {
        Ok(code) => Ok(code.digest),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => bail!(
            "{} is larger than {} MiB, the most that a component may have",
            file.display(),
            MAX_COMPONENT >> 20
        ),
        Err(error) => Err(error).with_context(cannot),
    }
}

/// What a compiler has written, when it is what it says. It has ended; but only a seal keeps whoever else has
/// the fd from writing, so that comes first.
fn take(memory: File, said: Code) -> anyhow::Result<OwnedFd> {
    let there = memory.metadata()?.len();
    if there == 0 {
        bail!("it wrote nothing");
    }
    if there != said.bytes {
        bail!("it wrote {there} bytes, and says that it wrote {}", said.bytes);
    }
    if there > CODE_LIMIT {
        let (has, most) = (there >> 20, CODE_LIMIT >> 20);
        bail!("it wrote {has} MiB, and {most} MiB are the most that a component may have");
    }
    let code = memfd::seal(CODE, memory).context("cannot seal what it wrote")?;
    if cache::copy(&mut cache::whole(&code)?, &mut io::sink(), CODE_LIMIT)? != said {
        bail!("what it wrote is not what it says that it wrote");
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::FileExt as _};

    use super::*;

    fn code(bytes: &[u8]) -> Code {
        Code { digest: Digest::of(bytes), bytes: bytes.len() as u64 }
    }

    #[test]
    fn what_is_taken_as_a_table() {
        let far = Code { digest: Digest::of(b""), bytes: CODE_LIMIT + 1 };
        for (what, written, said, length, expected) in [
            ("what it says", &b"code"[..], code(b"code"), None, ""),
            ("nothing", b"", code(b"code"), None, "it wrote nothing"),
            ("nothing, and it says so", b"", code(b""), None, "it wrote nothing"),
            ("less", b"cod", code(b"code"), None, "it wrote 3 bytes, and says that it wrote 4"),
            ("more", b"codex", code(b"code"), None, "it wrote 5 bytes"),
            ("something else", b"kode", code(b"code"), None, "is not what it says that it wrote"),
            ("too much", b"code", far, Some(CODE_LIMIT + 1), "it wrote 1024 MiB, and 1024 MiB are the most"),
        ] {
            let mut memory = memfd::create("test").unwrap();
            memory.write_all(written).unwrap();
            if let Some(length) = length {
                memory.set_len(length).unwrap();
            }
            match take(memory, said) {
                Ok(sealed) => assert!(expected.is_empty() && memfd::is_sealed(&sealed).unwrap(), "{what}"),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(!expected.is_empty() && error.contains(expected), "{what}: {error}");
                }
            }
        }
    }

    #[test]
    fn what_was_taken_is_as_it_was() {
        let mut memory = memfd::create("test").unwrap();
        memory.write_all(b"code").unwrap();
        let theirs = memory.try_clone().unwrap();
        let taken = File::from(take(memory, code(b"code")).unwrap());
        assert!(theirs.write_at(b"x", 0).is_err());
        let mut back = [0; 4];
        taken.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(&back, b"code");
    }

    #[test]
    fn the_copy_is_what_was_digested() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, b"first").unwrap();
        let (digest, wasm) = load(&file).unwrap();
        std::fs::write(&file, b"other").unwrap();
        assert_eq!(digest, Digest::of(b"first"));
        let mut back = vec![];
        io::Read::read_to_end(&mut cache::whole(&wasm).unwrap(), &mut back).unwrap();
        assert_eq!(back, b"first");

        let error = format!("{:#}", load(folder.path()).unwrap_err());
        assert!(error.contains("cannot read") && error.contains("no ordinary file"), "{error}");
        File::create(&file).unwrap().set_len(MAX_COMPONENT + 1).unwrap();
        let error = super::digest(&file).unwrap_err().to_string();
        assert!(
            error.contains("a.wasm is larger than 256 MiB, the most that a component may have"),
            "{error}"
        );
    }
}
