//! What is written where, in an ordinary folder. That the kernel takes it is for `tests/e2e/cgroup.rs`.
//! Files made by hand don't go with their folder, so that nothing is removed here but what is empty.

use std::process;

use tempfile::TempDir;

use super::*;

const LIMITS: AppLimits = AppLimits { cpu_weight: 25, cpus: Some(150), memory: Some(1 << 30), tasks: 700 };

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn own(name: &str) -> String {
    format!("hatchery-{}-{name}", process::id())
}

fn tree(folders: &[&TempDir]) -> Arc<Tree> {
    let mut tree = Tree::default();
    for folder in folders {
        tree.take(folder.path()).unwrap();
    }
    Arc::new(tree)
}

fn member(name: &str, memory: Option<u64>, limits: (u64, AppLimits)) -> Member {
    Member { app: "cache".to_owned(), name: name.to_owned(), memory, limits }
}

/// As the kernel: files go with their group.
fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            fs::remove_file(entry.path()).unwrap();
        } else {
            empty(&entry.path());
        }
    }
}

#[test]
fn refused_as_a_table() {
    let me = process::id().to_string();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "no cgroup"),
        (&[("cgroup.procs", "")], "counts neither"),
        (&[("cgroup.procs", ""), ("cgroup.controllers", "hugetlb io")], "counts neither"),
        // The marks of version 1 mean nothing there.
        (&[("cgroup.procs", ""), ("cgroup.controllers", ""), ("cpu.shares", "1")], "counts neither"),
        (
            &[("cgroup.procs", &format!("{me}\n1\n")), ("cgroup.controllers", "memory")],
            "there are other processes",
        ),
    ];
    for (files, expected) in cases {
        let folder = folder(files);
        let refused = Tree::default().take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len(), "nothing is left");
    }
    let files = [("cgroup.procs", ""), ("pids.max", "max")];
    let (one, other) = (folder(&files), folder(&files));
    let mut tree = Tree::default();
    tree.take(one.path()).unwrap();
    let refused = tree.take(other.path()).unwrap_err().to_string();
    assert!(refused.contains("has the pids controller already"), "{refused}");
}

