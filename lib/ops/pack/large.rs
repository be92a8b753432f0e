//! Files that are too large to be held whole: read once, from end to end, in pieces.

use sha2::{Digest as _, Sha256};

use crate::core::assemble::BlockStart;
use crate::core::cut::CutPlan;
use crate::core::links::LostLinks;
use crate::core::references::content_key;
use crate::edge::attributes::Attributes;
use crate::edge::hashing::{hash, hash_body};
use crate::edge::source::{FileStat, SizeTrust, SourceFile};
use crate::format::cut::FileMark;
use crate::format::digest;
use crate::format::entry::Entry;
use crate::format::sparse::is_nearly_all_holes;
use crate::format::tarball::{Content, Segment, padding, sparse_map};
use crate::format::time::Time;
use crate::ops::pack::attributes::Got;
use crate::ops::pack::pieces::{LargeFile, ReadOutcome};
use crate::ops::pack::read::{FileOutcome, FileReading, Raw, Trouble};
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
        let plan = if again { None } else { self.cut_plan(&entry, &before) };
        let may_refer = before.nlink == 1
            && !by_body
            && attributes.is_empty()
            && prepared.came == ReadOutcome::Whole
            && !again
            && plan.is_none();
        let glance = if may_refer { self.glance(prepared.content(), size) } else { None };
        let twin = glance.is_some_and(|glance| self.has_large(glance));
        let elsewhere = may_refer && self.has_origin_of(size);
        if plan.is_none() && (suspect || twin || elsewhere) {
            let hashed = match by_body {
                true => hash_body(prepared.content(), stored),
                false => hash(prepared.content(), size),
            };
            if let Ok((found, came)) = hashed
                && came == if by_body { data } else { size }
            {
                let stays = suspect && self.may_stay(&mut entry, &before, Some(found));
                let mut raw = self.empty();
                raw.member.border = true;
                if stays {
                    self.close(&mut entry, &outcome(ReadOutcome::Whole), links);
                    raw.line(&entry);
                    return emit(raw);
                }
                let mut moved = Entry { sha256: Some(found), within: None, ..entry.clone() };
                let refers = may_refer && (self.refer(&mut moved) || twin);
                if refers {
                    self.close(&mut moved, &outcome(ReadOutcome::Whole), links);
                    match moved.is_reference() {
                        true => _ = raw.line(&moved),
                        false => raw.file(&moved, None, true),
                    }
                    return emit(raw);
                }
            }
        }
        (entry.within, entry.reference) = (None, None);
        let was_cut = plan.is_some();
        let mut close = |entry: &mut Entry, came| self.close(entry, &outcome(came), links);
        let mut whole = self.send(&prepared, &entry, &attributes, plan, &mut close, emit)?;
        if !whole && was_cut {
            self.report.note(format_args!(
                "{}: not what was stored of it before the last run was cut off: storing it from its beginning",
                entry.path
            ));
            whole = self.send(&prepared, &entry, &attributes, None, &mut close, emit)?;
        }
        if whole
            && let (Some(glance), Some(large)) = (glance, &self.large)
            && let Ok(mut large) = large.lock()
            && large.len() < MAX_LARGE
        {
            large.insert(glance);
        }
        Ok(())
    }

    /// Reads a file that is to be stored, and hands it on in pieces, less what the plan knows to be
    /// stored; `close` completes its line. False if it is not the file of which the plan is.
    fn send<E>(
        &self,
        prepared: &Prepared,
        entry: &Entry,
        attributes: &Attributes,
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
        let start = match &plan {
            Some(plan) => BlockStart::Cut(plan.number),
            None => BlockStart::New(Box::new(mark(&entry, before, headers))),
        };
        let is_alone = plan.is_some() || data > self.part_size;
        let mut pieces = LargeFile {
            file: prepared.content(),
            reading: self,
            raw,
            sha256: match by_body {
                true => Sha256::new_with_prefix(sparse_map(stored)),
                false => Sha256::new(),
            },
            holes: !by_body,
            hashed: 0,
            came: ReadOutcome::Whole,
            is_alone,
            start: Some(start),
            plan,
            place: 0,
            differs: false,
            emit,
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
        if !pieces.differs {
            close(&mut entry, came);
            raw.member.border = true;
            raw.file(&entry, None, false);
            pieces.hand_on(raw, true)?;
        }
        Ok(!pieces.differs)
    }

    /// How to go on with a file in which a run was cut; none if it is another, and then no later
    /// one can be gone on with.
    fn cut_plan(&self, entry: &Entry, before: &FileStat) -> Option<CutPlan> {
        let mut cut = self.cut.lock().ok()?;
        let is = |known: &FileMark| *known == mark(entry, before, known.headers);
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
        let Some((within, reference)) = origins.find(&sha256, || Some(entry.clone())) else {
            return false;
        };
        (entry.within, entry.reference) = (Some(within), Some(Box::new(reference)));
        true
    }
}

/// What tells a file from what it becomes.
fn mark(entry: &Entry, stat: &FileStat, headers: digest::Digest) -> FileMark {
    FileMark {
        path: entry.path.clone(),
        size: stat.size,
        time: stat.meta.time,
        ctime: stat.ctime,
        inode: stat.inode.ino,
        headers,
    }
}
