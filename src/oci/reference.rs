//! What is pushed and pulled: `oci://HOST[:PORT]/NAME[:TAG][@sha256:…]`.
//!
//! The grammar is the OCI distribution spec's. All of it goes into URLs and the name into a file name,
//! so nothing else is let through.

use std::{fmt, str::FromStr};

use crate::digest::{Digest, InvalidDigest};

const SCHEME: &str = "oci://";

/// The most bytes of a host with its port, a name, and a tag.
const HOST_MAX: usize = 261;
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// A place in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry, with its port where it has one.
    pub(super) host: String,
    /// The repository in it.
    pub(super) name: String,
    pub(super) tag: Option<String>,
    pub(super) digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReference {
    /// Not one of ours.
    #[error("{0:?} does not begin with oci://; write oci://HOST/NAME:TAG")]
    Scheme(String),
    /// Nothing between the host and the version.
    #[error("{0:?} names no repository; write oci://HOST/NAME:TAG")]
    NoName(String),
    /// Neither tag nor digest.
    #[error("{0:?} does not say which version; add :TAG or @sha256:…")]
    NoVersion(String),
    /// Not a host name or an address.
    #[error("{0:?} is not a host, with or without a port")]
    Host(String),
    /// Not a repository's name.
    #[error("{0:?} is not a repository's name: lower-case letters, digits, and . _ - / between them")]
    Name(String),
    /// Not a tag.
    #[error("{0:?} is not a tag: at most 128 letters, digits, and . _ -, the first a letter, digit or _")]
    Tag(String),
    /// Not a digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl Reference {
    /// Is this text meant as a reference, right or wrong?
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// What a manifest is asked for by: the digest where there is one.
    pub(super) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_default(),
        }
    }

    /// A file name that says what it is, without an ending: `cache-1.2` of `oci://host/team/cache:1.2`.
    pub(super) fn stem(&self) -> String {
        let last = self.name.rsplit('/').next().unwrap_or(&self.name);
        let version = self.tag.clone().unwrap_or_else(|| {
            // A few of its digits tell it from others.
            self.version().trim_start_matches("sha256:").chars().take(12).collect()
        });
        format!("{last}-{version}")
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let shown = || text.chars().take(600).collect::<String>();
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| InvalidReference::Scheme(shown()))?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        let (host, path) = rest.split_once('/').ok_or_else(|| InvalidReference::NoName(shown()))?;
        let (name, tag) = match path.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        };
        if name.is_empty() {
            return Err(InvalidReference::NoName(shown()));
        }
        if !is_host(host) {
            return Err(InvalidReference::Host(host.to_owned()));
        }
        if !is_name(name) {
            return Err(InvalidReference::Name(name.to_owned()));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(InvalidReference::Tag(tag.to_owned()));
        }
        if tag.is_none() && digest.is_none() {
            return Err(InvalidReference::NoVersion(shown()));
        }
        Ok(Self { host: host.to_owned(), name: name.to_owned(), tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // An address in brackets ends with one, when no port follows.
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_known = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !label.is_empty() && label.bytes().all(is_plain) && !label.starts_with('-')
        }),
    };
    // What ends in a number is an address or nothing to a URL, such as `1.2.3.999`.
    let is_meant = || reqwest::Url::parse(&format!("https://{host}/")).is_ok();
    text.len() <= HOST_MAX && is_known && port.is_none_or(is_port) && is_meant()
}

/// Runs of letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(is_plain)
            && part.ends_with(is_plain)
            && part.split(is_plain).all(|between| {
                matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
            })
    };
    text.len() <= NAME_MAX && text.split('/').all(is_part)
}

fn is_tag(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_MAX
        && text.starts_with(is_first)
        && text.chars().all(|c| is_first(c) || matches!(c, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn those_that_are() {
        let by_digest = format!("oci://host/a/b@{DIGEST}");
        let both = format!("oci://host:443/a:1@{DIGEST}");
        let cases = [
            ("oci://localhost:5000/cache:1.2", "localhost:5000", "cache", "cache-1.2"),
            (
                "oci://Registry.example/team/my__app.x---y/cache:v1",
                "Registry.example",
                "team/my__app.x---y/cache",
                "cache-v1",
            ),
            ("oci://[::1]:5000/a:_", "[::1]:5000", "a", "a-_"),
            ("oci://[::1]/a:1", "[::1]", "a", "a-1"),
            ("oci://127.0.0.1:5000/a:1", "127.0.0.1:5000", "a", "a-1"),
            (by_digest.as_str(), "host", "a/b", "b-44136fa355b3"),
            (both.as_str(), "host:443", "a", "a-1"),
        ];
        for (text, host, name, stem) in cases {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.host.as_str(), reference.name.as_str()), (host, name));
            assert_eq!(reference.stem(), stem);
            assert_eq!(reference.to_string(), text);
        }
        assert_eq!(both.parse::<Reference>().unwrap().version(), DIGEST);
    }

    #[test]
    fn those_that_are_not() {
        let long = format!("oci://host/a:{}", "t".repeat(129));
        let cases = [
            ("host/name:tag", "begin with oci://"),
            ("https://host/name:tag", "begin with oci://"),
            ("oci://host", "names no repository"),
            ("oci://host/:tag", "names no repository"),
            ("oci://host/name", "add :TAG"),
            ("oci:///name:tag", "not a host"),
            ("oci://user@host/name:tag", "not a digest"),
            ("oci://host:port/name:tag", "not a host"),
            ("oci://host:70000/name:tag", "not a host"),
            ("oci://host:/name:tag", "not a host"),
            ("oci://[::x]/name:tag", "not a host"),
            ("oci://ho st/name:tag", "not a host"),
            ("oci://host\r\nx/name:tag", "not a host"),
            ("oci://host..x/name:tag", "not a host"),
            ("oci://1.2.3.999/name:tag", "not a host"),
            ("oci://1.2.3.999:5000/name:tag", "not a host"),
            ("oci://host/Name:tag", "not a repository's name"),
            ("oci://host/../x:tag", "not a repository's name"),
            ("oci://host/a//x:tag", "not a repository's name"),
            ("oci://host/a/:tag", "not a repository's name"),
            ("oci://host/a?b:tag", "not a repository's name"),
            ("oci://host/a._b:tag", "not a repository's name"),
            ("oci://host/-a:tag", "not a repository's name"),
            ("oci://host/a:", "not a tag"),
            ("oci://host/a:..", "not a tag"),
            ("oci://host/a:b/c", "not a tag"),
            ("oci://host/a:b:c", "not a tag"),
            ("oci://host/a@sha256:12", "not a digest"),
            (long.as_str(), "not a tag"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
