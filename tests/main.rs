//! All integration tests, one binary.
mod manifests;
