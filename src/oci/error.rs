//! Why something could not be pushed or pulled, and what to do about it.

use std::{error::Error, io, path::PathBuf, time::Duration};

use reqwest::StatusCode;

use super::{limits, manifest::Unusable, registry::Access};
use crate::digest::Digest;

/// Why something could not be pushed or pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the texts above the variants say what their fields are")]
pub enum OciError {
    /// The client could not be made, as when the system's certificates cannot be read.
    #[error("cannot make ready to talk to {host}")]
    Client { host: String, source: reqwest::Error },
    /// No connection, or one that broke.
    #[error("cannot talk to {host}")]
    Reach { host: String, source: reqwest::Error },
    /// It answered TLS with something else.
    #[error("the registry {host} speaks plain HTTP; use --plain-http if you trust the network")]
    PlainHttp { host: String },
    /// Its certificate does not prove who it is.
    #[error(
        "the certificate of {host} is not trusted; add its authority to this system's, or name the file that holds it in SSL_CERT_FILE"
    )]
    Certificate { host: String, source: reqwest::Error },
    /// Too many of them, or one to plain HTTP.
    #[error("{host} sends on to where hatchery does not follow (more than {max} times, or from https to http)", max = limits::REDIRECTS)]
    Redirect { host: String, source: reqwest::Error },
    /// Nothing came or went for too long.
    #[error("{host} {what} for more than {} s; is it overloaded, or the network down?", .limit.as_secs())]
    Slow { host: String, what: &'static str, limit: Duration },
    /// It wants credentials, or others.
    #[error("{host} {}; run: docker login {host}", wants(*.known))]
    Unauthorized { host: String, known: bool },
    /// Known, but not allowed to.
    #[error(
        "{host} does not let you {access} {name}; ask its owner, or use another account with: docker login {host}"
    )]
    Denied { host: String, name: String, access: Access },
    /// No such manifest.
    #[error("{host} has no {name}; are the name and the tag right?")]
    NotFound { host: String, name: String },
    /// No such repository to push to.
    #[error("{host} has no repository {name} to push to; make it there first")]
    NoRepository { host: String, name: String },
    /// Any other refusal.
    #[error("{host} answered {what} with {status}{says}")]
    Status { host: String, what: &'static str, status: StatusCode, says: String },
    /// An answer that makes no sense.
    #[error("{host} answered {what} with something that is not understood: {why}")]
    Answer { host: String, what: &'static str, why: String },
    /// More than a bound.
    #[error("{what} has more than {limit} bytes, which is the most")]
    TooLarge { what: String, limit: u64 },
    /// Not what was asked for.
    #[error("{what} is not what it should be: its digest is {actual}, not {expected}; nothing was kept")]
    WrongDigest { what: String, expected: Digest, actual: Digest },
    /// More or less than was announced.
    #[error("{what} came with {actual} bytes, not with {expected}; nothing was kept")]
    WrongSize { what: String, expected: u64, actual: u64 },
    /// It is there, but neither bundle nor component.
    #[error("{reference} cannot be used")]
    Unusable {
        reference: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A local file.
    #[error("cannot {verb} {}", .path.display())]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    /// Only bundles are pushed.
    #[error("{} is not a bundle; make one with: hatchery pack PATH", .path.display())]
    NotABundle { path: PathBuf },
    /// Pushing makes a tag.
    #[error("{reference} cannot be pushed to: a push makes a tag; write oci://HOST/NAME:TAG")]
    NotATag { reference: String },
    /// Docker's configuration, or one of its helpers.
    #[error("the credentials for {host} in docker's configuration cannot be had: {why}")]
    Credentials { host: String, why: String },
}

impl OciError {
    /// Why a request got no answer, or no end of one.
    pub(super) fn broken(host: &str, error: reqwest::Error) -> Self {
        let (host, source) = (host.to_owned(), error.without_url());
        match tls(&source) {
            Some(rustls::Error::InvalidMessage(_)) => Self::PlainHttp { host },
            Some(rustls::Error::InvalidCertificate(_)) => Self::Certificate { host, source },
            _ if source.is_redirect() => Self::Redirect { host, source },
            _ => Self::Reach { host, source },
        }
    }

    pub(super) fn unusable(reference: &impl ToString, source: Unusable) -> Self {
        Self::Unusable { reference: reference.to_string(), source: Box::new(source) }
    }
}

fn wants(known: bool) -> &'static str {
    if known {
        "does not take the credentials that docker's configuration has for it"
    } else {
        "asks for credentials, and docker's configuration has none for it"
    }
}

/// What TLS had against it, somewhere in the chain of causes.
fn tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error passes over what it holds.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// What a registry says of its refusal, in words that cannot harm a terminal: `, saying "…"`.
pub(super) fn says(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Envelope {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { errors }) => {
            let errors: Vec<_> = errors.iter().map(|one| format!("{} {}", one.code, one.message)).collect();
            errors.join(", ")
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let text: String = text.trim().chars().take(limits::SHOWN).collect();
    // `{:?}` shows control characters, instead of obeying them.
    if text.is_empty() { text } else { format!(", saying {text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_bounded_and_harmless() {
        let long = "x".repeat(1000);
        let cases = [
            (r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, r#", saying "DENIED no""#.to_owned()),
            ("oh\x1b[31m\u{202e}", r#", saying "oh\u{1b}[31m\u{202e}""#.to_owned()),
            (" \n", String::new()),
            (&long, format!(", saying \"{}\"", "x".repeat(limits::SHOWN))),
        ];
        for (body, expected) in cases {
            assert_eq!(says(body.as_bytes()), expected);
        }
        assert_eq!(says(b"\xff"), ", saying \"\u{fffd}\"");
    }
}
