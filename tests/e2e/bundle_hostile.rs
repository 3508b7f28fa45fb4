//! Archives by somebody who means harm, made of raw tar headers: each is refused with its own message,
//! nothing is written but in the temporary folder, nothing is left there, and memory stays bounded.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::sys::resource::{UsageWho, getrusage};
use tar::{EntryType, Header};

use crate::support::{Guest, clean};

/// The most resident memory of the process that reads an archive.
pub(super) const MEMORY: u64 = 64 << 20;

/// Set for the child that measures: the folder with the archives.
const ARCHIVES: &str = "HATCHERY_TEST_ARCHIVES";

const INDEX: &str = "hatchery-bundle.json";

/// One archive in the making.
struct Hostile {
    /// Path, size and content's digest, as the index says.
    index: Vec<(String, u64, String)>,
    /// After the index.
    entries: Vec<(Box<Header>, Vec<u8>)>,
}

fn sha256(bytes: &[u8]) -> String {
    hatchery::digest::Digest::of(bytes).hex()
}

/// A header as `hatchery pack` writes it; any name fits that has at most 100 bytes.
fn header(name: &[u8], size: u64) -> Box<Header> {
    let mut header = Box::new(Header::new_ustar());
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_cksum();
    header
}

impl Hostile {
    /// A good bundle, but for what is to come: `file` is its last entry.
    fn with(file: &str, bytes: &[u8]) -> Self {
        let manifest = b"name = \"a\"\nversion = \"1\"\n[agent]\ncomponent = \"agent.wasm\"\n";
        let wasm = Guest::HelloP2.wasm();
        let mut new = Self { index: Vec::new(), entries: Vec::new() };
        for (path, bytes) in [("agent.wasm", wasm.as_slice()), ("hatchery.toml", manifest), (file, bytes)] {
            new.file(path, bytes);
        }
        new
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        self.index.push((path.to_owned(), bytes.len() as u64, sha256(bytes)));
        self.entries.push((header(path.as_bytes(), bytes.len() as u64), bytes.to_vec()));
        self
    }

    /// Changes the last entry's header.
    fn last(mut self, change: impl FnOnce(&mut Header)) -> Self {
        let (header, _) = self.entries.last_mut().unwrap();
        change(header);
        header.set_cksum();
        self
    }

