//! The entries of a band, read ahead index by index.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};

use super::{Archive, Trust, unzip};
use crate::edge::budget::Budget;
use crate::edge::ordered::{Ordered, Results};
use crate::format::band::BandId;
use crate::format::entry::{Entry, Kind};
use crate::format::head::Head;
use crate::format::listing::{Have, Header, parse_header};
use crate::format::object::{Object, ObjectName};
use crate::format::path::Path;

/// Indexes that are fetched and decrypted ahead of the one that is read. They are decompressed one at a time: a text may have 16 MiB.
const AHEAD: usize = 8;

/// How many of them at once.
const JOBS: usize = 4;

/// Bytes of what waits in all tiers, but never less than one index in each.
const MOST: u64 = 16 << 20;

/// What an index is taken to have, while none was seen.
const GUESS: u64 = 1 << 20;

/// The number of an index and that of the one before it, if its text is of the band with this id.
pub(super) fn first_line(text: &[u8], id: BandId) -> anyhow::Result<Option<(u32, Option<u32>)>> {
    for line in text.split(|&b| b == b'\n').take_while(|line| line.first() == Some(&b'#')) {
        if let Ok(Header::Index(own, number, after)) = parse_header(line) {
            return Ok((own == id).then_some((number, after)));
        }
    }
    bail!("no index: it has no #index line")
}

/// What an index says of itself and what it holds: its number, the one before it, counts and last path. None if it is of another band.
pub(super) fn facts_of(text: &[u8], id: BandId) -> anyhow::Result<Option<IndexSays>> {
    let Some((number, after)) = first_line(text, id)? else { return Ok(None) };
    let mut have = Have::default();
    let mut last = None;
    for line in text.split(|&b| b == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#'))) {
        let entry = Entry::parse(line)?;
        let is_file = entry.kind == Kind::File && entry.meta().is_some();
        have.entries += 1;
        have.files += u64::from(is_file);
        have.bytes += entry.size.filter(|_| is_file && entry.hard.is_none()).unwrap_or(0);
        last = Some(entry.path);
    }
    Ok(Some((number, after, have, last)))
}

type IndexSays = (u32, Option<u32>, Have, Option<Path>);

/// An index as it is stored but for encryption, and whether the store gave it.
type Fetched = (u32, anyhow::Result<(Vec<u8>, bool)>);

/// The entries of a band's counted indexes, in order.
pub(in super::super) struct Entries {
    archive: Arc<Archive>,
    band: Arc<Head>,
    trust: Trust,
    results: Results<Fetched>,
    room: Arc<Budget>,
    number: u32,
    text: Vec<u8>,
    at: usize,
    headers: Vec<Header>,
    /// The last path of the index before.
    last: Option<Path>,
    /// Indexes that could not be read, and why.
    pub failed: Vec<(u32, anyhow::Error)>,
}

impl Entries {
    /// Starts to read the indexes of a band with these numbers, one of so many tiers.
    pub(in super::super) fn start(
        reader: &Arc<Archive>,
        band: &Arc<Head>,
        numbers: Vec<RangeInclusive<u32>>,
        trust: Trust,
        tiers: usize,
    ) -> anyhow::Result<Entries> {
        let (submit, results) = Ordered::start::<Fetched>(JOBS, AHEAD)?;
        let (archive, head) = (Arc::clone(reader), Arc::clone(band));
        let (room, size) = (Arc::new(Budget::new(MOST / tiers as u64)), Arc::new(AtomicU64::new(GUESS)));
        let budget = Arc::clone(&room);
        // Ends when all is submitted, or when nobody takes the results any more.
        std::thread::spawn(move || {
            for number in numbers.into_iter().flatten() {
                let (archive, head) = (Arc::clone(&archive), Arc::clone(&head));
                let (budget, size, guess) = (Arc::clone(&budget), Arc::clone(&size), size.load(Ordering::Relaxed));
                if !budget.take(guess) {
                    return;
                }
                let work = move || {
                    let zipped = archive.zipped(&head, Object::Index(number), trust);
                    let zipped = zipped.and_then(|zipped| {
                        zipped.with_context(|| format!("{}/{}: lost", head.band, ObjectName::plain(Object::Index(number))))
                    });
                    let len = zipped.as_ref().map_or(0, |(bytes, _)| bytes.len() as u64);
                    size.store(len.max(1), Ordering::Relaxed);
                    budget.adjust(guess, len);
                    (number, zipped)
                };
                if submit.submit(work).is_err() {
                    return;
                }
            }
        });
        Ok(Entries {
            archive: Arc::clone(reader),
            band: Arc::clone(band),
            trust,
            results,
            room,
            number: 0,
            text: Vec::new(),
            at: 0,
            headers: Vec::new(),
            last: None,
            failed: Vec::new(),
        })
    }

