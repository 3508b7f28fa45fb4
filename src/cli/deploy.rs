//! `hatchery deploy`: a new version of an app, in place of the one that serves.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
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
use crate::admin::{self, Bundle, Canary, Client, MAX_ARCHIVE};

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
        let client = Client::new(self.home.of_master()?);
        // Before anything is built for it.
        client.get::<admin::Status>("/v1/status").await?;
        let Bundle { bundle, .. } = self.bundle(&client).await?;
        let app = self.app.as_ref().map_or_else(|| bundle.name.clone(), |app| app.as_ref().to_owned());
        let canary = self.canary.map(|percent| Canary { percent, seconds: self.time.as_secs().max(1) });
        let deploy = admin::Deploy { bundle: bundle.digest, canary, allow_downgrade: self.allow_downgrade };
        let events = client.follow(Method::POST, &format!("/v1/apps/{app}/deploy"), &deploy).await?;
        let until = if self.canary.is_some() && !self.wait { Until::Canary } else { Until::Done };
        Follow { what: "deploy", app: &app, show: Show::json(self.json), until }.run(events).await
    }

    async fn bundle(&self, client: &Client) -> anyhow::Result<Bundle> {
        let path = Path::new(&self.what);
        if self.what.starts_with("oci://") {
            let (reference, manifest) = (self.what.as_str(), self.manifest.as_deref());
            let remote = Remote { reference, plain_http: self.plain_http, manifest };
            let archive = archive::pulled(&remote).await?;
            return upload(client, archive.path()).await;
        }
        if path.exists() {
            return add(client, path).await;
        }
        let bundles: Vec<Bundle> = client.get("/v1/store").await?;
        let digest = self.what.strip_prefix("sha256:").unwrap_or(&self.what);
        let fits = |found: &&Bundle| found.bundle.digest.trim_start_matches("sha256:").starts_with(digest);
        let mut found = bundles.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(bundle), None) => Ok(bundle.clone()),
            (Some(_), Some(_)) => bail!("several bundles in the store begin with {digest}; give more of it"),
            (None, _) => bail!(
                "{} is no folder, no file, and no bundle in the store; see `hatchery store list`",
                self.what
            ),
        }
    }
}

/// Deploys a folder or an archive, with words.
pub(super) async fn folder(client: &Client, path: &Path) -> anyhow::Result<()> {
    let bundle = add(client, path).await?;
    let Bundle { bundle, .. } = bundle;
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
    let pieces = super::pieces::of(file).map_ok(Frame::data);
    client.upload("/v1/bundles", BodyExt::boxed(StreamBody::new(pieces))).await
}
