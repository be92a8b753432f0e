//! Pack's assembler: members and index lines in, a band's objects out.
//!
//! Invariants:
//! 1. A block is closed only at an entry border, at the first at which it has reached the block
//!    size.
//! 2. An index holds the lines of exactly the entries in its block, and the lines that store
//!    nothing between them.
//! 3. An index leaves after all of its block; a table of contents after the indexes it lists; TAIL
//!    last.
//! 4. An index repeats the lines of the directories above its first path, so one index is enough to
//!    read what it lists.
//! 5. A part of a block ends with a member, where a member is not larger than a part. A large file
//!    has a block of its own, so that a run that is cut in it can be gone on with; such a block may
//!    have a number below those of the run, but its indexes and blocks still rise.
//! 6. The header of a file of unknown length comes behind its content. It is a member of its own, and
//!    leaves as part 0 of its block, behind the other parts.
//! 7. Blocks wait for what comes next before they close, so the last index of a run is known and
//!    can hold `#end`.

mod above;

use std::collections::VecDeque;
use std::io;

use self::above::Above;
use crate::core::cut::Resumed;
use crate::format::band::{BandId, BandName};
use crate::format::codec;
use crate::format::cut::{CutNote, FileMark, PartEnd};
use crate::format::head::{Head, Tail};
use crate::format::listing::{End, Have, Header, VERSION};
use crate::format::object::{BlockForm, Compression, MAX_NUMBER, Object, ObjectName};
use crate::format::path::Path;
use crate::format::time::Stamp;
use crate::format::toc::{Earlier, Toc, TocMarks, TocRow};

/// An index closes after so many lines.
pub const MAX_LINES: u64 = 50_000;

/// An index closes after so many bytes of text, so that the longest names there are stay within
/// memory.
pub const MAX_TEXT: usize = 16 << 20;

/// A table of contents is written after so many indexes.
pub const MAX_ROWS: usize = 4096;

/// What the assembler has to know before it starts.
#[derive(Debug, Clone)]
pub struct AssemblerConfig {
    /// The band's name.
    pub band: BandName,
    /// The band's id.
    pub id: BandId,
    /// How the members are compressed.
    pub compression: Compression,
    /// A block closes when it has so many bytes.
    pub block_size: u64,
    /// A block over so many bytes is stored in parts of at most as many.
    pub part_size: u64,
    /// Number of the first index.
    pub first: u32,
    /// Number of the index before it, when a band is continued.
    pub after: Option<u32>,
    /// What the band holds already.
    pub have: Have,
    /// The first numbers of the runs before this one; what is not known is left out.
    pub runs: Vec<u32>,
    /// The band's HEAD, for TAIL to repeat; none if it is not known.
    pub head: Option<Head>,
    /// `#source`, `#partial` and the like, which stand in the first index.
    pub headers: Vec<Header>,
}

/// A compressed member and the lines of its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedMember {
    /// Compressed; empty if its entries store nothing.
    pub bytes: Vec<u8>,
    /// Lines of the index, each with its newline.
    pub lines: Vec<u8>,
    /// How many lines.
    pub entries: u64,
    /// How many of them are files.
    pub files: u64,
    /// Bytes of these files in the source.
    pub source_bytes: u64,
    /// First and last path of the lines.
    pub span: Option<(Path, Path)>,
    /// False if the entry that it ends with goes on in the next member.
    pub border: bool,
    /// What a piece of a large file is.
    pub large: Option<Box<LargePiece>>,
}

/// Where a piece of a large file belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LargePiece {
    /// The block that begins with it, if one does.
    pub start: Option<BlockStart>,
    /// The place behind it, and the content up to there.
    pub end: PartEnd,
    /// The part that begins with it, if that does not follow from what came before.
    pub part: Option<u32>,
    /// It belongs to a part whose border is known: whether it is the last piece of it.
    pub ends: Option<bool>,
    /// It is the header of a file whose content has come.
    pub is_header: bool,
    /// With the last piece the text of the file's sums, if it has any.
    pub sums: Option<String>,
}

