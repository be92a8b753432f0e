//! Files that are too large to be held whole: read once, from end to end, in pieces.

use sha2::{Digest as _, Sha256};

use crate::core::cut::CutPlan;
use crate::core::cutter::{self, Cutter};
use crate::core::delta::{DeltaPlan, SumsLines};
use crate::core::links::LostLinks;
use crate::core::references::content_key;
use crate::edge::attributes::Attributes;
use crate::edge::hashing::{FilePiece, hash, hash_body};
use crate::edge::source::{FileStat, SizeTrust, SourceFile};
use crate::format::cut::FileMark;
use crate::format::digest;
use crate::format::entry::Entry;
use crate::format::sparse::is_nearly_all_holes;
use crate::format::sums::ChunkSums;
use crate::format::tarball::{Content, Segment, padding, sparse_map};
use crate::format::time::Time;
use crate::ops::pack::attributes::Got;
use crate::ops::pack::pieces::{LargeFile, PieceSender, ReadOutcome};
use crate::ops::pack::raw::Raw;
use crate::ops::pack::read::{FileOutcome, Trouble};
use crate::ops::pack::reading::FileReading;
use crate::report::message::why;

/// Bytes of a large file that are read to see whether it may be one that was stored before.
const GLANCE: usize = 64 << 10;

/// So many large files are remembered at a glance: 16 MiB.
const MAX_LARGE: usize = 1 << 20;

/// A large file, ready to be read.
struct Prepared {
    /// What its attributes are read from.
    file: SourceFile,
    /// A copy to read the content from, where the size of the file says nothing.
    copy: Option<SourceFile>,
    before: FileStat,
    opened_at: Time,
    segments: Option<Vec<Segment>>,
    /// How many bytes are stored, holes included.
    size: u64,
    came: ReadOutcome,
}

impl Prepared {
    fn content(&self) -> &SourceFile {
        self.copy.as_ref().unwrap_or(&self.file)
    }
}

impl FileReading {
    fn prepare(&self, entry: &Entry) -> Result<Prepared, Trouble> {
        let (file, before, opened_at) = self.open(entry)?;
        let (copy, size, came, segments) = if self.is_as_long_as_said(&file, &before)? {
            (None, before.size, ReadOutcome::Whole, file.segments(&before)?)
        } else {
            // The header says how long the file is, and comes first.
            let (copy, len, all) = file.spool()?;
            let kept = |came| (Some(copy), len, came, None);
            match len < before.size {
                true if all => kept(ReadOutcome::Short(len)),
                // Its size is worth more than what could be kept.
                true if self.source.sizes(&file, &before) == SizeTrust::Doubtful => {
                    (None, before.size, ReadOutcome::Cut, None)
                }
                false if all => kept(ReadOutcome::Whole),
                _ => kept(ReadOutcome::Cut),
            }
        };
        Ok(Prepared { file, copy, before, opened_at, segments, size, came })
    }

    fn is_as_long_as_said(&self, file: &SourceFile, facts: &FileStat) -> std::io::Result<bool> {
        if self.source.sizes(file, facts) == SizeTrust::True {
            return Ok(true);
        }
        let mut end = Vec::new();
        Ok((facts.size == 0 || file.read_at(facts.size - 1, 1, &mut end)? == 1)
            && file.read_at(facts.size, 1, &mut end)? == 0)
    }

