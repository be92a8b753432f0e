//! Blocks that are unpacked into a scratch file: each of their tar entries as it is, where it can
//! be found by its name. Whoever wants one waits until it came, not until all have.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::LARGE;
use crate::archive::blocks::{BlockSource, Blocks};
use crate::archive::entries::lane::{BlockReader, Copied};
use crate::archive::locked::locked;
use crate::core::mount::layout::{FileLayout, LayoutPiece};
use crate::core::restore::{BlockTicket, key_in_block};
use crate::edge::budget::Budget;
use crate::format::digest::Digest;
use crate::format::entry::{Entry, Within};
use crate::format::path::Path;
use crate::format::sparse::{Digester, is_sparse, segments};
use crate::format::tarball::{Extras, is_of_line};
use crate::format::untar::{TarEntry, Untar, UntarError};
use crate::report::message::{chain, why};

/// Of a block that holds more, what comes behind this is read as large files are.
const MOST: u64 = 256 << 20;

/// Where the tar entry of a name is.
#[derive(Debug, Clone)]
struct PackedPlace {
    at: u64,
    len: u64,
    /// Why some of its content is lost.
    broken: Option<Arc<str>>,
    /// The block is damaged: nothing but what a digest confirms counts.
    unsure: bool,
    /// The digest that its content was found to have.
    checked: Option<Digest>,
}

#[derive(Debug, Default)]
struct PackedState {
    places: HashMap<u64, PackedPlace>,
    /// Once all came that will: why the rest did not, if so.
    ended: Option<PackedEnd>,
}

#[derive(Debug, Clone)]
enum PackedEnd {
    /// Why a name that is not there is not.
    Lacks(String),
    /// There was no more room.
    Full,
    /// Nothing can be read at all.
    Lost(String),
}

/// A block, and what came of it so far.
pub(super) struct PackedBlock {
    file: io::Result<File>,
    at: Within,
    /// Its name, for messages.
    name: String,
    state: Mutex<PackedState>,
    changed: Condvar,
    /// Bytes of the scratch file.
    pub(super) bytes: AtomicU64,
}

/// A file of a block.
pub(crate) struct PackedFile {
    block: Arc<PackedBlock>,
    /// Where its data is in the scratch file.
    data: u64,
    /// Where it has data, and where holes.
    pub(super) layout: Arc<FileLayout>,
}

impl PackedFile {
    /// Fills `out` with the bytes from `place` on.
    pub(super) fn read(&self, place: u64, out: &mut [u8]) -> Result<(), String> {
        let file = self.block.file()?;
        let mut rest = out;
        for stretch in self.layout.stretches(place, rest.len() as u64) {
            match stretch {
                LayoutPiece::Hole(len) => {
                    let (hole, behind) = rest.split_at_mut(len as usize);
                    hole.fill(0);
                    rest = behind;
                }
                LayoutPiece::Data { at, len } => {
                    let (data, behind) = rest.split_at_mut(len as usize);
                    file.read_exact_at(data, self.data + at).map_err(|error| why(&error))?;
                    rest = behind;
                }
            }
        }
        Ok(())
    }
}

/// A part of a file, read from its begin.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min((self.end - self.at) as usize);
        let came = self.file.read_at(&mut out[..most], self.at)?;
        self.at += came as u64;
        Ok(came)
    }
}

