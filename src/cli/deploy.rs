//! `hatchery deploy`: a new version of an app, in place of the one that serves.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use futures::TryStreamExt as _;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::{
    archive::{self, Remote},
    follow::{Follow, Show, Until},
    home::Home,
    options::AppName,
};
use crate::{
    admin::{self, Canary, Client, MAX_ARCHIVE},
    ipc::store::Bundle,
    oci::{self, Reference},
    store,
};

/// Deploy an app: the new version takes over when it is ready, and no request is lost
///
/// What is given is a folder with a hatchery.toml (it is built and packed), an archive of `hatchery
/// pack`, the digest of a bundle that is in the store, or a bundle in a registry. Returns when the new
/// version serves and the old one is gone; otherwise the old one goes on, and the exit code is 1.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Deploy {
    /// A folder, an archive, a digest, or oci://HOST/NAME:TAG
    #[arg(value_name = "WHAT")]
    what: String,
    /// The app's name, instead of its manifest's
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// Give it only so many percent of the new connections at first, and go back if it is worse
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
    canary: Option<u8>,
    /// How long the canary is watched
    #[arg(long = "for", value_name = "TIME", default_value = "60s", requires = "canary", value_parser = humantime::parse_duration)]
    time: Duration,
    /// With --canary: wait for its end, instead of returning when it has begun
    #[arg(long, requires = "canary")]
    wait: bool,
    /// Allow a version that is older than the one that is deployed
    #[arg(long)]
    allow_downgrade: bool,
    /// With oci://: the registry speaks HTTP without TLS
    #[arg(long)]
    plain_http: bool,
    /// With oci:// of a bare component: the manifest that goes with it
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Events as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

const EXAMPLES: &str = "\
Examples:
  hatchery deploy guests/cache                       build, pack, deploy
  hatchery deploy cache-0.2.0.hatchery               an archive
  hatchery deploy sha256:0a1b2c                      a bundle in the store
  hatchery deploy oci://registry.example/team/cache:0.1.0
  hatchery deploy guests/cache --canary 10 --for 2m --wait";

impl Deploy {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let what = self.what()?;
        let client = Client::new(self.home.of_master()?);
        // Before anything is built for it.
        client.get::<admin::Master>("/v1/master").await?;
        let (name, digest) = match what {
            What::Reference => {
                let (reference, manifest) = (self.what.as_str(), self.manifest.as_deref());
                let remote = Remote { reference, plain_http: self.plain_http, manifest };
                let archive = archive::pulled(&remote).await?;
                named(upload(&client, archive.path()).await?)
            }
            What::Path => named(add(&client, Path::new(&self.what)).await?),
            // The master finds it: to see the list takes a grant that a deployer need not have.
            What::Digits(digits) if self.app.is_some() => (String::new(), digits.to_owned()),
            What::Digits(digits) => {
                let bundles = client.get::<Vec<admin::Bundle>>("/v1/store").await;
                let bundles = bundles.context("cannot look up the bundle's app (--app NAME says it)")?;
                named(self.one_of(bundles.into_iter().map(|there| there.bundle), digits)?)
            }
        };
        let app = self.app.as_ref().map_or(name, |app| app.as_ref().to_owned());
        let canary = self.canary.map(|percent| Canary { percent, seconds: self.time.as_secs().max(1) });
        let deploy = admin::Deploy { bundle: digest, canary, allow_downgrade: self.allow_downgrade };
        let events = client.follow(Method::POST, &format!("/v1/apps/{app}/deploy"), &deploy).await?;
        let until = if self.canary.is_some() && !self.wait { Until::Canary } else { Until::Done };
        Follow { what: "deploy", app: &app, show: Show::json(self.json), until }.run(events).await
    }

    /// What is given. Nothing is asked or read for it.
    fn what(&self) -> anyhow::Result<What<'_>> {
        if Reference::is_meant(&self.what) {
            return Ok(What::Reference);
        }
        for (option, is_given) in [("--manifest", self.manifest.is_some()), ("--plain-http", self.plain_http)]
        {
            if is_given {
                bail!("{option} is for a bundle or a component in a registry, oci://…; leave it out");
            }
        }
        if Path::new(&self.what).exists() {
            return Ok(What::Path);
        }
        store::digits(&self.what).map(What::Digits).ok_or_else(|| self.is_nothing())
    }

    /// The one of these whose digest begins with these digits.
    fn one_of(&self, bundles: impl Iterator<Item = Bundle>, digits: &str) -> anyhow::Result<Bundle> {
        let mut found =
            bundles.filter(|bundle| bundle.digest.trim_start_matches("sha256:").starts_with(digits));
        match (found.next(), found.next()) {
            (Some(bundle), None) => Ok(bundle),
            (Some(_), Some(_)) => bail!("several bundles in the store begin with {digits}; give more of it"),
            (None, _) => Err(self.is_nothing()),
        }
    }

    fn is_nothing(&self) -> anyhow::Error {
        anyhow!(
            "{:?} is no folder, no file, and no bundle in the store; see `hatchery store list`",
            self.what
        )
    }
}

