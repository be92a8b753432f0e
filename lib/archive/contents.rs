//! The content of files of mounted versions, read anywhere in them, from several threads.
//!
//! A block is read once, and what it holds is put into a scratch file, from which its files are
//! read: [`packed`]. Files that are large are read forward, and what was read lately is kept in the
//! same way: [`large`]. What lies on the shelf is bounded; what was not used for longest goes first.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::archive::blocks::BlockSource;
use crate::archive::locked::locked;
use crate::archive::{Archive, BandInChain};
use crate::core::merge::Placed;
use crate::core::mount::layout::FileLayout;
use crate::edge::budget::Budget;
use crate::format::band::BandId;
use crate::format::entry::{Entry, Kind, Within};
use crate::format::path::Path;
use crate::format::tarball::Extras;
use large::LargeFile;
use packed::{PackedBlock, PackedFile};

mod large;
mod packed;

/// Larger files are not put into scratch files with their whole block.
const LARGE: u64 = 16 << 20;

/// Bytes of scratch files, together.
const MOST: u64 = 1 << 30;

/// Scratch files, for each is open; and of these so many that are still being read, each with some
/// mebibytes in memory.
const FILES: usize = 64;
const READING: usize = 8;

/// Bytes of objects that are fetched side by side.
const FETCHES: u64 = 72 << 20;

/// Blocks that are unpacked side by side.
const UNPACKED: u64 = 2;

/// Where the content of a version's files comes from.
pub(crate) struct VersionSource {
    /// For blocks that are unpacked: files are checked against their lines, so what is left of a
    /// damaged block is taken.
    packed: Arc<BlockSource>,
    /// For files that are read forward.
    large: Arc<BlockSource>,
}

/// What lies on the shelf, by band and block; a large file by its path there, too.
type ItemKey = (BandId, u32, Option<Path>);

#[derive(Clone)]
enum Item {
    Packed(Arc<PackedBlock>),
    Large(Arc<LargeFile>),
}

impl Item {
    fn bytes(&self) -> u64 {
        match self {
            Item::Packed(block) => block.bytes.load(Ordering::Relaxed),
            Item::Large(file) => file.bytes.load(Ordering::Relaxed),
        }
    }
}

/// What was read lately, by all readers of an archive.
pub(crate) struct ContentShelf {
    fetches: Arc<Budget>,
    unpacked: Arc<Budget>,
    /// The one that was used last at the end.
    items: Mutex<Vec<(ItemKey, Item)>>,
}

/// A file, or what else a block says of an entry.
pub(crate) enum OpenContent {
    /// In a scratch file, whole and checked.
    Packed(PackedFile),
    /// Read forward; checked when all was read.
    Large(Arc<LargeFile>),
}

impl OpenContent {
    /// Fills `out` with the bytes from `place` on, which the file has.
    pub(crate) fn read(&self, place: u64, out: &mut [u8]) -> Result<(), String> {
        match self {
            OpenContent::Packed(file) => file.read(place, out),
            OpenContent::Large(file) => file.read(place, out),
        }
    }

    /// Where it has data, and where holes.
    pub(crate) fn layout(&self) -> Result<Arc<FileLayout>, String> {
        match self {
            OpenContent::Packed(file) => Ok(Arc::clone(&file.layout)),
            OpenContent::Large(file) => file.layout(),
        }
    }
}

impl ContentShelf {
    /// An empty shelf.
    pub(crate) fn new() -> ContentShelf {
        ContentShelf {
            fetches: Arc::new(Budget::new(FETCHES)),
            unpacked: Arc::new(Budget::new(UNPACKED)),
            items: Mutex::default(),
        }
    }

    /// Where the content of a version comes from.
    pub(crate) fn source(&self, archive: &Arc<Archive>, chain: &[BandInChain]) -> VersionSource {
        let of = |takes_remains, many| {
            let fetches = Some(Arc::clone(&self.fetches));
            let plain = BlockSource::of_chain(archive, chain);
            Arc::new(BlockSource { takes_remains, many, fetches, ..plain })
        };
        VersionSource { packed: of(true, false), large: of(false, true) }
    }

