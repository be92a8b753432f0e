//! Files whose content is a delta: laid over what it names, which may be a delta again, down to
//! what a block holds. All of them are read once, side by side, from their beginning on, so memory
//! does not grow with the file.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use crate::archive::blocks::{BlockSource, Blocks, LaneFeed};
use crate::archive::entries::lane::BlockReader;
use crate::core::delta::links::{self, DeltaLink};
use crate::core::mount::layout::FileLayout;
use crate::core::restore::{BlockTicket, Take};
use crate::format::entry::{Entry, Within};
use crate::format::object::Object;
use crate::format::path::Path;
use crate::format::rdiff::{DeltaCommand, DeltaError, DeltaReader};
use crate::format::sparse;
use crate::format::tarball::{Segment, sparse_map};
use crate::report::message::why;

/// Bytes of content that are made at once.
const PIECE: usize = 256 << 10;

impl BlockSource {
    /// What a file's content is made of that lies under this name in a delta: from that to what the
    /// oldest one is laid over, if it is over anything.
    pub(crate) fn delta_links(&self, at: Within, name: &Path) -> anyhow::Result<Vec<DeltaLink>> {
        let mut index = |at: Within| self.text(at, Object::Index(at.block));
        let followed = links::follow(at, name, &mut index)?;
        followed.map_err(|broken| anyhow!("{}: {broken}", self.index_name(broken.at)))
    }

    fn index_name(&self, at: Within) -> String {
        let index = Object::Index(at.block);
        match self.bands.get(usize::from(at.tier)) {
            Some(band) => self.archive.likely_name(&band.band, index),
            None => format!("{:09}", at.block),
        }
    }
}

/// Why content cannot be had.
type DeltaLack = String;

fn told(error: DeltaError) -> DeltaLack {
    match error {
        DeltaError::Io(error) => why(&error),
        other => other.to_string(),
    }
}

/// ReadableContent that is read forward.
pub(crate) enum ReadableContent {
    Nothing,
    Block(Box<BlockContent>),
    Delta(Box<DeltaContent>),
}

impl ReadableContent {
    /// That of a file whose line says that it is in this block or delta, under this name there.
    pub(crate) fn open(
        source: &Arc<BlockSource>,
        at: Within,
        name: &Path,
        entry: &Entry,
    ) -> anyhow::Result<ReadableContent> {
        Ok(match entry.deltas {
            0 => ReadableContent::Block(Box::new(BlockContent::open(source, at, entry, name)?)),
            _ => {
                let (_, content) = DeltaContent::open_chain(source, at, name, entry)?;
                ReadableContent::Delta(Box::new(content))
            }
        })
    }

    /// The map of its holes, if it is stored with one, and where they are; of a delta none.
    pub(crate) fn holes(&self) -> Option<(&[u8], &FileLayout)> {
        match self {
            ReadableContent::Block(content) => Some((content.map.as_deref()?, &content.layout)),
            ReadableContent::Nothing | ReadableContent::Delta(_) => None,
        }
    }

    /// All was read of a file of this size: whether there is more.
    pub(crate) fn finish(&mut self, size: u64) -> Result<(), DeltaLack> {
        match self {
            ReadableContent::Delta(content) => content.finish(size),
            ReadableContent::Nothing | ReadableContent::Block(_) => Ok(()),
        }
    }

    /// Fills `out` with the bytes from `place` on, which is behind all that was read before.
    pub(crate) fn read(&mut self, place: u64, out: &mut [u8]) -> Result<(), DeltaLack> {
        match self {
            ReadableContent::Nothing => Err("the delta takes from a base, and has none".to_owned()),
            ReadableContent::Block(content) => content.read(place, out),
            ReadableContent::Delta(content) => content.read(place, out),
        }
    }
}

/// A file in a block.
pub(crate) struct BlockContent {
    reader: BlockReader,
    // Its threads read what comes out here.
    _blocks: Blocks,
    size: u64,
    /// The map of its holes, if it is stored with one.
    map: Option<Vec<u8>>,
    layout: FileLayout,
    /// Where its data is, the next first; and how many bytes of data lie before that.
    segments: std::vec::IntoIter<Segment>,
    before: u64,
    /// How many bytes of data were read.
    taken: u64,
}

