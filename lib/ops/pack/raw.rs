//! A member before compression.

use std::ops::Range;

use crate::core::assemble::PackedMember;
use crate::core::planner::MEMBER;
use crate::core::references::{may_be_origin, may_refer};
use crate::format::digest;
use crate::format::entry::{Entry, Kind};
use crate::format::path::Path;

/// A file that has grown over this since it was listed is not read into memory.
pub(super) const MAX_WHOLE: u64 = 2 * MEMBER;

/// A member before compression.
#[derive(Default)]
pub(super) struct Raw {
    /// The tar entries.
    pub tar: Vec<u8>,
    /// The member's lines and counts; its bytes are not set yet.
    pub member: PackedMember,
    /// The files whose content others may have, or that others may refer to.
    pub candidates: Vec<ReferenceCandidate>,
    /// Directories that their owner cannot enter.
    pub closed: Vec<Path>,
}

/// A file that was read, in a member.
pub(super) struct ReferenceCandidate {
    /// Its line, with the newline.
    pub line: Range<usize>,
    /// Its headers and content in the tar; none if these have left before.
    pub tar: Option<Range<usize>>,
    pub sha256: digest::Digest,
    /// Whether others may refer to it when it is stored.
    pub is_origin: bool,
    /// It is large and was only hashed: it is stored if it cannot refer.
    pub is_bare: bool,
}

impl Raw {
    pub(super) fn line(&mut self, entry: &Entry) -> Range<usize> {
        let start = self.member.lines.len();
        entry.write(&mut self.member.lines);
        self.member.entries += 1;
        if entry.kind == Kind::File && entry.meta().is_some() {
            self.member.files += 1;
            self.member.source_bytes +=
                if entry.hard.is_none() { entry.size.unwrap_or(0) } else { 0 };
        }
        let path = &entry.path;
        match &mut self.member.span {
            Some((_, last)) => last.clone_from(path),
            none => *none = Some((path.clone(), path.clone())),
        }
        start..self.member.lines.len()
    }

    /// The line of a file that was read; `tar` is what is in the member of it.
    pub(super) fn file(&mut self, entry: &Entry, tar: Option<Range<usize>>, is_bare: bool) {
        let line = self.line(entry);
        let is_origin = may_be_origin(entry);
        let Some(sha256) = entry.sha256.filter(|_| is_origin || may_refer(entry)) else { return };
        self.candidates.push(ReferenceCandidate { line, tar, sha256, is_origin, is_bare });
    }
}
