//! Where the bytes of blocks come from: the objects of a chain's bands.

use std::sync::Arc;

use anyhow::Context;

use crate::archive::kind::ReadErrorKind;
use crate::archive::{Archive, BandInChain, Trust};
use crate::core::restore::BlockTicket;
use crate::edge::budget::Budget;
use crate::format::entry::Within;
use crate::format::head::Head;
use crate::format::object::{BlockForm, Object};
use crate::report::message::chain;

/// What an object takes as it is fetched: as it is stored and as it is plain, side by side. Parts
/// are larger than blocks usually are.
const BLOCK: u64 = 24 << 20;
const PART: u64 = 130 << 20;

/// A block's first or only object.
pub(super) struct FirstObject {
    pub bytes: Vec<u8>,
    pub in_parts: bool,
    /// Why it is not sure to be what was stored.
    pub unsure: Option<String>,
    /// The room that it takes, if that is bounded.
    pub room: Option<FetchRoom>,
}

/// An object, why it is not sure to be what was stored, and the room that it takes.
type FetchedObject = (Object, Vec<u8>, Option<String>, Option<FetchRoom>);

/// Where blocks come from.
pub(crate) struct BlockSource {
    /// The archive.
    pub archive: Arc<Archive>,
    /// The bands of the chain, by tier.
    pub bands: Vec<Head>,
    /// Of a damaged block that is sealed, what gpg still gives is taken: see
    /// [`super::LaneFeed::unsure`].
    pub takes_remains: bool,
    /// Blocks of many tiers are held at a time, and as little beside them as can be.
    pub many: bool,
    /// For whoever reads many blocks side by side, for as long as others please: what is fetched
    /// lies in files, and so much is fetched at a time.
    pub fetches: Option<Arc<Budget>>,
}

impl BlockSource {
    /// Those of a chain, of which nothing damaged is taken.
    pub(crate) fn of_chain(archive: &Arc<Archive>, chain: &[BandInChain]) -> BlockSource {
        let bands = chain.iter().map(|band| band.head.clone()).collect();
        BlockSource {
            archive: Arc::clone(archive),
            bands,
            takes_remains: false,
            many: false,
            fetches: None,
        }
    }

    /// The block's name, for messages.
    pub(crate) fn name(&self, block: Within) -> String {
        self.name_as(block, false)
    }

    /// The name of a block that is a delta, or tar entries.
    pub(crate) fn name_as(&self, block: Within, is_delta: bool) -> String {
        let Some(band) = self.bands.get(usize::from(block.tier)) else {
            return format!("{:09}", block.block);
        };
        let form = BlockForm::of(band.compression, is_delta);
        self.archive.likely_name(&band.band, Object::Block(block.block, form))
    }

    fn band(&self, block: Within) -> anyhow::Result<&Head> {
        self.bands.get(usize::from(block.tier)).context("no such band")
    }

    /// The first of these objects, and why it is not sure to be what was stored.
    fn fetch(&self, open: &BlockTicket, names: &[Object]) -> anyhow::Result<Option<FetchedObject>> {
        let band = &self.band(open.block)?.band;
        // Many lanes are for large files, which are in parts.
        let is_part = self.many || matches!(names, [Object::Part(..)]);
        let room = self.fetches.as_ref().map(|room| FetchRoom::take(room, is_part));
        match self.archive.fetch_first(band, names) {
            Err(error)
                if self.takes_remains && ReadErrorKind::of(&error) == ReadErrorKind::Damaged =>
            {
                let why = self.why(open, &error);
                let (found, bytes) = self.archive.remains(band, names).ok_or(error)?;
                Ok(Some((found, bytes, Some(why), room)))
            }
            fetched => Ok(fetched?.map(|(found, bytes)| (found, bytes, None, room))),
        }
    }

    pub(super) fn part(
        &self,
        open: &BlockTicket,
        part: u32,
    ) -> anyhow::Result<Option<FetchedObject>> {
        let block = open.block;
        let form = open.form(self.band(block)?.compression);
        self.fetch(open, &[Object::Part(block.block, form, part)])
    }

    pub(super) fn first(&self, open: &BlockTicket) -> anyhow::Result<FirstObject> {
        let block = open.block;
        let form = open.form(self.band(block)?.compression);
        let whole = Object::Block(block.block, form);
        let names = [whole, Object::Part(block.block, form, 0)];
        let (found, bytes, unsure, room) = self.fetch(open, &names)?.context("missing")?;
        Ok(FirstObject { bytes, in_parts: found != whole, unsure, room })
    }

    /// The text of the block's index, if there is one that can be read.
    pub(super) fn index(&self, block: Within) -> Option<Vec<u8>> {
        self.text(block, Object::Index(block.block)).ok()?
    }

    /// The text of an object that stands beside a block; none if it is not there.
    pub(in crate::archive) fn text(
        &self,
        block: Within,
        object: Object,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        self.archive.text(self.band(block)?, object, Trust::Listed(u64::MAX))
    }

    /// An error without the block's name, which stands before it already.
    pub(super) fn why(&self, open: &BlockTicket, error: &anyhow::Error) -> String {
        let text = chain(error);
        let name = self.name_as(open.block, open.is_delta);
        text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned()
    }
}

/// Room for an object that is fetched, given back when it lies in a file.
pub(super) struct FetchRoom(Arc<Budget>, u64);

impl FetchRoom {
    fn take(room: &Arc<Budget>, is_part: bool) -> FetchRoom {
        let bytes = if is_part { PART } else { BLOCK };
        room.take(bytes);
        FetchRoom(Arc::clone(room), bytes)
    }
}

impl Drop for FetchRoom {
    fn drop(&mut self) {
        self.0.adjust(self.1, 0);
    }
}