/// What is to be deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What<'a> {
    /// A bundle or a component in a registry.
    Reference,
    /// A folder or an archive.
    Path,
    /// The first digits of the digest of a bundle in the store.
    Digits(&'a str),
}

/// The app's name that it has by itself, and its digest.
fn named(bundle: Bundle) -> (String, String) {
    (bundle.name, bundle.digest)
}

/// Deploys a folder or an archive, with words.
pub(super) async fn folder(client: &Client, path: &Path) -> anyhow::Result<()> {
    let bundle = add(client, path).await?;
    let deploy = admin::Deploy { bundle: bundle.digest, ..admin::Deploy::default() };
    let events = client.follow(Method::POST, &format!("/v1/apps/{}/deploy", bundle.name), &deploy).await?;
    Follow { what: "deploy", app: &bundle.name, show: Show::Words, until: Until::Done }.run(events).await
}

/// A folder is packed first.
async fn add(client: &Client, path: &Path) -> anyhow::Result<Bundle> {
    if path.is_dir() || path.extension().is_some_and(|extension| extension == "toml") {
        let packed = archive::packed(path).await?;
        upload(client, packed.path()).await
    } else {
        upload(client, path).await
    }
}

async fn upload(client: &Client, archive: &Path) -> anyhow::Result<Bundle> {
    let shown = archive.display().to_string();
    let file = tokio::fs::File::open(archive).await.with_context(|| format!("cannot read {shown}"))?;
    let bytes = file.metadata().await.with_context(|| format!("cannot read {shown}"))?.len();
    if bytes > MAX_ARCHIVE {
        bail!("{shown} has {bytes} bytes, and an archive has {MAX_ARCHIVE} at most");
    }
    let pieces = oci::pieces(file, |_| ()).map_ok(Frame::data);
    client.upload("/v1/bundles", BodyExt::boxed(StreamBody::new(pieces))).await
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn deploy(arguments: &[&str]) -> Deploy {
        let command = Deploy::augment_args(clap::Command::new("deploy"));
        let matches = command.get_matches_from([&["deploy"], arguments].concat());
        Deploy::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn what_is_given_as_a_table() {
        let nothing = Err("is no folder, no file, and no bundle in the store");
        for (arguments, expected) in [
            (&["src"][..], Ok(What::Path)),
            (&["Cargo.toml"], Ok(What::Path)),
            (&["oci://host/a:1", "--plain-http", "--manifest", "a.toml"], Ok(What::Reference)),
            (&["sha256:0a1b"], Ok(What::Digits("0a1b"))),
            (&["0a1b2c"], Ok(What::Digits("0a1b2c"))),
            (&[""], nothing),
            (&["sha256:"], nothing),
            (&["c"], nothing),
            (&["abc"], nothing),
            (&["ABCDEF"], nothing),
            (&["no-such-folder"], nothing),
            (&["src", "--manifest", "a.toml"], Err("--manifest is for")),
            (&["0a1b2c", "--plain-http"], Err("--plain-http is for")),
        ] {
            let deploy = deploy(arguments);
            match (deploy.what(), expected) {
                (found, Ok(expected)) => assert_eq!(found.unwrap(), expected, "{arguments:?}"),
                (found, Err(part)) => {
                    let error = found.unwrap_err().to_string();
                    assert!(error.contains(part), "{arguments:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn one_bundle_of_several() {
        let bundle = |digits: &str| Bundle {
            digest: format!("sha256:{digits}"),
            name: String::new(),
            version: String::new(),
            signer: None,
            bytes: 0,
        };
        let found = |digits: &str| {
            let bundles = ["0a1b2c", "0a1b3d"].map(bundle);
            let one = deploy(&["x"]).one_of(bundles.into_iter(), digits);
            one.map(|bundle| bundle.digest).map_err(|error| error.to_string())
        };
        assert_eq!(found("0a1b2").unwrap(), "sha256:0a1b2c");
        assert!(found("0a1b").unwrap_err().contains("give more of it"));
        assert!(found("1b2c").unwrap_err().contains("no bundle in the store"));
    }
}
