//! Manifests that somebody wrote to do harm: each gives an error, bounded and soon.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use hatchery::manifest::{MAX_MANIFEST_BYTES, load};
use proptest::prelude::*;

/// The longest that one error may be.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Far more than is needed, also unoptimised on a busy machine; not what something quadratic needs.
const MAX_TIME: Duration = Duration::from_secs(20);

fn error(path: &Path) -> String {
    load(path).expect_err("is wrong").to_string()
}

#[test]
fn a_manifest_is_bounded() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let file = folder.path().join("hatchery.toml");
    let size = usize::try_from(MAX_MANIFEST_BYTES).expect("fits");

    fs::write(&file, "#".repeat(size + 1)).expect("writes");
    assert!(error(&file).starts_with("error: the manifest is larger than 1048576 bytes\n"));

    // As large as may be, and as unpleasant: the error is short, and soon there.
    let hostile = [
        "#".repeat(size),
        "[".repeat(size),
        "a=".to_owned() + &"[".repeat(size - 2),
        "a=".to_owned() + &"{a=".repeat((size - 2) / 3),
        "a.".repeat(size / 2),
        "\"".to_owned() + &"a".repeat(size - 1),
        (0..size / 16).map(|n| format!("key{n}=1\n")).collect(),
        format!("name = \"{}\"", "a".repeat(size - 16)),
        format!("{} = 1", "a".repeat(size - 16)),
        "\n".repeat(size - 1) + "=",
        "=\n".repeat(size / 2),
    ];
    for text in hostile {
        fs::write(&file, &text).expect("writes");
        let start = Instant::now();
        let error = error(&file);
        assert!(error.len() < MAX_ERROR_BYTES, "{} bytes for {:?}…", error.len(), &text[..8]);
        assert!(start.elapsed() < MAX_TIME, "{:?} for {:?}…", start.elapsed(), &text[..8]);
    }
}

/// Each is a mount in each process.
#[test]
fn folders_are_bounded() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let file = folder.path().join("hatchery.toml");
    fs::create_dir(folder.path().join("data")).expect("makes a folder");
    fs::write(folder.path().join("worker.wasm"), "").expect("writes");
    for (count, refused) in [(64, false), (65, true)] {
        let each = |number| format!("{{ source = \"data\", destination = \"/d{number}\" }}");
        let folders: Vec<String> = (0..count).map(each).collect();
        let text = format!(
            "name = \"a\"\nversion = \"0.1.0\"\n[worker]\ncomponent = \"worker.wasm\"\nlisten = \"127.0.0.1:0\"\n\
             folders = [{}]\n",
            folders.join(", ")
        );
        fs::write(&file, text).expect("writes");
        let found = load(&file).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(found.contains("there are more than 64 folders"), refused, "{found}");
        assert_eq!(found.is_empty(), !refused, "{found}");
    }
}

/// Bits that mean something somewhere in a manifest.
const PIECES: &[&str] = &[
    "",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "\\",
    "\\u0000",
    "\u{1b}[2J",
    "é",
    "0",
    "-1",
    "1e999",
    "nan",
    "0x",
    "9999999999999999999",
    "true",
    "1979-05-27",
    "name",
    "worker",
    "[worker]",
    "[[schedule]]",
    "folders",
    "cron = \"@\"",
    "../",
    "/",
    "*",
    ":",
    "http://",
    "\r",
    "\r\n",
];

proptest! {
    /// Wherever a manifest is damaged: it loads or gives an error that can be shown.
    #[test]
    fn no_damage_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..20, prop::sample::select(PIECES)), 1..5)
    ) {
        let mut text = fs::read_to_string("tests/manifests/valid/full.toml").expect("is there");
        for (at, length, piece) in cuts {
            let at = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.floor_char_boundary(at + length).max(at);
            text.replace_range(at..end.min(text.len()), piece);
        }
        let folder = tempfile::tempdir().expect("makes a folder");
        fs::create_dir_all(folder.path().join("data/sub")).expect("makes a folder");
        fs::write(folder.path().join("guest.wasm"), "").expect("writes");
        fs::write(folder.path().join("hatchery.toml"), &text).expect("writes");
        if let Err(error) = load(folder.path()) {
            prop_assert!(error.render(true).len() > error.render(false).len());
            let escape = error.to_string().contains('\u{1b}');
            prop_assert!(!escape);
        }
    }
}
