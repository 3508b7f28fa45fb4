use std::{
    collections::BTreeSet,
    io::Read,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
    thread,
};

use super::*;
use crate::{
    bundle::{Limits, PublicKey, SignError, Signer, SigningKey, Trust, plan},
    manifest::load,
};

/// The archive of an app with these files beside its component.
fn archive(version: &str, files: &[(&str, &[u8])], key: Option<&SigningKey>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "name = \"a\"\nversion = \"{version}\"\n[agent]\ncomponent = \"agent.wasm\"\nfolders = [{{ source = \"static\", destination = \"/s\" }}]\n"
    );
    fs::create_dir(folder.path().join("static")).unwrap();
    for (path, bytes) in
        files.iter().chain(&[("../hatchery.toml", text.as_bytes()), ("../agent.wasm", b"the same")])
    {
        fs::write(folder.path().join("static").join(path), bytes).unwrap();
    }
    let mut bytes = Vec::new();
    plan(load(folder.path()).unwrap(), &Limits::default()).unwrap().write(&mut bytes, key).unwrap();
    bytes
}

fn add(store: &Store, archive: &[u8]) -> Result<Added, Error> {
    store.add(archive, &Limits::default(), &Trust::default())
}

/// Every file and folder with its size and links.
fn picture(folder: &Path) -> Vec<(PathBuf, u64, u64)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let there = fs::symlink_metadata(&path).unwrap();
            if there.is_dir() {
                left.push(path.clone());
                found.push((path, 0, 0));
            } else {
                found.push((path, there.len(), there.nlink()));
            }
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn added_found_pruned() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let (one, two) = (archive("1", &[("x", b"x"), ("y", b"x")], None), archive("2", &[("x", b"x")], None));
    let first = add(&store, &one).unwrap();
    assert!(first.added && first.signer == Signer::Nobody);
    let before = picture(home.path());
    let again = add(&store, &one).unwrap();
    assert!(!again.added && again.bundle.digest == first.bundle.digest);
    assert_eq!(picture(home.path()), before);
    let second = add(&store, &two).unwrap().bundle;
    let first = first.bundle;

    // The component and `x` are shared: manifest, component and `x` of one, and the other manifest.
    assert_eq!(fs::read_dir(store.blobs()).unwrap().count(), 4);
    let links = |bundle: &Stored, path: &str| fs::metadata(bundle.folder.join(path)).unwrap().nlink();
    assert_eq!((links(&first, "agent.wasm"), links(&first, "static/y")), (3, 4));
    assert_eq!(second.app().unwrap().version, "2");

    assert_eq!(store.list().unwrap().len(), 2);
    let hex = first.digest.hex();
    for name in [&hex, &format!("sha256:{hex}"), &hex[..12], &format!("sha256:{}", &hex[..6])] {
        assert_eq!(store.get(name).unwrap().digest, first.digest, "{name}");
    }
    for name in ["", &hex[..3], "../..", "sha256:zzzz", &hex.to_uppercase()] {
        assert!(matches!(store.get(name), Err(Error::NotFound(_))), "{name}");
    }
    fs::create_dir(store.bundles().join(format!("sha256-{}{}", &hex[..60], "0000"))).unwrap();
    assert!(matches!(store.get(&hex[..8]), Err(Error::Ambiguous { .. })));
    fs::remove_dir(store.bundles().join(format!("sha256-{}{}", &hex[..60], "0000"))).unwrap();

    assert_eq!(store.verify().unwrap().damage, []);
    let pruned = store.prune(&BTreeSet::from([second.digest])).unwrap();
    let bytes = fs::metadata(second.folder.join("hatchery.toml")).unwrap().len();
    assert_eq!(pruned, Pruned { bundles: 1, blobs: 1, bytes });
    assert!(store.get(&hex).is_err() && second.app().is_ok());
    assert_eq!(store.verify().unwrap().damage, []);
    store.prune(&BTreeSet::new()).unwrap();
    assert_eq!(fs::read_dir(store.blobs()).unwrap().count(), 0);
}

