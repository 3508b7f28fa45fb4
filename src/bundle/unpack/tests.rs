use std::io;

use proptest::prelude::*;

use super::*;

const MANIFEST: &str = "name = \"a\"\nversion = \"1\"\n[agent]\ncomponent = \"agent.wasm\"\n";

fn index(files: &[(&str, &[u8])]) -> Index {
    let file = |(path, bytes): &(&str, &[u8])| File {
        path: (*path).to_owned(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    Index::new("a".to_owned(), "1".to_owned(), Vec::new(), files.iter().map(file).collect())
}

/// The tar of an index, its files, and what else the case has.
fn tar(index: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, bytes) in [(INDEX_NAME, index)].iter().chain(files) {
        tar.extend(header::header(path, bytes.len() as u64).unwrap().as_bytes());
        tar.extend(*bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn good() -> Vec<u8> {
    let files: [(&str, &[u8]); 2] = [("agent.wasm", b"wasm"), ("hatchery.toml", MANIFEST.as_bytes())];
    tar(&index(&files).to_bytes(), &files)
}

fn packed(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 1).unwrap()
}

/// Unpacks, and holds that nothing is left of what is refused.
fn outcome(archive: &[u8]) -> Result<Unpacked, String> {
    let outer = tempfile::tempdir().unwrap();
    let into = outer.path().join("into");
    fs::create_dir(&into).unwrap();
    let done = unpack(archive, &into, &Limits::default());
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "something outside");
    if done.is_err() {
        assert_eq!(fs::read_dir(&into).unwrap().count(), 0, "something is left");
    }
    done.map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}

#[test]
fn the_ends_as_a_table() {
    let good = good();
    assert!(outcome(&packed(&good)).is_ok());
    let changed = |at: usize, byte: u8| {
        let mut tar = good.clone();
        tar[at] = byte;
        packed(&tar)
    };
    let with = |more: &[u8]| [packed(&good).as_slice(), more].concat();
    let blocks = good.len() / 512;
    let cases: [(&str, Vec<u8>, &str); 15] = [
        ("empty", Vec::new(), "can't read the archive"),
        ("not compressed", good.clone(), "can't read the archive"),
        ("an empty tar", packed(&[0; 1024]), "not a bundle"),
        ("no end", packed(&good[..good.len() - 1024]), "can't read the archive"),
        ("half an end", packed(&good[..good.len() - 512]), "can't read the archive"),
        ("a third block", packed(&[good.as_slice(), &[0; 512]].concat()), "there are bytes after the end"),
        ("a byte in the end", changed(good.len() - 1, 1), "an entry that the index does not have"),
        ("a byte in the padding", changed((blocks - 4) * 512 - 1, 1), "between its end"),
        ("a byte in a file", changed((blocks - 5) * 512, b'W'), "has the digest"),
        ("a header with another name", changed((blocks - 6) * 512, b'A'), "damaged (checksum)"),
        ("bytes behind", with(b"x"), "there are bytes after the end"),
        ("a second frame", with(&packed(b"x")), "there are bytes after the end"),
        ("an empty frame", with(&packed(b"")), "there are bytes after the end"),
        ("a skippable frame", with(b"\x50\x2a\x4d\x18\x01\0\0\0x"), "there are bytes after the end"),
        (
            "a skippable frame before",
            [b"\x50\x2a\x4d\x18\x01\0\0\0x".as_slice(), &packed(&good)].concat(),
            "can't read the archive",
        ),
    ];
    for (what, archive, expected) in cases {
        let error = outcome(&archive).map(|unpacked| unpacked.digest).unwrap_err();
        assert!(error.contains(expected), "{what}: {error}");
    }
    let archive = packed(&good);
    for end in 0..archive.len() {
        let error = outcome(&archive[..end]).map(|unpacked| unpacked.digest).unwrap_err();
        assert!(error.contains("can't read the archive"), "cut at {end}: {error}");
    }
}

#[test]
fn the_manifest_must_be_the_indexs() {
    let other = |text: &str| {
        let files: [(&str, &[u8]); 2] = [("agent.wasm", b"wasm"), ("hatchery.toml", text.as_bytes())];
        outcome(&packed(&tar(&index(&files).to_bytes(), &files))).map(|unpacked| unpacked.digest)
    };
    let cases = [
        (MANIFEST.replace("\"a\"", "\"b\""), "the name is `b` and `a`"),
        (MANIFEST.replace("\"1\"", "\"2\""), "the version is `2` and `1`"),
        (MANIFEST.replace("\"1\"", "\"\""), "the bundle's manifest is wrong"),
        (MANIFEST.replace("agent.wasm", "hatchery.toml"), "must be `agent.wasm`"),
        (MANIFEST.replace("agent.wasm", "../agent.wasm"), "leaves the app's folder"),
        (format!("{MANIFEST}build = {{ command = \"x\", output = \"y\" }}"), "sources are not packed"),
        (format!("{MANIFEST}[dev]\nwith = [\"/\"]"), "lead out of it"),
    ];
    for (text, expected) in cases {
        let error = other(&text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_bomb_is_refused_by_its_ratio() {
    let zeros = vec![0; 64 << 20];
    let files: [(&str, &[u8]); 3] =
        [("agent.wasm", b""), ("hatchery.toml", MANIFEST.as_bytes()), ("zeros", &zeros)];
    let error = outcome(&packed(&tar(&index(&files).to_bytes(), &files))).unwrap_err();
    assert!(error.contains("times"), "{error}");
}

#[test]
fn a_large_window_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    let noise: Vec<u8> = (0..20u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    io::Write::write_all(&mut encoder, &noise).unwrap();
    let error = outcome(&encoder.finish().unwrap()).unwrap_err();
    assert!(error.contains("memory"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(outcome(&bytes).is_err());
        prop_assert!(outcome(&packed(&bytes)).is_err());
    }

    /// No byte of a bundle can be another one.
    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), by in 1u8..) {
        let mut tar = good();
        let at = at.index(tar.len());
        tar[at] = tar[at].wrapping_add(by);
        // The index's own bytes give another bundle, if it is one at all.
        let in_index = (512..512 + 400).contains(&at);
        prop_assert!(in_index || outcome(&packed(&tar)).is_err());
    }

    #[test]
    fn any_index_is_taken_or_refused(text in "\\PC{0,200}", path in "\\PC{0,40}") {
        prop_assert!(outcome(&packed(&tar(text.as_bytes(), &[]))).is_err());
        let mut files: Vec<(&str, &[u8])> =
            vec![("agent.wasm", b""), ("hatchery.toml", MANIFEST.as_bytes()), (path.as_str(), b"x")];
        files.sort_unstable();
        let index = index(&files).to_bytes();
        // A path that no header can have is refused by the index alone.
        let fits = files.iter().all(|(path, _)| header::header(path, 1).is_ok());
        let _ = outcome(&packed(&tar(&index, if fits { &files } else { &[] })));
    }
}
