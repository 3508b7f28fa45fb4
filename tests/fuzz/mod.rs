//! What strangers send, changed at random: the decoders must never panic, and what they take they must give
//! back as it was.
//!
//! `corpus/TARGET/` has what each target begins with, and what once went wrong. `cargo test` runs each file and
//! some thousand changes of it, the same every time; `just fuzz [TARGET] [SECONDS]` goes on with others. There is
//! no coverage to guide it, as libFuzzer has; the inputs are small and the decoders flat.

mod mutate;
mod targets;

use std::{
    env, fs,
    panic::catch_unwind,
    path::PathBuf,
    time::{Duration, Instant},
};

use mutate::Mutator;
use targets::{TARGETS, Target};

/// Changes in a `cargo test`, of each target; a manifest goes through a file.
const CHANGES: usize = 20_000;
const CHANGES_OF_FILES: usize = 400;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// All files, by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(folder(target)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort_unstable();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
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
        let corpus = corpus(target.name);
        assert!(!corpus.is_empty(), "{}", target.name);
        let taken = corpus.iter().filter(|input| run(target, input)).count();
        assert!(taken > 0, "of {} not one is right", target.name);
        let mut mutator = Mutator::new(&corpus, 0);
        let changes = if target.is_slow { CHANGES_OF_FILES } else { CHANGES };
        let taken = (0..changes).filter(|_| run(target, &mutator.next()));
        println!("{}: {} of {changes} taken, {:.1?}", target.name, taken.count(), begun.elapsed());
    }
}

#[test]
#[ignore = "it goes on for as long as HATCHERY_FUZZ_SECONDS says"]
fn for_long() {
    let wanted = env::var("HATCHERY_FUZZ").unwrap_or_else(|_| "all".to_owned());
    let seconds = env::var("HATCHERY_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let chosen: Vec<_> = TARGETS.iter().filter(|target| wanted == "all" || wanted == target.name).collect();
    assert!(!chosen.is_empty(), "there is no target {wanted}");
    for target in chosen {
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let (mut mutator, begun, mut times) =
            (Mutator::new(&corpus(target.name), seed), Instant::now(), 0_u64);
        while begun.elapsed() < Duration::from_secs(seconds) {
            run(target, &mutator.next());
            times += 1;
        }
        println!("{}: {times} inputs from seed {seed}", target.name);
    }
}

/// Of what our own side writes: to be run when the protocol has another version.
#[test]
#[ignore = "it writes to the corpus"]
fn write_the_corpus() {
    for target in TARGETS {
        fs::create_dir_all(folder(target.name)).unwrap();
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(folder(target.name).join(format!("seed-{number:02}")), seed).unwrap();
        }
    }
}
