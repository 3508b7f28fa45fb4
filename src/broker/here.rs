//! Is an address this machine's own? A name may lead to it by a public one, past whatever keeps others out. The
//! system says so without a packet: who would send to itself does it from the same address. `dial` asks.
//!
//! An address that a router in front of it turns into this machine's own can't be seen from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Nothing is sent to it.
const PORT: u16 = 9;

/// What has no way to it is elsewhere.
pub(super) fn is_here(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let Ok(socket) = UdpSocket::bind((any, 0)) else { return false };
    socket.connect((address, PORT)).and_then(|()| socket.local_addr()).is_ok_and(|own| own.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this machine sends from to elsewhere. None where it has no way.
    fn own() -> Option<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.connect(("192.0.2.1", PORT)).ok()?;
        Some(socket.local_addr().unwrap().ip())
    }

    #[test]
    fn addresses_of_this_machine() {
        assert!(is_here(Ipv4Addr::LOCALHOST.into()));
        for elsewhere in ["192.0.2.1", "8.8.8.8", "2001:db8::1"] {
            assert!(!is_here(elsewhere.parse().unwrap()), "{elsewhere}");
        }
        if let Some(own) = own() {
            assert!(is_here(own), "{own}");
        }
    }
}
