//! What an app was denied outside: a ledger with a bound, for `status`, and one line in the log for each
//! origin, however often it is denied. An app's generations share it; brokers and children report.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::status::Denied;
use crate::{
    cluster::{Denials, MAX_HOST, Origin, Why},
    ipc::denials::MAX_ORIGINS,
    log::printable,
    manifest::{Destination, OutboundHost},
};

/// Origins that are counted apart; the others are counted together.
const MAX_ENTRIES: usize = 64;

/// Clones are the same one.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Inner>);

struct Inner {
    app: String,
    denials: Mutex<Denials>,
}

impl Ledger {
    pub(crate) fn new(app: &str) -> Self {
        Self(Arc::new(Inner { app: app.to_owned(), denials: Mutex::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Denials> {
        self.0.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A report came. It is from a process next to a guest: no more than a report has is taken.
    pub(crate) fn add(&self, report: Denials) {
        let Denials { counts, more } = report;
        let mut denials = self.lock();
        let was_full = denials.more > 0;
        denials.more = denials.more.saturating_add(more);
        for ((origin, why), times) in counts.into_iter().take(MAX_ORIGINS) {
            let origin = clean(origin);
            if denials.add(origin.clone(), why, times, MAX_ENTRIES) {
                let Denied { origin, reason, allow, .. } = entry(&origin, why, times);
                let help = allow.map(|line| format!("; {line} would allow it")).unwrap_or_default();
                tracing::warn!(app = self.0.app, "request to {origin} denied: {reason}{help}");
            }
        }
        if denials.more > 0 && !was_full {
            tracing::warn!(app = self.0.app, "more requests denied than are listed apart");
        }
    }

    /// All entries, the most often denied first, and how many requests have none.
    pub(crate) fn entries(&self) -> (Vec<Denied>, u64) {
        let denials = self.lock();
        let entries = denials.counts.iter().map(|((origin, why), count)| entry(origin, *why, *count));
        let mut entries: Vec<Denied> = entries.collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.count));
        (entries, denials.more)
    }
}

/// In one spelling where it is right; harmless for a terminal in any case.
fn clean(mut origin: Origin) -> Origin {
    origin.host = match Destination::parse(&origin.host) {
        Some(host) => host.to_string(),
        None => printable(origin.host.get(..origin.host.floor_char_boundary(MAX_HOST)).unwrap_or_default())
            .to_string(),
    };
    origin
}

fn entry(origin: &Origin, why: Why, count: u64) -> Denied {
    let named = Origin {
        host: match why {
            Why::Address(address) => Destination::Address(address).to_string(),
            Why::Manifest | Why::Policy => origin.host.clone(),
        },
        ..origin.clone()
    };
    let is_right = named.port != 0 && named.to_string().parse::<OutboundHost>().is_ok();
    let line = format!("allowed-outbound-hosts = [\"{named}\"]");
    let (reason, allow) = match why {
        Why::Manifest if is_right => ("the manifest does not name it".to_owned(), Some(line)),
        Why::Manifest => ("this is no host".to_owned(), None),
        Why::Policy => ("the home's policy.toml does not allow it".to_owned(), None),
        Why::Address(address) => {
            (format!("its name leads to {address}, and such an address must be named itself"), Some(line))
        }
    };
    Denied { origin: origin.to_string(), count, reason, allow }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Scheme;

    fn origin(host: &str, port: u16) -> Origin {
        Origin { scheme: Scheme::Http, host: host.to_owned(), port }
    }

    fn report(entries: &[(&str, u16, Why, u64)]) -> Denials {
        let mut report = Denials::default();
        for (host, port, why, times) in entries {
            report.add(origin(host, *port), *why, *times, usize::MAX);
        }
        report
    }

    #[test]
    fn entries_as_a_table() {
        let ledger = Ledger::new("a");
        let metadata = "169.254.169.254".parse().unwrap();
        ledger.add(report(&[
            ("API.example.com.", 80, Why::Manifest, 9),
            ("127.0.0.1", 7002, Why::Manifest, 8),
            ("rebinds.example", 80, Why::Address(metadata), 7),
            ("rebinds.example", 80, Why::Address("fd00:ec2::254".parse().unwrap()), 6),
            ("a.com", 81, Why::Policy, 5),
            ("127.1", 80, Why::Manifest, 4),
            ("x\u{1b}[31m", 80, Why::Manifest, 3),
        ]));
        let (entries, more) = ledger.entries();
        assert_eq!(more, 0);
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| (entry.origin.as_str(), entry.count, entry.allow.as_deref()))
            .collect();
        assert_eq!(
            shown[..6],
            [
                ("http://api.example.com", 9, Some("allowed-outbound-hosts = [\"http://api.example.com\"]")),
                ("http://127.0.0.1:7002", 8, Some("allowed-outbound-hosts = [\"http://127.0.0.1:7002\"]")),
                ("http://rebinds.example", 7, Some("allowed-outbound-hosts = [\"http://169.254.169.254\"]")),
                ("http://rebinds.example", 6, Some("allowed-outbound-hosts = [\"http://[fd00:ec2::254]\"]")),
                ("http://a.com:81", 5, None),
                ("http://127.1", 4, None),
            ]
        );
        assert!(!shown[6].0.contains('\u{1b}'), "{:?}", shown[6]);
        ledger.add(report(&[("api.EXAMPLE.com", 80, Why::Manifest, 1)]));
        assert_eq!(ledger.entries().0[0].count, 10);
    }

    #[test]
    fn a_flood_is_bounded() {
        let ledger = Ledger::new("a");
        for round in 0..10 {
            let hosts: Vec<String> = (0..100).map(|number| format!("h{round}-{number:03}.example")).collect();
            let entries: Vec<_> = hosts.iter().map(|host| (host.as_str(), 80, Why::Manifest, 1)).collect();
            ledger.add(report(&entries));
        }
        let (entries, more) = ledger.entries();
        assert_eq!((entries.len(), more), (MAX_ENTRIES, 10 * MAX_ORIGINS as u64 - MAX_ENTRIES as u64));
        let long = "a".repeat(100_000);
        let other = Ledger::new("b");
        other.add(report(&[(&long, 80, Why::Manifest, 1)]));
        assert!(other.entries().0[0].origin.len() < 300);
    }
}
