//! Large files, read forward from their begin, and pieces of what was read lately in a scratch
//! file. What lies before all of these costs reading from the begin once more.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::archive::blocks::BlockSource;
use crate::archive::entries::deltas::ReadableContent;
use crate::archive::locked::locked;
use crate::core::mount::layout::{FileLayout, LayoutPiece};
use crate::format::entry::{Entry, Within};
use crate::format::path::Path;
use crate::format::sparse::Digester;
use crate::report::message::{chain, why};

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Pieces of a file that are kept.
const PIECES: usize = 512;

/// A large file.
pub(crate) struct LargeFile {
    source: Arc<BlockSource>,
    entry: Entry,
    at: Within,
    under: Path,
    size: u64,
    state: Mutex<LargeState>,
    is_reading: AtomicBool,
    /// Bytes of the scratch file.
    pub(super) bytes: AtomicU64,
}

#[derive(Default)]
struct LargeState {
    forward: Option<ForwardFile>,
    layout: Option<Arc<FileLayout>>,
    file: Option<File>,
    /// In which slot of the scratch file a piece is.
    slots: HashMap<u64, u64>,
    /// The pieces, the oldest first.
    order: VecDeque<u64>,
    /// Why nothing of it counts.
    bad: Option<String>,
    piece: Vec<u8>,
}

/// Where reading stands.
struct ForwardFile {
    content: ReadableContent,
    digester: Option<Digester>,
    /// The next piece.
    next: u64,
}

impl LargeFile {
    /// The file whose line says that its content is in this block, under this name.
    pub(super) fn new(
        source: Arc<BlockSource>,
        entry: Entry,
        at: Within,
        under: Path,
    ) -> LargeFile {
        LargeFile {
            size: entry.size.unwrap_or(0),
            source,
            entry,
            at,
            under,
            state: Mutex::default(),
            is_reading: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
        }
    }

    /// Whether a block is open for it.
    pub(super) fn is_reading(&self) -> bool {
        self.is_reading.load(Ordering::Relaxed)
    }