impl PackedBlock {
    /// Begins to unpack a block, when others are done with theirs.
    pub(super) fn start(
        source: Arc<BlockSource>,
        at: Within,
        unpacked: Arc<Budget>,
    ) -> Arc<PackedBlock> {
        let block = Arc::new(PackedBlock {
            file: tempfile::tempfile(),
            at,
            name: source.name(at),
            state: Mutex::default(),
            changed: Condvar::new(),
            bytes: AtomicU64::new(0),
        });
        let unpack = Arc::clone(&block);
        // Not joined: whoever waits sees its end.
        std::thread::spawn(move || {
            unpacked.take(1);
            let end =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unpack.unpack(&source)));
            unpacked.adjust(1, 0);
            let end =
                end.unwrap_or_else(|_| Err("its reader thread stopped unexpectedly".to_owned()));
            locked(&unpack.state).ended = Some(end.unwrap_or_else(PackedEnd::Lost));
            unpack.changed.notify_all();
        });
        block
    }

    /// Whether nothing of it can be had.
    pub(super) fn is_lost(&self) -> bool {
        let state = locked(&self.state);
        state.ended.is_some() && state.places.is_empty()
    }

    fn file(&self) -> Result<&File, String> {
        self.file.as_ref().map_err(|error| format!("cannot make a scratch file: {}", why(error)))
    }

    fn unpack(&self, source: &Arc<BlockSource>) -> Result<PackedEnd, String> {
        let file = self.file()?;
        let mut blocks = Blocks::new(source, 1).map_err(|error| chain(&error))?;
        let open = BlockTicket { lane: 0, ticket: 1, block: self.at, is_delta: false };
        let mut reader = BlockReader::new(blocks.open(open).ok_or("a block has no reader")?);
        reader.turn_to(1);
        let mut end = 0;
        let mut piece = Vec::new();
        while let Some(entry) = reader.next() {
            if entry.stored > LARGE {
                continue;
            }
            let at = end;
            piece.clear();
            piece.extend_from_slice(&entry.headers);
            let copied = reader.copy(&entry, &mut |bytes| {
                piece.extend_from_slice(bytes);
                if piece.len() >= 1 << 20 {
                    file.write_all_at(&piece, end)?;
                    end += piece.len() as u64;
                    piece.clear();
                }
                Ok::<(), io::Error>(())
            });
            let copied = copied.and_then(|copied| {
                file.write_all_at(&piece, end)?;
                end += piece.len() as u64;
                Ok(copied)
            });
            let broken = match copied {
                Ok(Copied::Whole) => None,
                Ok(Copied::Broken(_, _, why)) => Some(why.into()),
                Err(error) => return Err(format!("cannot write a scratch file: {}", why(&error))),
            };
            let unsure = reader.unsure().is_some();
            let place = PackedPlace { at, len: end - at, broken, unsure, checked: None };
            self.bytes.store(end, Ordering::Relaxed);
            locked(&self.state).places.insert(key_in_block(self.at, &entry.path), place);
            self.changed.notify_all();
            if end > MOST {
                return Ok(PackedEnd::Full);
            }
        }
        match reader.hopeless() {
            Some(error) => Err(chain(&error)),
            None => Ok(PackedEnd::Lacks(reader.why_not())),
        }
    }

    /// Where the tar entry of a name is, once it came; none if there was no room for it.
    fn place(&self, under: &Path) -> Result<Option<PackedPlace>, String> {
        let key = key_in_block(self.at, under);
        let mut state = locked(&self.state);
        loop {
            if let Some(place) = state.places.get(&key) {
                return Ok(Some(place.clone()));
            }
            match &state.ended {
                None => {}
                Some(PackedEnd::Full) => return Ok(None),
                Some(PackedEnd::Lacks(why) | PackedEnd::Lost(why)) => {
                    return Err(format!("block {}: {why}", self.name));
                }
            }
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// The tar entry in its place, if it is that of a line; what reads on is behind its headers.
    fn stored(
        &self,
        place: &PackedPlace,
        entry: &Entry,
        under: &Path,
    ) -> Result<(TarEntry, Untar<BufReader<Section<'_>>>), String> {
        let section = Section { file: self.file()?, at: place.at, end: place.at + place.len };
        let mut untar = Untar::new(BufReader::with_capacity(64 << 10, section));
        match untar.next_entry() {
            Ok(Some(stored)) if stored.path == *under && is_of_line(&stored, entry) => {
                Ok((stored, untar))
            }
            Ok(_) => Err(self.says("its header there does not agree with its index line")),
            Err(error) => Err(self.says(&error.to_string())),
        }
    }

    fn says(&self, what: &str) -> String {
        format!("block {}: {what}", self.name)
    }

    /// A file, whose content has the digest of its line; none if there was no room for it.
    pub(super) fn open(
        self: &Arc<Self>,
        entry: &Entry,
        under: &Path,
    ) -> Result<Option<PackedFile>, String> {
        let Some(place) = self.place(under)? else { return Ok(None) };
        if let Some(why) = &place.broken {
            return Err(self.says(why));
        }
        let (stored, mut untar) = self.stored(&place, entry, under)?;
        let (size, is_sparse) = (entry.size.unwrap_or(0), is_sparse(&stored));
        let no_map = || self.says("its map of holes is not valid");
        let map = match is_sparse {
            true => Some(untar.map(&stored).map_err(|_| no_map())?),
            false => None,
        };
        let layout = match &map {
            None => FileLayout::dense(size),
            Some(map) => {
                let data = stored.stored - map.len() as u64;
                FileLayout::new(&segments(map, data, size).ok_or_else(no_map)?, size)
            }
        };
        let map = map.unwrap_or_default();
        let data = place.at + (stored.headers.len() + map.len()) as u64;
        let digest = entry.digest();
        match Digester::of_line(entry, is_sparse) {
            Some(_) if digest == place.checked => {}
            Some(mut digester) => {
                digester.update(&map);
                let copied = untar.copy(&stored, &mut |piece| {
                    digester.update(piece);
                    Ok::<(), UntarError>(())
                });
                copied.map_err(|error| self.says(&error.to_string()))?;
                if digester.finish() != digest {
                    return Err(
                        "its content does not match the sha256 in its index line".to_owned()
                    );
                }
                let key = key_in_block(self.at, under);
                if let Some(place) = locked(&self.state).places.get_mut(&key) {
                    place.checked = digest;
                }
            }
            None if place.unsure => return Err(self.says("damaged, and its line has no sha256")),
            None => {}
        }
        let layout = Arc::new(layout);
        Ok(Some(PackedFile { block: Arc::clone(self), data, layout }))
    }

    /// The attributes of an entry, if they are those of its line.
    pub(super) fn extras(&self, entry: &Entry, under: &Path) -> Result<Extras, String> {
        let Some(place) = self.place(under)? else {
            return Err(self.says("too much comes before it"));
        };
        if place.unsure {
            return Err(self.says("damaged: its attributes are uncertain"));
        }
        let (stored, _) = self.stored(&place, entry, under)?;
        let extras = Extras::of(&stored).ok().filter(|extras| extras.all_of(entry));
        extras.ok_or_else(|| self.says("its attributes do not agree with its index line"))
    }
}
