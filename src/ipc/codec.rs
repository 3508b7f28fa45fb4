//! Frames: how one enum of [`super::message`] and its data lie in a byte stream.
//!
//! ```text
//!   u32 LE            u32 LE
//! +-----------------+-----------------+--------------------+------+
//! | bytes after this| envelope's bytes| envelope (postcard)| data |
//! +-----------------+-----------------+--------------------+------+
//! ```
//!
//! Pure, no I/O; [`super::link`] calls it. Lengths are checked as soon as they are there, so nothing
//! too long is ever buffered.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

/// The most bytes of an envelope.
pub const MAX_ENVELOPE: usize = 1 << 20;

/// The most bytes of a frame after its first number: data of 64 MiB, and its envelope.
pub const MAX_FRAME: usize = 65 << 20;

/// A length, as it is written.
const LENGTH: usize = size_of::<u32>();

/// What stands before the envelope, in bytes.
pub const HEADER: usize = 2 * LENGTH;

/// Why something can't be made a frame.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// With the data, more than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is longer than the limit of {MAX_FRAME}")]
    TooLong(usize),
    /// More than [`MAX_ENVELOPE`], or not serializable.
    #[error("can't encode an envelope of at most {MAX_ENVELOPE} bytes")]
    Envelope(#[source] postcard::Error),
}

/// Why bytes are not a frame. The stream is of no use after it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More than the reader takes.
    #[error("a frame of {length} bytes is longer than the limit of {max}")]
    TooLong {
        /// What the peer announced.
        length: usize,
        /// What the reader takes.
        max: usize,
    },
    /// No room for the envelope's length.
    #[error("a frame of {0} bytes has no envelope")]
    TooShort(usize),
    /// An envelope past its frame's end, or longer than [`MAX_ENVELOPE`].
    #[error("an envelope of {envelope} bytes in a frame of {length}, with a limit of {MAX_ENVELOPE}")]
    EnvelopeTooLong {
        /// What the peer announced.
        envelope: usize,
        /// Its frame's length.
        length: usize,
    },
    /// Not one of ours.
    #[error("an envelope that can't be decoded")]
    Envelope(#[source] postcard::Error),
    /// The envelope has bytes after its end.
    #[error("an envelope with {0} bytes too many")]
    Trailing(usize),
}

/// Appends a frame. On an error the buffer is as before.
///
/// # Errors
/// It is too long.
pub fn encode<T: Serialize>(buf: &mut BytesMut, envelope: &T, data: &[u8]) -> Result<(), EncodeError> {
    encode_head(buf, envelope, data.len())?;
    buf.put_slice(data);
    Ok(())
}

/// Appends a frame but for its data, of which so many bytes have to follow. On an error the buffer is as before.
///
/// # Errors
/// It is too long.
pub fn encode_head<T: Serialize>(buf: &mut BytesMut, envelope: &T, data: usize) -> Result<(), EncodeError> {
    let start = buf.len();
    buf.put_bytes(0, HEADER);
    let encoded =
        postcard::serialize_with_flavor(envelope, Append { buf, end: start + HEADER + MAX_ENVELOPE });
    if let Err(error) = encoded {
        buf.truncate(start);
        return Err(EncodeError::Envelope(error));
    }
    let envelope = buf.len() - start - HEADER;
    let length = LENGTH + envelope + data;
    if length > MAX_FRAME {
        buf.truncate(start);
        return Err(EncodeError::TooLong(length));
    }
    let mut header = &mut buf[start..];
    header.put_u32_le(u32::try_from(length).expect("not over MAX_FRAME"));
    header.put_u32_le(u32::try_from(envelope).expect("not over MAX_ENVELOPE"));
    Ok(())
}

