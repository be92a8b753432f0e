//! Files that are too large to be held whole: read once, from end to end, in pieces.

use sha2::{Digest as _, Sha256};

use crate::core::cut::CutPlan;
use crate::core::cutter::{self, Cutter};
use crate::core::delta::{DeltaPlan, SumsLines};
use crate::core::large::{BegunAs, LargeChoice, LargeEffect, LargeFacts, LargeLookup};
use crate::core::links::LostLinks;
use crate::core::outcome::ReadOutcome;
use crate::core::references::content_key;
use crate::edge::attributes::Attributes;
use crate::edge::hashing::{FilePiece, hash, hash_body};
use crate::edge::source::{FileStat, SizeTrust, SourceFile};
use crate::format::cut::FileMark;
use crate::format::digest::{self, Digest};
use crate::format::entry::Entry;
use crate::format::sparse::is_nearly_all_holes;
use crate::format::sums::{Chunk, ChunkSums};
use crate::format::tarball::{Content, Segment, padding, sparse_map};
use crate::format::time::Time;
use crate::ops::pack::attributes::Got;
use crate::ops::pack::pieces::{LargeReader, PieceSender};
use crate::ops::pack::raw::Raw;
use crate::ops::pack::read::{Trouble, read_file};
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
        let outcome = |came| {
            let after = file.facts().unwrap_or(FileStat { size: u64::MAX, ..before });
            read_file(&before, &after, *opened_at, (size, came, all))
        };
        let whole = [Segment { offset: 0, len: size }];
        let stored = segments.as_deref().unwrap_or(&whole);
        let data: u64 = stored.iter().map(|segment| segment.len).sum();
        let mut cut = if again { None } else { self.cut_plan(&entry, &before) };
        let facts = LargeFacts {
            size,
            nlink: before.nlink,
            by_body: is_nearly_all_holes(size, data),
            has_attributes: !attributes.is_empty(),
            is_whole: prepared.came == ReadOutcome::Whole,
            has_parent: self.layered,
            again,
            begun: cut.as_ref().map(|plan| match plan.cut.is_delta {
                true => BegunAs::Delta,
                false => BegunAs::All,
            }),
            delta_over: self.delta_over,
        };
        let mut choice = LargeChoice::new(&entry, &facts);
        let (mut base, mut glance, mut found) = (None, None, None);
        let (mut chunks, mut plan) = (None, None);
        while let Some(effect) = choice.poll() {
            match effect {
                LargeEffect::LookUp { base: may_have_base, likes } => {
                    base = if may_have_base { self.base_of(&entry) } else { None };
                    glance = if likes { self.glance(prepared.content(), size) } else { None };
                    choice.handle_likeness(LargeLookup {
                        base: base.is_some(),
                        twin: glance.is_some_and(|glance| self.has_large(glance)),
                        size: likes && self.has_origin_of(size),
                    });
                }
                LargeEffect::Digest => {
                    let average = base.as_ref().map(|base| base.average);
                    let read = digest_of(&prepared, (stored, data), facts.by_body, average);
                    let sha256 = read.as_ref().map(|(sha256, _)| *sha256);
                    (found, chunks) = (sha256, read.and_then(|(_, chunks)| chunks));
                    let unchanged = sha256.map(|_| self.may_stay(&mut entry, &before, sha256));
                    choice.handle_digest(unchanged);
                }
                LargeEffect::FindOrigin => {
                    entry.sha256 = found;
                    entry.forget_place();
                    choice.handle_origin(self.refer(&mut entry));
                }
                LargeEffect::Keep | LargeEffect::Refer => {
                    let mut raw = self.empty();
                    raw.member.border = true;
                    self.close(&mut entry, &outcome(ReadOutcome::Whole), links);
                    match effect == LargeEffect::Keep || entry.is_reference() {
                        true => _ = raw.line(&entry),
                        false => raw.file(&entry, None, true),
                    }
                    emit(raw)?;
                }
                LargeEffect::PlanDelta => {
                    let both = base.as_ref().zip(chunks.as_ref());
                    let new = both.map(|(base, chunks)| DeltaPlan::new(&base.chunks, chunks));
                    plan = new.filter(DeltaPlan::is_worth_it);
                    let headers = base.as_ref().zip(found).map(|(base, sum)| base.makes(&sum));
                    let begun = cut.as_ref().map(|cut| cut.headers);
                    choice.handle_delta(plan.is_some(), begun.is_some() && begun == headers);
                }
                LargeEffect::SendDelta { continues } => {
                    let both = base.as_ref().zip(chunks.as_deref()).zip(found).zip(plan.take());
                    let Some((((base, chunks), sha256), plan)) = both else {
                        choice.handle_delta_sent(false);
                        continue;
                    };
                    let start = (
                        mark(&entry, &before, base.makes(&sha256), true),
                        cut.take_if(|_| continues),
                    );
                    let file = (prepared.content(), stored, size);
                    let mut close =
                        |entry: &mut Entry, came| self.close(entry, &outcome(came), links);
                    let delta = (base, chunks, plan);
                    let sent =
                        self.send_delta(file, entry.clone(), delta, start, &mut close, emit)?;
                    choice.handle_delta_sent(sent);
                }
                LargeEffect::SendAll { continues } => {
                    entry.forget_place();
                    let how = (&attributes, choice.has_sums());
                    let cut = cut.take_if(|_| continues);
                    let mut close =
                        |entry: &mut Entry, came| self.close(entry, &outcome(came), links);
                    let sent = self.send(&prepared, &entry, how, cut, &mut close, emit)?;
                    choice.handle_all_sent(sent);
                }
                LargeEffect::BeginAgain => self.tell_that_it_begins_again(&entry),
            }
        }
        if choice.is_stored() {
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
        let mut pieces = LargeReader {
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

/// The digest of a file, and its chunks of this mean length; none if it cannot be read to its end.
fn digest_of(
    prepared: &Prepared,
    (stored, data): (&[Segment], u64),
    by_body: bool,
    average: Option<u32>,
) -> Option<(Digest, Option<Vec<Chunk>>)> {
    let mut cutter = average.map(Cutter::new);
    let read = match by_body {
        true => hash_body(prepared.content(), stored),
        false => hash(prepared.content(), stored, prepared.size, |piece| match piece {
            FilePiece::Data(bytes) => {
                cutter.iter_mut().for_each(|cutter| cutter.handle_data(bytes));
            }
            FilePiece::Hole(len) => {
                cutter.iter_mut().for_each(|cutter| cutter.handle_hole(len));
            }
        }),
    };
    let (sha256, _) = read.ok().filter(|(_, came)| *came == data)?;
    Some((sha256, cutter.and_then(Cutter::finish)))
}

/// What tells a file from what it becomes.
fn mark(entry: &Entry, stat: &FileStat, headers: Digest, is_delta: bool) -> FileMark {
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
