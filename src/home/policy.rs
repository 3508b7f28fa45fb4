//! What apps may ask for in this home, in `policy.toml`. Read anew for each deploy; [`Policy::check`] is pure.
//!
//! What it does not mention is allowed. `[app.NAME]` takes the place of `[any]`, key by key.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    ops::RangeInclusive,
    path::Path,
    str::FromStr,
};

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

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

/// What one app, or any, may ask for.
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
}

/// What a broker must know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundPolicy {
    /// `None`: any.
    pub hosts: Option<Vec<OutboundHost>>,
    /// May addresses be named that names must not lead to?
    pub private: bool,
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
        let file = folder.join("policy.toml");
        let Some(text) = read(&file, MAX_POLICY)? else { return Ok(Self::default()) };
        toml::from_str(&text).with_context(|| format!("{} is not right", file.display()))
    }

    /// Where requests of an app of this name may go, whatever its manifest says.
    #[must_use]
    pub fn outbound(&self, app: &str) -> OutboundPolicy {
        let own = self.app.get(app);
        OutboundPolicy {
            hosts: self.rule(own, |rules| rules.outbound_hosts.as_ref()).cloned(),
            private: *self.rule(own, |rules| rules.outbound_private.as_ref()).unwrap_or(&true),
        }
    }

    /// # Errors
    /// What the app asks for beyond it, each by name.
    pub fn check(&self, app: &App) -> anyhow::Result<()> {
        let own = self.app.get(&app.name);
        let mut beyond = vec![];
        if let Some(worker) = &app.worker {
            if let Some(most) = self.rule(own, |rules| rules.workers.as_ref())
                && worker.workers > *most
            {
                beyond.push(format!("{} workers (it allows {most})", worker.workers));
            }
            if let Some(places) = self.rule(own, |rules| rules.listen.as_ref())
                && !places.iter().any(|place| place.allows(worker.listen))
            {
                let allowed = list(places.iter().map(|place| &place.text));
                beyond.push(format!("to listen on {} (it allows {allowed})", worker.listen));
            }
        }
        if let Some(most) = self.rule(own, |rules| rules.memory.as_ref())
            && app.limits.memory as u64 > most.0
        {
            beyond.push(format!("{} of memory (it allows {most})", ByteSize(app.limits.memory as u64)));
        }
        let hosts = self.rule(own, |rules| rules.outbound_hosts.as_ref());
        let private = self.rule(own, |rules| rules.outbound_private.as_ref()) != Some(&false);
        let writable = self.rule(own, |rules| rules.writable_folders.as_ref());
        for (role, component) in app.components() {
            let capabilities = &component.capabilities;
            for wanted in &capabilities.allowed_outbound_hosts {
                let is_covered = hosts.is_none_or(|hosts| hosts.iter().any(|host| host.covers(wanted)));
                if !is_covered || (!private && wanted.names_special()) {
                    beyond.push(format!("requests of the {role} to {wanted}"));
                }
            }
            for folder in capabilities.folders.iter().filter(|folder| folder.writable) {
                if writable == Some(&false) {
                    beyond.push(format!("the {role} to write to the folder {}", folder.destination));
                }
            }
        }
        if !beyond.is_empty() {
            bail!("the home's policy.toml does not allow what {} asks for: {}", app.name, beyond.join("; "));
        }
        Ok(())
    }

    fn rule<'a, T>(
        &'a self,
        own: Option<&'a Rules>,
        of: impl Fn(&'a Rules) -> Option<&'a T>,
    ) -> Option<&'a T> {
        own.and_then(&of).or_else(|| of(&self.any))
    }
}

