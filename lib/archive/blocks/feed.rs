//! The end of a lane at which the plain tar of its blocks comes out.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use crate::archive::locked::locked;
use crate::edge::gate::Gate;
use crate::format::inflate::BlockPiece;

/// After so many pieces of one lane its next one is made in advance, also where lanes are many.
const RUN: usize = 3;

/// So many pieces' memory is kept to be used again.
const SPARE: usize = 2;

/// Why what comes of some blocks of a lane is not sure to be what was stored, by their tickets.
pub(super) type Unsure = Arc<Mutex<BTreeMap<u64, String>>>;

/// Where many lanes are, the next piece of one is decompressed when this is open: when it is
/// wanted, or in advance, if several of the same lane came before it.
pub(super) type Door = Option<Arc<Gate>>;

/// The lane that gave the last piece, and how many it gave in a row.
pub(super) type LaneRun = Arc<Mutex<(usize, usize)>>;

/// The memory of pieces that are used up, of all lanes: a lane that waits keeps none of it.
pub(super) type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// What a lane gives.
pub(super) enum Given {
    Piece(BlockPiece),
    /// No block can be read: why.
    Hopeless(anyhow::Error),
    End,
}

/// The side of whoever writes: the plain tar of the blocks of a lane, one after another.
pub(crate) struct LaneFeed {
    pub(super) given: Receiver<(u64, Given)>,
    pub(super) lane: usize,
    pub(super) run: LaneRun,
    pub(super) door: Door,
    pub(super) spare: Spare,
    /// The block that is wanted now, told to the lane's thread.
    pub(super) wanted: Arc<AtomicU64>,
    pub(super) ticket: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) at: usize,
    /// Why the bytes do not go on, until [`LaneFeed::resume`].
    pub(super) gap: Option<String>,
    /// True if bytes of a member came of which more was to come: what is not as usual is streamed.
    pub(super) within: bool,
    pub(super) ended: bool,
    /// Why no block can be read at all.
    pub hopeless: Option<anyhow::Error>,
    pub(super) unsure: Unsure,
}

impl LaneFeed {
    /// Goes on to the block with this ticket.
    pub(crate) fn turn_to(&mut self, ticket: u64) {
        self.wanted.store(ticket, Ordering::Relaxed);
        self.ticket = ticket;
        locked(&self.unsure).retain(|other, _| *other >= ticket);
        self.take(Vec::new());
        self.gap = None;
        self.ended = false;
    }

    /// Why what comes of this block is not sure to be what was stored.
    pub(crate) fn unsure(&self) -> Option<String> {
        locked(&self.unsure).get(&self.ticket).cloned()
    }

    /// Whether bytes of a damaged member came before it was found to be damaged.
    pub(crate) fn came_damaged(&self) -> bool {
        self.within
    }

    /// Goes on behind damage, where the next member begins; false if there is none.
    pub(crate) fn resume(&mut self) -> bool {
        self.gap = None;
        loop {
            match self.next_piece() {
                Some(BlockPiece::Data(bytes, true)) => {
                    self.within = false;
                    self.take(bytes);
                    return true;
                }
                Some(_) => {}
                None => {
                    self.take(Vec::new());
                    return false;
                }
            }
        }
    }

    /// Goes on with this piece, and gives back the one before.
    fn take(&mut self, bytes: Vec<u8>) {
        let used = std::mem::replace(&mut self.bytes, bytes);
        let mut spare = locked(&self.spare);
        if used.capacity() > 0 && spare.len() < SPARE {
            spare.push(used);
        }
        drop(spare);
        self.at = 0;
    }

    fn open_door(&self) {
        if let Some(door) = &self.door {
            door.set(true);
        }
    }

    fn next_piece(&mut self) -> Option<BlockPiece> {
        while !self.ended {
            let given = self.given.try_recv().or_else(|_| {
                self.open_door();
                self.given.recv()
            });
            match given {
                Ok((ticket, _)) if ticket != self.ticket => {}
                Ok((_, Given::Piece(piece))) => {
                    let mut run = locked(&self.run);
                    *run = (self.lane, if run.0 == self.lane { run.1 + 1 } else { 1 });
                    if run.1 >= RUN {
                        self.open_door();
                    }
                    drop(run);
                    return Some(piece);
                }
                Ok((_, Given::Hopeless(error))) => {
                    self.hopeless = Some(error);
                    self.ended = true;
                }
                Ok((_, Given::End)) => self.ended = true,
                Err(_) => {
                    self.ended = true;
                    return Some(BlockPiece::Gap(
                        "its reader thread stopped unexpectedly".to_owned(),
                    ));
                }
            }
        }
        None
    }
}

impl Drop for LaneFeed {
    fn drop(&mut self) {
        self.open_door();
    }
}

impl Read for LaneFeed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let came = self.fill_buf()?.read(out)?;
        self.consume(came);
        Ok(came)
    }
}

impl BufRead for LaneFeed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.bytes.len() {
            if let Some(why) = &self.gap {
                return Err(io::Error::other(why.clone()));
            }
            match self.next_piece() {
                Some(BlockPiece::Data(bytes, begins)) => {
                    self.within = !begins;
                    self.take(bytes);
                }
                Some(BlockPiece::Gap(why)) => self.gap = Some(why),
                None => break,
            }
        }
        Ok(&self.bytes[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
        // It may be long until the next one is wanted.
        if self.at == self.bytes.len() {
            self.take(Vec::new());
        }
    }
}