/// The block of a large file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockStart {
    /// A new one. What came of the file before counts for nothing.
    New(Box<FileMark>),
    /// One that an earlier run has begun, below the numbers of this run.
    Cut(Resumed),
    /// A new one, of a file whose length is not known: its header is its last piece.
    Headless,
}

/// What the open block holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum OpenBlock {
    /// Any entries.
    #[default]
    Shared,
    /// One large file or its delta, in which a later run can go on.
    Large {
        /// Whether it is a delta.
        is_delta: bool,
    },
    /// The same, which an earlier run has begun.
    Cut(Resumed),
    /// A file whose header is still to come.
    Headless,
}

impl OpenBlock {
    fn is_delta(self) -> bool {
        match self {
            OpenBlock::Large { is_delta } => is_delta,
            OpenBlock::Cut(cut) => cut.is_delta,
            OpenBlock::Shared | OpenBlock::Headless => false,
        }
    }
}

impl From<&BlockStart> for OpenBlock {
    fn from(start: &BlockStart) -> OpenBlock {
        match start {
            BlockStart::New(mark) => OpenBlock::Large { is_delta: mark.is_delta },
            BlockStart::Cut(cut) => OpenBlock::Cut(*cut),
            BlockStart::Headless => OpenBlock::Headless,
        }
    }
}

/// What is counted at the end of a run.
#[derive(Debug, Clone, Copy)]
pub struct Finish {
    /// The listing's counts.
    pub end: End,
    /// What pack could not store.
    pub skipped: u64,
    /// What diff says that the new version holds.
    pub tree: Option<Have>,
    /// What diff says changed behind the point from which the band is continued.
    pub behind: u64,
    /// What pack stored without its attributes.
    pub unattributed: u64,
    /// The clock.
    pub finished: Stamp,
}

/// Why a band cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// Compression of an index failed.
    #[error("cannot compress an index")]
    Compress(#[from] io::Error),
    /// Nine digits are used up.
    #[error("the band has more blocks than nine digits can number: use a larger --block-size")]
    TooMany,
}

/// The machine: `handle_head` for a new band, `handle_member` in canonical order, `finish`;
/// `poll_object` after each until it gives none.
#[derive(Debug)]
pub struct Assembler {
    config: AssemblerConfig,
    out: VecDeque<(ObjectName, Vec<u8>)>,
    number: u32,
    after: Option<u32>,
    /// The open block's bytes that are not yet in a part.
    block: Vec<u8>,
    parts: u32,
    /// How far the open block's bytes reach in the large file that it is of.
    end: Option<PartEnd>,
    open: OpenBlock,
    /// The text of the sums beside the open block.
    sums: Option<String>,
    notes: VecDeque<CutNote>,
    /// Whether the open block's last entry is complete.
    border: bool,
    lines: Vec<u8>,
    count: u64,
    span: Option<(Path, Path)>,
    above: Above,
    rows: Vec<TocRow>,
    tocs: Vec<Earlier>,
    have: Have,
}

impl Assembler {
    /// A machine for one run.
    pub fn new(config: AssemblerConfig) -> Assembler {
        Assembler {
            out: VecDeque::new(),
            number: config.first,
            after: config.after,
            block: Vec::new(),
            parts: 0,
            end: None,
            open: OpenBlock::default(),
            sums: None,
            notes: VecDeque::new(),
            border: true,
            lines: Vec::new(),
            count: 0,
            span: None,
            above: Above::default(),
            rows: Vec::new(),
            tocs: Vec::new(),
            have: config.have,
            config,
        }
    }

    /// A new band: its HEAD and notes leave before all else.
    pub fn handle_head(&mut self, head: &Head, notes: &[(&'static str, &'static [u8])]) {
        self.emit(Object::Head, head.to_string().into_bytes());
        for (name, bytes) in notes {
            self.emit(Object::Note(name), bytes.to_vec());
        }
    }

