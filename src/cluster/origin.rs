//! Where a guest's request goes, and why nobody could be reached there.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// The most bytes of an origin's host: a name of 253 characters (RFC 1035), its dot, or an address.
pub const MAX_HOST: usize = 254;

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Its port where a URL has none.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port of a URL, without the path, which may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// How.
    pub scheme: Scheme,
    /// As it stands in the URL, IPv6 in brackets; from a guest, and not checked.
    pub host: String,
    /// Never 0 where it is dialled.
    pub port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DialError {
    /// The manifest does not allow it, or the home's policy denies it.
    #[error("denied")]
    Denied,
    /// All that the name leads to are addresses that must be named themselves.
    #[error("the name leads to an address that is not allowed")]
    Prohibited,
    /// The name leads nowhere.
    #[error("no such host")]
    NotFound,
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// There is no way to it.
    #[error("unreachable")]
    Unreachable,
    /// Not within the time that there was.
    #[error("timed out")]
    TimedOut,
    /// No room for one more connection here.
    #[error("no room for one more connection")]
    Overloaded,
    /// The broker ended while it was at it.
    #[error("the broker ended while it connected")]
    Unavailable,
}

/// Why an origin was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// No entry of `allowed-outbound-hosts` has it.
    Manifest,
    /// The home's `policy.toml`.
    Policy,
    /// Its name leads to this address, which must be named itself.
    Address(IpAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_shown_as_in_a_url() {
        for (scheme, host, port, expected) in [
            (Scheme::Http, "a.com", 80, "http://a.com"),
            (Scheme::Http, "a.com", 443, "http://a.com:443"),
            (Scheme::Https, "[::1]", 443, "https://[::1]"),
            (Scheme::Https, "[::1]", 8443, "https://[::1]:8443"),
        ] {
            assert_eq!(Origin { scheme, host: host.to_owned(), port }.to_string(), expected);
        }
    }
}