    /// Reads a file of any size and hands on its tar in pieces of a member's size; the last has the
    /// line. Instead of that, the line alone if the content is elsewhere, or seems to be; `again`
    /// it is stored in any case. Stops with what `emit` fails with.
    pub(super) fn stream<E>(
        &self,
        mut entry: Entry,
        again: bool,
        links: &mut LostLinks,
        emit: &mut dyn FnMut(Raw) -> Result<(), E>,
    ) -> Result<(), E> {
        let prepared = match self.prepare(&entry) {
            Ok(prepared) => prepared,
            Err(trouble) => {
                self.skip(&entry, trouble, links);
                return Ok(());
            }
        };
        let Prepared { file, before, opened_at, segments, size, .. } = &prepared;
        let (before, size) = (*before, *size);
        let Got { attributes, all } = self.of_file(&entry, file, &before);
        let outcome = |came| FileOutcome {
            opened_at: *opened_at,
            before,
            after: file.facts().unwrap_or(FileStat { size: u64::MAX, ..before }),
            stored: size,
            came,
            all,
        };
        let whole = [Segment { offset: 0, len: size }];
        let stored = segments.as_deref().unwrap_or(&whole);
        let data: u64 = stored.iter().map(|segment| segment.len).sum();
        let by_body = is_nearly_all_holes(size, data);
        let suspect = entry.within.is_some()
            && self.layered
            && prepared.came == ReadOutcome::Whole
            && entry.size == Some(size)
            && entry.body.is_some() == by_body
            && attributes.is_empty();
        let mut cut = if again { None } else { self.cut_plan(&entry, &before) };
        let is_cut_whole = cut.as_ref().is_some_and(|plan| !plan.cut.is_delta);
        let is_plain = before.nlink == 1
            && !by_body
            && attributes.is_empty()
            && prepared.came == ReadOutcome::Whole;
        let may_refer = is_plain && !again && cut.is_none();
        let has_sums = is_plain && self.delta_over.is_some_and(|over| size >= over);
        let base = if has_sums && !is_cut_whole { self.base_of(&entry) } else { None };
        let glance = if may_refer { self.glance(prepared.content(), size) } else { None };
        let twin = glance.is_some_and(|glance| self.has_large(glance));
        let elsewhere = may_refer && self.has_origin_of(size);
        if !is_cut_whole && (suspect || twin || elsewhere || base.is_some()) {
            let mut cutter = base.as_ref().map(|base| Cutter::new(base.average));
            let hashed = match by_body {
                true => hash_body(prepared.content(), stored),
                false => hash(prepared.content(), stored, size, |piece| match piece {
                    FilePiece::Data(bytes) => {
                        cutter.iter_mut().for_each(|cutter| cutter.handle_data(bytes));
                    }
                    FilePiece::Hole(len) => {
                        cutter.iter_mut().for_each(|cutter| cutter.handle_hole(len));
                    }
                }),
            };
            if let Ok((found, came)) = hashed
                && came == data
            {
                let stays = suspect && self.may_stay(&mut entry, &before, Some(found));
                let mut raw = self.empty();
                raw.member.border = true;
                if stays {
                    self.close(&mut entry, &outcome(ReadOutcome::Whole), links);
                    raw.line(&entry);
                    return emit(raw);
                }
                let mut moved = Entry { sha256: Some(found), ..entry.clone() };
                moved.forget_place();
                let refers = may_refer && (self.refer(&mut moved) || twin);
                if refers {
                    self.close(&mut moved, &outcome(ReadOutcome::Whole), links);
                    match moved.is_reference() {
                        true => _ = raw.line(&moved),
                        false => raw.file(&moved, None, true),
                    }
                    return emit(raw);
                }
                if let Some((base, chunks)) = base.zip(cutter.and_then(Cutter::finish)) {
                    let mark = mark(&entry, &before, base.makes(&found), true);
                    let file = (prepared.content(), stored, size);
                    let is_as_begun = |cut: &CutPlan| cut.headers == mark.headers;
                    let mut again = cut.take_if(|cut| is_as_begun(cut));
                    loop {
                        let delta = DeltaPlan::new(&base.chunks, &chunks);
                        if !delta.is_worth_it() {
                            break;
                        }
                        let delta = (&base, &chunks[..], delta);
                        let start = (mark.clone(), again.take());
                        let mut close =
                            |entry: &mut Entry, came| self.close(entry, &outcome(came), links);
                        if self.send_delta(file, entry.clone(), delta, start, &mut close, emit)? {
                            self.remember(glance);
                            return Ok(());
                        }
                        self.tell_that_it_begins_again(&entry);
                    }
                }
            }
        }
        entry.forget_place();
        if cut.take_if(|cut| cut.cut.is_delta).is_some() {
            self.tell_that_it_begins_again(&entry);
        }
        let was_cut = cut.is_some();
        let mut close = |entry: &mut Entry, came| self.close(entry, &outcome(came), links);
        let how = (&attributes, has_sums);
        let mut whole = self.send(&prepared, &entry, how, cut, &mut close, emit)?;
        if !whole && was_cut {
            self.tell_that_it_begins_again(&entry);
            whole = self.send(&prepared, &entry, how, None, &mut close, emit)?;
        }
        if whole {
            self.remember(glance);
        }
        Ok(())
    }

    fn tell_that_it_begins_again(&self, entry: &Entry) {
        self.report.note(format_args!(
            "{}: not what was stored of it before the last run was cut off: storing it from its beginning",
            entry.path
        ));
    }

    /// Remembers what a file that is stored is like at a glance.
    fn remember(&self, glance: Option<u64>) {
        if let (Some(glance), Some(large)) = (glance, &self.large)
            && let Ok(mut large) = large.lock()
            && large.len() < MAX_LARGE
        {
            large.insert(glance);
        }
    }

