//! The HTTP request that `handle` is given. Everything in it comes from a client: check it.

use crate::body::{Body, Headers};
use crate::{Error, Result, host};
use serde::de::DeserializeOwned;
use std::cell::OnceCell;

/// One request. The body is not read until it is asked for.
pub struct Request {
    method: String,
    target: String,
    headers: OnceCell<Headers>,
    /// `None` once the body was taken.
    incoming: Option<host::IncomingRequest>,
}

impl Request {
    #[doc(hidden)]
    pub fn new(incoming: host::IncomingRequest) -> Self {
        Self {
            method: incoming.method(),
            target: incoming.target(),
            headers: OnceCell::new(),
            incoming: Some(incoming),
        }
    }

    /// `GET`, `PUT`, ….
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, as it was sent: still percent-encoded, without the query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// A parameter of the query, decoded; the first of that name.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }

    /// All headers.
    pub fn headers(&self) -> &Headers {
        self.headers
            .get_or_init(|| self.incoming.as_ref().map(host::IncomingRequest::headers).unwrap_or_default())
    }

    /// A header as text, its name in any case; the first of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The body, to be read in chunks. It can be taken once.
    pub fn body(&mut self) -> Result<Body> {
        self.headers(); // They go away with the request.
        let incoming = self.incoming.take().ok_or_else(|| Error::new("the body was already taken"))?;
        Ok(Body::new(incoming.into_body()?))
    }

    /// The whole body.
    pub async fn bytes(&mut self) -> Result<Vec<u8>> {
        self.body()?.bytes().await
    }

    /// The whole body as UTF-8.
    pub async fn text(&mut self) -> Result<String> {
        self.body()?.text().await
    }

    /// The whole body as JSON.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.body()?.json().await
    }
}

/// Percent-decoding with `+` as a space; what is not well-formed stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match (bytes[at], hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn decoding() {
        for (encoded, expected) in
            [("a+b", "a b"), ("%2Fx%20y", "/x y"), ("%", "%"), ("%zz", "%zz"), ("%C3%A9", "é")]
        {
            assert_eq!(decode(encoded), expected, "{encoded}");
        }
    }
}
