//! From a bundle archive to a registry.

use std::{io, path::Path};

use reqwest::StatusCode;
use tokio::{fs::File, io::AsyncReadExt as _, time::timeout};

use super::{
    error::OciError,
    limits,
    manifest::{self, EMPTY, MANIFEST_TYPE},
    reference::Reference,
    registry::{Access, Options, Registry},
    upload::{Upload, exists, upload},
};
use crate::digest::{Digest, Hashing};

/// What the archives begin with: Zstandard's magic number.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The manifest's digest: what `oci://HOST/NAME@DIGEST` names.
    pub digest: Digest,
    /// The archive's, in bytes.
    pub size: u64,
}

/// Pushes a bundle archive under a tag. The tag may be one that names something else by now.
///
/// # Errors
///
/// Why it could not. The tag is as it was then.
pub async fn push(file: &Path, reference: &Reference, options: &Options) -> Result<Pushed, OciError> {
    let done = timeout(limits::TOTAL, run(file, reference, options)).await;
    done.unwrap_or_else(|_| {
        let host = reference.host.clone();
        Err(OciError::Slow { host, what: "has been taking it", limit: limits::TOTAL })
    })
}

async fn run(file: &Path, reference: &Reference, options: &Options) -> Result<Pushed, OciError> {
    let (Some(tag), None) = (&reference.tag, &reference.digest) else {
        return Err(OciError::NotATag { reference: reference.to_string() });
    };
    let (layer, size) = examine(file).await?;
    let title = file.file_name().unwrap_or_default().to_string_lossy();
    let manifest = manifest::of_bundle(layer, size, &title);
    let digest = Digest::of(&manifest);
    let mut registry = Registry::new(reference, Access::Push, options.transport)?;
    let config = Upload::of_bytes(EMPTY);
    if !exists(&mut registry, config.digest).await? {
        upload(&mut registry, config).await?;
    }
    if !exists(&mut registry, layer).await? {
        let archive = Upload::of_file(file, layer, size, options.progress.clone()).await?;
        upload(&mut registry, archive).await?;
    }
    let url = registry.url(&format!("manifests/{tag}"));
    let put = registry
        .send(|http| http.put(&url).header("content-type", MANIFEST_TYPE).body(manifest.clone()))
        .await?;
    match put.status() {
        StatusCode::CREATED | StatusCode::OK => Ok(Pushed { digest, size }),
        _ => Err(registry.refused(put, "the manifest").await),
    }
}

/// Its digest and size, if it is an archive.
async fn examine(path: &Path) -> Result<(Digest, u64), OciError> {
    let failed = |source| OciError::File { verb: "read", path: path.to_owned(), source };
    let too_large = || OciError::TooLarge { what: path.display().to_string(), limit: limits::LAYER };
    let mut file = File::open(path).await.map_err(failed)?;
    if file.metadata().await.map_err(failed)?.len() > limits::LAYER {
        return Err(too_large());
    }
    let mut seen = Hashing::new(io::sink());
    let mut first: Vec<u8> = Vec::with_capacity(MAGIC.len());
    let mut chunk = Vec::with_capacity(limits::CHUNK);
    loop {
        chunk.clear();
        if file.read_buf(&mut chunk).await.map_err(failed)? == 0 {
            break;
        }
        first.extend(chunk.iter().take(MAGIC.len() - first.len()));
        if first.len() == MAGIC.len() && first != MAGIC {
            break;
        }
        seen.update(&chunk);
        // It may grow meanwhile, or not be a file with an end.
        if seen.size() > limits::LAYER {
            return Err(too_large());
        }
    }
    if first != MAGIC {
        return Err(OciError::NotABundle { path: path.to_owned() });
    }
    Ok(seen.finish())
}
