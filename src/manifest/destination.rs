//! Where a request goes: the host of its URL, read strictly and once.
//!
//! The `broker` decides by it and dials what it says, so that nothing is read in two ways. A spelling that
//! some program takes for an address and another one for a name is neither: `127.1`, `0x7f.0.0.1`,
//! `2130706433` and the like are refused.

use std::{fmt, net::IpAddr};

use super::outbound::{parse_address, parse_name};

/// The one name that means this machine by itself, without being looked up.
pub(super) const LOCALHOST: &str = "localhost";

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An address; an IPv4 one in IPv6 clothes is the IPv4 one.
    Address(IpAddr),
    /// `localhost`.
    Localhost,
    /// A name to look up: in lower case, without a dot at the end.
    Name(String),
}

impl Destination {
    /// What this says, as it stands in a URL: IPv6 with or without brackets. `None` where it is neither a
    /// name nor an address.
    #[must_use]
    pub fn parse(host: &str) -> Option<Self> {
        if let Some(address) = parse_address(host) {
            return Some(Self::Address(address));
        }
        let name = parse_name(host).ok()?;
        Some(if name == LOCALHOST { Self::Localhost } else { Self::Name(name) })
    }
}

/// As it stands in a URL.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Localhost => f.write_str(LOCALHOST),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_as_a_table() {
        let long = "a.".repeat(126) + "a";
        let too_long = "a.".repeat(127) + "a";
        // As they stand in a URL; what they mean, or None where they are refused.
        for (host, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.0.0.1.", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("::1", Some("[::1]")),
            ("[0:0:0:0:0:0:0:1]", Some("[::1]")),
            ("[::ffff:127.0.0.1]", Some("127.0.0.1")),
            ("[::FFFF:7f00:1]", Some("127.0.0.1")),
            ("[0:0:0:0:0:ffff:a9fe:a9fe]", Some("169.254.169.254")),
            ("[::127.0.0.1]", Some("[::7f00:1]")),
            ("localhost", Some("localhost")),
            ("LocalHost.", Some("localhost")),
            ("API.Example.com.", Some("api.example.com")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            (long.as_str(), Some(long.as_str())),
            (too_long.as_str(), None),
            ("2130706433", None),
            ("0x7f000001", None),
            ("0X7F000001", None),
            ("017700000001", None),
            ("127.1", None),
            ("127.0.1", None),
            ("0x7f.1", None),
            ("0x7f.0.0.0x1", None),
            ("0177.0.0.1", None),
            ("127.0.0.01", None),
            ("127.0.0.1..", None),
            ("127.0.0.256", None),
            ("127.0.0.1.5", None),
            ("1.2.3", None),
            ("0", None),
            ("%31%32%37.0.0.1", None),
            ("127%2e0.0.1", None),
            ("１２７.0.0.1", None), // full-width digits
            ("127。0。0。1", None), // the ideographic dot
            ("①②⑦.0.0.1", None),
            ("bücher.example", None),
            ("[127.0.0.1]", None),
            ("[::1", None),
            ("::1]", None),
            ("[fe80::1%25eth0]", None),
            ("[fe80::1%eth0]", None),
            ("[v1.x]", None),
            ("127.0.0.1 ", None),
            ("127.0.0.1\0.example.com", None),
            ("user@example.com", None),
            ("example.com:80", None),
            ("example..com", None),
            (".example.com", None),
            ("*", None),
            ("*.example.com", None),
            ("", None),
            (".", None),
        ] {
            let found = Destination::parse(host).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{host:?}");
        }
        assert_eq!(Destination::parse("localhost."), Some(Destination::Localhost));
        assert!(matches!(Destination::parse("a.localhost"), Some(Destination::Name(_))));
    }
}
