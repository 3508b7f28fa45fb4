//! `invalid/NAME.toml` against `invalid/NAME.err`.

use std::{collections::BTreeSet, env, fs, path::Path};

use hatchery::manifest::load;

/// Relative, since tests run in the package's folder, and it shows in the errors.
const INVALID: &str = "tests/manifests/invalid";

/// What an error says, with the package's folder as `$ROOT`.
fn error(path: &Path) -> String {
    let error = load(path).err().unwrap_or_else(|| panic!("{} loads", path.display()));
    error.to_string().replace(env!("CARGO_MANIFEST_DIR"), "$ROOT") + "\n"
}

#[test]
fn every_mistake_is_explained() {
    let bless = env::var_os("BLESS").is_some();
    let names = |extension: &str| -> BTreeSet<_> {
        let entries =
            fs::read_dir(INVALID).expect("is there").map(|entry| entry.expect("can be read").path());
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
    };
    let mut wrong = Vec::new();
    let mut expected = BTreeSet::new();
    for manifest in names("toml") {
        let golden = manifest.with_extension("err");
        let found = error(&manifest);
        if bless {
            fs::write(&golden, &found).expect("writes");
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(format!("{} does not say:\n{found}", golden.display()));
        }
        expected.insert(golden);
    }
    assert!(!expected.is_empty());
    wrong
        .extend(names("err").difference(&expected).map(|path| format!("{} is for no .toml", path.display())));
    assert!(wrong.is_empty(), "run again with BLESS=1 and read the diff, or mend:\n\n{}", wrong.join("\n"));
}

#[test]
fn what_is_no_file_is_explained() {
    let text = error(Path::new("tests/manifests/invalid/no-such.toml"));
    assert_eq!(
        text,
        "error: there is no such manifest\n--> tests/manifests/invalid/no-such.toml\n \
         = help: name an app's folder, which holds its `hatchery.toml`, or the file itself\n"
    );
    let text = error(Path::new(INVALID));
    assert!(text.contains("--> tests/manifests/invalid/hatchery.toml"), "{text}");
    let text = error(Path::new("/dev/zero"));
    assert!(text.starts_with("error: can't read the manifest: not a regular file\n"), "{text}");
    let text = error(Path::new("Cargo.toml/hatchery.toml"));
    assert!(text.starts_with("error: can't read the manifest: Not a directory"), "{text}");
}