    fn index(&self) -> Vec<u8> {
        let files: Vec<_> = self
            .index
            .iter()
            .map(|(path, size, sha256)| {
                let path = serde_json::to_string(path).unwrap();
                format!("{{\"path\":{path},\"size\":{size},\"sha256\":\"{sha256}\"}}")
            })
            .collect();
        let files = files.join(",");
        format!(r#"{{"format":1,"name":"a","version":"1","folders":[],"files":[{files}]}}"#).into_bytes()
    }

    /// The tar up to the last entry's data.
    fn start(&self) -> Vec<u8> {
        let index = self.index();
        let mut tar = Vec::new();
        let first = (header(INDEX.as_bytes(), index.len() as u64), index);
        for (header, bytes) in [&first].into_iter().chain(&self.entries) {
            tar.extend(header.as_bytes());
            tar.extend(bytes);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar
    }

    fn archive(&self) -> Vec<u8> {
        let mut tar = self.start();
        tar.resize(tar.len() + 1024, 0);
        zstd::encode_all(tar.as_slice(), 1).unwrap()
    }
}

/// A zstd frame by hand: `start`, then so many zeros in blocks of four bytes for each 128 KiB, which is as
/// small as it gets.
fn with_zeros(start: &[u8], zeros: u64, to: &Path) {
    const BLOCK: usize = 128 << 10;
    // Magic, no size and no checksum, a window of 8 MiB.
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x68".to_vec();
    let mut block = |size: usize, kind: u32, is_last: bool, bytes: &[u8]| {
        let header = u32::from(is_last) | kind << 1 | u32::try_from(size).unwrap() << 3;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(bytes);
    };
    for part in start.chunks(BLOCK) {
        block(part.len(), 0, false, part);
    }
    let (whole, rest) = (zeros / BLOCK as u64, zeros % BLOCK as u64);
    for _ in 0..whole {
        block(BLOCK, 1, false, b"\0");
    }
    block(usize::try_from(rest).unwrap(), 1, true, b"\0");
    fs::write(to, frame).unwrap();
}

fn kind(kind: EntryType, link: &str) -> Vec<u8> {
    let hostile = Hostile::with("x", b"");
    hostile
        .last(|header| {
            header.set_entry_type(kind);
            if !link.is_empty() {
                header.set_link_name_literal(link).unwrap();
            }
        })
        .archive()
}

fn named(name: &[u8]) -> Vec<u8> {
    Hostile::with("x", b"hostile").last(|old| *old = *header(name, 7)).archive()
}

/// Archives and what is said about them.
pub(super) fn table() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = Hostile::with("x", b"x");
    let long = good.archive();
    let mut wrong = Hostile::with("x", b"x");
    wrong.entries.last_mut().unwrap().1 = b"y".to_vec();
    let mut extra = Hostile::with("x", b"x");
    extra.index.pop();
    let mut missing = Hostile::with("x", b"x");
    missing.entries.pop();
    let mut twice = Hostile::with("x", b"x");
    twice.entries.push((header(b"x", 1), b"x".to_vec()));
    let mut many = Hostile::with("x", b"");
    many.index.truncate(2);
    many.entries.truncate(2);
    let small = many.index.clone();
    for number in 0..20_000 {
        many.file(&format!("n/{number:07}"), b"");
    }
    let (many_short, many_entries) = (many.archive(), {
        many.index = small;
        many.archive()
    });
    let two = |one: &str, other: &str| {
        let mut hostile = Hostile::with(one, b"");
        hostile.file(other, b"").index.sort();
        hostile.archive()
    };
    let size = |size: u64| Hostile::with("x", b"x").last(|header| header.set_size(size)).archive();
    vec![
        ("the index has ../", Hostile::with("../../x", b"hostile").archive(), "`..` part"),
        ("an entry has ../", named(b"../../x"), "`../../x` is refused: the index has `x` here"),
        ("the index has an absolute path", Hostile::with("/tmp/x", b"hostile").archive(), "it is absolute"),
        ("an entry is absolute", named(b"/tmp/x"), "`/tmp/x` is refused: the index has `x` here"),
        ("an entry is not UTF-8", named(b"\xff\x1b[2J"), "the index has `x` here"),
        ("the index has a backslash", Hostile::with("a\\b", b"").archive(), "backslash"),
        (
            "the index has a control character",
            Hostile::with("x\u{1b}[2J", b"").archive(),
            "control character",
        ),
        ("a symbolic link", kind(EntryType::Symlink, "/etc"), "it is a symbolic link"),
        ("a hard link", kind(EntryType::Link, "../../outside"), "it is a hard link"),
        ("a FIFO", kind(EntryType::Fifo, ""), "it is a FIFO"),
        ("a character device", kind(EntryType::Char, ""), "it is a device"),
        ("a block device", kind(EntryType::Block, ""), "it is a device"),
        ("a folder", kind(EntryType::Directory, ""), "a folder of its own"),
        ("a GNU long name", kind(EntryType::GNULongName, ""), "GNU long name"),
        ("a GNU long link", kind(EntryType::GNULongLink, ""), "GNU long name"),
        ("a pax header", kind(EntryType::XHeader, ""), "pax header"),
        ("a global pax header", kind(EntryType::XGlobalHeader, ""), "pax header"),
        ("a sparse file", kind(EntryType::GNUSparse, ""), "a sparse file"),
        ("a contiguous file", kind(EntryType::Continuous, ""), "of an unknown kind"),
        ("setuid", Hostile::with("x", b"").last(|header| header.set_mode(0o4755)).archive(), "setuid"),
        ("setgid", Hostile::with("x", b"").last(|header| header.set_mode(0o2644)).archive(), "setuid"),
        ("sticky", Hostile::with("x", b"").last(|header| header.set_mode(0o1644)).archive(), "sticky"),
        ("an owner", Hostile::with("x", b"").last(|header| header.set_uid(1000)).archive(), "owner"),
        ("two of a name in the index", two("x", "x"), "it is there twice"),
        ("two of a name in the archive", twice.archive(), "an entry that the index does not have"),
        ("names that differ in case only", two("x/Y", "x/y"), "in case only"),
        ("folders that differ in case only", two("X/a", "x/b"), "in case only"),
        ("a file that is a folder too", two("x", "x/y"), "a file and a folder"),
        ("another digest", wrong.archive(), "has the digest"),
        ("an entry that is not in the index", extra.archive(), "an entry that the index does not have"),
        ("an entry that is missing", missing.archive(), "it is missing"),
        ("more bytes than the index says", size(2), "it has 2 bytes, and 1 by the index"),
        ("10 GB by the header", size(10_000_000_000), "it has 10000000000 bytes, and 1 by the index"),
        ("2^63 bytes by the header", size(1 << 63), "and 1 by the index"),
        ("20,000 entries", many_short, "files and folders is over the limit of 10000"),
        ("20,000 entries past the index", many_entries, "an entry that the index does not have"),
        ("truncated", long[..long.len() - 5].to_vec(), "it is cut off, damaged"),
        ("half", long[..long.len() / 2].to_vec(), "it is cut off, damaged"),
        ("trailing bytes", [long.as_slice(), b"more"].concat(), "there are bytes after the end"),
        ("a bundle after the bundle", [long.as_slice(), &long].concat(), "there are bytes after the end"),
        ("nothing", Vec::new(), "it is cut off, damaged"),
    ]
}

/// Archives that are large when unpacked, and what is said about them. Made on disk.
pub(super) fn large(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let mut found = Vec::new();
    let mut put = |name: &str, start: &[u8], zeros: u64, expected| {
        let file = folder.join(name);
        with_zeros(start, zeros, &file);
        found.push((file, expected));
    };
    // 10 GB in less than 1 MB, three ways to say so.
    let ten = 10_000_000_000;
    let mut hostile = Hostile::with("x", b"").last(|header| header.set_size(ten));
    hostile.index[2].1 = ten;
    put("a file of 10 GB", &hostile.start(), ten, "for one file");
    hostile.index[2].1 = 0;
    put("a file of 10 GB that the index hides", &hostile.start(), ten, "and 0 by the index");
    put("10 GB after the end", &Hostile::with("x", b"").start(), ten, "there are bytes after the end");
    // Within the limits, but for the ratio.
    let half = 500 << 20;
    let mut hostile = Hostile::with("x", b"").last(|header| header.set_size(half));
    hostile.index[2].1 = half;
    put("500 MiB of zeros", &hostile.start(), half + 1024, "times");

    let start = header(INDEX.as_bytes(), ten).as_bytes().to_vec();
    put("an index of 10 GB", &start, ten, "hatchery-bundle.json` with 10000000000 bytes is over the limit");
    // The largest index that is read at all, and the worst to parse.
    for (name, text) in [("brackets", "[".repeat(4 << 20)), ("objects", "{\"a\":".repeat((4 << 20) / 5))] {
        let mut start = header(INDEX.as_bytes(), text.len() as u64).as_bytes().to_vec();
        start.extend(text.as_bytes());
        put(name, &start, 1024, "the bundle's index is refused");
    }
    let mut hostile = Hostile::with("x", b"");
    hostile.index = (0..38_000).map(|number| (format!("{number:x}"), 0, sha256(b""))).collect();
    put("an index with 38,000 files", &hostile.start(), 1024, "files and folders is over the limit");
    let deep = ["d"; 30].join("/");
    hostile.index = (0..9_999).map(|number| (format!("{number:04}/{deep}"), 0, sha256(b""))).collect();
    put("300,000 implied folders", &hostile.start(), 1024, "files and folders is over the limit");
    hostile.index = (0..1_000_000).map(|number| (format!("{number:07}"), 0, String::new())).collect();
    put("an index with 10^6 files", &hostile.start(), 1024, "hatchery-bundle.json` with");
    found
}

/// Every file and folder below, links not followed.
pub(super) fn picture(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let there = fs::symlink_metadata(&path).unwrap();
            found.push((path.clone(), if there.is_dir() { 0 } else { there.len() }));
            if there.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort_unstable();
    found
}

/// What `inspect` says, with a temporary folder of its own.
fn inspect(file: &Path, tmp: &Path) -> (Option<i32>, String) {
    let mut command = clean(env!("CARGO_BIN_EXE_hatchery"));
    command.arg("inspect").arg(file).env("TMPDIR", tmp);
    let done = command.output().unwrap();
    (done.status.code(), String::from_utf8(done.stderr).unwrap() + &String::from_utf8(done.stdout).unwrap())
}

#[test]
fn hostile_archives_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (tmp, file) = (folder.path().join("one/two/tmp"), folder.path().join("archive"));
    fs::create_dir_all(&tmp).unwrap();
    fs::write(folder.path().join("outside"), "as it was").unwrap();
    symlink("/", folder.path().join("one/root")).unwrap();
    fs::write(&file, Hostile::with("x", b"x").archive()).unwrap();
    let (code, said) = inspect(&file, &tmp);
    assert_eq!(code, Some(0), "the good one: {said}");
    for (what, archive, expected) in table() {
        fs::write(&file, archive).unwrap();
        let before = picture(folder.path());
        let (code, said) = inspect(&file, &tmp);
        assert_eq!(code, Some(1), "{what}: {said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{what}: {said}");
        assert!(!said.contains('\u{1b}') && !said.contains("panicked"), "{what}: {said}");
        assert_eq!(picture(folder.path()), before, "{what}");
    }
    assert!(!Path::new("/tmp/x").exists());
}