    /// Closes its block, if nobody reads just now.
    pub(super) fn pause(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.forward = None;
            self.is_reading.store(false, Ordering::Relaxed);
        }
    }

    /// Where it has data, and where holes.
    pub(super) fn layout(&self) -> Result<Arc<FileLayout>, String> {
        self.layout_of(&mut locked(&self.state))
    }

    fn layout_of(&self, state: &mut LargeState) -> Result<Arc<FileLayout>, String> {
        if state.layout.is_none() {
            self.begin(state)?;
        }
        state.layout.clone().ok_or_else(|| "its layout is not known".to_owned())
    }

    /// Opens it at its begin.
    fn begin(&self, state: &mut LargeState) -> Result<(), String> {
        state.forward = None;
        self.is_reading.store(true, Ordering::Relaxed);
        let opened = ReadableContent::open(&self.source, self.at, &self.under, &self.entry);
        let content = opened.map_err(|error| chain(&error))?;
        let holes = content.holes();
        let layout =
            holes.map_or_else(|| FileLayout::dense(self.size), |(_, layout)| layout.clone());
        let mut digester = Digester::of_line(&self.entry, holes.is_some());
        if let (Some(digester), Some((map, _))) = (&mut digester, holes) {
            digester.update(map);
        }
        state.layout = Some(Arc::new(layout));
        state.forward = Some(ForwardFile { content, digester, next: 0 });
        Ok(())
    }

    /// Fills `out` with the bytes from `place` on, which the file has.
    pub(super) fn read(&self, mut place: u64, mut out: &mut [u8]) -> Result<(), String> {
        let mut state = locked(&self.state);
        let layout = self.layout_of(&mut state)?;
        while !out.is_empty() {
            let (piece, within) = (place / PIECE, place % PIECE);
            let now = (PIECE - within).min(out.len() as u64);
            let (part, rest) = out.split_at_mut(now as usize);
            if is_hole(&layout, piece) {
                part.fill(0);
            } else {
                self.reach(&mut state, &layout, piece)?;
                let slot = state.slots.get(&piece).copied().ok_or("a piece is not there")?;
                let file = state.file.as_ref().ok_or("a piece is not there")?;
                let read = file.read_exact_at(part, slot * PIECE + within);
                read.map_err(|error| why(&error))?;
            }
            (place, out) = (place + now, rest);
        }
        match &state.bad {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    /// Reads on until a piece is there.
    fn reach(&self, state: &mut LargeState, layout: &FileLayout, piece: u64) -> Result<(), String> {
        while !state.slots.contains_key(&piece) {
            if state.forward.as_ref().is_none_or(|forward| forward.next > piece) {
                self.begin(state)?;
            }
            let came = self.next_piece(state, layout);
            if came.is_err() {
                state.forward = None;
                self.is_reading.store(false, Ordering::Relaxed);
            }
            came?;
        }
        Ok(())
    }

    /// Takes up the next piece that has data.
    fn next_piece(&self, state: &mut LargeState, layout: &FileLayout) -> Result<(), String> {
        let Some(mut forward) = state.forward.take() else { return Ok(()) };
        let data = layout.next_data(forward.next * PIECE).ok_or("it has no more data")?;
        let piece = data / PIECE;
        let (start, end) = (piece * PIECE, self.size.min((piece + 1).saturating_mul(PIECE)));
        let mut bytes = std::mem::take(&mut state.piece);
        bytes.resize((end - start) as usize, 0);
        forward.content.read(start, &mut bytes)?;
        if let Some(digester) = &mut forward.digester {
            let mut at = 0;
            for stretch in layout.stretches(start, end - start) {
                let len = match stretch {
                    LayoutPiece::Hole(len) => len as usize,
                    LayoutPiece::Data { len, .. } => {
                        digester.update(&bytes[at..at + len as usize]);
                        len as usize
                    }
                };
                at += len;
            }
        }
        self.keep(state, piece, &bytes)?;
        state.piece = bytes;
        forward.next = piece + 1;
        if layout.next_data(end).is_some() {
            state.forward = Some(forward);
            return Ok(());
        }
        // The end.
        self.is_reading.store(false, Ordering::Relaxed);
        let finished = forward.content.finish(self.size);
        let digest = forward.digester.map(Digester::finish);
        state.bad = match finished {
            Err(why) => Some(why),
            Ok(()) if digest.is_some_and(|digest| digest != self.entry.digest()) => {
                Some("its content does not match the sha256 in its index line".to_owned())
            }
            Ok(()) => None,
        };
        Ok(())
    }

    /// Puts a piece into a slot, if need be that of the oldest one.
    fn keep(&self, state: &mut LargeState, piece: u64, bytes: &[u8]) -> Result<(), String> {
        let cannot = |error| format!("cannot write a scratch file: {}", why(&error));
        if state.slots.contains_key(&piece) {
            return Ok(());
        }
        let slot = match state.order.len() < PIECES {
            true => state.order.len() as u64,
            false => {
                let oldest = state.order.pop_front().ok_or("no piece is there")?;
                state.slots.remove(&oldest).ok_or("a piece is not there")?
            }
        };
        let file = match &state.file {
            Some(file) => file,
            None => state.file.insert(tempfile::tempfile().map_err(cannot)?),
        };
        file.write_all_at(bytes, slot * PIECE).map_err(cannot)?;
        state.slots.insert(piece, slot);
        state.order.push_back(piece);
        self.bytes.store(state.order.len() as u64 * PIECE, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether all of a piece is a hole.
fn is_hole(layout: &FileLayout, piece: u64) -> bool {
    layout.next_data(piece * PIECE).is_none_or(|data| data >= (piece + 1).saturating_mul(PIECE))
}
