//! What a broker allows. Pure: hosts and addresses in, a decision out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    cluster::{Origin, Role, Why},
    home::OutboundPolicy,
    ipc::broker::BrokerBoot,
    manifest::{Destination, OutboundHost, Special},
};

/// The most addresses of one name that are tried.
pub(super) const MAX_ADDRESSES: usize = 4;

/// What the app is granted, and what the home leaves of it.
#[derive(Debug)]
pub(super) struct Rules {
    agent: Vec<OutboundHost>,
    worker: Vec<OutboundHost>,
    policy: OutboundPolicy,
}

/// How to get there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To one of these, which are checked.
    Addresses(Vec<IpAddr>),
    /// By a name, whose addresses are to be checked by [`choose`].
    Name(String),
}

impl Rules {
    pub(super) fn new(boot: BrokerBoot) -> Self {
        Self { agent: boot.agent, worker: boot.worker, policy: boot.policy }
    }

    /// May a process of this role go there?
    pub(super) fn way(&self, role: Role, to: &Origin) -> Result<Way, Why> {
        let granted = match role {
            Role::Agent => &self.agent,
            Role::Worker => &self.worker,
        };
        let allows = |host: &OutboundHost| host.allows(to.scheme.as_str(), &to.host, to.port);
        let destination = Destination::parse(&to.host).ok_or(Why::Manifest)?;
        if to.port == 0 || !granted.iter().any(allows) {
            return Err(Why::Manifest);
        }
        if self.policy.hosts.as_ref().is_some_and(|hosts| !hosts.iter().any(allows)) {
            return Err(Why::Policy);
        }
        // What is allowed is named: an entry for an address is that address, and no pattern has one in it.
        let named = match destination {
            Destination::Name(name) => return Ok(Way::Name(name)),
            Destination::Address(address) => vec![address],
            Destination::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        };
        if !self.policy.private && named.iter().any(|address| Special::of(*address).is_some()) {
            return Err(Why::Policy);
        }
        Ok(Way::Addresses(named))
    }
}