impl BlockContent {
    fn open(
        source: &Arc<BlockSource>,
        at: Within,
        line: &Entry,
        under: &Path,
    ) -> anyhow::Result<BlockContent> {
        let from = BlockTicket { lane: 0, ticket: 1, block: at, is_delta: false };
        let mut blocks = Blocks::new(source, 1)?;
        let feed = blocks.open(from).context("a block has no reader")?;
        let mut reader = BlockReader::new(feed);
        let (entry, under) = (line.clone(), under.clone());
        let found = reader.find(&Take { entry, under, from, spare: None, keep: false });
        if let Some(error) = reader.hopeless() {
            return Err(error);
        }
        let of_block = |lack: DeltaLack| anyhow!("block {}: {lack}", source.name(at));
        let stored = found.map_err(of_block)?;
        let size = line.size.unwrap_or(0);
        let map = reader.map(&stored, size).map_err(of_block)?;
        let segments = match &map {
            None => vec![Segment { offset: 0, len: size }],
            Some(map) => sparse::segments(map, stored.stored - map.len() as u64, size)
                .context("its map of holes is not valid")?,
        };
        let layout = FileLayout::new(&segments, size);
        Ok(BlockContent {
            reader,
            _blocks: blocks,
            size,
            map,
            layout,
            segments: segments.into_iter(),
            before: 0,
            taken: 0,
        })
    }

    fn read(&mut self, mut place: u64, mut out: &mut [u8]) -> Result<(), DeltaLack> {
        if place.checked_add(out.len() as u64).is_none_or(|end| end > self.size) {
            return Err("the delta takes more than its base has".to_owned());
        }
        while !out.is_empty() {
            let next = self.segments.as_slice().first().copied();
            let Segment { offset, len } = next.unwrap_or(Segment { offset: self.size, len: 0 });
            if next.is_some() && offset + len <= place {
                self.before += len;
                self.segments.next();
                continue;
            }
            let now = if place < offset {
                let now = (offset - place).min(out.len() as u64) as usize;
                out[..now].fill(0);
                now
            } else {
                self.skip_to(self.before + (place - offset))?;
                let most = (offset + len - place).min(out.len() as u64);
                let came = self.reader.take(most, |bytes| {
                    out[..bytes.len()].copy_from_slice(bytes);
                    bytes.len()
                })?;
                self.taken += came as u64;
                came
            };
            place += now as u64;
            out = &mut out[now..];
        }
        Ok(())
    }

    fn skip_to(&mut self, data: u64) -> Result<(), DeltaLack> {
        while self.taken < data {
            self.taken += self.reader.take(data - self.taken, |bytes| bytes.len() as u64)?;
        }
        Ok(())
    }
}

/// A delta and what it is laid over.
pub(crate) struct DeltaContent {
    reader: DeltaReader<LaneFeed>,
    // Its threads read what comes out here.
    _blocks: Blocks,
    base: ReadableContent,
    /// The command that was read last, the place of its first byte, and how much was read of it if
    /// it is a literal.
    command: Option<DeltaCommand>,
    start: u64,
    read: u64,
}

fn length(command: DeltaCommand) -> u64 {
    let (DeltaCommand::Copy(_, len) | DeltaCommand::Literal(len)) = command;
    len
}

impl DeltaContent {
    fn open(
        source: &Arc<BlockSource>,
        at: Within,
        base: ReadableContent,
    ) -> anyhow::Result<DeltaContent> {
        let mut blocks = Blocks::new(source, 1)?;
        let open = BlockTicket { lane: 0, ticket: 1, block: at, is_delta: true };
        let mut feed = blocks.open(open).context("a block has no reader")?;
        feed.turn_to(1);
        let reader = DeltaReader::new(feed);
        Ok(DeltaContent { reader, _blocks: blocks, base, command: None, start: 0, read: 0 })
    }

    /// The file whose line says that its content is in this delta, under this name there, and what
    /// it is made of.
    fn open_chain(
        source: &Arc<BlockSource>,
        at: Within,
        name: &Path,
        entry: &Entry,
    ) -> anyhow::Result<(Vec<DeltaLink>, DeltaContent)> {
        let links = source.delta_links(at, name)?;
        let newest = links.first().map(|link| &link.line);
        let is_same = newest.is_some_and(|newest| {
            (newest.sha256, newest.size, newest.deltas) == (entry.sha256, entry.size, entry.deltas)
        });
        if !is_same || entry.sha256.is_none() {
            bail!("{}: says something else of its content", source.index_name(at));
        }
        let mut content = ReadableContent::Nothing;
        for link in links.iter().rev() {
            let DeltaLink { at, line } = link;
            content = match &line.delta {
                None => ReadableContent::Block(Box::new(BlockContent::open(
                    source, *at, line, &line.path,
                )?)),
                Some(_) => {
                    ReadableContent::Delta(Box::new(DeltaContent::open(source, *at, content)?))
                }
            };
        }
        let ReadableContent::Delta(content) = content else { bail!("it is not a delta") };
        Ok((links, *content))
    }

