//! A blob on its way to a registry: one POST to begin, one PUT with all of it.
//!
//! That is the way which every registry takes; chunked uploads are where they differ.

use std::{path::Path, sync::Arc};

use reqwest::{Body, StatusCode};
use tokio::{fs::File, io::AsyncReadExt as _, sync::watch, time::timeout};

use super::{error::OciError, limits, pieces::pieces, progress::Progress, registry::Registry};
use crate::digest::Digest;

/// What is uploaded.
pub(super) struct Upload {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) body: Body,
    /// Changes as the body goes out, and ends when all of it has.
    pub(super) moved: watch::Receiver<()>,
}

impl Upload {
    pub(super) fn of_bytes(data: &'static [u8]) -> Self {
        let (_, moved) = watch::channel(());
        Self { digest: Digest::of(data), size: data.len() as u64, body: data.into(), moved }
    }

    /// A file's first `size` bytes, read as they go out. Should they be others by then, the registry
    /// finds that their digest is wrong.
    pub(super) async fn of_file(
        path: &Path,
        digest: Digest,
        size: u64,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, OciError> {
        let file = File::open(path).await;
        let file = file.map_err(|source| OciError::File { verb: "read", path: path.to_owned(), source })?;
        let (moves, moved) = watch::channel(());
        progress.begin(size);
        let chunks = pieces(file.take(size), move |chunk| {
            moves.send_replace(());
            progress.advance(chunk.len() as u64);
        });
        Ok(Self { digest, size, body: Body::wrap_stream(chunks), moved })
    }
}

/// Is it there already?
pub(super) async fn exists(registry: &mut Registry<'_>, digest: Digest) -> Result<bool, OciError> {
    let url = registry.url(&format!("blobs/{digest}"));
    let response = registry.send(|http| http.head(&url)).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => Ok(true),
        _ => Err(registry.refused(response, "the question for the layer").await),
    }
}

/// Uploads it.
pub(super) async fn upload(registry: &mut Registry<'_>, upload: Upload) -> Result<(), OciError> {
    const BEGIN: &str = "the beginning of an upload";
    let Upload { digest, size, body, mut moved } = upload;
    let url = registry.url("blobs/uploads/");
    let response = registry.send(|http| http.post(&url).header("content-length", 0)).await?;
    match response.status() {
        StatusCode::ACCEPTED => {}
        StatusCode::NOT_FOUND => return Err(registry.no_repository()),
        _ => return Err(registry.refused(response, BEGIN).await),
    }
    let location = response.headers().get("location").and_then(|location| location.to_str().ok());
    let location = location.and_then(|location| response.url().join(location).ok());
    let mut location = location.ok_or_else(|| OciError::Answer {
        host: registry.host().to_owned(),
        what: BEGIN,
        why: "there is no usable Location in it".to_owned(),
    })?;
    location.query_pairs_mut().append_pair("digest", &digest.to_string());
    let request = registry
        .put(location)
        .header("content-type", "application/octet-stream")
        .header("content-length", size)
        .body(body);
    let sending = registry.begin(request);
    tokio::pin!(sending);
    let response = loop {
        tokio::select! {
            sent = &mut sending => break sent?,
            step = timeout(limits::STALL, moved.changed()) => match step {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    let sent = timeout(limits::COMMIT, &mut sending).await;
                    break sent.map_err(|_| registry.slow("has not kept the layer", limits::COMMIT))??;
                }
                Err(_) => return Err(registry.slow("has taken nothing", limits::STALL)),
            },
        }
    };
    if response.status() == StatusCode::CREATED {
        return Ok(());
    }
    Err(registry.refused(response, "the upload").await)
}
