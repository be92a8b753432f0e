//! An archive as its readers see it: bands, chains, and the plain text of indexes, whatever store,
//! cache and encryption lie below.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};

use crate::archive::awaited::Awaited;
use crate::archive::catalogue::BandFolder;
use crate::archive::named::ArchiveName;
use crate::archive::reading::Reach;
use crate::archive::stores::open_store;
use crate::archive::vouching::Vouching;
use crate::core::chain::ancestors::Extent;
use crate::core::chain::counted::{Counted, Indexes};
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::digest;
use crate::format::group::PIECE;
use crate::format::head::{Head, MAX_LEN, Tail};
use crate::format::listing::Have;
use crate::format::object::{MAX_BLOCK, Object, ObjectName};
use crate::format::sealed::SealedNote;
use crate::format::toc::Toc;
use crate::report::message::{Report, why};
use crate::store::cache::Cache;
use crate::store::local::Local;
use crate::store::{Store, StoreErrorKind};

mod attested;
pub(crate) mod awaited;
mod bands;
pub(crate) mod blocks;
mod bounded;
pub(crate) mod caching;
pub(crate) mod catalogue;
pub(crate) mod contents;
mod copies;
mod ends;
pub(crate) mod entries;
pub(crate) mod expected;
pub(crate) mod gaps;
mod index_text;
mod kept;
pub(crate) mod kind;
mod links;
pub(crate) mod locked;
pub mod named;
mod open;
mod opener;
mod part;
pub(crate) mod plain;
pub mod reading;
pub(crate) mod retrying;
mod runkeys;
mod salvage;
mod side_by_side;
pub(crate) mod signed;
pub(crate) mod signers;
pub(crate) mod stores;
pub(crate) mod strangers;
mod stream;
pub mod unlock;
pub(crate) mod version;
mod vouched;
pub(crate) mod vouching;

pub(crate) use attested::Attested;
use copies::Copying;
pub(crate) use ends::piece;
pub(crate) use index_text::first_line;
use index_text::{IndexFacts, facts_of};
use kept::{ObjectCache, SealedBands};
use kind::is_unreachable;
use open::too_large;
pub(crate) use open::unzip;
use opener::Opener;
use plain::SealedOrPlain;
pub(crate) use runkeys::RunMessages;
use runkeys::Runs;
pub(crate) use side_by_side::side_by_side;
pub(crate) use stream::BandEntries;

/// A band of a chain that is read.
#[derive(Debug, Clone)]
pub(crate) struct BandInChain {
    /// Its HEAD.
    pub head: Head,
    /// Its TAIL, if it is complete.
    pub tail: Option<Tail>,
    /// How much of it counts.
    pub extent: Extent,
}

/// An archive that is read.
pub(crate) struct Archive {
    store: Arc<dyn Store>,
    /// The same store if it is a directory, for gpg to read its files by itself.
    files: Option<Local>,
    cache: Option<Cache>,
    /// Of who builds on the archive: what vouches for its indexes.
    vouching: Option<Arc<Vouching>>,
    sealed: SealedBands,
    /// What is sealed, and what is plain.
    looks: SealedOrPlain,
    /// Whether a run builds on it.
    builds: bool,
    /// `--plain`
    plain_is_meant: bool,
    kept: ObjectCache,
    copying: Copying,
    opener: Arc<Opener>,
    /// What is known of the key objects of its bands.
    runs: Runs,
    /// What blocks and parts may have, if `--max-object` says so.
    max_object: Option<u64>,
    /// Who is told of a HEAD or TAIL that cannot be read.
    report: Option<Arc<Report>>,
    /// What was reported as damaged.
    told: Mutex<BTreeSet<String>>,
}

/// An object as it is stored.
enum StoredObject {
    Bytes(Vec<u8>),
    /// A message for gpg, which reads it by itself.
    File(File),
}

/// What may be asked of the cache alone, because the archive is known to have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The band is complete, so all that it names is there.
    Complete,
    /// The store listed the object with so many bytes.
    Listed(u64),
}

impl Archive {
    /// The archive that ARCHIVE names, with this host's copies, and what a listing of it should
    /// have.
    pub(crate) fn open(
        archive: &ArchiveName,
        cache: Option<Cache>,
        reach: &Reach,
        expected: Awaited,
        report: &Arc<Report>,
    ) -> anyhow::Result<Archive> {
        let store = open_store(archive, reach, expected, report)?;
        // What gpg reads by itself, nothing could slow down.
        let files = archive.local()?.filter(|_| reach.limit_rate.is_none());
        Ok(Archive {
            files: files.map(Local::new),
            report: Some(Arc::clone(report)),
            ..Archive::over(store, cache)
        })
    }

