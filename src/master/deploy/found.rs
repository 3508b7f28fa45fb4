//! What a storekeeper has found, held against what it was asked for. It has read what strangers packed: what it
//! says of paths and names is theirs, until it is checked here.
//!
//! `bring` calls it for every app that is to run. An app that passes is the one that was asked for, runs nothing
//! and reads nothing but what lies in its own bundle, and writes to its own folders alone. What a bundle's manifest
//! says beside that, only the storekeeper knows.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};

use super::data;
use crate::{
    digest::Digest,
    home::{Home, Policy},
    ipc::store::{Bundle, TrustBy, What},
    manifest::{App, FILE_NAME},
    store::{Store, digits},
};

/// Gives the app that may run, with its writable folders in their places. Blocks.
///
/// # Errors
/// It is another one than was asked for, it reaches for what is not its own, or the home's policy forbids what it
/// asks for.
pub(super) fn checked(home: &Home, asked: &What, found: (Bundle, App)) -> anyhow::Result<(Bundle, App)> {
    let (bundle, mut app) = found;
    let What::Look { digest, name, trust, workers } = asked else { bail!("no app was asked for") };
    // As the storekeeper had it: what follows has no links in it.
    let home = Home::of_master(&home.folder().canonicalize().context("cannot find the home")?);
    let named: Digest = bundle.digest.parse().context("the store found no bundle by a digest")?;
    ensure!(
        digits(digest).is_some_and(|digits| named.hex().starts_with(digits)),
        "the store found the bundle {named}, and {digest} was asked for"
    );
    ensure!(app.name == *name, "the store found the app {:?}, and {name} was asked for", app.name);
    if let (Some(workers), Some(worker)) = (workers, &app.worker) {
        ensure!(worker.workers == *workers, "the store found another number of workers than {workers}");
    }
    let tree = Store::of(home.folder()).tree(named);
    ensure!(
        app.folder == tree && app.manifest == tree.join(FILE_NAME),
        "the store found {name} in {}, which is not the bundle's folder",
        app.folder.display()
    );
    for (_, component) in app.components() {
        own(&tree, &component.file)?;
        ensure!(component.file.is_file(), "{} is no file", component.file.display());
        for folder in component.capabilities.folders.iter().filter(|folder| !folder.writable) {
            own(&tree, &folder.source)?;
            ensure!(folder.source.is_dir(), "{} is no folder", folder.source.display());
        }
    }
    match trust {
        TrustBy::Settings | TrustBy::PastWithPolicy => Policy::load(&home)?.check(&app)?,
        TrustBy::Past => {}
    }
    data::place(&mut app, &home)?;
    Ok((bundle, app))
}

