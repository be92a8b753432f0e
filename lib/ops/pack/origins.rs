//! What the version below a band has: a new file whose content is there is stored as a reference.
//!
//! Everything comes out of this host's copies of indexes, each of which the journal must know. For
//! each band there is a file beside them with four sorted tables, made once: the contents of its
//! files, what its lines hide of older bands, and the sizes and the paths of large files. No table
//! decides anything: a hit is looked up in the index.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::archive::{first_line, unzip};
use crate::core::delta::links::{self, DeltaLink};
use crate::core::diff::Distrust;
use crate::core::planner::MEMBER;
use crate::core::references::{self, content_key, hides, is_visible, path_key, refer};
use crate::edge::table::{self, Sorter, Table};
use crate::format::digest::{self, Digest};
use crate::format::entry::{ContentPlace, Entry, MAX_DELTAS, Within};
use crate::format::head::{Head, Parent};
use crate::format::journal::BandRecord;
use crate::format::object::Object;
use crate::format::path::Path;
use crate::format::sums::Chunk;
use crate::report::message::{Report, why};
use crate::store::cache::Cache;
use crate::store::journal::Journal;

/// The file with the tables of a band, beside its copies.
const TABLES: &str = "contents";

/// What it begins with: its form, the last index that is in it, and how many pages each table has.
const FORM: u64 = u64::from_be_bytes(*b"duratab2");
const NUMBERS: usize = 6;

/// Bytes of index text that are kept at hand: indexes are mostly far smaller than they may be.
const TEXTS: usize = 16 << 20;

/// So many lines with one content are looked at in a band: they may all be hidden.
const LINES: usize = 16;

/// A band of the chain.
struct Ancestor {
    head: Head,
    record: Arc<BandRecord>,
    tables: Tables,
}

struct Tables {
    contents: Table,
    hides: Table,
    sizes: Table,
    large: Table,
}

/// Index text that was read lately, the latest last.
#[derive(Default)]
struct Texts(VecDeque<(Within, Arc<Vec<u8>>)>);