    /// The archive in a store.
    pub(crate) fn over(store: Arc<dyn Store>, cache: Option<Cache>) -> Archive {
        Archive {
            store,
            files: None,
            cache,
            vouching: None,
            sealed: SealedBands::default(),
            looks: SealedOrPlain::default(),
            builds: false,
            plain_is_meant: false,
            kept: ObjectCache::default(),
            copying: Copying::default(),
            opener: Arc::default(),
            runs: Runs::default(),
            max_object: None,
            report: None,
            told: Mutex::default(),
        }
    }

    /// The most bytes of an object that are read.
    fn most(&self, name: ObjectName) -> u64 {
        match self.max_object {
            Some(size) if name.most() == MAX_BLOCK => size,
            _ => name.most(),
        }
    }

    /// The store that it lies in.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// An object that is never encrypted, read once. One that cannot be read where others can
    /// counts as absent, and is told.
    fn once(&self, band: &BandName, object: &str) -> anyhow::Result<Option<Arc<Vec<u8>>>> {
        let name = format!("{band}/{object}");
        if let Some(known) = self.kept.get(&name) {
            return Ok(known);
        }
        // One byte more shows that it is too long, which is for whoever parses it to say.
        let bytes = match self.store.get_range(&name, 0, MAX_LEN as u64 + 1) {
            Ok(bytes) => Some(Arc::new(bytes)),
            Err(error) if error.kind == StoreErrorKind::NotFound => None,
            Err(error) if error.kind == StoreErrorKind::Damaged => {
                if let Some(report) = &self.report {
                    report.warn(format_args!("{name}: cannot be read: {}", why(&error.source)));
                }
                None
            }
            Err(error) => return Err(error.into()),
        };
        self.kept.put(name, bytes.clone());
        Ok(bytes)
    }

    /// An object; none if it is not there. One of over so many bytes is an error.
    fn get(&self, name: &str, most: u64) -> anyhow::Result<Option<Vec<u8>>> {
        match self.store.get_range(name, 0, most.saturating_add(1)) {
            Ok(bytes) if bytes.len() as u64 > most => Err(too_large(name, most)),
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn stored(&self, band: &BandName, object: ObjectName) -> anyhow::Result<Option<StoredObject>> {
        let (name, most) = (format!("{band}/{object}"), self.most(object));
        // Why there is no file is for the store to say.
        let files = self.files.as_ref().filter(|_| object.encrypted);
        match files.and_then(|files| files.open(&name).ok()) {
            Some(file) => match file.metadata() {
                Ok(stat) if stat.len() > most => Err(too_large(&name, most)),
                _ => Ok(Some(StoredObject::File(file))),
            },
            None => Ok(self.get(&name, most)?.map(StoredObject::Bytes)),
        }
    }

    /// The names of all objects of a band with their sizes; needed only for an unfinished one.
    pub(crate) fn objects(&self, band: &BandName) -> anyhow::Result<Vec<(ObjectName, u64)>> {
        let found: Vec<(ObjectName, u64)> =
            BandFolder::list_all(self.store.as_ref(), band)?.objects().collect();
        let index = found.iter().find(|(name, _)| matches!(name.object, Object::Index(_)));
        let sealed = found.iter().find(|(name, _)| name.encrypted);
        if let Some((name, _)) = sealed.or(index) {
            self.takes(band, *name);
            self.sealed.saw(band, name.encrypted);
        }
        Ok(found)
    }

    /// What this host has sealed of the band with this id, as far as its cache tells.
    pub(crate) fn sealed_notes(&self, id: BandId) -> Vec<SealedNote> {
        self.cache.as_ref().map(|cache| cache.sealed(id).read()).unwrap_or_default()
    }

    /// Whether an object begins with the piece that has this sha256.
    pub(crate) fn begins_with(
        &self,
        band: &BandName,
        object: ObjectName,
        piece: &digest::Digest,
    ) -> anyhow::Result<bool> {
        let name = format!("{band}/{object}");
        let bytes = self.store.get_range(&name, 0, PIECE as u64)?;
        Ok(digest::of(&bytes) == *piece)
    }

    /// The names of the objects in a band's own folder and the first one below it.
    pub(crate) fn first_objects(&self, band: &BandName) -> anyhow::Result<Vec<ObjectName>> {
        let top = BandFolder::list(self.store.as_ref(), band, None)?;
        let first = match top.folders.first() {
            Some(0) => BandFolder::list(self.store.as_ref(), band, Some(0))?,
            _ => BandFolder::default(),
        };
        Ok(top.names().chain(first.names()).collect())
    }

    /// An object, decrypted; none if it is not there.
    pub(crate) fn fetch(&self, band: &BandName, object: Object) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.fetch_first(band, &[object])?.map(|(_, bytes)| bytes))
    }

