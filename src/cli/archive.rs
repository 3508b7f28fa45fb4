//! The archive that a deploy sends: packed from a folder, or pulled from a registry.

use std::{
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::build;
use crate::{
    bundle::{self, Limits},
    manifest,
    oci::{self, Destination, Kind, Options, Reference, Transport},
};

/// An archive in a temporary folder, which goes with it.
pub(super) struct Archive {
    _folder: TempDir,
    file: PathBuf,
}

impl Archive {
    pub(super) fn path(&self) -> &Path {
        &self.file
    }
}

/// Builds what is missing, and packs.
pub(super) async fn packed(path: &Path) -> anyhow::Result<Archive> {
    let app = manifest::load(path).map_err(manifest::ManifestErrors::from)?;
    if build::needs_build(&app) {
        build::build(&app).await?;
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = folder.path().join("app.hatchery");
    let plan = bundle::plan(app, &Limits::default())?;
    plan.write(BufWriter::new(fs::File::create(&file)?), None)?;
    Ok(Archive { _folder: folder, file })
}

/// Pulls it. A component alone is packed with the manifest that is given for it.
pub(super) async fn pulled(
    reference: &str,
    plain_http: bool,
    manifest: Option<&Path>,
) -> anyhow::Result<Archive> {
    let reference: Reference = reference.parse()?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let options = Options {
        transport: if plain_http { Transport::PlainHttp } else { Transport::Tls },
        ..Options::default()
    };
    let to = Destination::Folder(folder.path().to_owned());
    let pulled = oci::pull(&reference, &to, &options).await?;
    match (pulled.kind, manifest) {
        (Kind::Bundle, None) => Ok(Archive { _folder: folder, file: pulled.file }),
        (Kind::Bundle, Some(_)) => {
            bail!("{reference} is a bundle, which has a manifest; leave --manifest out")
        }
        (Kind::Component, None) => bail!(
            "{reference} is a component without a manifest; name one that goes with it with --manifest FILE"
        ),
        (Kind::Component, Some(manifest)) => with_manifest(&pulled.file, manifest).await,
    }
}

/// The manifest names where the component is to be.
async fn with_manifest(component: &Path, manifest: &Path) -> anyhow::Result<Archive> {
    let app = tempfile::tempdir().context("cannot make a temporary folder")?;
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let place = placed(&text)?;
    let to = app.path().join(&place);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(component, to)?;
    fs::write(app.path().join(manifest::FILE_NAME), text)?;
    packed(app.path()).await
}

/// Where a manifest with one component has it.
fn placed(text: &str) -> anyhow::Result<PathBuf> {
    let table: toml::Table = toml::from_str(text).context("the manifest is no TOML")?;
    let of = |part: &str| Some(PathBuf::from(table.get(part)?.get("component")?.as_str()?));
    let place = match (of("worker"), of("agent")) {
        (Some(place), None) | (None, Some(place)) => place,
        (None, None) => bail!("the manifest names no component"),
        (Some(_), Some(_)) => bail!("the manifest names two components, and the registry gave one"),
    };
    let is_inside = place.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_inside {
        bail!("the manifest's component {} is not inside its folder", place.display());
    }
    Ok(place)
}