/// Takes the first frame off the buffer. None when it isn't whole yet. The data is a slice of the
/// buffer, not a copy, and keeps what was read with it in memory.
///
/// # Errors
/// The buffer begins with no frame, or with one longer than `max` (as announced: without its first
/// number).
pub fn decode<T: DeserializeOwned>(
    buf: &mut BytesMut,
    max: usize,
) -> Result<Option<(T, Bytes)>, DecodeError> {
    let Some(length) = peek(buf, 0) else { return Ok(None) };
    if length > max {
        return Err(DecodeError::TooLong { length, max });
    }
    if length < LENGTH {
        return Err(DecodeError::TooShort(length));
    }
    let Some(envelope) = peek(buf, LENGTH) else { return Ok(None) };
    if envelope > MAX_ENVELOPE.min(length - LENGTH) {
        return Err(DecodeError::EnvelopeTooLong { envelope, length });
    }
    if buf.len() < LENGTH + length {
        return Ok(None);
    }
    let (decoded, rest) =
        postcard::take_from_bytes(&buf[HEADER..HEADER + envelope]).map_err(DecodeError::Envelope)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing(rest.len()));
    }
    let mut frame = buf.split_to(LENGTH + length);
    frame.advance(HEADER + envelope);
    Ok(Some((decoded, if frame.is_empty() { Bytes::new() } else { frame.freeze() })))
}

/// How long the frame is whose beginning this is, once [`decode`] has found nothing wrong with it. None as long as
/// that is not there.
#[must_use]
pub fn length(buf: &[u8]) -> Option<usize> {
    peek(buf, 0).map(|length| LENGTH + length)
}

/// The number at that place, if it is there.
fn peek(buf: &[u8], at: usize) -> Option<usize> {
    let mut bytes = buf.get(at..at + LENGTH)?;
    Some(bytes.get_u32_le() as usize)
}

