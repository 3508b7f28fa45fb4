//! From a registry to a file.

use std::path::PathBuf;

use reqwest::StatusCode;
use tokio::time::timeout;

use super::{
    blob,
    error::OciError,
    limits,
    manifest::{self, Kind},
    reference::Reference,
    registry::{Access, Options, Registry},
};
use crate::digest::Digest;

/// Where what is pulled goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To this file, whatever it is.
    File(PathBuf),
    /// Into this folder, which exists, named after the reference and what it is: `cache-1.2.hatchery`.
    Folder(PathBuf),
}

/// What was pulled.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Is it a bundle, or a component that needs a manifest beside it?
    pub kind: Kind,
    /// Where it is now.
    pub file: PathBuf,
    /// The manifest's digest: what `oci://HOST/NAME@DIGEST` names.
    pub digest: Digest,
    /// In bytes, at most [`limits::LAYER`].
    pub size: u64,
}

/// Pulls a bundle or a component. A file that is there already is replaced, once all is checked.
///
/// # Errors
///
/// Why it could not; nothing is left behind then.
pub async fn pull(
    reference: &Reference,
    destination: &Destination,
    options: &Options,
) -> Result<Pulled, OciError> {
    let done = timeout(limits::TOTAL, run(reference, destination, options)).await;
    done.unwrap_or_else(|_| {
        let host = reference.host.clone();
        Err(OciError::Slow { host, what: "has been sending", limit: limits::TOTAL })
    })
}

async fn run(
    reference: &Reference,
    destination: &Destination,
    options: &Options,
) -> Result<Pulled, OciError> {
    let mut registry = Registry::new(reference, Access::Pull, options.transport)?;
    let (manifest, digest) = fetch_manifest(&mut registry, reference).await?;
    let artifact = manifest::artifact(&manifest).map_err(|source| OciError::unusable(reference, source))?;
    let file = match destination {
        Destination::File(file) => file.clone(),
        Destination::Folder(folder) => folder.join(format!("{}{}", reference.stem(), artifact.kind.ending())),
    };
    blob::fetch(&mut registry, &artifact, &file, options.progress.as_ref()).await?;
    Ok(Pulled { kind: artifact.kind, file, digest, size: artifact.size })
}

async fn fetch_manifest(
    registry: &mut Registry<'_>,
    reference: &Reference,
) -> Result<(Vec<u8>, Digest), OciError> {
    let url = registry.url(&format!("manifests/{}", reference.version()));
    let mut response = registry.send(|http| http.get(&url).header("accept", manifest::ACCEPT)).await?;
    if response.status() == StatusCode::NOT_FOUND {
        let separator = if reference.digest.is_some() { '@' } else { ':' };
        let name = format!("{}{separator}{}", reference.name, reference.version());
        return Err(OciError::NotFound { host: reference.host.clone(), name });
    }
    if !response.status().is_success() {
        return Err(registry.refused(response, "the request for the manifest").await);
    }
    // What the registry says that it is, if it does.
    let said = response.headers().get("docker-content-digest").and_then(|said| said.to_str().ok());
    let said: Option<Digest> = said.and_then(|said| said.parse().ok());
    let manifest = registry.read(&mut response, "the manifest", limits::MANIFEST).await?;
    let actual = Digest::of(&manifest);
    for expected in reference.digest.into_iter().chain(said) {
        if expected != actual {
            let what = format!("the manifest from {}", reference.host);
            return Err(OciError::WrongDigest { what, expected, actual });
        }
    }
    Ok((manifest, actual))
}