#[test]
fn damage_is_found() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let bytes = archive("1", &[("x", b"content")], None);
    let bundle = add(&store, &bytes).unwrap().bundle;
    let blob = store.blob(Digest::of(b"content"));
    fs::remove_file(&blob).unwrap();
    // The tree has it still.
    assert_eq!(store.verify().unwrap().damage, []);
    let file = bundle.folder.join("static/x");
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"Content").unwrap();
    let blob = store.blob(Digest::of(b"the same"));
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, b"the sane").unwrap();
    let Checked { bundles, files, damage } = store.verify().unwrap();
    assert_eq!((bundles, files), (1, 3));
    assert_eq!(damage.iter().map(|damage| &damage.path).collect::<Vec<_>>(), [&blob, &file]);
    assert_eq!((damage[0].bundle, damage[1].bundle), (None, Some(bundle.digest)));

    // A bundle whose index is damaged is not there, and can be added again.
    let index = store.bundle(bundle.digest).join("index.json");
    fs::remove_file(&index).unwrap();
    fs::write(&index, "{}").unwrap();
    assert!(matches!(store.get(&bundle.digest.hex()), Err(Error::Damaged { .. })));
    assert!(store.list().unwrap().is_empty());
    assert!(add(&store, &bytes).unwrap().added);
    assert_eq!(fs::read(file).unwrap(), b"content");
    assert_eq!(fs::read_dir(store.tmp()).unwrap().count(), 0);
}

/// A blob that went bad is not linked over what has just come, and was found to be right.
#[test]
fn a_damaged_blob_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    add(&store, &archive("1", &[("x", b"content")], None)).unwrap();
    let blob = store.blob(Digest::of(b"content"));
    // At the same size, and at another.
    for (version, bad) in [("2", &b"Content"[..]), ("3", b"contents"), ("4", b"")] {
        fs::remove_file(&blob).unwrap();
        fs::write(&blob, bad).unwrap();
        let bundle = add(&store, &archive(version, &[("x", b"content")], None)).unwrap().bundle;
        assert_eq!(fs::read(&blob).unwrap(), b"content");
        assert_eq!(fs::read(bundle.folder.join("static/x")).unwrap(), b"content");
        assert_eq!(store.verify().unwrap().damage, []);
    }
}

#[test]
fn signatures_decide() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let (ours, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let public: PublicKey = ours.public().unwrap();
    let trust = Trust { keys: vec![public.clone()], require: true };
    let empty = picture(home.path());
    let refused = |key: Option<&SigningKey>| {
        store.add(archive("1", &[], key).as_slice(), &Limits::default(), &trust).unwrap_err()
    };
    assert!(matches!(refused(None), Error::Sign(SignError::Unsigned)));
    assert!(matches!(refused(Some(&theirs)), Error::Sign(SignError::UnknownKey(_))));
    assert_eq!(picture(home.path()), empty);

    // Added unsigned; the signature that comes later is kept.
    let first = add(&store, &archive("1", &[], None)).unwrap().bundle;
    assert!(matches!(first.signer(&trust), Err(SignError::Unsigned)));
    let signed = store.add(archive("1", &[], Some(&ours)).as_slice(), &Limits::default(), &trust).unwrap();
    assert_eq!((signed.added, signed.signer), (false, Signer::Trusted(public.id())));
    // And is not lost to an unsigned or foreign one.
    add(&store, &archive("1", &[], None)).unwrap();
    add(&store, &archive("1", &[], Some(&theirs))).unwrap();
    let stored = store.get(&first.digest.hex()).unwrap();
    assert_eq!(stored.signer(&trust).unwrap(), Signer::Trusted(public.id()));
}

#[test]
fn a_refused_archive_leaves_the_store_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    add(&store, &archive("1", &[("x", b"x")], None)).unwrap();
    let before = picture(home.path());
    let two = archive("2", &[("z", &[7; 100_000])], None);
    for end in [0, 10, two.len() / 2, two.len() - 1] {
        assert!(matches!(add(&store, &two[..end]), Err(Error::Bundle(_))), "{end}");
        assert_eq!(picture(home.path()), before, "{end}");
    }
}

/// A reader that waits in the middle until it is told to go on.
struct Halting<'a> {
    bytes: &'a [u8],
    halt: Option<(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>)>,
}