    /// The content of a file. Waits until it is there. The error says why it cannot be had.
    pub(crate) fn open(
        &self,
        source: &VersionSource,
        placed: &Placed,
    ) -> Result<OpenContent, String> {
        let (at, under) = (placed.data(), placed.name_in_block());
        match (self.open_at(source, &placed.entry, at, under), placed.spare) {
            (Err(why), Some(spare)) => {
                self.open_at(source, &placed.entry, spare, under).map_err(|_| why)
            }
            (opened, _) => opened,
        }
    }

    fn open_at(
        &self,
        source: &VersionSource,
        entry: &Entry,
        at: Within,
        under: &Path,
    ) -> Result<OpenContent, String> {
        if !is_large(entry) {
            let block = self.block(source, at)?;
            if let Some(file) = block.open(entry, under)? {
                return Ok(OpenContent::Packed(file));
            }
        }
        let key = self.key(source, at, Some(under.clone()))?;
        let new = || {
            let source = Arc::clone(&source.large);
            Item::Large(Arc::new(LargeFile::new(source, entry.clone(), at, under.clone())))
        };
        match self.item(key, new) {
            Item::Large(file) => Ok(OpenContent::Large(file)),
            Item::Packed(_) => Err("it is not a large file".to_owned()),
        }
    }

    /// Begins to unpack the block in which a file is, if that is what reading it would do.
    pub(crate) fn begin(&self, source: &VersionSource, placed: &Placed) {
        if !is_large(&placed.entry) {
            // Why not is told when it is read.
            let _ = self.block(source, placed.data());
        }
    }

    /// The attributes that a block adds to a line that says it has some.
    pub(crate) fn extras(&self, source: &VersionSource, placed: &Placed) -> Result<Extras, String> {
        let (entry, under) = (&placed.entry, placed.name_in_block());
        if !entry.x || entry.deltas > 0 {
            return Ok(Extras::default());
        }
        self.block(source, placed.data())?.extras(entry, under)
    }

    fn key(
        &self,
        source: &VersionSource,
        at: Within,
        under: Option<Path>,
    ) -> Result<ItemKey, String> {
        let band = source.packed.bands.get(usize::from(at.tier)).ok_or("no such band")?;
        Ok((band.id, at.block, under))
    }

    /// A block that is unpacked, or will be.
    fn block(&self, source: &VersionSource, at: Within) -> Result<Arc<PackedBlock>, String> {
        let key = self.key(source, at, None)?;
        let new = || {
            let (source, unpacked) = (Arc::clone(&source.packed), Arc::clone(&self.unpacked));
            Item::Packed(PackedBlock::start(source, at, unpacked))
        };
        match self.item(key, new) {
            Item::Packed(block) => Ok(block),
            Item::Large(_) => Err("it is a large file".to_owned()),
        }
    }

    /// What lies on the shelf under a key, or is put there.
    fn item(&self, key: ItemKey, new: impl FnOnce() -> Item) -> Item {
        let mut items = locked(&self.items);
        // What failed is tried again: it may have been the way.
        let known = items.iter().position(|(known, _)| *known == key);
        let known = known.map(|at| items.remove(at).1);
        let fresh = known.filter(|item| !matches!(item, Item::Packed(block) if block.is_lost()));
        let item = fresh.unwrap_or_else(new);
        items.push((key, item.clone()));
        trim(&mut items);
        item
    }
}

/// Takes from the shelf what was not used for longest, as far as it is too much.
fn trim(items: &mut Vec<(ItemKey, Item)>) {
    let mut sum: u64 = items.iter().map(|(_, item)| item.bytes()).sum();
    while items.len() > 1 && (sum > MOST || items.len() > FILES) {
        sum -= items.remove(0).1.bytes();
    }
    let is_reading = |item: &Item| matches!(item, Item::Large(file) if file.is_reading());
    let reading = items.iter().filter(|(_, item)| is_reading(item)).count();
    for (_, item) in
        items.iter().filter(|(_, item)| is_reading(item)).take(reading.saturating_sub(READING))
    {
        if let Item::Large(file) = item {
            file.pause();
        }
    }
}

/// Whether a file is read by itself, not with all of its block.
fn is_large(entry: &Entry) -> bool {
    entry.deltas > 0 || entry.size.is_some_and(|size| size > LARGE)
}

/// Whether a line's content is in a block: not if it is a hard link, no file, or empty.
pub(crate) fn has_content(entry: &Entry) -> bool {
    entry.kind == Kind::File && entry.hard.is_none() && entry.size.is_some_and(|size| size > 0)
}
