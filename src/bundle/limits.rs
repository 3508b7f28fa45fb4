//! What a bundle may have. Given by whoever reads one; `check` and `unpack` hold to it.

/// Bounds on a bundle. The defaults are for bundles of strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most files and folders together, implied folders included.
    pub entries: usize,
    /// The most bytes of all files together.
    pub bytes: u64,
    /// The most bytes of one file.
    pub file_bytes: u64,
    /// The most bytes of a path. A tar header has room for 255.
    pub path_bytes: usize,
    /// The most parts of a path.
    pub depth: usize,
    /// The most bytes of the index.
    pub index_bytes: u64,
    /// The most times that the archive may grow as it is unpacked, from [`RATIO_FLOOR`] on.
    pub ratio: u64,
}

/// Bytes that are unpacked before the ratio counts.
pub(super) const RATIO_FLOOR: u64 = 16 << 20;

/// The most bytes of a signature.
pub(super) const SIGNATURE_BYTES: u64 = 4096;

/// The most bytes that a tar header has for a path.
pub(super) const TAR_PATH_BYTES: usize = 255;

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000,
            bytes: 1 << 30,
            file_bytes: 512 << 20,
            path_bytes: TAR_PATH_BYTES,
            depth: 32,
            index_bytes: 4 << 20,
            ratio: 250,
        }
    }
}
