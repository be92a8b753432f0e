//! Which of the files that were read are stored, and which refer to what is stored already: decided
//! for one member after another, in the listing's order, before they are compressed.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::core::references::{may_refer, refer};
use crate::format::entry::{ContentPlace, Entry, Within};
use crate::ops::pack::origins::Origins;
use crate::ops::pack::own::Own;
use crate::ops::pack::raw::{Raw, ReferenceCandidate};
use crate::report::message::{Report, why};

/// A member as it is stored, before compression.
pub(super) struct Settled {
    pub raw: Raw,
    /// Where in its lines the number of a block of this band is missing, and which line of this run
    /// is in that block.
    pub pending: Vec<(usize, u64)>,
    /// Where the lines begin that it brings.
    pub start: u64,
}

/// A file that refers to others.
struct ReferenceHit {
    candidate: ReferenceCandidate,
    line: Vec<u8>,
    /// The line of this run that it refers to.
    own: Option<u64>,
}

/// Decides.
pub(super) struct Settler<'a> {
    /// The tier of the band.
    pub tier: u8,
    pub origins: Option<&'a Mutex<Origins>>,
    /// What this run has stored; none if no references are made, or no more.
    pub own: Option<Own>,
    /// Directories of this run that their owner cannot enter.
    pub closed: HashSet<Vec<u8>>,
    pub report: &'a Arc<Report>,
}

impl Settler<'_> {
    /// Decides for a member. A large file that was taken for one that is stored, and is none, comes
    /// back: it has to be read.
    pub(super) fn settle(&mut self, mut raw: Raw) -> Result<Settled, Box<Entry>> {
        self.closed.extend(raw.closed.drain(..).map(|path| path.as_bytes().to_vec()));
        let start = self.own.as_ref().map_or(0, Own::end);
        let mut hits = Vec::new();
        for candidate in std::mem::take(&mut raw.candidates) {
            let line = &raw.member.lines[candidate.line.clone()];
            if candidate.tar.is_some() || candidate.is_bare {
                let found = self.find(&candidate, line);
                if let Some((line, own)) = found {
                    hits.push(ReferenceHit { candidate, line, own });
                    continue;
                }
            }
            if candidate.is_bare {
                let entry = Entry::parse(line.strip_suffix(b"\n").unwrap_or(line));
                return Err(Box::new(
                    entry.unwrap_or_else(|_| unreachable!("a line of pack's own")),
                ));
            }
            self.remember(&candidate, line);
        }
        if hits.is_empty() {
            return Ok(Settled { raw, pending: Vec::new(), start });
        }
        Ok(replace(raw, hits, start))
    }

    /// The line of the file as a reference, if it may be one.
    fn find(
        &mut self,
        candidate: &ReferenceCandidate,
        line: &[u8],
    ) -> Option<(Vec<u8>, Option<u64>)> {
        let parse = || Entry::parse(line.strip_suffix(b"\n")?).ok().filter(may_refer);
        let as_reference = |place: ContentPlace| {
            let mut entry = parse()?;
            entry.refer_to(place);
            let mut line = Vec::new();
            entry.write(&mut line);
            Some(line)
        };
        let older = self.origins.and_then(|origins| origins.lock().ok());
        let older = older.and_then(|mut origins| origins.find(&candidate.sha256, parse));
        if let Some(line) = older.and_then(as_reference) {
            return Some((line, None));
        }
        let found = self.own.as_ref()?.find(&candidate.sha256);
        let (place, origin) = self.checked(found)??;
        let at = Within { tier: self.tier, block: 0 };
        let line = refer(&parse()?, &origin, at).and_then(as_reference)?;
        Some((line, Some(place)))
    }

    /// Remembers a file that is stored.
    fn remember(&mut self, candidate: &ReferenceCandidate, line: &[u8]) {
        if !candidate.is_origin || self.is_below_closed(line) {
            return;
        }
        let Some(own) = &mut self.own else { return };
        let pushed = own.push(&candidate.sha256, line);
        if self.checked(pushed) == Some(false) {
            self.report.note(
                "more new files than can be remembered: later ones with the same content as \
                 others are stored again",
            );
            self.own = None;
        }
    }

    fn is_below_closed(&self, line: &[u8]) -> bool {
        let path = line.split(|&b| b == b' ').next().unwrap_or_default();
        let mut above = memchr::memrchr_iter(b'/', path).map(|end| &path[..end]);
        !self.closed.is_empty() && above.any(|dir| self.closed.contains(dir))
    }

    /// What was looked up; after an error nothing is any more.
    fn checked<T>(&mut self, found: io::Result<T>) -> Option<T> {
        let error = match found {
            Ok(found) => return Some(found),
            Err(error) => error,
        };
        self.report.note(format_args!(
            "cannot remember which files are stored: {}: storing those with the same content again",
            why(&error)
        ));
        self.own = None;
        None
    }
}

/// Puts references in the place of what they refer to.
fn replace(raw: Raw, hits: Vec<ReferenceHit>, start: u64) -> Settled {
    let Raw { tar, mut member, .. } = raw;
    let (mut kept, mut lines, mut pending) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tar_at, mut line_at) = (0, 0);
    for ReferenceHit { candidate, line, own } in hits {
        lines.extend_from_slice(&member.lines[line_at..candidate.line.start]);
        if let Some(own) = own {
            pending.push((lines.len() + number_in(&line).start, own));
        }
        lines.extend_from_slice(&line);
        line_at = candidate.line.end;
        if let Some(range) = candidate.tar {
            kept.extend_from_slice(&tar[tar_at..range.start]);
            tar_at = range.end;
        }
    }
    lines.extend_from_slice(&member.lines[line_at..]);
    kept.extend_from_slice(&tar[tar_at..]);
    member.lines = lines;
    Settled { raw: Raw { tar: kept, member, ..Raw::default() }, pending, start }
}

/// Where a line has the nine digits of the block that it refers to: nothing before them looks like
/// them, since a path has its commas and colons escaped there.
fn number_in(line: &[u8]) -> Range<usize> {
    let tags = memchr::memmem::rfind(line, b" tags=").unwrap_or(0);
    let find = |needle: &[u8]| memchr::memmem::find(&line[tags..], needle);
    let tag = find(b",in:").or_else(|| find(b"=in:")).unwrap_or(0);
    let start = tags + tag + ",in:T/".len();
    start..start + 9
}

/// Fills in the block of a line of this band.
pub(super) fn fill_in(lines: &mut [u8], at: usize, block: u32) {
    lines[at..at + 9].copy_from_slice(format!("{block:09}").as_bytes());
}
