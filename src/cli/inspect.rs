//! `hatchery inspect`: what a bundle holds and asks for, and what it changes against another one, or
//! against what a service has deployed. Reads only.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Serialize;

use super::{home::Home, pack::small};
use crate::{
    admin::{self, Client, NotRunning},
    bundle::{self, Change, Index, Limits, PublicKey, Signer, Trust},
    digest::Digest,
    log::printable,
    manifest::{self, App, ManifestErrors},
    store::Store,
};

/// Show what a bundle holds, what it asks for, and what it changes
///
/// The bundle is unpacked into a temporary folder and every digest is checked. Nothing is run. Where a
/// service runs and has the app deployed, it is compared with that.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Inspect {
    /// The bundle
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show what differs from this bundle, or from the app in this folder, instead of what is deployed
    #[arg(long, value_name = "FILE|FOLDER")]
    against: Option<PathBuf>,
    /// Verify the signature with this public key, a file; may be given several times
    #[arg(long, value_name = "KEY")]
    trust: Vec<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

const EXAMPLES: &str = "\
Examples:
  hatchery inspect app-0.2.0.hatchery --trust release.key.pub
  hatchery inspect app-0.2.0.hatchery --against app-0.1.0.hatchery
  hatchery inspect app-0.2.0.hatchery --json | jq .asks";

/// An app with the list of its files. The folder is there as long as this is.
struct Contents {
    app: App,
    index: Index,
    digest: Digest,
    signer: Signer,
    _folder: Option<tempfile::TempDir>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    version: &'a str,
    digest: Digest,
    /// `none`, `unverified` or `trusted`.
    signature: &'static str,
    key: Option<String>,
    folders: &'a [String],
    files: &'a [bundle::File],
    asks: BTreeMap<String, String>,
    changes: Option<Vec<Change>>,
    /// What it is compared with.
    against: Option<Digest>,
    #[serde(skip)]
    is_deployed: bool,
}

impl Inspect {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let trust = Trust {
            keys: self.trust.iter().map(|file| public_key(file)).collect::<Result<_, _>>()?,
            require: !self.trust.is_empty(),
        };
        let found = read(&self.file, &trust)?;
        let against = match &self.against {
            Some(path) if path.is_dir() => Some(folder(path)?),
            Some(path) => Some(read(path, &Trust::default())?),
            None => deployed(&self.home, &found.index.name).await?,
        };
        let shown = Shown { is_deployed: self.against.is_none(), ..Shown::of(&found, against.as_ref()) };
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &shown)?;
            writeln!(out)?;
        } else {
            shown.print(&mut out)?;
        }
        Ok(())
    }
}