/// Is it in the bundle, on a way without links?
fn own(tree: &Path, path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let inside = path.strip_prefix(tree).is_ok_and(data::is_plain);
    ensure!(inside, "{shown} is not inside of the bundle, {}", tree.display());
    let real = fs::canonicalize(path).with_context(|| format!("cannot find {shown}"))?;
    ensure!(real == path, "{shown} leads by a link to {}", real.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, os::unix::fs::symlink, path::PathBuf};

    use super::*;
    use crate::manifest::{self, Folder};

    struct Rig {
        _folder: tempfile::TempDir,
        home: Home,
        tree: PathBuf,
        digest: Digest,
    }

    /// A bundle of the app `a`, which reads `static` and writes to `free`.
    fn rig() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        let digest = Digest::of(b"a bundle");
        let tree = Store::of(&home.folder().canonicalize().unwrap()).tree(digest);
        fs::create_dir_all(tree.join("static")).unwrap();
        fs::create_dir(tree.join("free")).unwrap();
        fs::write(tree.join("worker.wasm"), "").unwrap();
        fs::write(
            tree.join(FILE_NAME),
            "name = 'a'\nversion = '1'\n[worker]\ncomponent = 'worker.wasm'\nlisten = '127.0.0.1:0'\nworkers = 2\n\
             folders = [{ source = 'static', destination = '/s' }, { source = 'free', destination = '/f', writable = true }]",
        )
        .unwrap();
        fs::write(folder.path().join("secret"), "").unwrap();
        Rig { _folder: folder, home, tree, digest }
    }

    impl Rig {
        /// What becomes of this lie.
        fn of(&self, lie: impl FnOnce(&mut Bundle, &mut App)) -> Result<App, String> {
            let bundle = Bundle {
                digest: self.digest.to_string(),
                name: "a".to_owned(),
                version: "1".to_owned(),
                signer: None,
                bytes: 0,
            };
            let mut found = (bundle, manifest::load(&self.tree).unwrap());
            lie(&mut found.0, &mut found.1);
            let asked = What::Look {
                digest: self.digest.hex()[..8].to_owned(),
                name: "a".to_owned(),
                trust: TrustBy::Settings,
                workers: NonZeroU32::new(2),
            };
            checked(&self.home, &asked, found).map(|(_, app)| app).map_err(|error| format!("{error:#}"))
        }

        fn folder(&self, source: impl AsRef<Path>, writable: bool) -> Result<App, String> {
            let source = self.tree.join(source);
            self.of(|_, app| {
                let folders = &mut app.worker.as_mut().unwrap().component.capabilities.folders;
                folders.push(Folder { source, destination: "/x".to_owned(), writable });
            })
        }
    }

    #[test]
    fn the_truth_passes() {
        let rig = rig();
        let app = rig.of(|_, _| ()).unwrap();
        let folders = &app.worker.unwrap().component.capabilities.folders;
        assert_eq!(folders[0].source, rig.tree.join("static"));
        assert_eq!(folders[1].source, rig.home.data("a").canonicalize().unwrap().join("free"));
    }

    #[test]
    fn lies_as_a_table() {
        let rig = rig();
        let refused = |result: Result<App, String>, expected: &str| {
            let error = result.expect_err(expected);
            assert!(error.contains(expected), "{error:?} has no {expected:?}");
        };
        refused(rig.of(|_, app| app.name = "b".to_owned()), "found the app \"b\", and a was asked for");
        refused(rig.of(|bundle, _| bundle.digest = Digest::of(b"x").to_string()), "was asked for");
        refused(rig.of(|bundle, _| bundle.digest = "../..".to_owned()), "no bundle by a digest");
        let more = |app: &mut App| app.worker.as_mut().unwrap().workers = NonZeroU32::MAX;
        refused(rig.of(|_, app| more(app)), "another number of workers");
        refused(rig.of(|_, app| app.folder = "/".into()), "is not the bundle's folder");
        refused(rig.of(|_, app| app.manifest = "/etc/passwd".into()), "is not the bundle's folder");
        let file = |path: PathBuf| rig.of(|_, app| app.worker.as_mut().unwrap().component.file = path);
        refused(file("/etc/passwd".into()), "/etc/passwd is not inside of the bundle");
        refused(file(rig.tree.join("../../../../../secret")), "is not inside of the bundle");
        refused(file(rig.tree.join("static")), "is no file");
        refused(file(rig.tree.join("none.wasm")), "cannot find");
        let others = Store::of(rig.home.folder()).tree(Digest::of(b"another"));
        for source in ["/etc", "/", "..", "static/..", others.to_str().unwrap()] {
            refused(rig.folder(source, false), "is not inside of");
        }
        refused(rig.folder("worker.wasm", false), "is no folder");
        // One that may be written to goes by its name in the bundle only.
        for source in ["/etc", "", rig.home.data("b").to_str().unwrap()] {
            refused(rig.folder(source, true), "is not inside of");
        }
        refused(rig.folder("free/..", true), "is not inside of");
        symlink("/etc", rig.tree.join("link")).unwrap();
        refused(rig.folder("link", false), "leads by a link to /etc");
    }

    #[test]
    fn the_policy_holds_for_what_is_new() {
        let rig = rig();
        fs::write(rig.home.folder().join("policy.toml"), "[any]\nworkers = 1\n").unwrap();
        let error = rig.of(|_, _| ()).unwrap_err();
        assert!(error.contains("policy.toml does not allow"), "{error}");
    }
}
