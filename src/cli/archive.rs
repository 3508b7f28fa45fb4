//! The archive that a deploy sends: packed from a folder, or pulled from a registry.

use std::{
    fs,
    io::BufWriter,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::{
    build,
    registry::{self, unless_interrupted},
};
use crate::{
    bundle::{self, Limits, Plan},
    manifest,
    oci::{self, Destination, Kind, Reference},
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

/// Builds what is missing, and says what would be packed.
pub(super) async fn planned(path: &Path) -> anyhow::Result<Plan> {
    let app = manifest::load(path).map_err(manifest::ManifestErrors::from)?;
    if build::needs_build(&app) {
        build::build(&app).await?;
    }
    Ok(bundle::plan(app, &Limits::default())?)
}

/// Builds what is missing, and packs.
pub(super) async fn packed(path: &Path) -> anyhow::Result<Archive> {
    let plan = planned(path).await?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = folder.path().join("app.hatchery");
    plan.write(BufWriter::new(fs::File::create(&file)?), None)?;
    Ok(Archive { _folder: folder, file })
}

/// A bundle in a registry, or a component.
pub(super) struct Remote<'a> {
    pub(super) reference: &'a str,
    pub(super) plain_http: bool,
    /// A component's.
    pub(super) manifest: Option<&'a Path>,
}

/// Pulls it, with a bar as `pull` has. A component alone is packed with the manifest that is given for it.
pub(super) async fn pulled(from: &Remote<'_>) -> anyhow::Result<Archive> {
    let reference: Reference = from.reference.parse()?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = match from.manifest {
        Some(manifest) => lay_out(folder.path(), manifest)?,
        None => folder.path().join("app.hatchery"),
    };
    let options = registry::options(from.plain_http);
    let to = Destination::File(file.clone());
    let pulling = oci::pull(&reference, &to, &options);
    let kind = unless_interrupted(&reference, pulling).await?.kind;
    // The bar goes.
    drop(options);
    match (kind, from.manifest) {
        (Kind::Bundle, None) => Ok(Archive { _folder: folder, file }),
        (Kind::Component, Some(_)) => packed(folder.path()).await,
        (Kind::Bundle, Some(_)) => {
            bail!("{reference} is a bundle, which has a manifest; leave --manifest out")
        }
        (Kind::Component, None) => bail!(
            "{reference} is a component without a manifest; name one that goes with it with --manifest FILE"
        ),
    }
}

/// Makes an app's folder of a manifest that is elsewhere. Gives the place of its one component.
fn lay_out(folder: &Path, manifest: &Path) -> anyhow::Result<PathBuf> {
    let shown = manifest.display();
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {shown}"))?;
    let table: toml::Table = toml::from_str(&text).with_context(|| format!("{shown} is no TOML"))?;
    let of = |role: &str| table.get(role)?.get("component")?.as_str();
    let place = match (of("worker"), of("agent")) {
        (Some(place), None) | (None, Some(place)) => Path::new(place),
        (None, None) => bail!("{shown} names no component; say `component = \"app.wasm\"` in its [worker]"),
        (Some(_), Some(_)) => bail!("{shown} names two components, and the registry has one of them"),
    };
    if !place.components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("the component {} that {shown} names is not inside the app's folder", place.display());
    }
    let file = folder.join(place);
    fs::create_dir_all(file.parent().unwrap_or(folder)).context("cannot make a temporary folder")?;
    fs::write(folder.join(manifest::FILE_NAME), text).context("cannot write to a temporary folder")?;
    Ok(file)
}
