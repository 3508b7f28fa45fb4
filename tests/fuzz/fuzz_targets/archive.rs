//! `archive` of targets.rs, for libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| hatchery_fuzz::run("archive", input));