fn list(words: impl Iterator<Item = impl fmt::Display>) -> String {
    let words: Vec<String> = words.map(|word| word.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::manifest;

    const POLICY: &str = "
        [any]
        workers = 4
        memory = '128MiB'
        listen = ['127.0.0.1', '[::1]:8000-8999', '0.0.0.0:80']
        outbound-hosts = ['https://*.example.com']
        writable-folders = false

        [app.public]
        outbound-hosts = ['*://localhost:*', 'http://10.0.0.1', 'https://a.com']
        outbound-private = false

        [app.big]
        workers = 64
        listen = []
    ";

    fn app(name: &str, worker: &str, limits: &str) -> App {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("w.wasm"), "").unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let text = format!(
            "name = '{name}'\nversion = '1'\n[worker]\ncomponent = 'w.wasm'\n{worker}\n[limits]\n{limits}\n"
        );
        fs::write(folder.path().join("hatchery.toml"), text).unwrap();
        manifest::load(folder.path()).unwrap()
    }

    #[test]
    fn what_is_asked_for_as_a_table() {
        let policy: Policy = toml::from_str(POLICY).unwrap();
        let worker = |listen, workers| format!("listen = '{listen}'\nworkers = {workers}\n");
        let (any, little) = ("127.0.0.1:0", "memory = '1MiB'");
        let with = |keys: &str| worker(any, 1) + keys;
        for (name, worker, limits, refused) in [
            ("small", worker(any, 4), "memory = '128MiB'", None),
            ("small", worker(any, 1), "memory = '129MiB'", Some("of memory (it allows 128.0 MiB)")),
            ("small", worker(any, 5), little, Some("5 workers (it allows 4)")),
            ("big", worker(any, 5), little, Some("to listen on 127.0.0.1:0 (it allows none)")),
            ("small", worker("[::1]:8500", 1), little, None),
            ("small", worker("[::1]:9000", 1), little, Some("to listen on [::1]:9000")),
            ("small", worker("0.0.0.0:81", 1), little, Some("to listen on 0.0.0.0:81")),
            ("small", with("allowed-outbound-hosts = ['https://api.example.com']"), little, None),
            (
                "small",
                with("allowed-outbound-hosts = ['http://api.example.com']"),
                little,
                Some("requests of the worker to http://api.example.com"),
            ),
            ("public", with("allowed-outbound-hosts = ['https://a.com']"), little, None),
            (
                "public",
                with("allowed-outbound-hosts = ['http://localhost']"),
                little,
                Some("requests of the worker to http://localhost"),
            ),
            (
                "public",
                with("allowed-outbound-hosts = ['http://10.0.0.1']"),
                little,
                Some("requests of the worker to http://10.0.0.1"),
            ),
            (
                "small",
                with("folders = [{ source = 'data', destination = '/d', writable = true }]"),
                little,
                Some("the worker to write to the folder /d"),
            ),
            ("small", with("folders = [{ source = 'data', destination = '/d' }]"), little, None),
        ] {
            let checked = policy.check(&app(name, &worker, limits)).map_err(|error| error.to_string());
            match (refused, checked) {
                (None, checked) => assert_eq!(checked, Ok(()), "{worker}"),
                (Some(part), checked) => {
                    let error = checked.expect_err(part);
                    assert!(error.contains(part), "{error}");
                }
            }
            Policy::default().check(&app(name, &worker, limits)).unwrap();
        }
    }

    #[test]
    fn outbound_as_a_table() {
        let policy: Policy = toml::from_str(POLICY).unwrap();
        for (app, hosts, private) in [
            ("small", &["https://*.example.com"][..], true),
            ("big", &["https://*.example.com"], true),
            ("public", &["*://localhost:*", "http://10.0.0.1", "https://a.com"], false),
        ] {
            let hosts = Some(hosts.iter().map(|host| host.parse().unwrap()).collect());
            assert_eq!(policy.outbound(app), OutboundPolicy { hosts, private }, "{app}");
        }
        assert_eq!(Policy::default().outbound("a"), OutboundPolicy { hosts: None, private: true });
    }

    #[test]
    fn files_as_a_table() {
        for (text, right) in [
            ("", true),
            ("[any]\nlisten = ['127.0.0.1:80-']", false),
            ("[any]\nlisten = ['localhost']", false),
            ("[any]\nlisten = ['127.0.0.1:9000-8000']", false),
            ("[any]\nlisten = ['127.0.0.1:9000-9000']", true),
            ("[any]\nwrokers = 1", false),
            ("[app.a]\nmemory = '1GiB'", true),
            ("workers = 1", false),
        ] {
            assert_eq!(toml::from_str::<Policy>(text).is_ok(), right, "{text}");
        }
    }
}
