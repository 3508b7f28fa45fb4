//! A layer on its way from a registry to a file: bounded, checked, and only then given its name.

use std::{fs::Permissions, io, os::unix::fs::PermissionsExt as _, path::Path};

use tokio::io::AsyncWriteExt as _;

use super::{error::OciError, manifest::Artifact, progress::Progress, registry::Registry};
use crate::digest::Hashing;

/// Fetches a layer. What was at `file` is replaced when all of the layer is there and right.
pub(super) async fn fetch(
    registry: &mut Registry<'_>,
    artifact: &Artifact,
    file: &Path,
    progress: &dyn Progress,
) -> Result<(), OciError> {
    let Artifact { digest, size, .. } = *artifact;
    let what = format!("the layer {digest} from {}", registry.host());
    let url = registry.url(&format!("blobs/{digest}"));
    let mut response = registry.send(|http| http.get(&url)).await?;
    if !response.status().is_success() {
        return Err(registry.refused(response, "the request for the layer").await);
    }
    let failed = |verb| {
        let path = file.to_owned();
        move |source| OciError::File { verb, path, source }
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // In the same folder, as a file can be renamed within one file system only.
    let temporary = tempfile::Builder::new()
        .prefix(".hatchery-pull-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed("write"))?;
    let mut out = tokio::fs::File::from_std(temporary.reopen().map_err(failed("write"))?);
    let mut came = Hashing::new(io::sink());
    progress.begin(size);
    while let Some(chunk) = registry.chunk(&mut response).await? {
        came.update(&chunk);
        if came.size() > size {
            // As much as it likes to send is not read.
            return Err(OciError::WrongSize { what, expected: size, actual: came.size() });
        }
        out.write_all(&chunk).await.map_err(failed("write"))?;
        progress.advance(chunk.len() as u64);
    }
    let (actual, came) = came.finish();
    if came != size {
        return Err(OciError::WrongSize { what, expected: size, actual: came });
    }
    if actual != digest {
        return Err(OciError::WrongDigest { what, expected: digest, actual });
    }
    out.flush().await.map_err(failed("write"))?;
    out.sync_all().await.map_err(failed("write"))?;
    temporary.persist(file).map_err(|error| failed("write")(error.error))?;
    Ok(())
}
