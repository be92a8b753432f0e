//! Digests of what files hold.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::edge::source::SourceFile;
use crate::format::digest;
use crate::format::sparse::Digester;
use crate::format::tarball::{Segment, sparse_map};

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// A piece of a file.
#[derive(Debug, Clone, Copy)]
pub enum FilePiece<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// A hole of so many bytes.
    Hole(u64),
}

/// The digest of a file whose data is in these segments, and how many bytes of data came; `look` is
/// shown all pieces.
///
/// # Errors
/// What the system says.
pub fn hash(
    file: &SourceFile,
    segments: &[Segment],
    size: u64,
    mut look: impl FnMut(FilePiece<'_>),
) -> io::Result<(digest::Digest, u64)> {
    let mut sha256 = Digester::new(true, size);
    sha256.update(&sparse_map(segments));
    let mut at = 0;
    let data = each_piece(file, segments, |offset, bytes| {
        if offset > at {
            look(FilePiece::Hole(offset - at));
        }
        look(FilePiece::Data(bytes));
        sha256.update(bytes);
        at = offset + bytes.len() as u64;
    })?;
    if at < size {
        look(FilePiece::Hole(size - at));
    }
    let sha256 = sha256.finish().ok_or_else(|| io::Error::other("too many holes"))?;
    Ok((sha256, data))
}

/// The digest of all that a file gives, whatever its size says.
///
/// # Errors
/// What the system says.
pub fn hash_all(file: &SourceFile) -> io::Result<digest::Digest> {
    let mut sha256 = Sha256::new();
    let all = Segment { offset: 0, len: u64::MAX };
    each_piece(file, &[all], |_, bytes| sha256.update(bytes))?;
    Ok(sha256.finalize().into())
}

/// The digest of a sparse file's entry in the tar, its map and its data; and how many bytes of data
/// came.
///
/// # Errors
/// What the system says.
pub fn hash_body(file: &SourceFile, segments: &[Segment]) -> io::Result<(digest::Digest, u64)> {
    let mut sha256 = Sha256::new_with_prefix(sparse_map(segments));
    let data = each_piece(file, segments, |_, bytes| sha256.update(bytes))?;
    Ok((sha256.finalize().into(), data))
}

/// Reads the segments of a file up to the first that is short; gives how many bytes came.
fn each_piece(
    file: &SourceFile,
    segments: &[Segment],
    mut take: impl FnMut(u64, &[u8]),
) -> io::Result<u64> {
    let mut buffer = Vec::with_capacity(PIECE as usize);
    let mut data = 0;
    for segment in segments {
        let mut done = 0;
        while done < segment.len {
            buffer.clear();
            let want = (segment.len - done).min(PIECE) as usize;
            let came = file.read_at(segment.offset + done, want, &mut buffer)?;
            take(segment.offset + done, &buffer);
            (done, data) = (done + came as u64, data + came as u64);
            if came < want {
                return Ok(data);
            }
        }
    }
    Ok(data)
}