#[test]
fn version_1_has_a_group_in_each_hierarchy() {
    let memory = folder(&[("cgroup.procs", "1\n"), ("memory.limit_in_bytes", "9")]);
    let cpu = folder(&[("cgroup.procs", "1\n"), ("cpu.shares", "1024")]);
    let tree = tree(&[&memory, &cpu]);
    let holds = Controller::ALL.map(|one| tree.holds(one));
    assert_eq!(holds, [true, true, false]);
    let group = tree.join(&member("worker-3", Some(1234), (1, LIMITS))).unwrap();
    assert!(group.unheld().is_none() && group.counts_memory());
    group.add(77).unwrap();
    let app = memory.path().join(own("cache"));
    let path = app.join("processes/worker-3");
    assert_eq!(read(&path, "memory.limit_in_bytes"), "1234");
    assert_eq!(read(&path, "cgroup.procs"), "77");
    assert_eq!(read(&app, "processes/memory.limit_in_bytes"), (1 << 30).to_string());
    assert!(!app.join("cpu.shares").exists());
    let app = cpu.path().join(own("cache"));
    assert_eq!((read(&app, "cpu.shares"), read(&app, "cgroup.procs")), ("256".into(), "77".into()));
    assert_eq!(read(&app, "cpu.cfs_quota_us"), "150000");
    assert!(!app.join("processes").exists());
    // Of the kernel's kill: by its own limit, or by the app's.
    assert_eq!(group.out_of_memory(), None);
    fs::write(path.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n").unwrap();
    fs::write(path.join("memory.failcnt"), "0\n").unwrap();
    assert_eq!(group.out_of_memory(), Some(OutOf::App));
    fs::write(path.join("memory.failcnt"), "5\n").unwrap();
    assert_eq!(group.out_of_memory(), Some(OutOf::Process));
    empty(memory.path());
    empty(cpu.path());
    drop(group);
    assert!(!memory.path().join(own("cache")).exists() && !cpu.path().join(own("cache")).exists());
}

#[test]
fn version_2_moves_the_master_first_and_back_at_the_end() {
    let me = process::id().to_string();
    let folder = folder(&[
        ("cgroup.procs", &format!("{me}\n")),
        ("cgroup.controllers", "cpu io memory pids\n"),
        ("cgroup.subtree_control", "\n"),
    ]);
    let tree = tree(&[&folder]);
    assert_eq!(read(&folder.path().join(own("_master")), "cgroup.procs"), me);
    // One after the other, of which the last is still there.
    assert_eq!(read(folder.path(), "cgroup.subtree_control"), "+pids");
    let group = tree.join(&member("agent-1", Some(1234), (1, LIMITS))).unwrap();
    assert!(group.unheld().is_none());
    group.add(77).unwrap();
    let app = folder.path().join(own("cache"));
    assert_eq!((read(&app, "cpu.weight"), read(&app, "cpu.max")), ("25".into(), "150000 100000".into()));
    assert_eq!(
        (read(&app, "pids.max"), read(&app, "cgroup.subtree_control")),
        ("700".into(), "+memory".into())
    );
    let above = app.join("processes");
    assert_eq!(read(&above, "memory.max"), (1 << 30).to_string());
    assert_eq!(read(&above, "cgroup.subtree_control"), "+memory");
    let path = above.join("agent-1");
    assert_eq!((read(&path, "memory.max"), read(&path, "cgroup.procs")), ("1234".into(), "77".into()));
    fs::write(path.join("memory.events"), "low 0\nmax 0\noom 0\noom_kill 1\n").unwrap();
    assert_eq!(group.out_of_memory(), Some(OutOf::App));
    fs::write(path.join("memory.events"), "low 0\nmax 4\noom 3\noom_kill 1\noom_group_kill 1\n").unwrap();
    assert_eq!(group.out_of_memory(), Some(OutOf::Process));
    // A compiler is beside the app's memory.
    let compiler = tree.join(&member("compiler-2", None, (0, LIMITS))).unwrap();
    compiler.add(78).unwrap();
    assert!(!compiler.counts_memory());
    assert_eq!(read(&app, "compiler-2/cgroup.procs"), "78");
    drop((compiler, group, tree));
    assert_eq!(read(folder.path(), "cgroup.subtree_control"), "-pids");
    assert_eq!(read(folder.path(), "cgroup.procs"), me);
}

#[test]
fn version_2_leaves_a_master_that_is_elsewhere() {
    let folder =
        folder(&[("cgroup.procs", ""), ("cgroup.controllers", "memory"), ("cgroup.subtree_control", "")]);
    let tree = tree(&[&folder]);
    assert!(!folder.path().join(own("_master")).exists());
    assert_eq!(read(folder.path(), "cgroup.subtree_control"), "+memory");
    drop(tree);
    assert_eq!(read(folder.path(), "cgroup.procs"), "");
}

#[test]
fn the_latest_generation_says_what_an_app_may_have() {
    let folder = folder(&[("cgroup.procs", ""), ("cpu.shares", "1024")]);
    let tree = tree(&[&folder]);
    let shares = || read(&folder.path().join(own("cache")), "cpu.shares");
    let weighing = |generation, cpu_weight| (generation, AppLimits { cpu_weight, ..LIMITS });
    let mut groups = vec![];
    // Generation, its weight, and what is written then.
    for (number, (generation, weight, expected)) in
        [(0, 100, "1024"), (1, 50, "512"), (2, 1, "10"), (1, 100, "10"), (0, 100, "10"), (2, 75, "768")]
            .into_iter()
            .enumerate()
    {
        let limits = weighing(generation, weight);
        groups.push(tree.join(&member(&format!("worker-{number}"), Some(1), limits)).unwrap());
        assert_eq!(shares(), expected, "generation {generation} with {weight}");
    }
    // With its last process it is forgotten.
    drop(groups);
    let _again = tree.join(&member("worker-9", Some(1), weighing(0, 50))).unwrap();
    assert_eq!(shares(), "512");
}

#[test]
fn a_limit_that_can_not_be_written_is_told_and_tried_again() {
    let folder = folder(&[("cgroup.procs", ""), ("cpu.shares", "1024")]);
    let tree = tree(&[&folder]);
    let file = folder.path().join(own("cache")).join("cpu.shares");
    fs::create_dir_all(&file).unwrap();
    let group = tree.join(&member("worker-1", Some(1), (1, LIMITS))).unwrap();
    let error = group.unheld().expect("it is a folder").to_string();
    assert!(error.starts_with("cpu: "), "{error}");
    fs::remove_dir(&file).unwrap();
    assert!(tree.join(&member("worker-2", Some(1), (1, LIMITS))).unwrap().unheld().is_none());
    assert_eq!(fs::read_to_string(file).unwrap(), "256");
}

#[test]
fn what_dead_masters_left_is_swept() {
    let folder = folder(&[("cgroup.procs", ""), ("memory.limit_in_bytes", "9")]);
    let parent = nix::unistd::getppid();
    // Of nobody: no pid is as large.
    let (dead, dying) = ("hatchery-4194999-a", "hatchery-4194999-b");
    let living = format!("hatchery-{parent}-a");
    let names = [dead, dying, &living, "hatchery-x", "hatchery-a-b", "mine"];
    for name in names {
        fs::create_dir_all(folder.path().join(name).join("processes/worker-1")).unwrap();
    }
    // As the kernel refuses to remove one that still has a process.
    fs::write(folder.path().join(dying).join("processes/worker-1/cgroup.procs"), "1").unwrap();
    let tree = tree(&[&folder]);
    empty(&folder.path().join(own("_trial")));
    assert_eq!(tree.sweep().unwrap(), 1);
    let there: Vec<_> = names.into_iter().filter(|name| folder.path().join(name).exists()).collect();
    assert_eq!(there, [dying, &living, "hatchery-x", "hatchery-a-b", "mine"]);
}
