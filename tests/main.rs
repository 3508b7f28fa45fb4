//! All integration tests, one binary.

// The attribute is what tells clippy that `unwrap` is fine in helpers too.
#[cfg(test)]
mod e2e;
#[cfg(test)]
mod hostile;
mod manifests;
#[cfg(test)]
mod support;
