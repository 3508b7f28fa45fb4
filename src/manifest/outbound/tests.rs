//! The rules of `allowed-outbound-hosts` as tables, odd spellings included.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> OutboundHost {
    text.parse().unwrap_or_else(|cause| panic!("{text}: {cause}"))
}

#[test]
fn covers_as_a_table() {
    for (one, other, expected) in [
        ("https://a.com", "https://a.com", true),
        ("https://a.com", "https://a.com:443", true),
        ("https://a.com:443", "https://a.com", true),
        ("https://a.com", "https://a.com:444", false),
        ("https://a.com", "http://a.com", false),
        ("*://a.com", "http://a.com", true),
        ("http://a.com", "*://a.com", false),
        ("*://a.com", "*://a.com:80", false),
        ("https://a.com:*", "https://a.com:444", true),
        ("https://a.com:444", "https://a.com:*", false),
        ("https://*.a.com", "https://b.a.com", true),
        ("https://*.a.com", "https://a.com", false),
        ("https://*.a.com", "https://*.b.a.com", true),
        ("https://*.a.com", "https://*.a.com", true),
        ("https://*.b.a.com", "https://*.a.com", false),
        ("https://a.com", "https://*.a.com", false),
        ("http://127.0.0.1", "http://127.0.0.1", true),
        ("http://127.0.0.1", "http://127.0.0.2", false),
    ] {
        let (mine, others): (OutboundHost, OutboundHost) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!(mine.covers(&others), expected, "{one} {other}");
    }
}

#[test]
fn what_an_entry_allows() {
    let long = format!("http://{}.com", "a".repeat(MAX_LABEL));
    #[rustfmt::skip]
    let cases = [
        // entry, scheme, host, port, allowed
        ("http://127.0.0.1:7002", "http", "127.0.0.1", 7002, true),
        ("http://127.0.0.1:7002/", "HTTP", "127.0.0.1", 7002, true),
        ("http://127.0.0.1:7002", "http", "127.0.0.1.", 7002, true),
        ("http://127.0.0.1:7002", "http", "127.0.0.1", 7003, false),
        ("http://127.0.0.1:7002", "https", "127.0.0.1", 7002, false),
        ("http://127.0.0.1:7002", "http", "localhost", 7002, false),
        ("http://127.0.0.1:7002", "http", "[::ffff:127.0.0.1]", 7002, true),
        ("http://127.0.0.1:7002", "http", "::ffff:7f00:1", 7002, true),
        ("http://127.0.0.1:7002", "http", "[127.0.0.1]", 7002, false),
        ("http://127.0.0.1:7002", "http", "127.1", 7002, false),
        ("http://127.0.0.1:7002", "http", "127.0.0.01", 7002, false),
        ("http://127.0.0.1:7002", "http", "0x7f.0.0.1", 7002, false),
        ("http://127.0.0.1:7002", "http", "2130706433", 7002, false),
        ("http://127.0.0.1:7002", "http", "127.0.0.1 ", 7002, false),
        ("http://127.0.0.1:7002", "http", "127.0.0.1\0.evil.com", 7002, false),
        ("http://127.0.0.1:7002", "http", "evil@127.0.0.1", 7002, false),
        ("http://127.0.0.1:7002", "http", "127.0.0.1:7002", 7002, false),
        ("http://127.0.0.1:7002", "http", "", 7002, false),
        ("http://127.0.0.1:7002", "ftp", "127.0.0.1", 7002, false),
        ("http://[::ffff:127.0.0.1]", "http", "127.0.0.1", 80, true),
        ("https://[2001:DB8::1]:8443", "https", "[2001:db8:0:0::1]", 8443, true),
        ("https://[2001:db8::1]:8443", "https", "2001:db8::1", 8443, true),
        ("https://[2001:db8::1]:8443", "https", "[2001:db8::2]", 8443, false),
        ("https://[2001:db8::1]", "https", "[2001:db8::1%eth0]", 443, false),
        ("https://[2001:db8::1]", "https", "[2001:db8::1", 443, false),
        ("https://api.example.com", "https", "api.example.com", 443, true),
        ("https://api.example.com", "https", "API.Example.COM.", 443, true),
        ("https://API.example.com.", "https", "api.example.com", 443, true),
        ("https://api.example.com", "https", "api.example.com..", 443, false),
        ("https://api.example.com", "https", "example.com", 443, false),
        ("https://api.example.com", "https", "x.api.example.com", 443, false),
        ("https://api.example.com", "https", "api.example.com", 8443, false),
        ("https://api.example.com", "http", "api.example.com", 443, false),
        ("https://api.example.com", "http", "api.example.com", 80, false),
        ("https://api.example.com", "https", "apixexample.com", 443, false),
        ("https://api.example.com", "https", "api.exаmple.com", 443, false), // a Cyrillic а
        ("https://*.example.com", "https", "a.example.com", 443, true),
        ("https://*.example.com", "https", "a.b.EXAMPLE.com", 443, true),
        ("https://*.example.com", "https", "a.example.com.", 443, true),
        ("https://*.example.com", "https", "example.com", 443, false),
        ("https://*.example.com", "https", ".example.com", 443, false),
        ("https://*.example.com", "https", "a..example.com", 443, false),
        ("https://*.example.com", "https", "*.example.com", 443, false),
        ("https://*.example.com", "https", "evilexample.com", 443, false),
        ("https://*.example.com", "https", "a.example.com.evil.com", 443, false),
        ("https://*.example.com", "https", "evil.com/.example.com", 443, false),
        ("https://*.example.com", "https", "evil.com#.example.com", 443, false),
        ("https://*.example.com", "https", "evil.com\\.example.com", 443, false),
        ("https://*.example.com", "https", "evil.com%2f.example.com", 443, false),
        ("*://api.example.com", "http", "api.example.com", 80, true),
        ("*://api.example.com", "https", "api.example.com", 443, true),
        ("*://api.example.com", "http", "api.example.com", 443, false),
        ("*://api.example.com", "ws", "api.example.com", 80, false),
        ("http://localhost:*", "http", "localhost", 1, true),
        ("http://localhost:*", "http", "localhost", 65535, true),
        ("http://localhost:*", "http", "127.0.0.1", 80, false),
        ("http://some_service:8080", "http", "some_service", 8080, true),
        (&long, "http", &long[7..], 80, true),
    ];
    for (entry, scheme, host, port, allowed) in cases {
        assert_eq!(parse(entry).allows(scheme, host, port), allowed, "{entry}: {scheme} {host:?} {port}");
    }
}

