//! The entries of a band, read ahead index by index.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, anyhow, bail};

use crate::archive::index_text::{first_line, is_own};
use crate::archive::kind::{is_locked, is_unreachable};
use crate::archive::salvage::Salvaged;
use crate::archive::vouching::{Unvouched, Vouching};
use crate::archive::{Archive, Trust, unzip};
use crate::edge::batches::{BatchReceiver, Batches, batches};
use crate::edge::budget::Budget;
use crate::edge::ordered::{Gone, Ordered, Results};
use crate::format::band::BandName;
use crate::format::entry::Entry;
use crate::format::head::Head;
use crate::format::listing::{Header, parse_header};
use crate::format::object::{Object, ObjectName};
use crate::format::path::Path;
use crate::report::message::Hinted;

/// Indexes that are fetched and decrypted ahead of the one that is read. They are decompressed one
/// at a time: a text may have 16 MiB.
const AHEAD: usize = 8;

/// How many of them at once.
const JOBS: usize = 4;

/// Bytes of what waits in all tiers, but never less than one index in each.
const MOST: u64 = 16 << 20;

/// A band's runs all have the same source: more lines that say it are not kept.
const MAX_SOURCES: usize = 8;

/// Entries that may be read ahead of where they are wanted.
const READ_AHEAD: usize = 512;

/// What an index is taken to have, while none was seen.
const GUESS: u64 = 1 << 20;

/// An index as it is stored but for encryption, and whether the store gave it.
type FetchedIndex = (u32, anyhow::Result<(Vec<u8>, bool)>);

/// What comes out of the indexes of a band, in order.
// Most of what is sent is an entry, so a box for it would only cost.
#[allow(clippy::large_enum_variant)]
enum IndexItem {
    Entry(u32, Entry),
    /// A directory above the first entry of an index.
    Above(u32, Entry),
    Header(Header),
    /// An index that could not be read, and why.
    Failed(u32, anyhow::Error),
    /// The same, but what its block holds follows, by the block's own headers.
    Salvaged(u32, anyhow::Error),
    End,
}

/// The entries of a band's counted indexes, in order. Another thread decompresses and reads them, a
/// little ahead.
pub(crate) struct BandEntries {
    band: Arc<Head>,
    items: BatchReceiver<IndexItem>,
    room: Arc<Budget>,
    /// The index that was begun last.
    number: u32,
    ended: bool,
    /// The entry that came last is a directory above the first one of its index, because the index
    /// before could not be read.
    pub is_above: bool,
    headers: Vec<Header>,
    /// Indexes that could not be read, and why.
    pub failed: Vec<(u32, anyhow::Error)>,
    /// The same, where the entries of their blocks came instead.
    pub salvaged: Vec<(u32, anyhow::Error)>,
}

impl BandEntries {
    /// Starts to read the indexes of a band with these numbers, one of so many tiers.
    pub(crate) fn start(
        reader: &Arc<Archive>,
        band: &Arc<Head>,
        numbers: Vec<RangeInclusive<u32>>,
        trust: Trust,
        tiers: usize,
    ) -> anyhow::Result<BandEntries> {
        BandEntries::start_with(reader, band, numbers, trust, tiers, false)
    }

