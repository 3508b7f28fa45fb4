//! The tar stream inside an archive: decompressed with bounded memory, counted, and ended exactly.
//! Called by `unpack`; knows no entries.

use std::io::{self, BufRead as _, BufReader, Read};

use zstd::stream::read::Decoder;

use super::{
    Error,
    header::{BLOCK, Block},
    limits::RATIO_FLOOR,
};

/// The largest window that a reader keeps: 2^23 bytes. `pack` uses no larger one.
pub(super) const WINDOW_LOG: u32 = 23;

/// Bytes of the archive that are read at once.
const BUFFER: usize = 64 << 10;

/// Blocks of zeros at the end of a tar.
pub(super) const END_BLOCKS: usize = 2;

pub(super) struct Plain<R: Read> {
    decoder: Decoder<'static, BufReader<Counted<R>>>,
    /// Bytes that have come out.
    plain: u64,
    ratio: u64,
}

struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<R: Read> Plain<R> {
    pub(super) fn new(reader: R, ratio: u64) -> Result<Self, Error> {
        let reader = BufReader::with_capacity(BUFFER, Counted { reader, bytes: 0 });
        let mut decoder = Decoder::with_buffer(reader).map_err(Error::Read)?.single_frame();
        decoder.window_log_max(WINDOW_LOG).map_err(Error::Read)?;
        Ok(Self { decoder, plain: 0, ratio })
    }

    /// Fills the whole buffer.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.decoder.read_exact(buffer).map_err(Error::Read)?;
        self.plain += buffer.len() as u64;
        // What is read ahead counts too, which is a little in the archive's favour.
        let packed = self.decoder.get_ref().get_ref().bytes.max(1);
        if self.plain > RATIO_FLOOR && self.plain / packed > self.ratio {
            let what = format!("the archive, which grows {} times,", self.plain / packed);
            return Err(Error::limit(what, format!("{} times", self.ratio)));
        }
        Ok(())
    }

    pub(super) fn block(&mut self) -> Result<Block, Error> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    /// Reads so many bytes, at most a block. Are they all zero?
    pub(super) fn zeros(&mut self, count: usize) -> Result<bool, Error> {
        let mut block = [0; BLOCK];
        let zeros = &mut block[..count];
        self.fill(zeros)?;
        Ok(zeros.iter().all(|byte| *byte == 0))
    }

    /// After the last entry: the end of the tar, of the compressed frame, and of the archive.
    pub(super) fn end(mut self) -> Result<(), Error> {
        for _ in 0..END_BLOCKS {
            if !self.zeros(BLOCK)? {
                return Err(Error::Trailing("there is an entry that the index does not have"));
            }
        }
        // Reads the frame's checksum too.
        if self.decoder.read(&mut [0]).map_err(Error::Read)? != 0 {
            return Err(Error::Trailing("there are bytes"));
        }
        if !self.decoder.finish().fill_buf().map_err(Error::Read)?.is_empty() {
            return Err(Error::Trailing("there are bytes"));
        }
        Ok(())
    }
}
