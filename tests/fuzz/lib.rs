//! The targets of `cargo test`, for libFuzzer. `fuzz_targets/` calls them, one program each.

// What they begin with is in the corpus by now.
#[allow(dead_code)]
mod targets;

/// Runs the target of this name.
///
/// # Panics
/// There is none, or it has found something.
pub fn run(target: &str, input: &[u8]) {
    let target = targets::TARGETS.iter().find(|known| known.name == target).expect("a target of targets.rs");
    (target.run)(input);
}