    /// The same. With `salvage`, the entries of a block whose index is lost come by its own
    /// headers.
    pub(crate) fn start_with(
        reader: &Arc<Archive>,
        band: &Arc<Head>,
        numbers: Vec<RangeInclusive<u32>>,
        trust: Trust,
        tiers: usize,
        salvage: bool,
    ) -> anyhow::Result<BandEntries> {
        let (submit, results) = Ordered::start::<FetchedIndex>(JOBS, AHEAD)?;
        let left = numbers.iter().map(|range| range.clone().count()).sum();
        let (archive, head) = (Arc::clone(reader), Arc::clone(band));
        let (room, size) =
            (Arc::new(Budget::new(MOST / tiers as u64)), Arc::new(AtomicU64::new(GUESS)));
        let budget = Arc::clone(&room);
        // Ends when all is submitted, or when nobody takes the results any more.
        std::thread::spawn(move || {
            for number in numbers.into_iter().flatten() {
                let (archive, head) = (Arc::clone(&archive), Arc::clone(&head));
                let (budget, size, guess) =
                    (Arc::clone(&budget), Arc::clone(&size), size.load(Ordering::Relaxed));
                if !budget.take(guess) {
                    return;
                }
                let work = move || {
                    let zipped = archive.zipped(&head, Object::Index(number), trust);
                    let zipped = zipped.and_then(|zipped| {
                        zipped.with_context(|| {
                            format!(
                                "{}/{}: lost",
                                head.band,
                                ObjectName::plain(Object::Index(number))
                            )
                        })
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
        let (items, taken) = batches(READ_AHEAD);
        let reader = IndexThread {
            archive: Arc::clone(reader),
            band: Arc::clone(band),
            trust,
            items,
            left,
            last: None,
            salvage,
            sources: 0,
        };
        let budget = Arc::clone(&room);
        // Ends with the last index, or when nobody takes the entries any more.
        std::thread::spawn(move || reader.run(results, &budget));
        Ok(BandEntries {
            band: Arc::clone(band),
            items: taken,
            room,
            number: 0,
            ended: false,
            is_above: false,
            headers: Vec::new(),
            failed: Vec::new(),
            salvaged: Vec::new(),
        })
    }

    /// The next entry, with the number of its index. An index that cannot be read goes to `failed`,
    /// and the next one follows.
    pub(crate) fn next_entry(&mut self) -> Option<(u32, Entry)> {
        while !self.ended {
            match self.items.next() {
                Some(item @ (IndexItem::Entry(..) | IndexItem::Above(..))) => {
                    self.is_above = matches!(item, IndexItem::Above(..));
                    let (IndexItem::Entry(number, entry) | IndexItem::Above(number, entry)) = item
                    else {
                        continue;
                    };
                    self.number = number;
                    return Some((number, entry));
                }
                Some(IndexItem::Header(header)) => self.headers.push(header),
                Some(IndexItem::Failed(number, error)) => self.failed.push((number, error)),
                Some(IndexItem::Salvaged(number, error)) => self.salvaged.push((number, error)),
                Some(IndexItem::End) => self.ended = true,
                None => {
                    self.ended = true;
                    let what = anyhow!(
                        "{}: the thread that reads the next indexes stopped unexpectedly",
                        self.name(self.number)
                    );
                    self.failed.push((self.number, what));
                }
            }
        }
        None
    }

    /// The header lines that came so far.
    pub(crate) fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The band's name.
    pub(super) fn band_name(&self) -> &BandName {
        &self.band.band
    }

    /// An index's name, for messages.
    pub(super) fn name(&self, number: u32) -> String {
        name(&self.band, number)
    }
}

impl Drop for BandEntries {
    fn drop(&mut self) {
        self.room.close();
    }
}

fn name(band: &Head, number: u32) -> String {
    format!("{}/{}", band.band, ObjectName::plain(Object::Index(number)))
}

/// The thread that reads the texts of indexes.
struct IndexThread {
    archive: Arc<Archive>,
    band: Arc<Head>,
    trust: Trust,
    items: Batches<IndexItem>,
    /// Indexes that are still to come.
    left: usize,
    /// The last path of the index before.
    last: Option<Path>,
    /// Whether a block whose index is lost is looked into.
    salvage: bool,
    /// How many `#source` lines came.
    sources: usize,
}

impl IndexThread {
    fn run(mut self, results: Results<FetchedIndex>, room: &Budget) {
        for (number, zipped) in results {
            self.left -= 1;
            if let Ok((bytes, _)) = &zipped {
                room.adjust(bytes.len() as u64, 0);
            }
            let read = match zipped
                .and_then(|zipped| open(&self.archive, &self.band, number, self.trust, zipped))
            {
                Ok(text) => self.read(number, &text),
                Err(error) => self.failed(number, error),
            };
            // The next index may be long in coming.
            if read.and_then(|()| self.items.flush()).is_err() {
                return;
            }
        }
        // If a thread that fetches broke off, the end is not told.
        if self.left == 0 {
            // Whoever takes them may have enough.
            let _ = self.items.send(IndexItem::End);
        }
    }

    /// An index cannot be read. What keeps it from being read would keep its block, too, or may
    /// pass; else its block may tell what it holds.
    fn failed(&mut self, number: u32, error: anyhow::Error) -> Result<(), Gone> {
        let may = self.salvage && !is_locked(&error) && !is_unreachable(&error);
        let block = may.then(|| Salvaged::of(&self.archive, &self.band, number)).flatten();
        let mut entries = block.into_iter().flatten().peekable();
        if entries.peek().is_none() {
            return self.items.send(IndexItem::Failed(number, error));
        }
        self.items.send(IndexItem::Salvaged(number, error))?;
        for entry in entries {
            self.last = Some(entry.path.clone());
            self.items.send(IndexItem::Entry(number, entry))?;
        }
        Ok(())
    }

    fn read(&mut self, number: u32, text: &[u8]) -> Result<(), Gone> {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            at += end + 1;
            let item = if line.first() == Some(&b'#') {
                match parse_header(line) {
                    // Where the index before was read, it came there; else what follows stands
                    // below it.
                    Ok(Header::Above(number, entry)) if self.last.as_ref() < Some(&entry.path) => {
                        IndexItem::Above(number, *entry)
                    }
                    // Of what an index says beside its lines only where it is from is asked for, and
                    // nothing keeps others from writing any number of them.
                    Ok(header @ Header::Source(..)) if self.sources < MAX_SOURCES => {
                        self.sources += 1;
                        IndexItem::Header(header)
                    }
                    _ => continue,
                }
            } else {
                match Entry::parse(line) {
                    Ok(entry) => IndexItem::Entry(number, entry),
                    Err(error) => {
                        at = text.len();
                        IndexItem::Failed(
                            number,
                            anyhow::Error::new(error).context(name(&self.band, number)),
                        )
                    }
                }
            };
            self.items.send(item)?;
        }
        self.last = last_path(text).or(self.last.take());
        Ok(())
    }
}

/// The path that an index ends with.
fn last_path(text: &[u8]) -> Option<Path> {
    let line =
        text.rsplit(|&b| b == b'\n').find(|line| !matches!(line.first(), None | Some(b'#')))?;
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
                let first =
                    line.split(|&b| b == b' ').next().and_then(|path| Path::parse(path).ok());
                let dirs =
                    std::iter::successors(first.and_then(|path| path.parent()), Path::parent);
                return dirs.into_iter().all(|dir| above.contains(&dir));
            }
        }
    }
    true
}

/// The text of an index, if it is that of this number of the band, and whole.
fn open(
    archive: &Archive,
    band: &Head,
    number: u32,
    trust: Trust,
    zipped: (Vec<u8>, bool),
) -> anyhow::Result<Vec<u8>> {
    let object = Object::Index(number);
    let name = || format!("{}/{}", band.band, ObjectName::plain(object));
    let lost = || format!("{}: lost", name());
    let good = |text: &[u8]| {
        let vouched = |vouching: &Arc<Vouching>| vouching.index(band, number, &zipped.0, text);
        is_own(text, object, band.id) && archive.vouching().is_none_or(vouched)
    };
    let text = match (unzip(&zipped.0, object), zipped.1) {
        (Ok(text), true) => {
            if is_own(&text, object, band.id) {
                archive.keep_copy(band, object, &zipped.0);
            }
            text
        }
        (Ok(text), false) if good(&text) => return Ok(text),
        // A copy that is not what it should be is none.
        (Ok(_), false) => archive.fresh(band, object)?.with_context(lost)?,
        // It may have been the copy, or the way.
        (Err(_), _) => archive.text(band, object, trust)?.with_context(lost)?,
    };
    match first_line(&text, band.id).with_context(name)? {
        Some((said, _)) if said == number => {}
        _ => bail!("{}: of another band, or another index", name()),
    }
    if text.last() != Some(&b'\n') {
        bail!("{}: cut off", name());
    }
    if let Some(vouching) = archive.vouching()
        && !vouching.index(band, number, &zipped.0, &text)
    {
        vouching.differs(band, number);
        let hint = "later runs will ignore it, with all bands based on it; dura-verify may show what happened to it";
        return Err(Hinted::wrap(Unvouched(name(), vouching.who()), hint));
    }
    Ok(text)
}