impl<'a> Shown<'a> {
    /// `is_deployed` is for the caller to say.
    fn of(found: &'a Contents, against: Option<&Contents>) -> Self {
        let changes =
            against.map(|before| bundle::changes((&before.app, &before.index), (&found.app, &found.index)));
        let (signature, key) = match &found.signer {
            Signer::Nobody => ("none", None),
            Signer::Unknown(id) => ("unverified", Some(id.to_string())),
            Signer::Trusted(id) => ("trusted", Some(id.to_string())),
        };
        Self {
            name: &found.index.name,
            version: &found.index.version,
            digest: found.digest,
            signature,
            key,
            folders: &found.index.folders,
            files: &found.index.files,
            asks: bundle::asks(&found.app),
            changes,
            against: against.map(|before| before.digest),
            is_deployed: false,
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        // All of it is a stranger's text, and must not say anything to the terminal itself.
        let mut line = |text: &str| writeln!(out, "{}", printable(text));
        line(&format!("bundle app={} version={} digest={}", self.name, self.version, self.digest))?;
        match (&self.key, self.signature) {
            (None, _) => line("not signed")?,
            (Some(key), "trusted") => line(&format!("signed by key {key}, which is trusted"))?,
            (Some(key), _) => {
                line(&format!("signed by key {key}, not verified; name it with --trust KEY.pub"))?;
            }
        }
        line("files")?;
        for file in self.files {
            line(&format!("  {:>10}  {}  {}", file.size, &file.sha256.hex()[..12], file.path))?;
        }
        for folder in self.folders {
            line(&format!("  {:>10}  {:12}  {folder}/", "empty", ""))?;
        }
        line("asks for")?;
        for (key, value) in &self.asks {
            line(&format!("  {key} = {value}"))?;
        }
        if let Some(changes) = &self.changes {
            let against = match self.against {
                Some(digest) if self.is_deployed => format!(" against {digest}, which is deployed"),
                _ => String::new(),
            };
            line(&format!("changes{against}{}", if changes.is_empty() { ": none" } else { "" }))?;
            for change in changes {
                line(&format!("  {change}"))?;
            }
        }
        Ok(())
    }
}

fn read(file: &Path, trust: &Trust) -> anyhow::Result<Contents> {
    let shown = file.display();
    let from = File::open(file).with_context(|| format!("can't read {shown}"))?;
    let folder = tempfile::tempdir().context("can't make a temporary folder")?;
    let archive = bundle::Archive::open(from, &Limits::default()).with_context(|| shown.to_string())?;
    let signer = bundle::verify(&archive.index_bytes, archive.signature.as_deref(), trust)
        .with_context(|| shown.to_string())?;
    let unpacked = archive.extract(folder.path()).with_context(|| shown.to_string())?;
    let (app, index, digest) = (unpacked.app, unpacked.index, unpacked.digest);
    Ok(Contents { app, index, digest, signer, _folder: Some(folder) })
}

/// An app that is not packed, as it would be packed now.
fn folder(path: &Path) -> anyhow::Result<Contents> {
    let app = manifest::load(path).map_err(ManifestErrors::from)?;
    let plan = bundle::plan(app, &Limits::default())?;
    let digest = plan.digest();
    Ok(Contents { app: plan.app, index: plan.index, digest, signer: Signer::Nobody, _folder: None })
}

/// What the home's service has deployed as this app. None where none runs, or it has no such app.
async fn deployed(home: &Home, name: &str) -> anyhow::Result<Option<Contents>> {
    let Some(home) = home.existing() else { return Ok(None) };
    let client = Client::new(home.clone());
    let status = match client.get::<admin::Status>("/v1/status").await {
        Err(error) if error.is::<NotRunning>() => return Ok(None),
        status => status?,
    };
    let is_there =
        status.apps.iter().any(|app| app.name == name) || status.failed.iter().any(|app| app.name == name);
    if !is_there {
        return Ok(None);
    }
    let history: admin::History = client.get(&format!("/v1/apps/{name}/history")).await?;
    let Some(now) = history.record.deployed else { return Ok(None) };
    let found = || {
        let stored = Store::of(home.folder()).get(&now.digest)?;
        let app = stored.app().map_err(ManifestErrors::from)?;
        anyhow::Ok(Contents {
            app,
            index: stored.index,
            digest: stored.digest,
            signer: Signer::Nobody,
            _folder: None,
        })
    };
    let found = found().with_context(|| format!("can't read {}, which is deployed as {name}", now.digest))?;
    Ok(Some(found))
}

fn public_key(file: &Path) -> anyhow::Result<PublicKey> {
    let shown = file.display();
    let text = small(file).with_context(|| format!("can't read the public key {shown}"))?;
    text.parse().with_context(|| format!("can't use the public key {shown}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// An app that would have its reader see something else.
    fn app(place: &Path, version: &str) -> Contents {
        fs::create_dir(place).unwrap();
        fs::write(place.join("a.wasm"), "").unwrap();
        let text = format!(
            "name = 'a'\nversion = \"{version}\"\n[agent]\ncomponent = 'a.wasm'\n[[schedule]]\nname = 's'\n\
             interval = '1h'\ntype = 'agent'\npayload = \"\\u001b[31m\\u009b31m\\u202e\\u200f\\n+ {version}\"\n"
        );
        fs::write(place.join("hatchery.toml"), text).unwrap();
        folder(place).unwrap()
    }

    #[test]
    fn a_strangers_text_is_not_obeyed() {
        let place = tempfile::tempdir().unwrap();
        let (before, after) =
            (app(&place.path().join("1"), "1\\u202e"), app(&place.path().join("2"), "2\\u202e"));
        let mut out = vec![];
        Shown::of(&after, Some(&before)).print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let hostile = |c: &char| !matches!(c, '\n' | ' '..='~');
        assert_eq!(text.chars().find(hostile), None, "{text:?}");
        assert!(text.contains("version=2\\u{202e}"), "{text}");
        assert!(text.contains("\n  ~ version: 1\\u{202e} -> 2\\u{202e}\n"), "{text}");
        assert!(text.contains("schedule.s.payload = "), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("+ ")), "{text}");
    }
}