    /// Goes on to the command that makes the byte at `place`.
    fn turn_to(&mut self, place: u64) -> Result<DeltaCommand, DeltaLack> {
        loop {
            if let Some(command) = self.command {
                let end = self.start.saturating_add(length(command));
                if place < end {
                    return Ok(command);
                }
                self.start = end;
            }
            self.read = 0;
            self.command = self.reader.next_command().map_err(told)?;
            if self.command.is_none() {
                return Err("the delta ends before the file does".to_owned());
            }
        }
    }

    fn read(&mut self, mut place: u64, mut out: &mut [u8]) -> Result<(), DeltaLack> {
        while !out.is_empty() {
            let command = self.turn_to(place)?;
            let within = place - self.start;
            let most = (length(command) - within).min(out.len() as u64) as usize;
            let now = match command {
                DeltaCommand::Copy(from, _) => {
                    self.base.read(from + within, &mut out[..most])?;
                    most
                }
                DeltaCommand::Literal(_) => {
                    self.reader.skip(within - self.read).map_err(told)?;
                    let came = self.reader.read(&mut out[..most]).map_err(told)?;
                    self.read = within + came as u64;
                    came
                }
            };
            place += now as u64;
            out = &mut out[now..];
        }
        Ok(())
    }

    /// The delta must make no more than so many bytes.
    fn finish(&mut self, size: u64) -> Result<(), DeltaLack> {
        let end = self.command.map_or(0, |command| self.start.saturating_add(length(command)));
        let more = self.reader.next_command().map_err(told)?;
        match end == size && more.is_none() {
            true => Ok(()),
            false => Err("the delta makes more than the file has".to_owned()),
        }
    }
}

/// A file whose content is a delta, to be read from its beginning to its end.
pub(crate) struct PatchedFile {
    content: DeltaContent,
    size: u64,
    segments: Vec<Segment>,
    /// The map of its holes as a tar has it, if it has any.
    pub map: Option<Vec<u8>>,
    /// How many bytes map and data have.
    pub stored: u64,
}

impl PatchedFile {
    /// The file whose line says that its content is in this delta, under this name there.
    pub(crate) fn open(
        source: &BlockSource,
        at: Within,
        name: &Path,
        entry: &Entry,
    ) -> anyhow::Result<PatchedFile> {
        // What is left of damaged blocks would be found out to be wrong too late.
        let source = &Arc::new(BlockSource {
            archive: Arc::clone(&source.archive),
            bands: source.bands.clone(),
            takes_remains: false,
            many: source.many,
            fetches: source.fetches.clone(),
        });
        let (links, content) = DeltaContent::open_chain(source, at, name, entry)?;
        let size = entry.size.unwrap_or(0);
        let mut sums = |at: Within| source.text(at, Object::Sums(at.block)).ok().flatten();
        let chunks = links::chunks(&links, &mut sums);
        let holes = chunks.and_then(|(_, chunks)| sparse::map_of(&chunks));
        let (segments, map, stored) = match holes {
            None => (vec![Segment { offset: 0, len: size }], None, size),
            Some((segments, data)) => {
                let map = sparse_map(&segments);
                let stored = map.len() as u64 + data;
                (segments, Some(map), stored)
            }
        };
        Ok(PatchedFile { content, size, segments, map, stored })
    }

    /// Gives the content in pieces, of a sparse file its data. The inner error says from which byte
    /// of the data on there is no more, and why.
    pub(crate) fn copy<E>(
        &mut self,
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), (u64, String)>, E> {
        let mut piece = vec![0; PIECE];
        let mut came = 0;
        for Segment { offset, len } in &self.segments {
            let mut done = 0;
            while done < *len {
                let now = (len - done).min(PIECE as u64) as usize;
                if let Err(why) = self.content.read(offset + done, &mut piece[..now]) {
                    return Ok(Err((came, why)));
                }
                put(&piece[..now])?;
                (done, came) = (done + now as u64, came + now as u64);
            }
        }
        // A hole at the end is passed over.
        let last =
            self.size.checked_sub(1).map_or(Ok(()), |last| self.content.turn_to(last).map(drop));
        let ended = last.and_then(|()| self.content.finish(self.size));
        Ok(ended.map_err(|why| (came, why)))
    }
}
