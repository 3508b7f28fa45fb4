//! An entry of `allowed-outbound-hosts`: where a guest may send requests.
//!
//! `check` parses them; the `broker` asks [`OutboundHost::allows`] before each connection, with what the guest
//! gave. Both sides are hostile: an entry must not mean more than it says, and a request must not pass
//! by an odd spelling. Names are compared as names: what a name resolves to is for the `broker` to look at.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{destination::LOCALHOST, special::Special};

/// The longest host name (RFC 1035).
const MAX_NAME: usize = 253;

/// The longest part of a host name between two dots.
const MAX_LABEL: usize = 63;

/// Where requests may go: `scheme://host[:port]`.
///
/// The scheme is `http`, `https` or `*`; the host is a name, an address, or `*.name` for what is below
/// that name; the port is a number, `*` for any, or the scheme's own one without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OutboundHost {
    scheme: Scheme,
    host: Host,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// In lower case, without a dot at the end.
    Name(String),
    /// What is one or more labels below this name.
    Below(String),
    /// An IPv4 address in IPv6 clothes is kept as the IPv4 one.
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    OfScheme,
    Any,
    Number(u16),
}

/// Why an entry is refused. The text ends with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOutboundHost {
    /// Nothing before `://`.
    #[error("it has no scheme: begin it with `http://`, `https://` or `*://`")]
    NoScheme,
    /// Something else there.
    #[error("the scheme must be `http`, `https` or `*`")]
    Scheme,
    /// `user@`.
    #[error("it has a user before an `@`: write only scheme, host and port")]
    User,
    /// More than `/` after the host.
    #[error("it has a path: write only scheme, host and port")]
    Path,
    /// Neither a name nor an address.
    #[error(
        "the host must be a name like `api.example.com`, or `*.example.com`, or an address like `127.0.0.1` or `[::1]`"
    )]
    Host,
    /// Such as `127.1`, which some programs read as an address.
    #[error("the host looks like an address but is none: write all four numbers, in decimal")]
    OddAddress,
    /// `*` alone.
    #[error("the host can't be `*`: name each host, or the domain as in `*.example.com`")]
    Everywhere,
    /// Not 1..=65535 or `*`.
    #[error("the port must be a number from 1 to 65535, or `*`")]
    Port,
}

impl OutboundHost {
    /// Does it allow all that `other` allows?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let scheme_fits = self.scheme == Scheme::Any || self.scheme == other.scheme;
        let port_of = |scheme| match scheme {
            Scheme::Http => Some(80),
            Scheme::Https => Some(443),
            Scheme::Any => None,
        };
        let port_fits = match (self.port, other.port) {
            (Port::Any, _) => true,
            (Port::OfScheme, Port::Number(number)) | (Port::Number(number), Port::OfScheme) => {
                port_of(other.scheme) == Some(number)
            }
            (mine, others) => mine == others,
        };
        scheme_fits && port_fits && self.host.covers(&other.host)
    }

    /// Does it name an address of a kind that names must not lead to? Then that one is granted.
    #[must_use]
    pub fn names_special(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == LOCALHOST,
            Host::Below(_) => false,
            Host::Address(address) => Special::of(*address).is_some(),
        }
    }

    /// May a request go there? `host` is a name or an address, IPv6 with or without brackets.
    #[must_use]
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let (scheme_fits, port_of_scheme) = if scheme.eq_ignore_ascii_case("http") {
            (self.scheme != Scheme::Https, 80)
        } else if scheme.eq_ignore_ascii_case("https") {
            (self.scheme != Scheme::Http, 443)
        } else {
            return false;
        };
        let port_fits = match self.port {
            Port::OfScheme => port == port_of_scheme,
            Port::Any => true,
            Port::Number(number) => port == number,
        };
        scheme_fits && port_fits && self.host.allows(host)
    }
}