/// In a process of its own, whose only children are those that are measured.
#[test]
#[ignore = "what a child does"]
fn measures_large_archives() {
    let folder = PathBuf::from(env::var_os(ARCHIVES).unwrap());
    let tmp = folder.join("tmp");
    fs::create_dir(&tmp).unwrap();
    for line in fs::read_to_string(folder.join("list")).unwrap().lines() {
        let (name, expected) = line.split_once('\t').unwrap();
        let (code, said) = inspect(&folder.join(name), &tmp);
        assert!(code == Some(1) && said.contains(expected), "{name}: {said}");
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "{name}");
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as u64 * 1024;
        println!("peak {} MiB with {name}", peak >> 20);
        assert!(peak < MEMORY, "{name}: {} MiB", peak >> 20);
    }
}

#[test]
fn large_archives_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for (file, expected) in large(folder.path()) {
        let bytes = fs::metadata(&file).unwrap().len();
        let most = if file.to_string_lossy().contains(" GB") { 1 << 20 } else { 128 << 20 };
        assert!(bytes < most, "{} has {bytes} bytes", file.display());
        list += &format!("{}\t{expected}\n", file.file_name().unwrap().to_str().unwrap());
    }
    fs::write(folder.path().join("list"), list).unwrap();
    let test = "e2e::bundle_hostile::measures_large_archives";
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "--nocapture", test]).env(ARCHIVES, folder.path());
    let done = child.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    let peaks = said.matches("peak ").count();
    assert!(peaks >= 10, "{said}");
    println!("{said}");
}
