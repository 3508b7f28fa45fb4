//! What is written where, in an ordinary folder. That the kernel takes it is for `tests/e2e/cgroup.rs`.
//! Files made by hand don't go with their folder, so that nothing is removed here but what is empty.

use tempfile::TempDir;

use super::*;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

fn own(name: &str) -> String {
    format!("hatchery-{}-{name}", process::id())
}

#[test]
fn refused_as_a_table() {
    let me = process::id().to_string();
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], "no cgroup"),
        (&[("cgroup.procs", "")], "count memory"),
        (&[("cgroup.procs", ""), ("cgroup.controllers", "cpu pids")], "count memory"),
        (
            &[("cgroup.procs", &format!("{me}\n1\n")), ("cgroup.controllers", "memory")],
            "there are other processes",
        ),
    ];
    for (files, expected) in cases {
        let folder = folder(files);
        let refused = Tree::open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len(), "nothing is left");
    }
}

#[test]
fn version_1_writes_a_limit_and_a_pid() {
    let folder = folder(&[("cgroup.procs", "1\n"), ("memory.limit_in_bytes", "9")]);
    let tree = Tree::open(folder.path()).unwrap();
    let group = tree.group("cache-worker-3", 1234).unwrap();
    group.add(77).unwrap();
    let path = folder.path().join(own("cache-worker-3"));
    assert_eq!(
        (read(&path, "memory.limit_in_bytes"), read(&path, "cgroup.procs")),
        ("1234".into(), "77".into())
    );
    assert_eq!(group.oom_kills(), 0);
    fs::write(path.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n").unwrap();
    assert_eq!(group.oom_kills(), 2);
}

#[test]
fn version_2_moves_the_master_first_and_back_at_the_end() {
    let me = process::id().to_string();
    let folder = folder(&[
        ("cgroup.procs", &format!("{me}\n")),
        ("cgroup.controllers", "cpu memory\n"),
        ("cgroup.subtree_control", "\n"),
    ]);
    let tree = Tree::open(folder.path()).unwrap();
    assert_eq!(read(&folder.path().join(own("master")), "cgroup.procs"), me);
    assert_eq!(read(folder.path(), "cgroup.subtree_control"), "+memory");
    let group = tree.group("cache-agent-1", 1234).unwrap();
    group.add(77).unwrap();
    let path = folder.path().join(own("cache-agent-1"));
    assert_eq!((read(&path, "memory.max"), read(&path, "cgroup.procs")), ("1234".into(), "77".into()));
    fs::write(path.join("memory.events"), "low 0\noom 3\noom_kill 1\noom_group_kill 1\n").unwrap();
    assert_eq!(group.oom_kills(), 1);
    drop((group, tree));
    assert_eq!(read(folder.path(), "cgroup.subtree_control"), "-memory");
    assert_eq!(read(folder.path(), "cgroup.procs"), me);
}

#[test]
fn version_2_leaves_a_master_that_is_elsewhere() {
    let folder =
        folder(&[("cgroup.procs", ""), ("cgroup.controllers", "memory"), ("cgroup.subtree_control", "")]);
    let tree = Tree::open(folder.path()).unwrap();
    assert!(!folder.path().join(own("master")).exists());
    assert_eq!(read(folder.path(), "cgroup.subtree_control"), "+memory");
    drop(tree);
    assert_eq!(read(folder.path(), "cgroup.procs"), "");
}

#[test]
fn what_dead_masters_left_is_swept() {
    let folder = folder(&[("cgroup.procs", ""), ("memory.limit_in_bytes", "9")]);
    let parent = nix::unistd::getppid();
    // Of nobody: no pid is as large.
    let (dead, dying) = ("hatchery-4194999-a-worker-1", "hatchery-4194999-a-worker-2");
    let living = format!("hatchery-{parent}-a-worker-1");
    let names = [dead, dying, &living, "hatchery-x", "hatchery-a-b", "mine"];
    for name in names {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    // As the kernel refuses to remove one that still has a process.
    fs::write(folder.path().join(dying).join("cgroup.procs"), "1").unwrap();
    let tree = Tree { folder: folder.path().into(), version: Version::V1, leaf: None, switched_on: false };
    assert_eq!(tree.sweep().unwrap(), 1);
    let there: Vec<_> = names.into_iter().filter(|name| folder.path().join(name).exists()).collect();
    assert_eq!(there, [dying, &living, "hatchery-x", "hatchery-a-b", "mine"]);
    drop(tree);
}