    /// Closes the open block if the next member is to begin another; gives the number of the block
    /// that it comes into.
    ///
    /// # Errors
    /// If an index cannot be compressed, or the band has no number left.
    pub fn open_for(&mut self, member: &PackedMember) -> Result<u32, AssembleError> {
        let full = self.size() >= self.config.block_size
            || self.count + member.entries > MAX_LINES
            || self.lines.len() + member.lines.len() > MAX_TEXT;
        let start = member.large.as_ref().and_then(|large| large.start.as_ref());
        if start.is_some() && !self.border {
            self.block.clear();
            (self.parts, self.open, self.border) = (0, OpenBlock::default(), true);
        }
        let is_alone = self.open != OpenBlock::Shared;
        if self.border && self.count > 0 && (full || is_alone || start.is_some()) {
            self.close(None)?;
        }
        if let Some(start) = start {
            self.open = start.into();
        }
        Ok(self.open_number())
    }

    fn open_number(&self) -> u32 {
        if let OpenBlock::Cut(cut) = self.open { cut.number } else { self.number }
    }

    /// Takes the next member.
    ///
    /// # Errors
    /// If an index cannot be compressed, or the band has no number left.
    pub fn handle_member(&mut self, member: PackedMember) -> Result<(), AssembleError> {
        self.open_for(&member)?;
        let LargePiece { start, end, part, ends, is_header, sums } =
            member.large.map_or_else(LargePiece::default, |large| *large);
        self.sums = sums;
        match start {
            Some(BlockStart::New(mark)) => {
                self.notes.push_back(CutNote::File(self.number, *mark));
            }
            // Part 0 is the header's.
            Some(BlockStart::Headless) => self.parts = 1,
            Some(BlockStart::Cut(_)) | None => {}
        }
        if let Some(part) = part {
            self.parts = part;
        }
        let most = self.config.part_size as usize;
        if is_header {
            self.put_header(member.bytes);
        } else {
            if ends.is_none() && self.block.len() + member.bytes.len() > most {
                self.end_part();
            }
            self.block.extend_from_slice(&member.bytes);
        }
        while ends.is_none() && self.block.len() > most {
            let rest = self.block.split_off(most);
            let part = std::mem::replace(&mut self.block, rest);
            self.emit_part(part);
        }
        let goes_on = matches!(self.open, OpenBlock::Large { .. } | OpenBlock::Cut(_));
        self.end = goes_on.then_some(end);
        if ends == Some(true) {
            self.end_part();
        }
        self.border = member.border;
        self.lines.extend_from_slice(&member.lines);
        self.count += member.entries;
        if let Some((first, last)) = member.span {
            let first = self.span.take().map_or(first, |(first, _)| first);
            self.span = Some((first, last));
        }
        self.have.entries += member.entries;
        self.have.files += member.files;
        self.have.bytes += member.source_bytes;
        Ok(())
    }

    /// All members have come.
    ///
    /// # Errors
    /// If an index cannot be compressed, or the band has no number left.
    pub fn finish(&mut self, finish: Finish) -> Result<Tail, AssembleError> {
        // The run has an index with the first of its own numbers.
        if matches!(self.open, OpenBlock::Cut(_)) {
            self.close(None)?;
        }
        let last = self.number;
        let entries = self.have.entries;
        self.close(Some(End { entries, ..finish.end }))?;
        self.write_toc(true)?;
        let tail = Tail {
            band: self.config.band.clone(),
            id: self.config.id,
            finished: finish.finished,
            last,
            toc: last,
            entries,
            files: self.have.files,
            bytes: self.have.bytes,
            // A full band is its version.
            tree: finish.tree.or((self.config.band.tier() == 0).then_some(self.have)),
            skipped: finish.skipped + finish.end.unreadable,
            behind: Some(finish.behind),
            runs: self.config.runs.iter().copied().chain([self.config.first]).collect(),
            unattributed: finish.unattributed,
            head: self.config.head.clone(),
        };
        self.emit(Object::Tail, tail.to_string().into_bytes());
        Ok(tail)
    }

    /// The next object, in the order in which they are to be stored.
    pub fn poll_object(&mut self) -> Option<(ObjectName, Vec<u8>)> {
        self.out.pop_front()
    }

    /// The next thing to note before the objects that `poll_object` gives leave.
    pub fn poll_note(&mut self) -> Option<CutNote> {
        self.notes.pop_front()
    }

    fn size(&self) -> u64 {
        u64::from(self.parts) * self.config.part_size + self.block.len() as u64
    }

