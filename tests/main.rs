//! All integration tests, one binary.

mod e2e;
mod manifests;
mod support;