    /// The next entry, with the number of its index. An index that cannot be read goes to `failed`, and the next one follows.
    pub(in super::super) fn next_entry(&mut self) -> Option<(u32, Entry)> {
        loop {
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                let line = &rest[..end];
                self.at += end + 1;
                if line.first() == Some(&b'#') {
                    match parse_header(line) {
                        // Where the index before was read, it came there; else what follows stands below it.
                        Ok(Header::Above(number, entry)) if self.last.as_ref() < Some(&entry.path) => {
                            return Some((number, *entry));
                        }
                        Ok(Header::Above(..)) | Err(_) => {}
                        Ok(header) => self.headers.push(header),
                    }
                    continue;
                }
                match Entry::parse(line) {
                    Ok(entry) => return Some((self.number, entry)),
                    Err(error) => {
                        let what = anyhow::Error::new(error).context(self.name(self.number));
                        self.failed.push((self.number, what));
                        self.at = self.text.len();
                    }
                }
            }
            self.last = last_path(&self.text).or(self.last.take());
            // It goes before the next one comes: both would be twice the memory.
            self.text = Vec::new();
            let (number, zipped) = self.results.next()?;
            self.number = number;
            self.at = 0;
            if let Ok((bytes, _)) = &zipped {
                self.room.adjust(bytes.len() as u64, 0);
            }
            match zipped.and_then(|zipped| open(&self.archive, &self.band, number, self.trust, zipped)) {
                Ok(text) => self.text = text,
                Err(error) => self.failed.push((number, error)),
            }
        }
    }

    /// The header lines that came so far.
    pub(in super::super) fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// An index's name, for messages.
    pub(super) fn name(&self, number: u32) -> String {
        format!("{}/{}", self.band.band, ObjectName::plain(Object::Index(number)))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// The path that an index ends with.
fn last_path(text: &[u8]) -> Option<Path> {
    let line = text.rsplit(|&b| b == b'\n').find(|line| !matches!(line.first(), None | Some(b'#')))?;
    Path::parse(line.split(|&b| b == b' ').next()?).ok()
}

/// Whether an index lists with `#above` all directories above the path that it begins with.
pub(super) fn has_above(text: &[u8]) -> bool {
    let mut above = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        match parse_header(line) {
            Ok(Header::Above(_, entry)) => above.push(entry.path),
            _ if line.first() == Some(&b'#') => {}
            _ => {
                let first = line.split(|&b| b == b' ').next().and_then(|path| Path::parse(path).ok());
                let dirs = std::iter::successors(first.and_then(|path| path.parent()), Path::parent);
                return dirs.into_iter().all(|dir| above.contains(&dir));
            }
        }
    }
    true
}

/// The text of an index, if it is that of this number of the band, and whole.
fn open(archive: &Archive, band: &Head, number: u32, trust: Trust, zipped: (Vec<u8>, bool)) -> anyhow::Result<Vec<u8>> {
    let object = Object::Index(number);
    let name = || format!("{}/{}", band.band, ObjectName::plain(object));
    let text = match (unzip(&zipped.0), zipped.1) {
        (Ok(text), fresh) => {
            if fresh {
                archive.keep_copy(band, object, &zipped.0);
            }
            text
        }
        // It may have been the copy, or the way.
        (Err(_), _) => archive.text(band, object, trust)?.with_context(|| format!("{}: lost", name()))?,
    };
    match first_line(&text, band.id).with_context(name)? {
        Some((said, _)) if said == number => {}
        _ => bail!("{}: of another band, or another index", name()),
    }
    if text.last() != Some(&b'\n') {
        bail!("{}: cut off", name());
    }
    Ok(text)
}
