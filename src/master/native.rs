//! Native code as the master holds it: a sealed memfd that it hands to children and never looks into.

use std::{io, os::fd::OwnedFd};

use tokio::runtime::Handle;

/// A sealed memfd. The last one to close it has the kernel free all of its pages, which for a large
/// component takes tens of milliseconds: that is done on another thread.
#[derive(Debug)]
pub(crate) struct Native(Option<OwnedFd>);

impl Native {
    pub(super) fn new(code: OwnedFd) -> Self {
        Self(Some(code))
    }

    /// For who closes it elsewhere.
    pub(super) fn into_fd(mut self) -> io::Result<OwnedFd> {
        self.0.take().ok_or_else(|| io::Error::other("the code is closed"))
    }

    /// For a child to inherit.
    pub(super) fn try_clone(&self) -> io::Result<OwnedFd> {
        self.0.as_ref().ok_or_else(|| io::Error::other("the code is closed"))?.try_clone()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let Some(code) = self.0.take() else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(code));
        }
    }
}
