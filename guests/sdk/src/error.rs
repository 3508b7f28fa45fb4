//! Why a guest's own code failed, as text. `?` makes it of every error; the host only passes it on.

use std::fmt;

/// What handlers return: by default a value or an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A reason with its causes, in one line.
///
/// It is not `std::error::Error` itself, so that `?` can make it of everything that is.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// A reason of your own: lower case, no full stop.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// What was tried when this happened, put in front of it.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        Self(text)
    }
}
