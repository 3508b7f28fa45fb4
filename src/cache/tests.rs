//! What of an entry's bytes, name, owner and report may be another: nothing.

use std::fs;

use tempfile::TempDir;

use super::*;

const CODE_BYTES: &[u8] = b"native code, of which nothing may change";

struct Home {
    folder: TempDir,
    cache: Cache,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cache")).unwrap();
        let cache = Cache::new(&folder.path().join("cache"));
        Self { folder, cache }
    }

    fn file(&self, id: &Id) -> PathBuf {
        self.cache.folder.join(id.name())
    }

    fn put(&self, id: &Id, bytes: &[u8], report: &Report) {
        let memory = memfd::sealed("test", bytes).unwrap();
        let code = Code { digest: Digest::of(bytes), bytes: bytes.len() as u64 };
        self.cache.put(id, &memory, code, report).unwrap();
    }
}

fn id(component: &str, owner: u32, settings: &str) -> Id {
    Id { component: Digest::of(component.as_bytes()), owner, settings: Digest::of(settings.as_bytes()) }
}

fn report(export: &str) -> Report {
    Report {
        wasi: "0.3".to_owned(),
        exports: vec![export.to_owned()],
        imports: vec!["wasi:io/poll@0.2.0".to_owned()],
        answers_http: true,
    }
}

fn bytes(entry: &Entry) -> Vec<u8> {
    let mut bytes = vec![];
    whole(&entry.code).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_was_put_is_found_and_sealed() {
    let (home, id) = (Home::new(), id("a", 7, "engine"));
    assert!(home.cache.find(&id).is_none());
    home.put(&id, CODE_BYTES, &report("a"));
    let found = home.cache.find(&id).unwrap();
    assert_eq!(bytes(&found), CODE_BYTES);
    assert_eq!(found.report, report("a"));
    assert!(memfd::is_sealed(&found.code).unwrap());
    // Once more, with other code: the last one counts.
    home.put(&id, b"other", &report("b"));
    let found = home.cache.find(&id).unwrap();
    assert_eq!((bytes(&found).as_slice(), found.report), (&b"other"[..], report("b")));
    let mut files: Vec<_> =
        fs::read_dir(home.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["cache", "cache.key"]);
    assert_eq!(fs::read_dir(&home.cache.folder).unwrap().count(), 1);
}

#[test]
fn every_byte_counts() {
    let (home, id) = (Home::new(), id("a", 7, "engine"));
    home.put(&id, CODE_BYTES, &report("a"));
    let file = home.file(&id);
    let whole = fs::read(&file).unwrap();
    let refused = |what: &str, bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        assert!(home.cache.find(&id).is_none(), "{what}");
    };
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            refused(&format!("bit {bit} of byte {at} of {}", whole.len()), &bytes);
        }
    }
    for length in 0..whole.len() {
        refused(&format!("{length} bytes"), &whole[..length]);
    }
    refused("a byte more", &[&whole[..], b"x"].concat());
    refused("twice", &[&whole[..], &whole[..]].concat());
    // A head without end.
    let mut endless = whole.clone();
    endless[key::MAC..key::MAC + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    refused("a long head", &endless);
    fs::write(&file, &whole).unwrap();
    assert!(home.cache.find(&id).is_some());
}

