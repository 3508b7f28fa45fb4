//! How far a push or a pull has come, for whoever shows it.

/// Is told how far it has come. Called often, so it must not block.
pub trait Progress: Send + Sync {
    /// So many bytes are to come or go. Called once; not when nothing has to be moved.
    fn begin(&self, bytes: u64);

    /// So many more have.
    fn advance(&self, bytes: u64);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: u64) {}

    fn advance(&self, _: u64) {}
}
