//! A file that is too large to be held whole: its tar in pieces, its digest on the way.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::core::planner::MEMBER;
use crate::edge::source::SourceFile;
use crate::format::tarball::Segment;
use crate::ops::pack::read::Raw;

/// How a file's content came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// All of it.
    Whole,
    /// It ended after so many bytes.
    Short(u64),
    /// There is more than its size says, and more than could be kept.
    Cut,
}

/// A large file on its way into pieces.
pub(super) struct LargeFile<'a, E> {
    pub file: &'a SourceFile,
    pub empty: &'a dyn Fn() -> Raw,
    pub raw: Raw,
    pub sha256: Sha256,
    /// Whether the digest is that of the file as it reads, holes and all; else that of what is
    /// stored.
    pub holes: bool,
    /// How far into the file the digest has come.
    pub hashed: u64,
    pub came: ReadOutcome,
    pub emit: &'a mut dyn FnMut(Raw) -> Result<(), E>,
}

impl<E> LargeFile<'_, E> {
    /// Reads a segment; the inner error is told once and the rest of the file is zeros.
    pub(super) fn segment(&mut self, segment: Segment) -> Result<io::Result<()>, E> {
        self.hash_zeros(segment.offset);
        let mut outcome = Ok(());
        let mut left = segment.len;
        while left > 0 {
            let room = MEMBER.saturating_sub(self.raw.tar.len() as u64);
            if room == 0 {
                let full = std::mem::replace(&mut self.raw, (self.empty)());
                (self.emit)(full)?;
                continue;
            }
            let want = room.min(left) as usize;
            let start = self.raw.tar.len();
            if self.came == ReadOutcome::Whole {
                match self.file.read_at(self.hashed, want, &mut self.raw.tar) {
                    Ok(came) if came == want => {}
                    Ok(came) => self.came = ReadOutcome::Short(self.hashed + came as u64),
                    Err(error) => {
                        self.came =
                            ReadOutcome::Short(self.hashed + (self.raw.tar.len() - start) as u64);
                        outcome = Err(error);
                    }
                }
            }
            self.raw.tar.resize(start + want, 0);
            self.sha256.update(&self.raw.tar[start..]);
            self.hashed += want as u64;
            left -= want as u64;
        }
        Ok(outcome)
    }

    /// Passes over a hole.
    pub(super) fn hash_zeros(&mut self, until: u64) {
        if !self.holes {
            self.hashed = self.hashed.max(until);
        }
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while self.hashed < until {
            let len = (until - self.hashed).min(ZEROS.len() as u64);
            self.sha256.update(&ZEROS[..len as usize]);
            self.hashed += len;
        }
    }
}
