//! A file that is too large to be held whole: its tar in pieces, its digest on the way.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::core::assemble::{BlockStart, LargePiece};
use crate::core::cut::{CutPlan, PieceUse};
use crate::core::cutter::Cutter;
use crate::core::outcome::ReadOutcome;
use crate::core::planner::MEMBER;
use crate::edge::source::SourceFile;
use crate::format::cut::{FileMark, PartEnd};
use crate::format::sparse;
use crate::format::tarball::Segment;
use crate::ops::pack::raw::Raw;
use crate::ops::pack::reading::FileReading;

/// Hands on the pieces of a large file, or of its delta, without those that are stored.
pub(super) struct PieceSender<'a, E> {
    pub reading: &'a FileReading,
    /// Whether it has a block of its own, and how that begins, until the first piece has left.
    start: Option<BlockStart>,
    is_alone: bool,
    /// What of it is stored, if a run was cut in it.
    plan: Option<CutPlan>,
    /// The bytes that have come.
    place: u64,
    /// It is not what was stored of it.
    pub differs: bool,
    emit: &'a mut dyn FnMut(Raw) -> Result<(), E>,
}

impl<'a, E> PieceSender<'a, E> {
    /// For a file that is begun with this mark, or gone on with.
    pub(super) fn new(
        reading: &'a FileReading,
        (mark, is_alone): (FileMark, bool),
        plan: Option<CutPlan>,
        emit: &'a mut dyn FnMut(Raw) -> Result<(), E>,
    ) -> PieceSender<'a, E> {
        let start = match &plan {
            Some(plan) => BlockStart::Cut(plan.cut),
            None => BlockStart::New(Box::new(mark)),
        };
        PieceSender { reading, start: Some(start), is_alone, plan, place: 0, differs: false, emit }
    }

    /// Hands on a piece, up to which the content has this digest; with the last one the line of the
    /// file, and the text of its sums.
    pub(super) fn hand_on(
        &mut self,
        mut raw: Raw,
        content: &Sha256,
        last: bool,
        sums: Option<String>,
    ) -> Result<(), E> {
        self.place += raw.tar.len() as u64;
        if !self.is_alone {
            return (self.emit)(raw);
        }
        let end = PartEnd { place: self.place, sha256: content.clone().finalize().into() };
        let mut noted = 0;
        let piece = match &mut self.plan {
            None => PieceUse::Behind { part: None },
            Some(plan) => {
                noted = plan.noted();
                plan.handle_piece(end, last)
            }
        };
        let (part, ends) = match piece {
            PieceUse::Differs => {
                self.differs = true;
                return Ok(());
            }
            PieceUse::Stored if !last => {
                self.reading.buffers.recycle(raw.tar);
                return Ok(());
            }
            // Its line is not.
            PieceUse::Stored => {
                raw.tar.clear();
                (Some(noted), None)
            }
            PieceUse::Missing { part, ends } => (part, Some(ends)),
            PieceUse::Behind { part } => (part, None),
        };
        let start = self.start.take();
        let piece = LargePiece { start, end, part, ends, sums, ..LargePiece::default() };
        raw.member.large = Some(Box::new(piece));
        (self.emit)(raw)
    }
}

/// A large file on its way into pieces.
pub(super) struct LargeReader<'a, E> {
    pub file: &'a SourceFile,
    pub raw: Raw,
    pub sha256: Sha256,
    /// Whether the digest is that of the file as it reads, holes and all; else that of what is
    /// stored.
    pub holes: bool,
    /// How far into the file the digest has come.
    pub hashed: u64,
    pub came: ReadOutcome,
    /// Makes its sums, if it has any.
    pub cutter: Option<Cutter>,
    pub out: PieceSender<'a, E>,
}

impl<E> LargeReader<'_, E> {
    /// Reads a segment; the inner error is told once and the rest of the file is zeros.
    pub(super) fn segment(&mut self, segment: Segment) -> Result<io::Result<()>, E> {
        self.hash_zeros(segment.offset);
        let mut outcome = Ok(());
        let mut left = segment.len;
        while left > 0 && !self.out.differs {
            let room = MEMBER.saturating_sub(self.raw.tar.len() as u64);
            if room == 0 {
                let full = std::mem::replace(&mut self.raw, self.out.reading.empty());
                self.out.hand_on(full, &self.sha256, false, None)?;
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
            if let Some(cutter) = &mut self.cutter {
                cutter.handle_data(&self.raw.tar[start..]);
            }
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
        if let Some(cutter) = self.cutter.as_mut().filter(|_| self.hashed < until) {
            cutter.handle_hole(until - self.hashed);
        }
        sparse::hash_zeros(&mut self.sha256, until.saturating_sub(self.hashed));
        self.hashed = self.hashed.max(until);
    }
}
