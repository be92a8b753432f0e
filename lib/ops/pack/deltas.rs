//! A changed large file as a delta: what is new of it, and which pieces are those of the version
//! below.

use sha2::{Digest as _, Sha256};

use crate::core::cut::CutPlan;
use crate::core::cutter::chunk_hash;
use crate::core::delta::{DeltaPlan, SumsLines};
use crate::core::outcome::ReadOutcome;
use crate::core::planner::MEMBER;
use crate::edge::source::SourceFile;
use crate::format::cut::FileMark;
use crate::format::entry::{ContentPlace, DeltaBase, Entry};
use crate::format::rdiff::{DeltaCommand, END, MAGIC};
use crate::format::sparse::{Digester, zeros};
use crate::format::sums::{Chunk, ChunkSums};
use crate::format::tarball::{Segment, sparse_map};
use crate::ops::pack::origins::KnownFile;
use crate::ops::pack::pieces::PieceSender;
use crate::ops::pack::raw::Raw;
use crate::ops::pack::reading::FileReading;
use crate::report::message::why;
use crate::report::units;

/// A delta as it is written.
struct DeltaWriter<'a, E> {
    raw: Raw,
    /// The digest of what has been handed on of it.
    sha256: Sha256,
    /// A copy that the next one may continue.
    copy: Option<(u64, u64)>,
    out: PieceSender<'a, E>,
}

impl<E> DeltaWriter<'_, E> {
    fn copy(&mut self, start: u64, len: u64) {
        match &mut self.copy {
            Some((begin, before)) if *begin + *before == start => *before += len,
            _ => {
                self.end_copy();
                self.copy = Some((start, len));
            }
        }
    }

    fn end_copy(&mut self) {
        if let Some((start, len)) = self.copy.take() {
            DeltaCommand::Copy(start, len).write(&mut self.raw.tar);
        }
    }

    fn literal(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.end_copy();
        DeltaCommand::Literal(bytes.len() as u64).write(&mut self.raw.tar);
        self.raw.tar.extend_from_slice(bytes);
        if self.raw.tar.len() as u64 >= MEMBER {
            let full = std::mem::replace(&mut self.raw, self.out.reading.empty());
            self.sha256.update(&full.tar);
            return self.out.hand_on(full, &self.sha256, false, None);
        }
        Ok(())
    }
}

impl FileReading {
    /// What the version below has at the path of a file, if a delta over it can be made.
    pub(super) fn base_of(&self, entry: &Entry) -> Option<KnownFile> {
        self.origins.as_ref()?.lock().ok()?.known_file(&entry.path)
    }

    /// Reads a file once more, in the chunks that it had before, and hands on its delta, less what
    /// the cut plan knows to be stored. What is read now counts: a chunk that is another one now is
    /// stored. False if it is not the delta of which the cut plan is.
    pub(super) fn send_delta<E>(
        &self,
        (file, segments, size): (&SourceFile, &[Segment], u64),
        mut entry: Entry,
        (base, chunks, mut plan): (&KnownFile, &[Chunk], DeltaPlan),
        (mark, cut): (FileMark, Option<CutPlan>),
        close: &mut dyn FnMut(&mut Entry, ReadOutcome),
        emit: &mut dyn FnMut(Raw) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.report.verbose(format_args!(
            "{}: {} of its {} are new: storing those",
            entry.path,
            units::human(plan.literal()),
            units::human(size)
        ));
        let mut sha256 = Digester::new(true, size);
        sha256.update(&sparse_map(segments));
        let mut raw = self.empty();
        raw.tar.extend_from_slice(&MAGIC);
        let sender = PieceSender::new(self, (mark, true), cut, emit);
        let mut out = DeltaWriter { raw, sha256: Sha256::new(), copy: None, out: sender };
        let (mut at, mut came, mut lines) = (0, ReadOutcome::Whole, SumsLines::default());
        let mut bytes = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            if out.out.differs {
                return Ok(false);
            }
            let mut left = u64::from(chunk.len);
            if chunk.hash.is_none() {
                while let Some((start, len)) = plan.next_hole(number) {
                    out.copy(start, len);
                    left -= len;
                }
                zeros(left, &mut |piece| out.literal(piece))?;
                lines.push(*chunk, None);
                at += u64::from(chunk.len);
                continue;
            }
            bytes.clear();
            if came == ReadOutcome::Whole {
                came = self.read_chunk(file, &entry, (at, chunk.len as usize), &mut bytes);
            }
            bytes.resize(chunk.len as usize, 0);
            sha256.update(&bytes);
            let hash = Some(chunk_hash(&bytes));
            let place = plan.place(number).filter(|_| hash == chunk.hash);
            match place {
                Some(start) => out.copy(start, left),
                None => out.literal(&bytes)?,
            }
            let line = plan.line(number).filter(|_| place.is_some());
            lines.push(Chunk { len: chunk.len, hash }, line);
            at += u64::from(chunk.len);
        }
        out.end_copy();
        out.raw.tar.push(END);
        entry.forget_place();
        (entry.sha256, entry.body) = (sha256.finish(), None);
        close(&mut entry, came);
        entry.deltas = base.place.deltas + 1;
        let ContentPlace { within, reference, .. } = base.place.clone();
        entry.delta = Some(Some(Box::new(DeltaBase { within, reference })));
        let mut raw = std::mem::take(&mut out.raw);
        raw.member.border = true;
        raw.file(&entry, None, false);
        let (lines, of_base) = lines.finish();
        let sums = entry.sha256.map(|sha256| {
            let (average, base) = (base.average, of_base.then_some(base.sha256));
            ChunkSums { sha256, size, average, base, lines }.text()
        });
        out.sha256.update(&raw.tar);
        out.out.hand_on(raw, &out.sha256, true, sums)?;
        Ok(!out.out.differs)
    }

    /// Reads a chunk; trouble is told once, and the rest of the file is zeros.
    fn read_chunk(
        &self,
        file: &SourceFile,
        entry: &Entry,
        (at, len): (u64, usize),
        out: &mut Vec<u8>,
    ) -> ReadOutcome {
        match file.read_at(at, len, out) {
            Ok(came) if came == len => ReadOutcome::Whole,
            Ok(came) => ReadOutcome::Short(at + came as u64),
            Err(error) => {
                self.report.warn(format_args!(
                    "{}: {}: stored with zeros from there on",
                    entry.path,
                    why(&error)
                ));
                ReadOutcome::Short(at + out.len() as u64)
            }
        }
    }
}