impl Read for Halting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.len() < 200_000
            && let Some((there, go)) = self.halt.take()
        {
            there.send(()).unwrap();
            go.recv().unwrap();
        }
        // Little by little, so that the end is not read ahead.
        let most = buffer.len().min(4096);
        self.bytes.read(&mut buffer[..most])
    }
}

#[test]
fn who_opens_leaves_alone_what_another_adds() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    // Noise does not get smaller, so that the archive is long enough to stop in.
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..400_000).map(|_| random.u8(..)).collect();
    let bytes = archive("1", &[("noise", &noise)], None);
    let (there, is_there) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let adder = scope.spawn(|| {
            let reader = Halting { bytes: &bytes, halt: Some((there, may_go)) };
            store.add(reader, &Limits::default(), &Trust::default())
        });
        is_there.recv().unwrap();
        assert_eq!(fs::read_dir(store.tmp()).unwrap().count(), 1);
        let other = Store::open(home.path()).unwrap();
        assert_eq!(fs::read_dir(store.tmp()).unwrap().count(), 1);
        // The other is first.
        assert!(add(&other, &bytes).unwrap().added);
        go.send(()).unwrap();
        assert!(!adder.join().unwrap().unwrap().added);
    });
    assert_eq!(store.verify().unwrap().damage, []);
    // What is left over is removed when nobody adds.
    fs::create_dir_all(store.tmp().join("left/over")).unwrap();
    Store::open(home.path()).unwrap();
    assert_eq!(fs::read_dir(store.tmp()).unwrap().count(), 0);
}

#[test]
fn adders_and_pruners_at_once() {
    let home = tempfile::tempdir().unwrap();
    let archives: Vec<_> =
        (0..4).map(|version| archive(&version.to_string(), &[("x", b"x"), ("y", b"y")], None)).collect();
    let home = home.path();
    thread::scope(|scope| {
        for archive in archives.iter().chain(&archives) {
            scope.spawn(move || {
                for _ in 0..3 {
                    add(&Store::open(home).unwrap(), archive).unwrap();
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..3 {
                Store::open(home).unwrap().prune(&BTreeSet::new()).unwrap();
            }
        });
    });
    let store = Store::open(home).unwrap();
    assert_eq!(store.verify().unwrap().damage, []);
    for archive in &archives {
        add(&store, archive).unwrap();
    }
    assert_eq!(store.list().unwrap().len(), 4);
    assert_eq!(store.verify().unwrap().damage, []);
}

/// Set for the child below: a file system of its own, 512 KiB and 200 inodes.
const SMALL_DISK: &str = "HATCHERY_TEST_SMALL_DISK";

/// With ever more room: whatever there is no room for, the store is as it was.
#[test]
#[ignore = "what a child does, on a file system that it fills"]
fn fills_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os(SMALL_DISK).unwrap());
    let store = Store::open(&disk).unwrap();
    add(&store, &archive("1", &[("x", b"x")], None)).unwrap();
    let before = picture(&disk);
    let files: Vec<_> = (0..20u8).map(|number| (number.to_string(), vec![number; 5000])).collect();
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let two = archive("2", &files, None);
    let filler = disk.join("filler");
    let mut refused = BTreeSet::new();
    // Room in bytes, then in inodes.
    for pages in 0.. {
        let mut left = vec![0; 512 << 10];
        let mut file = fs::File::create(&filler).unwrap();
        while !left.is_empty() && io::Write::write_all(&mut file, &left).is_err() {
            left.truncate(left.len() / 2);
        }
        let full = file.metadata().unwrap().len() / 4096;
        file.set_len(full.saturating_sub(pages) * 4096).unwrap();
        let done = add(&store, &two);
        fs::remove_file(&filler).unwrap();
        let Err(error) = done else { break };
        refused.insert(format!("{:#}", anyhow::Error::new(error)));
        assert_eq!(picture(&disk), before, "{pages} pages");
    }
    store
        .prune(&store.list().unwrap().iter().filter(|b| b.index.version == "1").map(|b| b.digest).collect())
        .unwrap();
    assert_eq!(picture(&disk), before);
    for inodes in 0.. {
        fs::create_dir(&filler).unwrap();
        let made = (0..1000).take_while(|at| fs::write(filler.join(at.to_string()), "").is_ok()).count();
        for at in made.saturating_sub(inodes)..made {
            fs::remove_file(filler.join(at.to_string())).unwrap();
        }
        let done = add(&store, &two);
        fs::remove_dir_all(&filler).unwrap();
        let Err(error) = done else { break };
        refused.insert(format!("{:#}", anyhow::Error::new(error)));
        assert_eq!(picture(&disk), before, "{inodes} inodes");
    }
    assert_eq!(store.verify().unwrap().damage, []);
    // It came to all steps: folders, files, and links.
    for step in ["make a folder", "make the file", "write", "link a blob"] {
        assert!(refused.iter().any(|error| error.contains(step)), "{step} is not in {refused:#?}");
    }
    assert!(refused.iter().all(|error| error.contains("No space left")), "{refused:#?}");
    println!("{} refusals on a small disk", refused.len());
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-ec", script])
            .arg(std::env::current_exe().unwrap());
        command.env(SMALL_DISK, place.path()).stdin(Stdio::null());
        command.output().unwrap()
    };
    // Where nobody may mount, as in some containers, there is no small disk to be had.
    let mount = format!("mount -t tmpfs -o size=512k,nr_inodes=200 none \"${SMALL_DISK}\"");
    if !unshare(&mount).status.success() {
        eprintln!("skipped: this user can't mount a small disk");
        return;
    }
    let done = unshare(&format!(
        "{mount}; exec \"$0\" --ignored --exact --nocapture store::tests::fills_a_small_disk"
    ));
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("refusals on a small disk"), "{said}");
}