    /// Reads a file that is to be stored, and hands it on in pieces, less what the plan knows to be
    /// stored; `close` completes its line. False if it is not the file of which the plan is.
    fn send<E>(
        &self,
        prepared: &Prepared,
        entry: &Entry,
        (attributes, has_sums): (&Attributes, bool),
        plan: Option<CutPlan>,
        close: &mut dyn FnMut(&mut Entry, ReadOutcome),
        emit: &mut dyn FnMut(Raw) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Prepared { before, segments, size, .. } = prepared;
        let mut entry = entry.clone();
        let whole = [Segment { offset: 0, len: *size }];
        let stored = segments.as_deref().unwrap_or(&whole);
        let data: u64 = stored.iter().map(|segment| segment.len).sum();
        let by_body = is_nearly_all_holes(*size, data);
        let content = match segments {
            Some(segments) => Content::Sparse(segments, *size),
            None => Content::Bytes(*size),
        };
        let mut raw = self.empty();
        entry.x = self.write_header(&mut raw.tar, &entry, before.meta, content, attributes)
            && !attributes.is_empty();
        let headers = digest::of(&raw.tar);
        if plan.as_ref().is_some_and(|plan| plan.headers != headers) {
            return Ok(false);
        }
        let is_alone = plan.is_some() || data > self.part_size || has_sums;
        let mut pieces = LargeFile {
            file: prepared.content(),
            raw,
            sha256: match by_body {
                true => Sha256::new_with_prefix(sparse_map(stored)),
                false => Sha256::new(),
            },
            holes: !by_body,
            hashed: 0,
            came: ReadOutcome::Whole,
            cutter: has_sums.then(|| Cutter::new(cutter::average(*size))),
            out: PieceSender::new(
                self,
                (mark(&entry, before, headers, false), is_alone),
                plan,
                emit,
            ),
        };
        for segment in stored {
            if let Err(error) = pieces.segment(*segment)? {
                // The header has promised so many bytes; zeros keep the tar whole.
                self.report.warn(format_args!(
                    "{}: {}: stored with zeros from there on",
                    entry.path,
                    why(&error)
                ));
            }
        }
        pieces.hash_zeros(*size);
        let mut raw = std::mem::take(&mut pieces.raw);
        raw.tar.resize(raw.tar.len() + padding(data), 0);
        let found = Some(pieces.sha256.clone().finalize().into());
        (entry.sha256, entry.body) = if by_body { (None, found) } else { (found, None) };
        let came = if pieces.came == ReadOutcome::Whole { prepared.came } else { pieces.came };
        if !pieces.out.differs {
            close(&mut entry, came);
            raw.member.border = true;
            raw.file(&entry, None, false);
            let cutter = pieces.cutter.take();
            let chunks = cutter.and_then(Cutter::finish).zip(entry.sha256);
            let sums = chunks.map(|(chunks, sha256)| {
                let (size, average) = (*size, cutter::average(*size));
                let (lines, _) = SumsLines::of(chunks).finish();
                ChunkSums { sha256, size, average, base: None, lines }.text()
            });
            pieces.out.hand_on(raw, &pieces.sha256, true, sums)?;
        }
        Ok(!pieces.out.differs)
    }

    /// How to go on with a file in which a run was cut; none if it is another, and then no later
    /// one can be gone on with.
    fn cut_plan(&self, entry: &Entry, before: &FileStat) -> Option<CutPlan> {
        let mut cut = self.cut.lock().ok()?;
        let is = |known: &FileMark| *known == mark(entry, before, known.headers, known.is_delta);
        let Some(plan) = cut.take(is) else {
            cut.handle_other();
            return None;
        };
        self.report.note(format_args!(
            "{}: continuing in it: {} of its parts are stored",
            entry.path,
            plan.there()
        ));
        Some(plan)
    }

    /// What a large file is like at a glance; none if no references are made.
    fn glance(&self, file: &SourceFile, size: u64) -> Option<u64> {
        self.large.as_ref()?;
        let mut start = Vec::new();
        file.read_at(0, GLANCE, &mut start).ok()?;
        start.extend_from_slice(&size.to_be_bytes());
        Some(content_key(&digest::of(&start)))
    }

    fn has_large(&self, glance: u64) -> bool {
        let large = self.large.as_ref().and_then(|large| large.lock().ok());
        large.is_some_and(|large| large.contains(&glance))
    }

    fn has_origin_of(&self, size: u64) -> bool {
        let origins = self.origins.as_ref().and_then(|origins| origins.lock().ok());
        origins.is_some_and(|mut origins| origins.has_size(size))
    }

    /// Makes the entry a reference to what the version below has, if it has that content.
    fn refer(&self, entry: &mut Entry) -> bool {
        let origins = self.origins.as_ref().and_then(|origins| origins.lock().ok());
        let (Some(mut origins), Some(sha256)) = (origins, entry.sha256) else { return false };
        let found = origins.find(&sha256, || Some(entry.clone()));
        let is_there = found.is_some();
        found.into_iter().for_each(|place| entry.refer_to(place));
        is_there
    }
}

/// What tells a file from what it becomes.
fn mark(entry: &Entry, stat: &FileStat, headers: digest::Digest, is_delta: bool) -> FileMark {
    FileMark {
        path: entry.path.clone(),
        size: stat.size,
        time: stat.meta.time,
        ctime: stat.ctime,
        inode: stat.inode.ino,
        is_delta,
        headers,
    }
}
