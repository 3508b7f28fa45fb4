//! `listen`: a socket address, or `localhost` with a port.

use std::net::{Ipv4Addr, SocketAddr};

use toml::de::DeInteger;

use super::super::{document::Section, error::Mistakes};

pub(super) fn listen(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<SocketAddr> {
    table.missing("listen", "write `listen = \"127.0.0.1:8080\"`; port 0 takes any free one", mistakes);
    if let Some(port) = table.get("listen").filter(|value| value.get_ref().is_integer()) {
        let number = port.get_ref().as_integer().map_or("", DeInteger::as_str);
        mistakes.at(port.span(), "`listen` is not an address with a port", help(number));
        return None;
    }
    let text = table.string("listen", mistakes)?;
    let found = parse(text.value);
    if found.is_none() {
        let help = help(text.value);
        mistakes.at(text.span, "`listen` is not an address with a port", help);
    }
    found
}

fn parse(text: &str) -> Option<SocketAddr> {
    if let Some(("localhost", port)) = text.rsplit_once(':') {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        return port.parse().ok().filter(|_| digits).map(|port: u16| (Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().ok()
}

fn help(text: &str) -> String {
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    match port.parse::<u16>() {
        Ok(port) if !text.starts_with("http") => {
            format!("write \"127.0.0.1:{port}\" for this machine only, or \"0.0.0.0:{port}\" for all")
        }
        _ => "write it like \"127.0.0.1:8080\", \"localhost:8080\" or \"[::1]:8080\"".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_a_table() {
        let cases = [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("localhost:8080", Some("127.0.0.1:8080")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("[::1]:8080", Some("[::1]:8080")),
            ("0.0.0.0:80", Some("0.0.0.0:80")),
            ("localhost", None),
            ("localhost:", None),
            ("localhost:+80", None),
            ("localhost:65536", None),
            ("127.0.0.1", None),
            (":8080", None),
            ("8080", None),
            ("example.com:80", None),
            ("http://127.0.0.1:80", None),
            ("127.0.0.1:80 ", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