#[test]
fn what_others_bring_is_bounded() {
    let home = tempfile::tempdir().unwrap();
    let owner = Store::open(home.path()).unwrap();
    let archives: Vec<_> = (0..5).map(|n| archive(&n.to_string(), &[("x", &[n; 1000])], None)).collect();
    let bytes = add(&owner, &archives[0]).unwrap().bundle.index.bytes();
    let by = |uid, used: &[Digest]| {
        let used = used.iter().copied().collect();
        owner.clone().on_behalf_of(Some(Uploader { uid, most: 2 * bytes + 100, used }))
    };
    let added: Vec<_> = (1..3).map(|n| add(&by(7, &[]), &archives[n]).unwrap().bundle.digest).collect();
    let there = || -> BTreeSet<_> { owner.list().unwrap().iter().map(|one| one.digest).collect() };
    assert_eq!(there().len(), 3);
    // The third one takes the place of the oldest one of the same user, and of nobody else's.
    let others = add(&by(8, &[]), &archives[3]).unwrap().bundle.digest;
    add(&by(7, &[]), &archives[4]).unwrap();
    assert!(there().len() == 4 && !there().contains(&added[0]) && there().contains(&others));
    // What something uses does not count, and stays.
    add(&by(7, &[added[1]]), &archives[1]).unwrap();
    assert!(there().len() == 5 && there().contains(&added[1]));
    let small = Uploader { uid: 7, most: bytes / 2, used: BTreeSet::new() };
    let error = add(&owner.clone().on_behalf_of(Some(small)), &archives[2]).unwrap_err().to_string();
    assert!(error.contains("bundles of uid 7 that nothing uses may have"), "{error}");
    assert_eq!(owner.verify().unwrap().damage, []);
}

#[test]
fn who_brings_it_again_answers_for_it() {
    let home = tempfile::tempdir().unwrap();
    let owner = Store::open(home.path()).unwrap();
    let (ours, theirs) = (archive("1", &[], None), archive("2", &[], None));
    let by = |uid| {
        let used = BTreeSet::new();
        owner.clone().on_behalf_of(Some(Uploader { uid, most: 1 << 20, used }))
    };
    let label = |bundle: &Stored| fs::read_to_string(bundle.folder.parent().unwrap().join("uploader")).ok();
    let mine = add(&owner, &ours).unwrap().bundle;
    add(&by(7), &ours).unwrap();
    assert_eq!(label(&mine), None, "the owner's stays the owner's");
    let other = add(&by(7), &theirs).unwrap().bundle;
    assert_eq!(label(&other).as_deref(), Some("7"));
    add(&by(8), &theirs).unwrap();
    assert_eq!(label(&other).as_deref(), Some("8"));
    add(&owner, &theirs).unwrap();
    assert_eq!(label(&other), None);
}