/// Where postcard writes: behind what is there, up to `end`.
struct Append<'a> {
    buf: &'a mut BytesMut,
    end: usize,
}

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.end - self.buf.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.buf.put_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde::Deserialize;

    use super::*;

    /// With every kind of field that the protocol uses.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Envelope {
        Empty,
        Number(u64),
        Rich { text: String, list: Vec<Option<u32>>, outcome: Result<(), String> },
    }

    fn envelopes() -> impl Strategy<Value = Envelope> {
        let text = "[a-zé\n]{0,40}";
        prop_oneof![
            Just(Envelope::Empty),
            any::<u64>().prop_map(Envelope::Number),
            (text, vec(any::<Option<u32>>(), 0..20), prop::result::maybe_ok(Just(()), text))
                .prop_map(|(text, list, outcome)| Envelope::Rich { text, list, outcome }),
        ]
    }

    fn frames() -> impl Strategy<Value = Vec<(Envelope, Vec<u8>)>> {
        vec((envelopes(), vec(any::<u8>(), 0..200)), 1..6)
    }

    fn encoded(frames: &[(Envelope, Vec<u8>)]) -> BytesMut {
        let mut buf = BytesMut::new();
        for (envelope, data) in frames {
            encode(&mut buf, envelope, data).unwrap();
        }
        buf
    }

    fn next(buf: &mut BytesMut) -> Result<Option<(Envelope, Bytes)>, DecodeError> {
        decode(buf, MAX_FRAME)
    }

    /// A frame with these two numbers and this rest.
    fn raw(length: usize, envelope: usize, rest: &[u8]) -> BytesMut {
        let mut buf = BytesMut::new();
        buf.put_u32_le(length.try_into().unwrap());
        buf.put_u32_le(envelope.try_into().unwrap());
        buf.put_slice(rest);
        buf
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(frames in frames()) {
            let mut buf = encoded(&frames);
            for (envelope, data) in frames {
                let (envelope_back, data_back) = next(&mut buf).unwrap().unwrap();
                prop_assert_eq!(envelope_back, envelope);
                prop_assert_eq!(data_back, data);
            }
            prop_assert!(buf.is_empty());
            prop_assert!(next(&mut buf).unwrap().is_none());
        }

        #[test]
        fn cut_anywhere_the_rest_completes_it(frames in frames(), cut in any::<prop::sample::Index>()) {
            let mut rest = encoded(&frames);
            let mut buf = rest.split_to(cut.index(rest.len()));
            let mut back = Vec::new();
            while let Some((envelope, data)) = next(&mut buf).unwrap() {
                back.push((envelope, data.to_vec()));
            }
            prop_assert!(back.len() < frames.len());
            let waiting = buf.len();
            prop_assert!(next(&mut buf).unwrap().is_none());
            prop_assert_eq!(buf.len(), waiting);
            buf.unsplit(rest);
            while let Some((envelope, data)) = next(&mut buf).unwrap() {
                back.push((envelope, data.to_vec()));
            }
            prop_assert_eq!(back, frames);
            prop_assert!(buf.is_empty());
        }

        #[test]
        fn garbage_never_panics_and_ends(bytes in vec(any::<u8>(), 0..400), max in 0..300_usize) {
            let mut buf = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode::<Envelope>(&mut buf, max) {}
        }

        #[test]
        fn a_changed_byte_never_panics(frames in frames(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut buf = encoded(&frames);
            let at = at.index(buf.len());
            buf[at] = to;
            let mut count = 0;
            while let Ok(Some(_)) = next(&mut buf) {
                count += 1;
            }
            // Each takes eight bytes of header at least, so there can't be many more.
            prop_assert!(count <= 200 * frames.len());
        }
    }

    #[test]
    fn refused_as_soon_as_the_lengths_are_there() {
        use DecodeError::{EnvelopeTooLong, TooLong, TooShort};
        assert!(matches!(next(&mut raw(MAX_FRAME + 1, 1, &[])), Err(TooLong { .. })));
        assert!(matches!(decode::<Envelope>(&mut raw(11, 1, &[]), 10), Err(TooLong { length: 11, max: 10 })));
        assert!(matches!(next(&mut raw(3, 0, &[])), Err(TooShort(3))));
        assert!(matches!(next(&mut raw(10, 7, &[])), Err(EnvelopeTooLong { envelope: 7, length: 10 })));
        assert!(matches!(next(&mut raw(MAX_FRAME, MAX_ENVELOPE + 1, &[])), Err(EnvelopeTooLong { .. })));
        assert!(next(&mut raw(MAX_FRAME, MAX_ENVELOPE, &[])).unwrap().is_none());
        // The first number is enough.
        assert!(matches!(next(&mut BytesMut::from(&[255; 4][..])), Err(TooLong { .. })));
    }

    #[test]
    fn envelopes_are_refused_unless_they_fit_exactly() {
        assert!(matches!(next(&mut raw(4, 0, &[])), Err(DecodeError::Envelope(_))));
        assert!(matches!(next(&mut raw(5, 1, &[3])), Err(DecodeError::Envelope(_))));
        assert!(matches!(next(&mut raw(6, 2, &[0, 0])), Err(DecodeError::Trailing(1))));
        assert_eq!(next(&mut raw(5, 1, &[0])).unwrap().unwrap().0, Envelope::Empty);
    }

    #[test]
    fn what_is_too_long_leaves_the_buffer_as_it_was() {
        let mut buf = encoded(&[(Envelope::Empty, vec![1])]);
        let before = buf.clone();
        let text = "x".repeat(MAX_ENVELOPE);
        let large = Envelope::Rich { text, list: Vec::new(), outcome: Ok(()) };
        assert!(matches!(encode(&mut buf, &large, &[]), Err(EncodeError::Envelope(_))));
        assert_eq!(buf, before);
        let data = vec![0; MAX_FRAME - LENGTH];
        assert!(matches!(encode(&mut buf, &Envelope::Empty, &data), Err(EncodeError::TooLong(_))));
        assert_eq!(buf, before);
        encode(&mut buf, &Envelope::Empty, &data[1..]).unwrap();
        next(&mut buf).unwrap().unwrap();
        assert_eq!(next(&mut buf).unwrap().unwrap().1.len(), data.len() - 1);
    }

    #[test]
    fn data_is_not_copied() {
        let mut buf = encoded(&[(Envelope::Empty, vec![7; 100])]);
        let at = buf[HEADER + 1..].as_ptr();
        assert_eq!(next(&mut buf).unwrap().unwrap().1.as_ptr(), at);
    }
}
