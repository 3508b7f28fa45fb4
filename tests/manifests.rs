//! Manifests as files: what loads, and the exact text of every error.
//!
//! `manifests/invalid/NAME.toml` has mistakes and `NAME.err` what is said about them; `BLESS=1` writes
//! the latter anew, to be read in the diff.

mod golden;
mod hostile;
mod several;
mod valid;