/// Such a text.
struct SharedText(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What the version below has at the path of a file.
pub(super) struct KnownFile {
    /// Where its content is.
    pub place: ContentPlace,
    /// The SHA-256 of that.
    pub sha256: Digest,
    /// The mean length of its chunks, and the chunks.
    pub average: u32,
    pub chunks: Vec<Chunk>,
}

impl KnownFile {
    /// What a delta over it is made from, if the file has this content.
    pub(super) fn makes(&self, content: &Digest) -> Digest {
        digest::of(&[&self.sha256[..], &self.average.to_be_bytes(), content].concat())
    }
}

/// What may be referred to.
pub(super) struct Origins {
    cache: Cache,
    journal: Journal,
    parent: Parent,
    /// What verify found lost.
    distrusted: Distrust,
    /// The bands below, once a file was looked for; none if there are none to be had.
    ancestors: Option<Option<Vec<Ancestor>>>,
    texts: Texts,
    report: Arc<Report>,
}

impl Origins {
    /// The version of `parent`, as far as its indexes are in the cache and the journal knows them.
    pub(super) fn new(
        cache: &Option<Cache>,
        journal: &Option<Journal>,
        parent: Parent,
        distrusted: Distrust,
        report: &Arc<Report>,
    ) -> Option<Origins> {
        let (cache, journal) = (cache.clone()?, journal.clone()?);
        let (texts, report) = (Texts::default(), Arc::clone(report));
        Some(Origins { cache, journal, parent, distrusted, ancestors: None, texts, report })
    }

    /// Where the content of a file is, and how its line refers to that.
    pub(super) fn find(
        &mut self,
        sha256: &Digest,
        file: impl FnOnce() -> Option<Entry>,
    ) -> Option<ContentPlace> {
        let found = self.look_for(sha256, file);
        found.unwrap_or_else(|error| self.give_up(&error))
    }

    /// What the version has at the path of a large file, if a delta over it can be made: if its
    /// sums are at hand.
    pub(super) fn known_file(&mut self, path: &Path) -> Option<KnownFile> {
        let found = self.look_at(path);
        found.unwrap_or_else(|error| self.give_up(&error))
    }

    /// Whether a large file of this size is there.
    pub(super) fn has_size(&mut self, size: u64) -> bool {
        let known = self.ancestors().iter().map(|ancestor| ancestor.tables.sizes.get(size, 1));
        let known: io::Result<Vec<Vec<u64>>> = known.collect();
        known.map_or_else(
            |error| self.give_up::<()>(&error).is_some(),
            |known| known.iter().any(|known| !known.is_empty()),
        )
    }

    fn give_up<T>(&mut self, error: &io::Error) -> Option<T> {
        self.report.note(format_args!(
            "cannot look up which files were moved or copied: {}: storing them again",
            why(error)
        ));
        self.ancestors = Some(None);
        None
    }

    fn ancestors(&mut self) -> &[Ancestor] {
        if self.ancestors.is_none() {
            let chain = self.chain();
            if chain.is_none() {
                self.report.verbose(
                    "the cache does not have all indexes of the parent: storing moved files again",
                );
            }
            self.ancestors = Some(chain);
        }
        self.ancestors.as_ref().and_then(|chain| chain.as_deref()).unwrap_or_default()
    }

    fn chain(&self) -> Option<Vec<Ancestor>> {
        let mut chain = Vec::new();
        let mut at = Some(self.parent.clone());
        while let Some(Parent { band, id, last }) = at {
            let head = Head::parse(&self.cache.get(&band, id, Object::Head)?).ok()?;
            let record = self.journal.band(id).ok().flatten()?;
            if (&head.band, head.id) != (&band, id) {
                return None;
            }
            at = head.parent.clone();
            chain.push((head, last, record));
        }
        chain.reverse();
        let tables = chain.iter().enumerate().map(|(tier, (head, last, record))| {
            let known = self.open_tables(head, *last);
            known.or_else(|| self.make_tables(tier, head, *last, record))
        });
        let tables: Option<Vec<Tables>> = tables.collect();
        let both = chain.into_iter().zip(tables?);
        Some(both.map(|((head, _, record), tables)| Ancestor { head, record, tables }).collect())
    }

    fn open_tables(&self, head: &Head, last: u32) -> Option<Tables> {
        let mut file = self.cache.open_beside(&head.band, head.id, TABLES).ok()?;
        let numbers = table::get_numbers::<NUMBERS>(&mut file).ok()?;
        let [form, known, contents, hides, sizes, large] = numbers;
        if (form, known) != (FORM, last.into()) {
            return None;
        }
        let start = (NUMBERS * size_of::<u64>()) as u64;
        let (contents, end) = Table::open(&file, start, contents).ok()?;
        let (hides, end) = Table::open(&file, end, hides).ok()?;
        let (sizes, end) = Table::open(&file, end, sizes).ok()?;
        let (large, _) = Table::open(&file, end, large).ok()?;
        Some(Tables { contents, hides, sizes, large })
    }

    /// Reads all indexes of a band that count; none if one of them is not at hand.
    fn make_tables(
        &self,
        tier: usize,
        head: &Head,
        last: u32,
        record: &BandRecord,
    ) -> Option<Tables> {
        let made = self.cache.put_beside(&head.band, head.id, TABLES, |file| {
            let scratch = || table::scratch(self.cache.dir()).map(Sorter::new);
            let (mut contents, mut hidden) = (scratch()?, scratch()?);
            let (mut sizes, mut large) = (scratch()?, scratch()?);
            let mut next = Some(last);
            while let Some(number) = next {
                let lacking = || io::Error::from(io::ErrorKind::NotFound);
                let text = read_index(&self.cache, head, number, record).ok_or_else(lacking)?;
                let (_, after) = first_line(&text, head.id).ok().flatten().ok_or_else(lacking)?;
                next = after.filter(|after| *after < number);
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', &text) {
                    let (at, line) = (start, &text[start..end]);
                    start = end + 1;
                    let Ok(entry) = Entry::parse(line) else { continue };
                    if let Some(sha256) = entry.sha256.filter(|_| references::may_be_origin(&entry))
                    {
                        let place = u64::from(number) << 32 | at as u64;
                        contents.push((content_key(&sha256), place))?;
                        if let Some(size) = entry.size.filter(|size| *size > MEMBER) {
                            sizes.push((size, 0))?;
                            large.push((path_key(entry.path.as_bytes()), place))?;
                        }
                    }
                    if let Some(flags) = hides(&entry, tier) {
                        hidden.push((path_key(entry.path.as_bytes()), flags))?;
                    }
                }
            }
            table::put_numbers(file, &[0; NUMBERS])?;
            let (contents, hides) = (contents.write(file)?, hidden.write(file)?);
            let (sizes, large) = (sizes.write(file)?, large.write(file)?);
            let tables = Tables { contents, hides, sizes, large };
            let Tables { contents, hides, sizes, large } = &tables;
            let [a, b, c, d] = [contents, hides, sizes, large].map(Table::pages);
            table::put_numbers(file, &[FORM, last.into(), a, b, c, d])?;
            Ok(tables)
        });
        match made {
            Ok(tables) => Some(tables),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.report.note(format_args!(
                    "cannot write a table of files into the cache: {}: storing moved files again",
                    why(&error)
                ));
                None
            }
        }
    }

    fn look_for(
        &mut self,
        sha256: &Digest,
        file: impl FnOnce() -> Option<Entry>,
    ) -> io::Result<Option<ContentPlace>> {
        self.ancestors();
        let Some(Some(chain)) = &self.ancestors else { return Ok(None) };
        let (key, mut file) = (content_key(sha256), Some(file));
        let mut entry = None;
        for (tier, ancestor) in chain.iter().enumerate().rev() {
            for place in ancestor.tables.contents.get(key, LINES)? {
                if let Some(file) = file.take() {
                    entry = file();
                }
                let Some(entry) = &entry else { return Ok(None) };
                let at = Within { tier: tier as u8, block: (place >> 32) as u32 };
                let Some(text) = self.texts.get(&self.cache, ancestor, at) else { continue };
                let Some(origin) = line_at(&text, place) else { continue };
                let Some(place) = refer(entry, &origin, at) else { continue };
                let lost = &self.distrusted;
                let is_whole = !lost.refuses(place.within, origin.name_in_block())
                    && !lost.refuses(place.within, &origin.path)
                    && (place.deltas == 0
                        || self.texts.links(&self.cache, chain, lost, &place).is_some());
                if is_whole && is_there(chain, tier, &origin)? {
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }

    fn look_at(&mut self, path: &Path) -> io::Result<Option<KnownFile>> {
        self.ancestors();
        let Some(Some(chain)) = &self.ancestors else { return Ok(None) };
        for (tier, ancestor) in chain.iter().enumerate().rev() {
            for place in ancestor.tables.large.get(path_key(path.as_bytes()), LINES)? {
                let at = Within { tier: tier as u8, block: (place >> 32) as u32 };
                let Some(text) = self.texts.get(&self.cache, ancestor, at) else { continue };
                let known = line_at(&text, place).filter(|known| known.path == *path);
                let Some(known) = known else { continue };
                let place = references::place_of(&known, at);
                let is_lost = self.distrusted.refuses(place.within, path);
                if is_lost || place.deltas >= MAX_DELTAS || !is_there(chain, tier, &known)? {
                    return Ok(None);
                }
                let links = self.texts.links(&self.cache, chain, &self.distrusted, &place);
                let mut sums = |at: Within| {
                    let (head, object) =
                        (&chain.get(usize::from(at.tier))?.head, Object::Sums(at.block));
                    unzip(&self.cache.get(&head.band, head.id, object)?, object).ok()
                };
                let chunks = links.and_then(|links| links::chunks(&links, &mut sums));
                let found = chunks.zip(known.sha256);
                return Ok(found.map(|((average, chunks), sha256)| KnownFile {
                    place,
                    sha256,
                    average,
                    chunks,
                }));
            }
        }
        Ok(None)
    }
}

/// The line of an index that begins at a place of a table.
fn line_at(text: &[u8], place: u64) -> Option<Entry> {
    let rest = text.get(place as u32 as usize..)?;
    Entry::parse(rest.split(|&b| b == b'\n').next()?).ok()
}

/// Whether a line of a tier is what the version has at its path, and a person can copy that.
fn is_there(chain: &[Ancestor], tier: usize, known: &Entry) -> io::Result<bool> {
    let mut flags = |tier: usize, path: &[u8]| -> io::Result<u64> {
        let known = chain[tier].tables.hides.get(path_key(path), LINES)?;
        Ok(known.into_iter().fold(0, |all, flags| all | flags))
    };
    is_visible(known.path.as_bytes(), tier, chain.len(), &mut flags)
}

impl Texts {
    /// What a file's content is made of that is there; none if any of it is distrusted, or an index
    /// is not at hand.
    fn links(
        &mut self,
        cache: &Cache,
        chain: &[Ancestor],
        distrusted: &Distrust,
        place: &ContentPlace,
    ) -> Option<Vec<DeltaLink>> {
        let name = place.reference.name_in_block()?;
        let mut index = |at: Within| -> Result<Option<SharedText>, Infallible> {
            let ancestor = chain.get(usize::from(at.tier));
            Ok(ancestor.and_then(|ancestor| self.get(cache, ancestor, at)).map(SharedText))
        };
        let Ok(followed) = links::follow(place.within, name, &mut index);
        followed.ok().filter(|links| !distrusted.refuses_delta(links))
    }

    fn get(&mut self, cache: &Cache, ancestor: &Ancestor, at: Within) -> Option<Arc<Vec<u8>>> {
        let held = self.0.iter().position(|(other, _)| *other == at);
        let text = match held.and_then(|held| self.0.remove(held)) {
            Some((_, text)) => text,
            None => Arc::new(read_index(cache, &ancestor.head, at.block, &ancestor.record)?),
        };
        self.0.push_back((at, Arc::clone(&text)));
        while self.0.len() > 1 && self.0.iter().map(|(_, text)| text.len()).sum::<usize>() > TEXTS {
            self.0.pop_front();
        }
        Some(text)
    }
}

/// The text of an index as this host's copies have it, if it is the one that the journal knows.
fn read_index(cache: &Cache, head: &Head, number: u32, record: &BandRecord) -> Option<Vec<u8>> {
    let gzip = cache.get(&head.band, head.id, Object::Index(number))?;
    let text = unzip(&gzip, Object::Index(number)).ok()?;
    record.vouches(number, &gzip, &text).then_some(text)
}

/// A scratch file in the cache, or where temporary files lie.
pub(super) fn scratch(cache: Option<&Cache>) -> io::Result<File> {
    cache.map_or_else(tempfile::tempfile, |cache| table::scratch(cache.dir()))
}
