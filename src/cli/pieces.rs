//! A file as a stream of pieces.

use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::{fs::File, io::AsyncReadExt as _};

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// From its beginning to its end.
pub(super) fn of(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    stream::try_unfold((file, vec![0; PIECE]), |(mut file, mut room)| async move {
        let length = file.read(&mut room).await?;
        Ok((length > 0).then(|| (Bytes::copy_from_slice(&room[..length]), (file, room))))
    })
    .fuse()
}