#[test]
fn what_is_no_entry() {
    use InvalidOutboundHost as E;
    let long_label = format!("http://{}.com", "a".repeat(MAX_LABEL + 1));
    let long_name = format!("http://{}com", "a.".repeat(MAX_NAME / 2));
    let cases = [
        ("", E::NoScheme),
        ("example.com", E::NoScheme),
        ("example.com:443", E::NoScheme),
        ("://example.com", E::NoScheme),
        ("*", E::NoScheme),
        ("ftp://example.com", E::Scheme),
        (" http://example.com", E::Scheme),
        ("http://*", E::Everywhere),
        ("*://*:*", E::Everywhere),
        ("http://", E::Host),
        ("http:///", E::Host),
        ("http://:80", E::Host),
        ("http://.", E::Host),
        ("http://*.", E::Host),
        ("http://a.*.com", E::Host),
        ("http://*example.com", E::Host),
        ("http://*.*.com", E::Host),
        ("http://exa mple.com", E::Host),
        ("http://example.com ", E::Host),
        ("http://bücher.example", E::Host),
        ("http://a..b", E::Host),
        ("http://::1", E::Host),
        ("http://::1:80", E::Host),
        ("http://[::1", E::Host),
        ("http://[::1]x", E::Host),
        ("http://[127.0.0.1]", E::Host),
        ("http://[fe80::1%25eth0]", E::Host),
        (&long_label, E::Host),
        (&long_name, E::Host),
        ("http://127.1", E::OddAddress),
        ("http://2130706433", E::OddAddress),
        ("http://0x7f000001", E::OddAddress),
        ("http://1.2.3.4.5", E::OddAddress),
        ("http://0177.0.0.1", E::OddAddress),
        ("http://*.0.0.1", E::OddAddress),
        ("http://user@example.com", E::User),
        ("http://user:secret@example.com", E::User),
        ("http://example.com/v1", E::Path),
        ("http://example.com//", E::Path),
        ("http://example.com?x", E::Path),
        ("http://example.com#x", E::Path),
        ("http://example.com\\x", E::Path),
        ("http://example.com:", E::Port),
        ("http://example.com:0", E::Port),
        ("http://example.com:65536", E::Port),
        ("http://example.com:+80", E::Port),
        ("http://example.com:http", E::Port),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<OutboundHost>(), Err(expected), "{text:?}");
    }
}

proptest! {
    // Whatever parses, shows as something that parses to the same, and no text panics.
    #[test]
    fn shown_and_parsed_again(text in "(http|https|\\*)://(\\*\\.)?[a-z0-9.:\\[\\]_-]{1,20}(:[0-9*]{1,5})?/?|\\PC{0,40}") {
        if let Ok(entry) = text.parse::<OutboundHost>() {
            prop_assert_eq!(entry.to_string().parse(), Ok(entry));
        }
    }

    // What a guest sends as a host is not trusted.
    #[test]
    fn only_the_host_itself_is_allowed(host in "\\PC{0,20}|[a-z.]{0,3}example\\.com[.a-z:@/]{0,3}", port in any::<u16>()) {
        let allowed = parse("https://example.com").allows("https", &host, port);
        let same = port == 443 && matches!(host.as_str(), "example.com" | "example.com.");
        prop_assert_eq!(allowed, same);
    }
}

#[test]
fn text_and_bytes_give_the_entry_back() {
    let cases = [
        ("http://127.0.0.1:7002", "http://127.0.0.1:7002"),
        ("HTTPS://*.Example.com./", "https://*.example.com"),
        ("*://[2001:DB8:0::1]:*", "*://[2001:db8::1]:*"),
    ];
    for (text, shown) in cases {
        let entry = parse(text);
        assert_eq!(entry.to_string(), shown);
        assert_eq!(parse(shown), entry);
        let bytes = postcard::to_stdvec(&entry).expect("encodes");
        assert_eq!(postcard::from_bytes::<OutboundHost>(&bytes).expect("decodes"), entry);
    }
    let bytes = postcard::to_stdvec("http://*").expect("encodes");
    assert!(postcard::from_bytes::<OutboundHost>(&bytes).is_err());
}
