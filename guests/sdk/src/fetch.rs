//! Outgoing HTTP. Only what the manifest's `allowed-outbound-hosts` names can be reached.

use crate::body::{Body, Headers};
use crate::{Error, Result, host};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A request to send, `GET` unless said otherwise.
#[must_use = "nothing is sent before `send`"]
pub struct Fetch {
    pub(crate) method: String,
    url: String,
    pub(crate) headers: Headers,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout: Option<Duration>,
}

/// A url in the parts that `wasi:http` wants.
pub(crate) struct Target<'a> {
    pub(crate) https: bool,
    pub(crate) authority: &'a str,
    /// Begins with a slash.
    pub(crate) path: String,
}

/// What came back; any status is a success here.
pub struct Fetched {
    /// As the server gave it.
    pub status: u16,
    /// As the server gave them.
    pub headers: Headers,
    /// Not read yet.
    pub body: Body,
}

/// Begins a request to an absolute `http` or `https` url.
pub fn fetch(url: impl Into<String>) -> Fetch {
    Fetch { method: "GET".to_owned(), url: url.into(), headers: Vec::new(), body: None, timeout: None }
}

impl Fetch {
    /// Any method.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// `PUT` with this body.
    pub fn put(self, body: impl Into<Vec<u8>>) -> Self {
        self.method("PUT").body(body)
    }

    /// `POST` with this body.
    pub fn post(self, body: impl Into<Vec<u8>>) -> Self {
        self.method("POST").body(body)
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With this header too.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long to wait for the connection, for the first byte, and between bytes; each of them.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the response's head.
    pub async fn send(self) -> Result<Fetched> {
        let name = format!("{} {}", self.method, self.url);
        host::send(self).await.map_err(|e| e.context(name))
    }

    pub(crate) fn target(&self) -> Result<Target<'_>> {
        let (https, rest) = if let Some(rest) = self.url.strip_prefix("http://") {
            (false, rest)
        } else if let Some(rest) = self.url.strip_prefix("https://") {
            (true, rest)
        } else {
            return Err(Error::new("the url has to begin with http:// or https://"));
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() {
            return Err(Error::new("the url names no host"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Target { https, authority, path: format!("{slash}{path}") })
    }
}

impl Fetched {
    /// The whole body.
    pub async fn bytes(self) -> Result<Vec<u8>> {
        self.body.bytes().await
    }

    /// The whole body as UTF-8.
    pub async fn text(self) -> Result<String> {
        self.body.text().await
    }

    /// The whole body as JSON, which only a 2xx is taken to have.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        if !(200..300).contains(&self.status) {
            return Err(Error::new(format_args!("the answer is status {}", self.status)));
        }
        self.body.json().await
    }
}

#[cfg(test)]
mod tests {
    use super::fetch;

    #[test]
    fn targets() {
        for (url, expected) in [
            ("http://a:1", Some((false, "a:1", "/"))),
            ("https://a/b?c#d", Some((true, "a", "/b?c"))),
            ("http://a?c", Some((false, "a", "/?c"))),
            ("http:///b", None),
            ("ftp://a/", None),
        ] {
            let fetch = fetch(url);
            let target = fetch.target().ok();
            let got = target.as_ref().map(|t| (t.https, t.authority, t.path.as_str()));
            assert_eq!(got, expected, "{url}");
        }
    }
}
