//! Addresses that are not the internet's at large: this machine, its network, the cloud that it runs in.
//!
//! A name must not lead to one (it could be made to at any moment: DNS rebinding). Only an entry of
//! `allowed-outbound-hosts` that has the address itself grants it, or `localhost`. Pure; the `broker` asks
//! for every address before it dials, and `home::policy` at a deploy.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// This machine.
    Loopback,
    /// No address, which Linux takes for this machine.
    Unspecified,
    /// Where clouds tell a machine its secrets.
    Metadata,
    /// The next wire.
    LinkLocal,
    /// A private network.
    Private,
    /// A provider's network (CGNAT).
    Shared,
    /// Many at once.
    Multicast,
    /// All at once.
    Broadcast,
    /// For examples.
    Documentation,
    /// For measurements of networks.
    Benchmarking,
    /// An IPv6 address with an IPv4 one in it, which a gateway would take out.
    Embedded,
    /// Anything else that is nobody's.
    Reserved,
}

impl Special {
    /// Its kind; `None` for what anybody on the internet may have.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Option<Special> {
    let kind = match address.octets() {
        [0, ..] => Special::Unspecified,
        [169, 254, 169, 254] | [100, 100, 100, 200] | [192, 0, 0, 192] => Special::Metadata,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Special::Private,
        [100, 64..=127, ..] => Special::Shared,
        [127, ..] => Special::Loopback,
        [169, 254, ..] => Special::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Special::Documentation,
        [198, 18..=19, ..] => Special::Benchmarking,
        [224..=239, ..] => Special::Multicast,
        [255, 255, 255, 255] => Special::Broadcast,
        // IETF protocols, relays of 6to4, and class E.
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Special::Reserved,
        _ => return None,
    };
    Some(kind)
}

fn of_v6(address: Ipv6Addr) -> Option<Special> {
    let kind = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Special::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Special::Loopback,
        // Compatible; mapped; translated (SIIT); NAT64, well-known and local; Teredo; 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [0x64, 0xff9b, 1, ..]
        | [0x2001, 0, ..]
        | [0x2002, ..] => Special::Embedded,
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => Special::Metadata,
        // Unique local, and the former site-local.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Special::Private,
        [0xfe80..=0xfebf, ..] => Special::LinkLocal,
        [0xff00..=0xffff, ..] => Special::Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Special::Documentation,
        [0x2001, 2, 0, ..] => Special::Benchmarking,
        // IETF protocols; then all that is not global unicast.
        [0x2001, 0..=0x1ff, ..] => Special::Reserved,
        [0x2000..=0x3fff, ..] => return None,
        _ => Special::Reserved,
    };
    Some(kind)
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Metadata => "metadata",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Embedded => "IPv4 within IPv6",
            Self::Reserved => "reserved",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_as_a_table() {
        use Special as S;
        for (address, expected) in [
            ("0.0.0.0", Some(S::Unspecified)),
            ("0.255.255.255", Some(S::Unspecified)),
            ("1.0.0.0", None),
            ("1.1.1.1", None),
            ("8.8.8.8", None),
            ("9.255.255.255", None),
            ("10.0.0.0", Some(S::Private)),
            ("10.255.255.255", Some(S::Private)),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.64.0.0", Some(S::Shared)),
            ("100.100.100.200", Some(S::Metadata)),
            ("100.127.255.255", Some(S::Shared)),
            ("100.128.0.0", None),
            ("126.255.255.255", None),
            ("127.0.0.1", Some(S::Loopback)),
            ("127.255.255.255", Some(S::Loopback)),
            ("128.0.0.0", None),
            ("169.253.255.255", None),
            ("169.254.0.0", Some(S::LinkLocal)),
            ("169.254.169.254", Some(S::Metadata)),
            ("169.254.170.2", Some(S::LinkLocal)),
            ("169.254.255.255", Some(S::LinkLocal)),
            ("169.255.0.0", None),
            ("172.15.255.255", None),
            ("172.16.0.0", Some(S::Private)),
            ("172.31.255.255", Some(S::Private)),
            ("172.32.0.0", None),
            ("192.0.0.1", Some(S::Reserved)),
            ("192.0.0.192", Some(S::Metadata)),
            ("192.0.1.0", None),
            ("192.0.2.1", Some(S::Documentation)),
            ("192.88.99.1", Some(S::Reserved)),
            ("192.167.255.255", None),
            ("192.168.0.0", Some(S::Private)),
            ("192.168.255.255", Some(S::Private)),
            ("192.169.0.0", None),
            ("198.17.255.255", None),
            ("198.18.0.0", Some(S::Benchmarking)),
            ("198.19.255.255", Some(S::Benchmarking)),
            ("198.20.0.0", None),
            ("198.51.100.1", Some(S::Documentation)),
            ("203.0.113.1", Some(S::Documentation)),
            ("223.255.255.255", None),
            ("224.0.0.1", Some(S::Multicast)),
            ("239.255.255.255", Some(S::Multicast)),
            ("240.0.0.0", Some(S::Reserved)),
            ("255.255.255.254", Some(S::Reserved)),
            ("255.255.255.255", Some(S::Broadcast)),
            ("::", Some(S::Unspecified)),
            ("::1", Some(S::Loopback)),
            ("::2", Some(S::Embedded)),
            ("::127.0.0.1", Some(S::Embedded)),
            ("::8.8.8.8", Some(S::Embedded)),
            ("::ffff:127.0.0.1", Some(S::Embedded)),
            ("::ffff:8.8.8.8", Some(S::Embedded)),
            ("::ffff:0:127.0.0.1", Some(S::Embedded)),
            ("64:ff9b::169.254.169.254", Some(S::Embedded)),
            ("64:ff9b::1:0:0:1", Some(S::Reserved)),
            ("64:ff9b:1::1", Some(S::Embedded)),
            ("64:ff9b:1:ffff::a00:1", Some(S::Embedded)),
            ("64:ff9b:2::1", Some(S::Reserved)),
            ("100::1", Some(S::Reserved)),
            ("2001::1", Some(S::Embedded)),
            ("2001:0:7f00:1::", Some(S::Embedded)),
            ("2001:2::1", Some(S::Benchmarking)),
            ("2001:20::1", Some(S::Reserved)),
            ("2001:1ff::1", Some(S::Reserved)),
            ("2001:200::1", None),
            ("2001:db8::1", Some(S::Documentation)),
            ("2001:db7::1", None),
            ("2001:4860:4860::8888", None),
            ("2002:7f00:1::", Some(S::Embedded)),
            ("2003::1", None),
            ("2606:4700::1111", None),
            ("3ffe::1", None),
            ("3fff:fff::1", Some(S::Documentation)),
            ("3fff:1000::1", None),
            ("4000::1", Some(S::Reserved)),
            ("5f00::1", Some(S::Reserved)),
            ("fbff::1", Some(S::Reserved)),
            ("fc00::1", Some(S::Private)),
            ("fd00:ec2::254", Some(S::Metadata)),
            ("fd00:ec2::253", Some(S::Private)),
            ("fdff:ffff::1", Some(S::Private)),
            ("fe00::1", Some(S::Reserved)),
            ("fe80::1", Some(S::LinkLocal)),
            ("febf::1", Some(S::LinkLocal)),
            ("fec0::1", Some(S::Private)),
            ("ff02::1", Some(S::Multicast)),
        ] {
            assert_eq!(Special::of(address.parse().unwrap()), expected, "{address}");
        }
    }
}
