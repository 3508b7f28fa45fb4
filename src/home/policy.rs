//! What apps may ask for in this home, in `policy.toml`. Read anew for each deploy; what it decides is
//! `policy::check`'s, and pure.
//!
//! What it does not mention is allowed. `[app.NAME]` takes the place of `[any]`, key by key.

mod check;
pub(super) mod names;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    ops::RangeInclusive,
    path::Path,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use self::names::Names;
use super::{Home, read::read};
use crate::manifest::{App, OutboundHost};

/// The most bytes of the file.
const MAX_POLICY: u64 = 256 << 10;

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    any: Rules,
    app: BTreeMap<String, Rules>,
}

/// What one app, or any, may ask for: the most of each, or what may be named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Rules {
    workers: Option<NonZeroU32>,
    /// Of one instance.
    memory: Option<ByteSize>,
    listen: Option<Vec<Place>>,
    outbound_hosts: Option<Vec<OutboundHost>>,
    writable_folders: Option<bool>,
    /// May an entry name loopback, a private network and the like? What it names then is granted.
    outbound_private: Option<bool>,
    /// Names, `*` for any run of characters.
    environment: Option<Names>,
    secrets: Option<Names>,
    concurrency: Option<u64>,
    queued_requests: Option<u64>,
    /// Of one worker.
    connections: Option<u64>,
    /// How many.
    schedules: Option<u64>,
    /// Of one process, also where the manifest leaves it to the default.
    process_memory: Option<ByteSize>,
    app_memory: Option<ByteSize>,
    request_timeout: Option<Time>,
    cpu_limit: Option<Time>,
    cpu_weight: Option<u64>,
    start_timeout: Option<Time>,
    stop_timeout: Option<Time>,
    hang_timeout: Option<Time>,
    drain_timeout: Option<Time>,
    message_size: Option<ByteSize>,
    message_rate: Option<u64>,
    /// Bytes of messages that wait for one process.
    queue_size: Option<ByteSize>,
    trap_limit: Option<u64>,
    header_size: Option<ByteSize>,
    body_size: Option<ByteSize>,
    header_timeout: Option<Time>,
    body_timeout: Option<Time>,
    write_timeout: Option<Time>,
    log_rate: Option<ByteSize>,
    open_files: Option<u64>,
    disk: Option<ByteSize>,
    compile_time: Option<Time>,
    outbound_connections: Option<u64>,
    /// Of one request and its response.
    outbound_size: Option<ByteSize>,
    cpus: Option<f64>,
}

/// What a broker must know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundPolicy {
    /// `None`: any.
    pub hosts: Option<Vec<OutboundHost>>,
    /// May addresses be named that names must not lead to?
    pub private: bool,
}

/// `30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = humantime::parse_duration(&text);
        time.map(Self).map_err(|cause| format!("{text:?} is no duration such as \"30s\": {cause}"))
    }
}

/// One thing that an app asks for and may not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// The manifest's key, as in `limits.memory`.
    pub key: String,
    /// What the app asks for, in words.
    pub asked: String,
    /// What it may ask for; `none` where that is nothing.
    pub allowed: String,
}

/// `127.0.0.1`, `127.0.0.1:8080`, `[::1]:8000-8999`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Place {
    text: String,
    address: IpAddr,
    /// 0 stands for any free port.
    ports: RangeInclusive<u16>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no address, with or without a port or two ports with `-` between");
        let (address, ports) = match text.parse::<IpAddr>() {
            Ok(address) => (address, 0..=u16::MAX),
            Err(_) => {
                let (address, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
                let address = address.trim_start_matches('[').trim_end_matches(']');
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                let port = |text: &str| text.parse().map_err(|_| wrong());
                let ports = port(first)?..=port(last)?;
                if ports.is_empty() {
                    return Err(format!("{text:?} has no port: its first one is after its last"));
                }
                (address.parse().map_err(|_| wrong())?, ports)
            }
        };
        Ok(Self { text: text.to_owned(), address, ports })
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Place {
    fn allows(&self, listen: SocketAddr) -> bool {
        self.address == listen.ip() && self.ports.contains(&listen.port())
    }
}

impl Policy {
    /// The home's; one that allows everything where there is no file.
    ///
    /// # Errors
    /// The file can't be read or isn't right: then nothing may be deployed.
    pub fn load(home: &Home) -> anyhow::Result<Self> {
        Self::load_in(home.folder())
    }

    /// The same, of a folder that may be no home yet.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_in(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self::in_file(&folder.join("policy.toml"))?.unwrap_or_default())
    }

    /// One in any file.
    ///
    /// # Errors
    /// As [`Self::load`]; there is no such file.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        match Self::in_file(file)? {
            Some(policy) => Ok(policy),
            None => bail!("there is no policy {}; name a file that is there", file.display()),
        }
    }

    fn in_file(file: &Path) -> anyhow::Result<Option<Self>> {
        let Some(text) = read(file, MAX_POLICY)? else { return Ok(None) };
        toml::from_str(&text).with_context(|| format!("{} is not right", file.display()))
    }

    /// Where requests of an app of this name may go, whatever its manifest says.
    #[must_use]
    pub fn outbound(&self, app: &str) -> OutboundPolicy {
        OutboundPolicy {
            hosts: self.rule(app, |rules| rules.outbound_hosts.as_ref()).cloned(),
            private: self.rule(app, |rules| rules.outbound_private).unwrap_or(true),
        }
    }

    /// # Errors
    /// What the app asks for beyond it, each by name.
    pub fn check(&self, app: &App) -> anyhow::Result<()> {
        let beyond: Vec<String> = self.beyond(app).iter().map(ToString::to_string).collect();
        if !beyond.is_empty() {
            bail!("the home's policy.toml does not allow what {} asks for: {}", app.name, beyond.join("; "));
        }
        Ok(())
    }

    /// What is said of this app: by its own table, else by that for all.
    fn rule<'a, T>(&'a self, app: &str, of: impl Fn(&'a Rules) -> Option<T>) -> Option<T> {
        self.app.get(app).and_then(&of).or_else(|| of(&self.any))
    }
}
