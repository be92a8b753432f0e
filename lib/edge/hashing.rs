//! Digests of what files hold.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::edge::source::SourceFile;
use crate::format::digest;
use crate::format::tarball::{Segment, sparse_map};

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// The digest of a file, and how many bytes came.
///
/// # Errors
/// What the system says.
pub fn hash(file: &SourceFile, size: u64) -> io::Result<(digest::Digest, u64)> {
    let mut sha256 = Sha256::new();
    let mut buffer = Vec::with_capacity(PIECE as usize);
    let mut at = 0;
    while at < size {
        buffer.clear();
        let came = file.read_at(at, (size - at).min(PIECE) as usize, &mut buffer)?;
        if came == 0 {
            break;
        }
        sha256.update(&buffer);
        at += came as u64;
    }
    Ok((sha256.finalize().into(), at))
}

/// The digest of a sparse file's entry in the tar, its map and its data; and how many bytes of data
/// came.
///
/// # Errors
/// What the system says.
pub fn hash_body(file: &SourceFile, segments: &[Segment]) -> io::Result<(digest::Digest, u64)> {
    let mut sha256 = Sha256::new_with_prefix(sparse_map(segments));
    let mut buffer = Vec::with_capacity(PIECE as usize);
    let mut data = 0;
    for segment in segments {
        let mut done = 0;
        while done < segment.len {
            buffer.clear();
            let want = (segment.len - done).min(PIECE) as usize;
            let came = file.read_at(segment.offset + done, want, &mut buffer)?;
            sha256.update(&buffer);
            (done, data) = (done + came as u64, data + came as u64);
            if came < want {
                return Ok((sha256.finalize().into(), data));
            }
        }
    }
    Ok((sha256.finalize().into(), data))
}
