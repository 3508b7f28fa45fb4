//! What strangers send, changed at random: the decoders must never panic, and what they take they must give
//! back as it was.
//!
//! `corpus/TARGET/` has what each target begins with, what libFuzzer found worth keeping, and what once went
//! wrong. `cargo test` runs each file and some thousand changes of it, the same every time, without coverage to
//! guide it. `just fuzz [TARGET] [SECONDS]` has libFuzzer go on: `run.sh`, with the programs in `fuzz_targets`,
//! which call the same functions (`targets.rs`).

mod mutate;
mod targets;

use std::{
    fs::{self, DirEntry},
    panic::catch_unwind,
    path::PathBuf,
    time::Instant,
};

use mutate::Mutator;
use targets::{TARGETS, Target};

/// Changes in a `cargo test`, of each target; a manifest goes through a file.
const CHANGES: usize = 20_000;
const CHANGES_OF_FILES: usize = 400;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// What files of our own begin with, in the corpus.
const SEED: &str = "seed-";

/// All files by name: those of our own, and the others.
fn corpus(target: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut files: Vec<_> = fs::read_dir(folder(target)).unwrap().map(|file| file.unwrap()).collect();
    files.sort_unstable_by_key(DirEntry::file_name);
    let (own, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.file_name().to_string_lossy().starts_with(SEED));
    let read = |files: Vec<DirEntry>| files.iter().map(|file| fs::read(file.path()).unwrap()).collect();
    (read(own), read(others))
}

/// Runs it, and keeps what makes it panic. Was it taken?
fn run(target: &Target, input: &[u8]) -> bool {
    catch_unwind(|| (target.run)(input)).unwrap_or_else(|panic| {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
        fs::write(&file, input).unwrap();
        eprintln!(
            "{} panics; the input is in {}: put it into {}",
            target.name,
            file.display(),
            folder(target.name).display()
        );
        std::panic::resume_unwind(panic);
    })
}

#[test]
fn what_is_kept_and_what_is_near_it() {
    for target in TARGETS {
        let begun = Instant::now();
        let (own, others) = corpus(target.name);
        let taken = own.iter().filter(|input| run(target, input)).count();
        assert!(taken > 0, "of {} not one is right", target.name);
        for input in &others {
            run(target, input);
        }
        // Most of the others are wrong somewhere already: every second change is one of our own.
        let own: Vec<_> = own.iter().cycle().take(own.len().max(others.len())).cloned().collect();
        let mut mutator = Mutator::new(&[own, others].concat(), 0);
        let changes = if target.is_slow { CHANGES_OF_FILES } else { CHANGES };
        let taken = (0..changes).filter(|_| run(target, &mutator.next()));
        println!("{}: {} of {changes} taken, {:.1?}", target.name, taken.count(), begun.elapsed());
    }
}

#[test]
fn each_has_a_program_for_libfuzzer() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(here.join("Cargo.toml")).unwrap();
    for Target { name, .. } in TARGETS {
        let program = fs::read_to_string(here.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("hatchery_fuzz::run(\"{name}\", input)")), "{name}: {program}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
    assert_eq!(fs::read_dir(here.join("fuzz_targets")).unwrap().count(), TARGETS.len());
}

/// Of what our own side writes: to be run when the protocol has another version.
#[test]
#[ignore = "it writes to the corpus"]
fn write_the_corpus() {
    for target in TARGETS {
        fs::create_dir_all(folder(target.name)).unwrap();
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(folder(target.name).join(format!("{SEED}{number:02}")), seed).unwrap();
        }
    }
}