    /// The first of these objects that is there, decrypted, and which one it is.
    pub(crate) fn fetch_first(
        &self,
        band: &BandName,
        objects: &[Object],
    ) -> anyhow::Result<Option<(Object, Vec<u8>)>> {
        let Some((found, stored)) = self.stored_first(band, objects)? else { return Ok(None) };
        self.note_for_copy(band, found, &stored);
        let opened = match stored {
            StoredObject::Bytes(bytes) if !found.encrypted => bytes,
            stored => self.open_sealed(band, found, stored)?,
        };
        Ok(Some((found.object, opened)))
    }

    fn stored_first(
        &self,
        band: &BandName,
        objects: &[Object],
    ) -> anyhow::Result<Option<(ObjectName, StoredObject)>> {
        let mut asking = self.sealed.likely(band).is_none().then(|| self.sealed.asking.lock());
        let seen = self.sealed.likely(band);
        // Another has found out meanwhile: whoever waits, too, need not wait for this one's object.
        asking = asking.filter(|_| seen.is_none());
        let mut names: Vec<ObjectName> = Vec::new();
        for encrypted in [seen.unwrap_or(true), !seen.unwrap_or(true)] {
            names.extend(objects.iter().map(|&object| ObjectName { object, encrypted }));
        }
        if seen.is_none() {
            // As long as nothing was seen, which object it is can be guessed better than whether it
            // is encrypted.
            names.sort_by_key(|name| objects.iter().position(|object| *object == name.object));
        }
        for name in names {
            if let Some(stored) = self.looking(band, name, || self.stored(band, name))?
                && self.takes(band, name)
            {
                self.sealed.saw(band, name.encrypted);
                return Ok(Some((name, stored)));
            }
            // Not so, then: those who wait need not wait for the object itself.
            if asking.is_some() {
                self.sealed.saw(band, !name.encrypted);
                asking = None;
            }
        }
        Ok(None)
    }

    /// The name and size of an object as stored; none if it is not there.
    pub(crate) fn size(
        &self,
        band: &BandName,
        object: Object,
    ) -> anyhow::Result<Option<(ObjectName, u64)>> {
        // HEAD and TAIL never are.
        let is_end = matches!(object, Object::Head | Object::Tail);
        let likely = self.sealed.likely(band).unwrap_or(true) && !is_end;
        for encrypted in [likely, !likely] {
            let name = ObjectName { object, encrypted };
            if let Some(size) = self.store.stat(&format!("{band}/{name}"))?
                && self.takes(band, name)
            {
                if !is_end {
                    self.sealed.saw(band, encrypted);
                }
                return Ok(Some((name, size)));
            }
        }
        Ok(None)
    }

    /// The name that an object probably has, for messages about one that is not there.
    pub(crate) fn likely_name(&self, band: &BandName, object: Object) -> String {
        format!("{band}/{}", self.likely(band, object))
    }

    /// The same, without the band's.
    pub(crate) fn likely(&self, band: &BandName, object: Object) -> ObjectName {
        ObjectName { object, encrypted: self.sealed.likely(band).unwrap_or(true) }
    }

    /// The text of an index or table of contents; none if it is not there.
    pub(crate) fn text(
        &self,
        band: &Head,
        object: Object,
        trust: Trust,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        self.read_text(band, object, trust, false)
    }

    /// The same, kept if there is room, because it will be wanted again.
    pub(crate) fn text_kept(
        &self,
        band: &Head,
        object: Object,
        trust: Trust,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        self.read_text(band, object, trust, true)
    }

    fn read_text(
        &self,
        band: &Head,
        object: Object,
        trust: Trust,
        keep: bool,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        if let Some(text) = self.cached(band, object, trust) {
            return Ok(Some(text));
        }
        let Some(mut bytes) = self.fetch(&band.band, object)? else { return Ok(None) };
        let text = match unzip(&bytes, object) {
            Ok(text) => text,
            // It may have changed on the way.
            Err(_) => {
                let Some(again) = self.fetch(&band.band, object)? else { return Ok(None) };
                bytes = again;
                unzip(&bytes, object).with_context(|| plain_name(band, object))?
            }
        };
        if index_text::is_own(&text, object, band.id) {
            self.keep_copy(band, object, &bytes);
        }
        if keep {
            self.kept.put(plain_name(band, object), Some(Arc::new(bytes)));
        }
        Ok(Some(text))
    }