impl Host {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(_), Self::Name(name)) => self.allows(name),
            (Self::Below(apex), Self::Below(below)) => apex == below || self.allows(below),
            (mine, others) => mine == others,
        }
    }

    fn allows(&self, host: &str) -> bool {
        if let Some(address) = parse_address(host) {
            return matches!(self, Self::Address(allowed) if *allowed == address);
        }
        let Ok(name) = parse_name(host) else { return false };
        match self {
            Self::Name(allowed) => name == *allowed,
            // No part of a name is empty, so there is something before this dot.
            Self::Below(apex) => name.strip_suffix(apex.as_str()).is_some_and(|above| above.ends_with('.')),
            Self::Address(_) => false,
        }
    }
}

impl FromStr for OutboundHost {
    type Err = InvalidOutboundHost;

    fn from_str(text: &str) -> Result<Self, InvalidOutboundHost> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOutboundHost::NoScheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "*" => Scheme::Any,
            "" => return Err(InvalidOutboundHost::NoScheme),
            _ => return Err(InvalidOutboundHost::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(InvalidOutboundHost::Path);
        }
        if rest.contains('@') {
            return Err(InvalidOutboundHost::User);
        }
        // The last colon is the port's, unless it is inside of the brackets of an IPv6 address.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, parse_port(port)?),
            _ => (rest, Port::OfScheme),
        };
        Ok(Self { scheme, host: parse_host(host)?, port })
    }
}

fn parse_port(text: &str) -> Result<Port, InvalidOutboundHost> {
    if text == "*" {
        return Ok(Port::Any);
    }
    // `parse` alone would take a `+`.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number != 0);
    number.map(Port::Number).ok_or(InvalidOutboundHost::Port)
}

fn parse_host(text: &str) -> Result<Host, InvalidOutboundHost> {
    if text == "*" {
        return Err(InvalidOutboundHost::Everywhere);
    }
    if let Some(apex) = text.strip_prefix("*.") {
        return parse_name(apex).map(Host::Below);
    }
    // Here, unlike in a request, an IPv6 address must have its brackets, or its end could be a port.
    if text.contains(':') && !text.starts_with('[') {
        return Err(InvalidOutboundHost::Host);
    }
    match parse_address(text) {
        Some(address) => Ok(Host::Address(address)),
        None => parse_name(text).map(Host::Name),
    }
}

pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let address = if let Some(inner) = text.strip_prefix('[') {
        inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into()
    } else {
        let dotted = text.strip_suffix('.').unwrap_or(text);
        let v4 = dotted.parse::<Ipv4Addr>().map(IpAddr::from);
        v4.or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::from)).ok()?
    };
    Some(address.to_canonical())
}

/// In lower case, without a dot at the end.
pub(super) fn parse_name(text: &str) -> Result<String, InvalidOutboundHost> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let fits = |label: &str| {
        let bytes = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        bytes && (1..=MAX_LABEL).contains(&label.len())
    };
    if name.len() > MAX_NAME || !name.split('.').all(fits) {
        return Err(InvalidOutboundHost::Host);
    }
    // As browsers have it: a name whose last label is a number is an address to somebody.
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidOutboundHost::OddAddress);
    }
    Ok(name)
}

impl fmt::Display for OutboundHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
            Scheme::Any => "*://",
        })?;
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Below(apex) => write!(f, "*.{apex}")?,
            Host::Address(IpAddr::V4(address)) => address.fmt(f)?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        match self.port {
            Port::OfScheme => Ok(()),
            Port::Any => f.write_str(":*"),
            Port::Number(number) => write!(f, ":{number}"),
        }
    }
}

impl TryFrom<String> for OutboundHost {
    type Error = InvalidOutboundHost;

    fn try_from(text: String) -> Result<Self, InvalidOutboundHost> {
        text.parse()
    }
}

impl From<OutboundHost> for String {
    fn from(host: OutboundHost) -> Self {
        host.to_string()
    }
}

#[cfg(test)]
mod tests;