/// Of the addresses that a name leads to, those that may be tried, in this order. None: why. Which are this
/// machine's own, `here` says.
pub(super) fn choose(
    found: impl IntoIterator<Item = IpAddr>,
    here: impl Fn(IpAddr) -> bool,
) -> Result<Vec<IpAddr>, Option<Why>> {
    let (mut chosen, mut special) = (vec![], None);
    for address in found {
        if chosen.len() >= MAX_ADDRESSES {
            break;
        }
        if Special::of(address).is_some() || here(address) {
            special.get_or_insert(Why::Address(address));
        } else if !chosen.contains(&address) {
            chosen.push(address);
        }
    }
    if chosen.is_empty() { Err(special) } else { Ok(chosen) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{cluster::Scheme, ipc::broker::BrokerLimits};

    fn hosts(entries: &[&str]) -> Vec<OutboundHost> {
        entries.iter().map(|entry| entry.parse().unwrap()).collect()
    }

    fn rules(policy: OutboundPolicy) -> Rules {
        Rules::new(BrokerBoot {
            app: "a".to_owned(),
            agent: hosts(&["http://agent.example"]),
            worker: hosts(&[
                "http://127.0.0.1:7002",
                "http://169.254.169.254",
                "*://localhost:*",
                "https://*.example.com",
                "https://[64:ff9b::a00:1]",
                "http://8.8.8.8",
            ]),
            policy,
            hang_timeout: Duration::from_secs(10),
            limits: BrokerLimits::default(),
        })
    }

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn ways_as_a_table() {
        let rules = rules(OutboundPolicy { hosts: None, private: true });
        let at = |list: &[&str]| Ok(Way::Addresses(addresses(list)));
        let by = |name: &str| Ok(Way::Name(name.to_owned()));
        let local = at(&["127.0.0.1", "::1"]);
        for (scheme, host, port, expected) in [
            (Scheme::Http, "127.0.0.1", 7002, at(&["127.0.0.1"])),
            (Scheme::Http, "[::ffff:127.0.0.1]", 7002, at(&["127.0.0.1"])),
            (Scheme::Http, "127.0.0.1", 7003, Err(Why::Manifest)),
            (Scheme::Https, "127.0.0.1", 7002, Err(Why::Manifest)),
            (Scheme::Http, "127.1", 7002, Err(Why::Manifest)),
            (Scheme::Http, "2130706433", 7002, Err(Why::Manifest)),
            (Scheme::Http, "0177.0.0.1", 7002, Err(Why::Manifest)),
            (Scheme::Http, "169.254.169.254", 80, at(&["169.254.169.254"])),
            (Scheme::Http, "169.254.169.253", 80, Err(Why::Manifest)),
            (Scheme::Http, "LOCALHOST.", 1, local),
            (Scheme::Http, "localhost", 0, Err(Why::Manifest)),
            (Scheme::Https, "a.localhost", 443, Err(Why::Manifest)),
            (Scheme::Https, "API.example.com", 443, by("api.example.com")),
            (Scheme::Https, "127.0.0.1.example.com", 443, by("127.0.0.1.example.com")),
            (Scheme::Http, "api.example.com", 80, Err(Why::Manifest)),
            (Scheme::Https, "[64:ff9b::10.0.0.1]", 443, at(&["64:ff9b::a00:1"])),
            (Scheme::Http, "agent.example", 80, Err(Why::Manifest)),
            (Scheme::Http, "", 80, Err(Why::Manifest)),
        ] {
            let to = Origin { scheme, host: host.to_owned(), port };
            assert_eq!(rules.way(Role::Worker, &to), expected, "{to}");
        }
        let to = Origin { scheme: Scheme::Http, host: "agent.example".to_owned(), port: 80 };
        assert_eq!(rules.way(Role::Agent, &to), by("agent.example"));
    }

    #[test]
    fn a_policy_takes_away() {
        let only = |entries: &[&str]| OutboundPolicy { hosts: Some(hosts(entries)), private: true };
        let public = OutboundPolicy { hosts: None, private: false };
        for (policy, scheme, host, port, denied) in [
            (only(&[]), Scheme::Http, "127.0.0.1", 7002, true),
            (only(&["http://127.0.0.1:7002"]), Scheme::Http, "127.0.0.1", 7002, false),
            (only(&["https://a.example.com"]), Scheme::Https, "a.example.com", 443, false),
            (only(&["https://a.example.com"]), Scheme::Https, "b.example.com", 443, true),
            (public.clone(), Scheme::Http, "127.0.0.1", 7002, true),
            (public.clone(), Scheme::Http, "localhost", 80, true),
            (public.clone(), Scheme::Http, "169.254.169.254", 80, true),
            (public.clone(), Scheme::Http, "8.8.8.8", 80, false),
            (public, Scheme::Https, "a.example.com", 443, false),
        ] {
            let to = Origin { scheme, host: host.to_owned(), port };
            let found = rules(policy).way(Role::Worker, &to);
            assert_eq!(found == Err(Why::Policy), denied, "{to}: {found:?}");
            assert_eq!(found.is_ok(), !denied, "{to}");
        }
    }

    #[test]
    fn choices_as_a_table() {
        for (found, expected) in [
            (&[][..], Err(None)),
            (&["127.0.0.1"], Err(Some("127.0.0.1"))),
            (&["10.0.0.1", "169.254.169.254"], Err(Some("10.0.0.1"))),
            (&["::ffff:8.8.8.8"], Err(Some("::ffff:8.8.8.8"))),
            (&["8.8.8.8"], Ok(&["8.8.8.8"][..])),
            (&["127.0.0.1", "8.8.8.8", "fd00::1"], Ok(&["8.8.8.8"])),
            // This machine's own.
            (&["9.9.9.9"], Err(Some("9.9.9.9"))),
            (&["9.9.9.9", "8.8.8.8"], Ok(&["8.8.8.8"])),
            (&["8.8.8.8", "8.8.8.8", "8.8.4.4"], Ok(&["8.8.8.8", "8.8.4.4"])),
            (
                &["1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4", "1.0.0.5"],
                Ok(&["1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4"]),
            ),
        ] {
            let expected = expected
                .map(addresses)
                .map_err(|why| why.map(|address: &str| Why::Address(address.parse().unwrap())));
            let here = |address: IpAddr| address == IpAddr::from([9, 9, 9, 9]);
            assert_eq!(choose(addresses(found), here), expected, "{found:?}");
        }
    }
}