    /// What has come of the block is a part of it.
    fn end_part(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let part = std::mem::take(&mut self.block);
        if let Some(end) = self.end.take() {
            self.notes.push_back(CutNote::Part(self.open_number(), self.parts, end));
        }
        self.emit_part(part);
    }

    /// Puts the header before the content that has come: in one object, if that is not too large.
    fn put_header(&mut self, header: Vec<u8>) {
        self.open = OpenBlock::Large { is_delta: false };
        let is_small = self.block.len() + header.len() <= self.config.part_size as usize;
        if self.parts == 1 && is_small {
            self.parts = 0;
            self.block.splice(0..0, header);
            return;
        }
        self.end_part();
        let parts = std::mem::take(&mut self.parts);
        self.emit_part(header);
        self.parts = parts;
    }

    fn form(&self) -> BlockForm {
        BlockForm::of(self.config.compression, self.open.is_delta())
    }

    fn emit_part(&mut self, bytes: Vec<u8>) {
        let part = Object::Part(self.open_number(), self.form(), self.parts);
        self.emit(part, bytes);
        self.parts += 1;
    }

    fn emit(&mut self, object: Object, bytes: Vec<u8>) {
        self.out.push_back((ObjectName::plain(object), bytes));
    }

    /// Closes the open block and its index; with `end`, the run's last.
    fn close(&mut self, end: Option<End>) -> Result<(), AssembleError> {
        let number = self.open_number();
        if number > MAX_NUMBER {
            return Err(AssembleError::TooMany);
        }
        if self.parts > 0 {
            self.end_part();
        } else if !self.block.is_empty() {
            let block = std::mem::take(&mut self.block);
            self.emit(Object::Block(number, self.form()), block);
            self.parts = 1;
        }
        let sums = self.sums.take();
        let open = std::mem::take(&mut self.open);
        let marks = TocMarks { sums: sums.is_some(), delta: open.is_delta() };
        let has_sums = matches!(open, OpenBlock::Cut(cut) if cut.has_sums);
        if let Some(text) = sums.filter(|_| !has_sums) {
            self.emit(Object::Sums(number), codec::gzip(text.as_bytes())?);
        }
        let parts = std::mem::take(&mut self.parts);
        let index = self.index_text(number, end);
        self.emit(Object::Index(number), codec::gzip(&index)?);
        if let Some((_, last)) = &self.span {
            self.above.handle_index(number, &self.lines, last);
        }
        self.rows.push(TocRow { number, span: self.span.take(), parts, marks });
        self.lines.clear();
        self.count = 0;
        self.after = Some(number);
        if !matches!(open, OpenBlock::Cut(_)) {
            self.number += 1;
        }
        if self.rows.len() >= MAX_ROWS && end.is_none() {
            self.write_toc(false)?;
        }
        Ok(())
    }

    fn index_text(&self, number: u32, end: Option<End>) -> Vec<u8> {
        let mut text = String::new();
        let mut line = |header: &dyn std::fmt::Display| text += &format!("{header}\n");
        if number == 0 {
            line(&Header::Mtree);
            line(&Header::Version(VERSION));
        }
        line(&Header::Index(self.config.id, number, self.after));
        if number == self.config.first {
            self.config.headers.iter().for_each(|header| line(header));
        }
        let mut text = text.into_bytes();
        if let Some((first, _)) = &self.span {
            self.above.write(first, &mut text);
        }
        text.extend_from_slice(&self.lines);
        if let Some(end) = end {
            text.extend_from_slice(format!("{end}\n").as_bytes());
        }
        text
    }

    fn write_toc(&mut self, last: bool) -> Result<(), AssembleError> {
        let toc = Toc {
            id: self.config.id,
            rows: std::mem::take(&mut self.rows),
            earlier: if last { self.tocs.clone() } else { Vec::new() },
        };
        if let Some(number) = toc.number() {
            self.emit(Object::Toc(number), codec::gzip(toc.to_string().as_bytes())?);
            let first = toc.rows.into_iter().find_map(|row| row.span).map(|(first, _)| first);
            self.tocs.push(Earlier { number, first });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
