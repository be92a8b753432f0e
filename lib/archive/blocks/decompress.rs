//! The thread of a lane: decompresses its blocks in their order.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use crate::archive::blocks::Slot;
use crate::archive::blocks::feed::{Door, Given, Spare, Unsure};
use crate::archive::blocks::slices::Slices;
use crate::archive::blocks::source::{BlockSource, FirstObject};
use crate::archive::bounded::Bounded;
use crate::archive::kind::is_locked;
use crate::archive::locked::locked;
use crate::edge::budget::Budget;
use crate::format::inflate::{BlockPiece, Sink, inflate};

/// The end of a lane's thread.
pub(super) struct Give {
    pub(super) given: SyncSender<(u64, Given)>,
    pub(super) spare: Spare,
    pub(super) wanted: Arc<AtomicU64>,
    pub(super) ticket: u64,
    pub(super) budget: Arc<Budget>,
    /// Bytes of the block that are in memory, and whether nobody wants it yet: then it is what is
    /// ahead, and nothing else is.
    pub(super) held: u64,
    /// When so much of it is read, that is given back.
    pub(super) leave_at: usize,
    pub(super) ahead: bool,
    pub(super) door: Door,
}

impl Give {
    /// Takes up a block of so many bytes.
    fn begin(&mut self, bytes: u64) {
        self.held = bytes;
        self.ahead = true;
    }

    fn send(&mut self, given: Given) -> bool {
        let sent = self.given.send((self.ticket, given)).is_ok();
        if self.ahead && self.wanted.load(Ordering::Relaxed) >= self.ticket {
            self.budget.turn_to(self.held);
            self.ahead = false;
        }
        sent
    }
}

impl Sink for Give {
    fn give(&mut self, piece: BlockPiece) -> bool {
        // What it was opened for is this piece.
        if let Some(door) = &self.door {
            door.set(false);
        }
        self.send(Given::Piece(piece)) && self.wanted.load(Ordering::Relaxed) <= self.ticket
    }

    fn spare(&mut self) -> Vec<u8> {
        if let Some(door) = &self.door {
            door.pass();
        }
        locked(&self.spare).pop().unwrap_or_default()
    }

    fn leave_at(&self) -> usize {
        self.leave_at
    }

    fn leave(&mut self, bytes: u64) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        if self.ahead { self.budget.adjust(bytes, 0) } else { self.budget.leave(bytes) }
    }
}

impl Drop for Give {
    fn drop(&mut self) {
        self.leave(u64::MAX);
    }
}

/// A lane: decompresses its blocks in their order. Leaves one as soon as a later one is wanted.
pub(super) fn decompress(
    source: &BlockSource,
    slots: &Receiver<Slot>,
    mut give: Give,
    unsure: &Unsure,
) {
    for Slot { open, first } in slots {
        let Ok((counted, first)) = first.recv() else { return };
        give.begin(counted);
        give.ticket = open.ticket;
        let note = |why| _ = locked(unsure).insert(open.ticket, why);
        match first {
            Err(error) if is_locked(&error) => _ = give.send(Given::Hopeless(error)),
            Err(error) => _ = give.send(Given::Piece(BlockPiece::Gap(source.why(&open, &error)))),
            Ok(FirstObject { bytes, in_parts, unsure: why, room }) => {
                why.into_iter().for_each(note);
                let stored = &Cell::new(bytes.len() as u64);
                let (mut first, mut next) = (Some((bytes, room)), 1);
                let mut whole = || match first.take() {
                    Some(object) => Ok(Some(object)),
                    None if in_parts => {
                        let part = source.part(&open, next);
                        next += 1;
                        let part = part.map(|part| {
                            part.map(|(_, bytes, why, room)| {
                                stored.set(stored.get() + bytes.len() as u64);
                                why.into_iter().for_each(note);
                                (bytes, room)
                            })
                        });
                        part.map_err(|error| io::Error::other(source.why(&open, &error)))
                    }
                    None => Ok(None),
                };
                let mut slices = Slices::new(source.fetches.is_some());
                let mut parts = || slices.next_of(&mut whole);
                let band = &source.bands[usize::from(open.block.tier)];
                let index = || source.index(open.block);
                let mut sink = Bounded::new(&mut give, stored, &index);
                inflate(band.compression, &mut parts, &mut sink);
            }
        }
        give.leave(u64::MAX);
        if !give.send(Given::End) {
            return;
        }
    }
}