#[test]
fn no_entry_stands_for_another() {
    let home = Home::new();
    let mine = id("a", 7, "engine");
    home.put(&mine, CODE_BYTES, &report("a"));
    for (what, other) in [
        ("another component", id("b", 7, "engine")),
        ("another owner", id("a", 8, "engine")),
        ("other settings", id("a", 7, "another engine")),
    ] {
        assert!(home.cache.find(&other).is_none(), "{what}");
        fs::copy(home.file(&mine), home.file(&other)).unwrap();
        assert!(home.cache.find(&other).is_none(), "{what}, copied");
        fs::remove_file(home.file(&other)).unwrap();
        std::os::unix::fs::symlink(home.file(&mine), home.file(&other)).unwrap();
        assert!(home.cache.find(&other).is_none(), "{what}, by a link");
    }
    // Nor does a part of one: the same code with another's report, which is as long.
    let (one, two) = (id("c", 7, "engine"), id("d", 7, "engine"));
    home.put(&one, CODE_BYTES, &report("c"));
    home.put(&two, CODE_BYTES, &report("d"));
    let [first, second] = [&one, &two].map(|id| fs::read(home.file(id)).unwrap());
    let code = first.len() - CODE_BYTES.len();
    assert_eq!((first.len(), &first[code..]), (second.len(), CODE_BYTES));
    for (what, mixed) in [
        ("the head of another", [&first[..key::MAC], &second[key::MAC..]].concat()),
        ("the MAC of another", [&second[..key::MAC], &first[key::MAC..]].concat()),
        ("all of another", second),
    ] {
        fs::write(home.file(&one), mixed).unwrap();
        assert!(home.cache.find(&one).is_none(), "{what}");
    }
    assert!(home.cache.find(&two).is_some() && home.cache.find(&mine).is_some());
    // Nor one that another key has signed.
    let other = Home::new();
    other.put(&mine, b"evil", &report("a"));
    fs::copy(other.file(&mine), home.file(&mine)).unwrap();
    assert!(home.cache.find(&mine).is_none());
    // What can't be read for ever is not waited for.
    fs::remove_file(home.file(&one)).unwrap();
    fs::create_dir(home.file(&one)).unwrap();
    assert!(home.cache.find(&one).is_none());
}

#[test]
fn what_is_put_is_what_was_said() {
    let (home, id) = (Home::new(), id("a", 7, "engine"));
    let memory = memfd::sealed("test", b"other").unwrap();
    let code = Code { digest: Digest::of(CODE_BYTES), bytes: CODE_BYTES.len() as u64 };
    assert!(home.cache.put(&id, &memory, code, &report("a")).is_err());
    assert!(home.cache.find(&id).is_none());
    assert_eq!(fs::read_dir(&home.cache.folder).unwrap().count(), 0);
}

#[test]
fn a_key_is_private_and_one() {
    use std::os::unix::fs::PermissionsExt as _;

    let (home, id) = (Home::new(), id("a", 7, "engine"));
    home.put(&id, CODE_BYTES, &report("a"));
    let key = home.folder.path().join("cache.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let right = fs::read(&key).unwrap();
    for (what, bytes) in
        [("another", [7; 32].to_vec()), ("short", vec![1; 31]), ("long", [&right[..], b"x"].concat())]
    {
        fs::write(&key, bytes).unwrap();
        assert!(home.cache.find(&id).is_none(), "{what}");
    }
    fs::write(&key, right).unwrap();
    assert!(home.cache.find(&id).is_some());
    // By a link to the folder, as tests and `hatchery test` have it.
    let link = home.folder.path().join("link");
    std::os::unix::fs::symlink("cache", &link).unwrap();
    assert!(Cache::new(&link).find(&id).is_some());
    // Without it, all there was is nobody's.
    fs::remove_file(&key).unwrap();
    assert!(home.cache.find(&id).is_none());
}

#[test]
fn names_as_a_table() {
    let id = id("a", 4_294_967_295, "engine");
    assert_eq!(Id::of_name(&id.name()), Some(id));
    let (component, settings) = (id.component.hex(), id.settings.hex());
    for other in [
        "",
        "key",
        &component,
        &format!("{component}-0123456789abcdef.native"),
        &format!("{component}-4294967296-{settings}.native"),
        &format!("{component}-+1-{settings}.native"),
        &format!("{component}-01-{settings}.native"),
        &format!("{component}-1-{settings}-.native"),
        &format!("{component}-1-{settings}.tmp"),
        &format!("{}-1-{settings}.native", component.to_uppercase()),
    ] {
        assert_eq!(Id::of_name(other), None, "{other}");
    }
}

#[test]
fn copies_are_bounded() {
    let long = vec![1; PIECE + 1];
    for (most, fits) in [(long.len() as u64, true), (PIECE as u64, false), (0, false)] {
        let mut to = vec![];
        let copied = copy(&mut long.as_slice(), &mut to, most);
        assert_eq!(copied.is_ok(), fits, "{most}");
        assert!(to.len() as u64 <= most, "{most}");
    }
}