    /// An index as it is stored but for encryption, and whether the store gave it: a copy may be
    /// broken, and then is to be passed over.
    fn zipped(
        &self,
        band: &Head,
        object: Object,
        trust: Trust,
    ) -> anyhow::Result<Option<(Vec<u8>, bool)>> {
        match self.copy(band, object, trust) {
            Some(copy) => Ok(Some((copy, false))),
            None => Ok(self.fetch(&band.band, object)?.map(|bytes| (bytes, true))),
        }
    }

    /// A copy that this run or the cache has of an index or table of contents.
    fn copy(&self, band: &Head, object: Object, trust: Trust) -> Option<Vec<u8>> {
        if let Some(Some(bytes)) = self.kept.get(&plain_name(band, object)) {
            return Some(bytes.to_vec());
        }
        let enough =
            |copy: &Vec<u8>| !matches!(trust, Trust::Listed(size) if size < copy.len() as u64);
        self.cache.as_ref()?.get(&band.band, band.id, object).filter(enough)
    }

    /// A table of contents of a complete band.
    pub(crate) fn toc(&self, band: &Head, number: u32) -> anyhow::Result<Option<Toc>> {
        let Some(text) = self.text_kept(band, Object::Toc(number), Trust::Complete)? else {
            return Ok(None);
        };
        let toc = Toc::parse(&text).filter(|toc| toc.id == band.id && toc.number() == Some(number));
        match toc {
            Some(toc) => Ok(Some(toc)),
            None => bail!(
                "{}/{}: not a table of contents of this band",
                band.band,
                ObjectName::plain(Object::Toc(number))
            ),
        }
    }

    /// Sorts out the indexes of a band by reading them all, from the cache where it has them.
    pub(crate) fn indexes(&self, band: &Head) -> anyhow::Result<(Indexes, IndexFindings)> {
        let mut indexes = Indexes::new();
        let mut facts = IndexFindings::default();
        let mut listed: Vec<(u32, u64)> = Vec::new();
        for (name, size) in self.objects(&band.band)? {
            match name.object {
                Object::Index(number) if self.takes(&band.band, name) => {
                    listed.push((number, size));
                }
                _ => {
                    facts.handle_block(&name);
                    name.number().into_iter().for_each(|number| indexes.handle_number(number))
                }
            }
        }
        listed.sort_unstable();
        listed.dedup_by_key(|(number, _)| *number);
        for (number, size) in listed {
            let read = self.vouched_text(band, number, size);
            let facts_of = |(text, vouched): (Vec<u8>, bool)| {
                let said = facts_of(&text, band.id);
                let said = said.with_context(|| plain_name(band, Object::Index(number)))?;
                Ok(said.filter(|_| vouched))
            };
            match read.and_then(|read| read.map_or(Ok(None), facts_of)) {
                Ok(Some((after, said))) if said.number == number => {
                    indexes.handle_index(number, after);
                    facts.found.push(said);
                }
                Ok(_) => indexes.handle_number(number),
                Err(error) if is_unreachable(&error) => return Err(error),
                Err(error) => {
                    indexes.handle_number(number);
                    facts.unreadable.get_or_insert((number, error));
                }
            }
        }
        Ok((indexes, facts))
    }
}

/// What was seen while the indexes of a band were sorted out.
#[derive(Debug, Default)]
pub(crate) struct IndexFindings {
    /// One for each index that could be read.
    pub found: Vec<IndexFacts>,
    /// The first that could not, and why.
    pub unreadable: Option<(u32, anyhow::Error)>,
    /// How many objects there are of each block.
    parts: HashMap<u32, u32>,
}

impl IndexFindings {
    fn handle_block(&mut self, name: &ObjectName) {
        if let Object::Block(number, _) | Object::Part(number, ..) = name.object {
            *self.parts.entry(number).or_default() += 1;
        }
    }

    /// The indexes that count, with the parts that their blocks have here.
    pub(crate) fn blocks(&self, counted: &Counted) -> CountedBlocks {
        let mut blocks = CountedBlocks::default();
        for number in counted.counted.iter().cloned().flatten() {
            blocks.push(number, self.parts.get(&number).copied().unwrap_or(0));
        }
        blocks
    }

    /// What the indexes hold that count.
    pub(crate) fn have(&self, counted: &Counted) -> Have {
        let mut sum = Have::default();
        for index in self.found.iter().filter(|index| counted.contains(index.number)) {
            sum.entries += index.have.entries;
            sum.files += index.have.files;
            sum.bytes += index.have.bytes;
        }
        sum
    }
}

fn plain_name(band: &Head, object: Object) -> String {
    format!("{}/{}", band.band, ObjectName::plain(object))
}
