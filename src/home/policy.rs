//! What apps may ask for in this home, in `policy.toml`. Read anew for each deploy; [`Policy::check`] is pure.
//!
//! What it does not mention is allowed. `[app.NAME]` takes the place of `[any]`, key by key.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    io::Read as _,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    ops::RangeInclusive,
    str::FromStr,
};

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use serde::Deserialize;

use super::Home;
use crate::{
    manifest::{App, OutboundHost},
    sys::sandbox,
};

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
                (address.parse().map_err(|_| wrong())?, port(first)?..=port(last)?)
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
        // It may be a link, to what lies elsewhere in a process that is shut in.
        let file = sandbox::place(&home.folder().join("policy.toml"));
        let shown = file.display();
        let mut text = String::new();
        match fs::File::open(&file) {
            Ok(opened) => opened.take(MAX_POLICY).read_to_string(&mut text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => Err(error),
        }
        .with_context(|| format!("cannot read {shown}"))?;
        toml::from_str(&text).with_context(|| format!("{shown} is not right"))
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
        let writable = self.rule(own, |rules| rules.writable_folders.as_ref());
        for (role, component) in app.components() {
            let capabilities = &component.capabilities;
            for wanted in &capabilities.allowed_outbound_hosts {
                if hosts.is_some_and(|hosts| !hosts.iter().any(|host| host.covers(wanted))) {
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
    use super::*;
    use crate::manifest;

    const POLICY: &str = "
        [any]
        workers = 4
        memory = '128MiB'
        listen = ['127.0.0.1', '[::1]:8000-8999', '0.0.0.0:80']
        outbound-hosts = ['https://*.example.com']
        writable-folders = false

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
        let local = "listen = '127.0.0.1:0'\nworkers = 1\n";
        for (name, worker, limits, refused) in [
            ("small", local.to_owned(), "memory = '128MiB'", None),
            (
                "small",
                local.replace("workers = 1", "workers = 5"),
                "memory = '1MiB'",
                Some("5 workers (it allows 4)"),
            ),
            (
                "big",
                local.replace("workers = 1", "workers = 5"),
                "memory = '1MiB'",
                Some("to listen on 127.0.0.1:0 (it allows none)"),
            ),
            ("small", local.to_owned(), "memory = '129MiB'", Some("of memory (it allows 128.0 MiB)")),
            ("small", local.replace("127.0.0.1:0", "[::1]:8500"), "memory = '1MiB'", None),
            (
                "small",
                local.replace("127.0.0.1:0", "[::1]:9000"),
                "memory = '1MiB'",
                Some("to listen on [::1]:9000"),
            ),
            (
                "small",
                local.replace("127.0.0.1:0", "0.0.0.0:81"),
                "memory = '1MiB'",
                Some("to listen on 0.0.0.0:81"),
            ),
            (
                "small",
                format!("{local}allowed-outbound-hosts = ['https://api.example.com']"),
                "memory = '1MiB'",
                None,
            ),
            (
                "small",
                format!("{local}allowed-outbound-hosts = ['http://api.example.com']"),
                "memory = '1MiB'",
                Some("requests of the worker to http://api.example.com"),
            ),
            (
                "small",
                format!("{local}folders = [{{ source = 'data', destination = '/d', writable = true }}]"),
                "memory = '1MiB'",
                Some("the worker to write to the folder /d"),
            ),
            (
                "small",
                format!("{local}folders = [{{ source = 'data', destination = '/d' }}]"),
                "memory = '1MiB'",
                None,
            ),
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
    fn files_as_a_table() {
        for (text, right) in [
            ("", true),
            ("[any]\nlisten = ['127.0.0.1:80-']", false),
            ("[any]\nlisten = ['localhost']", false),
            ("[any]\nwrokers = 1", false),
            ("[app.a]\nmemory = '1GiB'", true),
            ("workers = 1", false),
        ] {
            assert_eq!(toml::from_str::<Policy>(text).is_ok(), right, "{text}");
        }
    }
}
