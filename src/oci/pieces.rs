//! A file as a stream of pieces, for a body that is sent as it is read: to a registry, or to the master.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::limits;

/// From its beginning to its end. `seen` is told of each piece before it goes out, and dropped at the end.
pub(crate) fn pieces<R, S>(file: R, seen: S) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static
where
    R: AsyncRead + Unpin + Send + Sync + 'static,
    S: FnMut(&Bytes) + Send + Sync + 'static,
{
    stream::try_unfold((file, seen), async |(mut file, mut seen)| {
        let mut piece = BytesMut::with_capacity(limits::CHUNK);
        if file.read_buf(&mut piece).await? == 0 {
            return Ok::<_, io::Error>(None);
        }
        let piece = piece.freeze();
        seen(&piece);
        Ok(Some((piece, (file, seen))))
    })
}
