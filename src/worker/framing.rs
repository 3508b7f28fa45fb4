//! Finds, in what an HTTP/1 client sends, the heads that say two things about their body's length,
//! and makes them unreadable, so that hyper answers 400.
//!
//! Hyper takes equal `content-length`s as one, and `transfer-encoding` before `content-length`. A
//! proxy in front may decide otherwise, and then the two disagree about where a request begins:
//! request smuggling. Hyper leaves no trace of either in the request, so it is found in the bytes.
//!
//! ```text
//!   Start ── line ──> Name ── ':' ──> Value ── '\n' ──> Name
//!     ^                └── empty line ──> Body, or Size ──> Data ──> Size … ──> Trailer ──┐
//!     └────────────────────────────────────────┴──────────────────────────────────────────┘
//! ```
//!
//! `stream` feeds it all that is read. Where it and hyper could take a head differently, hyper
//! refuses that head and the connection ends.

/// Longer than the names that matter, and the first line of HTTP/2.
const LONGEST: usize = 18;

/// Follows one connection.
pub(super) struct Framing {
    at: At,
    /// The line so far, in small letters; its first bytes.
    line: [u8; LONGEST],
    /// The line's length, without its end; counted to [`LONGEST`].
    length: usize,
    has_length: bool,
    is_chunked: bool,
    /// Of the body, or of the chunk.
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Name,
    Value,
    LengthValue,
    /// So many bytes to skip.
    Body(u64),
    Size,
    SizeExtension,
    /// So many bytes to skip, the line's end included.
    Data(u64),
    Trailer,
    /// HTTP/2 has another framing.
    Off,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { at: At::Start, line: [0; LONGEST], length: 0, has_length: false, is_chunked: false, size: 0 }
    }

    /// Has a part of a head come, and no more?
    pub(super) fn is_in_head(&self) -> bool {
        match self.at {
            At::Name | At::Value | At::LengthValue => true,
            At::Start => self.length > 0,
            At::Body(_) | At::Size | At::SizeExtension | At::Data(_) | At::Trailer | At::Off => false,
        }
    }

    /// Looks at the next bytes, of any number, and spoils what must not be read.
    pub(super) fn look(&mut self, bytes: &mut [u8]) {
        let mut from = 0;
        while from < bytes.len() {
            let rest = &mut bytes[from..];
            from += match self.at {
                At::Off => return,
                At::Body(left) => self.skip(left, rest.len(), At::Start, At::Body),
                At::Data(left) => self.skip(left, rest.len(), At::Size, At::Data),
                At::Value | At::SizeExtension => match rest.iter().position(|byte| *byte == b'\n') {
                    None => rest.len(),
                    Some(0) => {
                        self.byte(&mut rest[0]);
                        1
                    }
                    Some(end) => end,
                },
                At::Start | At::Name | At::LengthValue | At::Size | At::Trailer => {
                    self.byte(&mut rest[0]);
                    1
                }
            };
        }
    }

    fn skip(&mut self, left: u64, available: usize, then: At, more: fn(u64) -> At) -> usize {
        let now = left.min(available as u64);
        self.at = if now == left { then } else { more(left - now) };
        // No more than `available`.
        usize::try_from(now).unwrap_or(available)
    }

    fn byte(&mut self, byte: &mut u8) {
        match (self.at, *byte) {
            (At::Start, b'\n') => {
                if &self.line[..self.length] == b"pri * http/2.0" {
                    self.at = At::Off;
                } else if self.length > 0 {
                    self.at = At::Name;
                }
                self.length = 0;
            }
            (At::Name, b':') => self.named(byte),
            (At::Name, b'\n') => {
                if self.length == 0 {
                    self.head_ends();
                }
                self.length = 0;
            }
            (At::Trailer, b'\n') => {
                if self.length == 0 {
                    self.at = At::Start;
                }
                self.length = 0;
            }
            (At::Start | At::Name | At::Trailer, b'\r') => {}
            // Most lines: their first byte says that they do not matter. (`pri *`, and the two names.)
            (At::Start, other) if self.length == 0 && !matches!(other, b'p' | b'P') => self.at = At::Value,
            (At::Name, other) if self.length == 0 && !matches!(other, b'c' | b'C' | b't' | b'T') => {
                self.at = At::Value;
            }
            (At::Start | At::Name | At::Trailer, other) => {
                if let Some(place) = self.line.get_mut(self.length) {
                    *place = other.to_ascii_lowercase();
                    self.length += 1;
                }
            }
            (At::Value | At::LengthValue, b'\n') => {
                self.at = At::Name;
                self.length = 0;
            }
            (At::LengthValue, digit @ b'0'..=b'9') => {
                self.size = self.size.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            }
            (At::Size | At::SizeExtension, b'\n') => {
                self.at = if self.size == 0 { At::Trailer } else { At::Data(self.size.saturating_add(2)) };
                self.size = 0;
            }
            (At::Size, other) => match char::from(other).to_digit(16) {
                Some(digit) => self.size = self.size.saturating_mul(16).saturating_add(u64::from(digit)),
                None => self.at = At::SizeExtension,
            },
            // Not what is looked at one by one, or nothing that matters.
            (At::Value | At::LengthValue | At::SizeExtension, _) => {}
            (At::Body(_) | At::Data(_) | At::Off, _) => {}
        }
    }

    /// At the colon.
    fn named(&mut self, colon: &mut u8) {
        self.at = At::Value;
        match &self.line[..self.length] {
            b"content-length" => {
                if self.has_length || self.is_chunked {
                    // No name has such a byte.
                    *colon = 0;
                }
                self.has_length = true;
                self.at = At::LengthValue;
            }
            b"transfer-encoding" => {
                if self.has_length {
                    *colon = 0;
                }
                self.is_chunked = true;
            }
            _ => {}
        }
    }

    fn head_ends(&mut self) {
        self.at = match (self.is_chunked, self.size) {
            (true, _) => At::Size,
            (false, 0) => At::Start,
            (false, size) => At::Body(size),
        };
        (self.has_length, self.is_chunked, self.size) = (false, false, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a text that comes in pieces of this size.
    fn after(text: &str, piece: usize) -> String {
        let (mut framing, mut bytes) = (Framing::new(), text.as_bytes().to_vec());
        bytes.chunks_mut(piece).for_each(|piece| framing.look(piece));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn parts_of_heads_as_a_table() {
        for (text, expected) in [
            ("", false),
            ("P", true),
            ("GE", true),
            ("GET / HTTP/1.1\r\nhost: a\r\n", true),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nG", true),
            ("PUT / HTTP/1.1\r\ncontent-length: 2\r\n\r\na", false),
            ("PUT / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab", false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false),
        ] {
            let (mut framing, mut bytes) = (Framing::new(), text.as_bytes().to_vec());
            framing.look(&mut bytes);
            assert_eq!(framing.is_in_head(), expected, "{text:?}");
        }
    }

    #[test]
    fn heads_as_a_table() {
        let sound = [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: content-length: 1\r\n\r\n",
            "\r\n\nPOST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n1234\nPOST / HTTP/1.1\nContent-Length: 0\n\n",
            // A body that looks like a head.
            "PUT / HTTP/1.1\r\ncontent-length: 46\r\n\r\na: b\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n\
             GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
            "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2b;x=y\r\n\
             content-length: 1\r\ncontent-length: 2\r\n\r\n\r\n\r\n0\r\ncontent-length: 1\r\n\r\n\
             PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nPUT / HTTP/1.1\r\ncontent-length: 1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ncontent-length: 1\r\ncontent-length: 1\r\n",
            "PUT / HTTP/1.1\r\ncontent-lengthy: 1\r\ncontent-length: 1\r\nx-content-length: 1\r\n\r\n",
        ];
        let spoilt = [
            ("PUT / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length", ": 1\r\n\r\n"),
            ("PUT / HTTP/1.1\r\ncontent-length: 1\r\nContent-LENGTH", ": 2\r\n\r\n"),
            ("PUT / HTTP/1.1\r\ncontent-length: 1\r\na: b\r\ntransfer-encoding", ": chunked\r\n\r\n"),
            ("PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH", ": 0\r\n\r\n"),
            (
                "PUT / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcPUT / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length",
                ": 3\r\n\r\n",
            ),
        ];
        for piece in [1, 2, 3, 7, 1000] {
            for text in sound {
                assert_eq!(after(text, piece), text);
            }
            for (before, rest) in spoilt {
                let expected = format!("{before}\0{}", &rest[1..]);
                assert_eq!(after(&format!("{before}{rest}"), piece), expected);
            }
        }
    }
}
