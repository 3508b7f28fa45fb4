//! The keys of each table, and what somebody meant who wrote another one.
//!
//! This is the list that `document` checks keys against; a key that is read but not listed here fails a
//! debug assertion there.

/// A kind of table of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Top,
    Worker,
    Agent,
    Build,
    Folder,
    Recycle,
    Schedule,
    Limits,
    Dev,
    Deploy,
    Test,
}

/// How far a key may be from the known one that it is taken for, as a share of its length.
const MAX_DISTANCE_SHARE: usize = 3;

impl Table {
    const ALL: [Self; 11] = [
        Self::Top,
        Self::Worker,
        Self::Agent,
        Self::Build,
        Self::Folder,
        Self::Schedule,
        Self::Limits,
        Self::Dev,
        Self::Deploy,
        Self::Test,
        // Last: its `memory` is seldom what somebody meant elsewhere.
        Self::Recycle,
    ];

    /// As a user would write it, with "in" before it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Top => "at the top",
            Self::Worker => "in `[worker]`",
            Self::Agent => "in `[agent]`",
            Self::Build => "in a `build` table",
            Self::Folder => "in an entry of `folders`",
            Self::Recycle => "in a `recycle` table",
            Self::Schedule => "in `[[schedule]]`",
            Self::Limits => "in `[limits]`",
            Self::Dev => "in `[dev]`",
            Self::Deploy => "in `[deploy]`",
            Self::Test => "in `[test]`",
        }
    }

    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Top => {
                &["name", "version", "worker", "agent", "schedule", "limits", "dev", "deploy", "test"]
            }
            Self::Worker => &[
                "component",
                "listen",
                "workers",
                "balance",
                "instance",
                "concurrency",
                "queued-requests",
                "connections",
                "environment",
                "allowed-outbound-hosts",
                "folders",
                "build",
                "recycle",
                "secrets",
            ],
            Self::Recycle => &["requests", "age", "memory", "handles"],
            Self::Agent => {
                &["component", "environment", "allowed-outbound-hosts", "folders", "build", "secrets"]
            }
            Self::Build => &["command", "output", "tools", "wit", "live", "live-command"],
            Self::Folder => &["source", "destination", "writable"],
            Self::Schedule => &[
                "name",
                "interval",
                "cron",
                "timezone",
                "type",
                "immediate",
                "enabled",
                "overlap",
                "payload",
            ],
            Self::Limits => &[
                "memory",
                "request-timeout",
                "cpu-limit",
                "start-timeout",
                "stop-timeout",
                "hang-timeout",
                "message-size",
                "queue-size",
                "process-memory",
                "drain-timeout",
                "trap-limit",
                "header-size",
                "body-size",
                "header-timeout",
                "body-timeout",
                "write-timeout",
                "outbound-connections",
                "outbound-size",
                "app-memory",
                "message-rate",
                "log-rate",
                "open-files",
                "disk",
                "compile-time",
                "cpu-weight",
                "cpus",
            ],
            Self::Dev => &["with"],
            Self::Deploy => {
                &["health", "health-status", "health-timeout", "health-successes", "health-within"]
            }
            Self::Test => &["command"],
        }
    }

    /// Its short name, for a test that walks all keys.
    #[cfg(test)]
    fn name(self) -> &'static str {
        match self {
            Self::Top => "top",
            Self::Worker => "worker",
            Self::Agent => "agent",
            Self::Build => "build",
            Self::Folder => "folder",
            Self::Recycle => "recycle",
            Self::Schedule => "schedule",
            Self::Limits => "limits",
            Self::Dev => "dev",
            Self::Deploy => "deploy",
            Self::Test => "test",
        }
    }

    /// What to do about a key that this table does not have.
    pub(super) fn help_for(self, unknown: &str) -> String {
        let elsewhere = Self::ALL.into_iter().find(|table| table.keys().contains(&unknown));
        if let Some(near) = nearest(unknown, self.keys()) {
            format!("did you mean `{near}`?")
        } else if let Some(table) = elsewhere {
            format!("`{unknown}` belongs {}", table.title())
        } else {
            format!("the keys {} are {}", self.title(), list(self.keys()))
        }
    }
}

/// Every key of every table, with the table's short name.
#[cfg(test)]
pub(crate) fn every_key() -> impl Iterator<Item = (&'static str, &'static str)> {
    Table::ALL.into_iter().flat_map(|table| table.keys().iter().map(move |key| (table.name(), *key)))
}

/// The known word that is close enough to be meant, if any.
pub(super) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let longest = known.iter().map(|word| word.len()).max().unwrap_or(0);
    if unknown.len() > 2 * longest {
        return None; // and no time is spent on a megabyte
    }
    let near = known.iter().map(|word| (strsim::damerau_levenshtein(unknown, word), *word));
    let (distance, word) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len() / MAX_DISTANCE_SHARE).max(1)).then_some(word)
}

/// `a`, `b` and `c`.
pub(super) fn list(words: &[&str]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        text += match at {
            0 => "",
            _ if at + 1 == words.len() => " and ",
            _ => ", ",
        };
        text += &format!("`{word}`");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_as_a_table() {
        let cases = [
            (Table::Worker, "allowed_outbound_hosts", "did you mean `allowed-outbound-hosts`?"),
            (Table::Worker, "lisen", "did you mean `listen`?"),
            (Table::Worker, "worker", "did you mean `workers`?"),
            (Table::Top, "workr", "did you mean `worker`?"),
            (Table::Top, "listen", "`listen` belongs in `[worker]`"),
            (Table::Agent, "concurrency", "`concurrency` belongs in `[worker]`"),
            (Table::Worker, "memory", "`memory` belongs in `[limits]`"),
            (
                Table::Build,
                "port",
                "the keys in a `build` table are `command`, `output`, `tools`, `wit`, `live` and `live-command`",
            ),
            (Table::Dev, "", "the keys in `[dev]` are `with`"),
            (Table::Deploy, "health_timeout", "did you mean `health-timeout`?"),
            (Table::Worker, "health", "`health` belongs in `[deploy]`"),
        ];
        for (table, unknown, expected) in cases {
            assert_eq!(table.help_for(unknown), expected, "{table:?} {unknown}");
        }
        assert_eq!(nearest(&"listen".repeat(100_000), Table::Worker.keys()), None);
    }
}
