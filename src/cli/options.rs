//! Values of the command line that need a parser of their own.

use std::{net::SocketAddr, str::FromStr};

use crate::manifest::is_app_name;

/// `[APP=]ADDR` of `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    pub(super) app: Option<String>,
    pub(super) addr: SocketAddr,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (app, addr) = match text.split_once('=') {
            Some((app, addr)) => (Some(app.to_owned()), addr),
            None => (None, text),
        };
        let addr = addr.parse().map_err(|_| format!("{addr:?} is not an address such as 127.0.0.1:8080"))?;
        Ok(Self { app, addr })
    }
}

/// The name of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppName(String);

impl FromStr for AppName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_app_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("an app's name is 1 to 64 of `a` to `z`, `0` to `9` and `-`, beginning with a letter"
                .to_owned())
        }
    }
}

impl AsRef<str> for AppName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_an_app() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!("127.0.0.1:0".parse(), Ok(Listen { app: None, addr }));
        assert_eq!("a=127.0.0.1:0".parse(), Ok(Listen { app: Some("a".to_owned()), addr }));
        assert!("8080".parse::<Listen>().is_err());
    }
}
