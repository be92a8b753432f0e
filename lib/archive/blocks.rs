//! Blocks fetched, decrypted and decompressed ahead of where they are wanted.
//!
//! Each lane of the plan has a thread that decompresses its blocks one after another into a short
//! queue. Blocks are fetched ahead in the order of the plan's opens, within a budget. What lanes
//! hold counts in it, but one block may be ahead in any case: all that was opened before the block
//! that is wanted now was begun, so the budget never waits for itself.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::archive::bounded::Bounded;
use crate::archive::kind::is_locked;
use crate::archive::locked::locked;
use crate::core::restore::BlockTicket;
use crate::edge::budget::Budget;
use crate::edge::gate::Gate;
use crate::format::inflate::{BlockPiece, LEAVE, Sink, inflate};

use slices::Slices;
pub(crate) use source::BlockSource;
use source::FirstObject;

mod slices;
mod source;

/// Bytes of blocks that may be there, or on their way: those that lanes have begun with, too.
const AHEAD: u64 = 56 << 20;

/// What the first block is taken to have, while none was seen.
const GUESS: u64 = 8 << 20;

/// Pieces of about a mebibyte that wait for whoever writes, in each lane: so many where few lanes
/// are, and none where there are more, for each holds the one that is used.
const PIECES: usize = 3;

/// What lanes together may hold of blocks that is read already, where lanes are many.
const READ: usize = 5 << 20;

/// More tiers than these are many.
pub(crate) const FEW: usize = 2;

/// After so many pieces of one lane its next one is made in advance, also where lanes are many.
const RUN: usize = 3;

/// So many pieces' memory is kept to be used again.
const SPARE: usize = 2;

/// Why what comes of some blocks of a lane is not sure to be what was stored, by their tickets.
type Unsure = Arc<Mutex<BTreeMap<u64, String>>>;

/// Where many lanes are, the next piece of one is decompressed when this is open: when it is
/// wanted, or in advance, if several of the same lane came before it.
type Door = Option<Arc<Gate>>;

/// The lane that gave the last piece, and how many it gave in a row.
type LaneRun = Arc<Mutex<(usize, usize)>>;

/// The memory of pieces that are used up, of all lanes: a lane that waits keeps none of it.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// A block that a lane will come to.
struct Slot {
    open: BlockTicket,
    first: Receiver<(u64, anyhow::Result<FirstObject>)>,
}

/// What a lane gives.
enum Given {
    Piece(BlockPiece),
    /// No block can be read: why.
    Hopeless(anyhow::Error),
    End,
}

/// The side of the plan: opens blocks.
pub(crate) struct Blocks {
    source: Arc<BlockSource>,
    pool: ThreadPool,
    budget: Arc<Budget>,
    /// What a block had lately.
    size: Arc<AtomicU64>,
    spare: Spare,
    run: LaneRun,
    lanes: Vec<Option<Sender<Slot>>>,
}

impl Blocks {
    /// Starts threads that fetch, so many.
    pub(crate) fn new(source: &Arc<BlockSource>, jobs: usize) -> anyhow::Result<Blocks> {
        let pool =
            ThreadPoolBuilder::new().num_threads(jobs).build().context("cannot start threads")?;
        let (budget, size) = (Arc::new(Budget::new(AHEAD)), Arc::new(AtomicU64::new(GUESS)));
        Ok(Blocks {
            source: Arc::clone(source),
            pool,
            budget,
            size,
            spare: Spare::default(),
            run: LaneRun::default(),
            lanes: Vec::new(),
        })
    }

    /// Begins to fetch a block when there is room. When it is the first in its lane, gives the end
    /// at which it will come out.
    pub(crate) fn open(&mut self, open: BlockTicket) -> Option<LaneFeed> {
        let mut feed = None;
        if self.lanes.len() <= open.lane {
            self.lanes.resize_with(open.lane + 1, || None);
        }
        let lane = self.lanes[open.lane].get_or_insert_with(|| {
            let (send, slots) = channel();
            let (give, given) = sync_channel(if self.source.many { 0 } else { PIECES });
            let wanted = Arc::new(AtomicU64::new(0));
            let unsure = Unsure::default();
            let (source, budget, until) =
                (Arc::clone(&self.source), Arc::clone(&self.budget), Arc::clone(&wanted));
            let spare = Arc::clone(&self.spare);
            let door = self.source.many.then(|| Arc::new(Gate::open()));
            let leave_at = match self.source.many {
                true => READ / self.source.bands.len().max(1),
                false => LEAVE,
            };
            let give = Give {
                given: give,
                spare,
                wanted: until,
                ticket: 0,
                budget,
                held: 0,
                leave_at,
                ahead: false,
                door: door.clone(),
            };
            let tell = Arc::clone(&unsure);
            std::thread::spawn(move || decompress(&source, &slots, give, &tell));
            feed = Some(LaneFeed {
                given,
                lane: open.lane,
                run: Arc::clone(&self.run),
                door,
                spare: Arc::clone(&self.spare),
                wanted,
                ticket: 0,
                bytes: Vec::new(),
                at: 0,
                gap: None,
                within: false,
                ended: true,
                hopeless: None,
                unsure,
            });
            send
        });
        let (give, first) = sync_channel(1);
        // A lane that is gone has broken off, which its other end tells.
        let _ = lane.send(Slot { open, first });
        // The message and its plain text are in memory together for a while.
        let guess = 2 * self.size.load(Ordering::Relaxed);
        self.budget.take(guess);
        let (source, budget, size) =
            (Arc::clone(&self.source), Arc::clone(&self.budget), Arc::clone(&self.size));
        self.pool.spawn_fifo(move || {
            let first = source.first(&open);
            let bytes = first.as_ref().map_or(0, |first| first.bytes.len() as u64);
            if bytes > 0 {
                size.store(bytes, Ordering::Relaxed);
            }
            budget.adjust(guess, bytes);
            let _ = give.send((bytes, first));
        });
        feed
    }
}

/// The end of a lane's thread.
struct Give {
    given: SyncSender<(u64, Given)>,
    spare: Spare,
    wanted: Arc<AtomicU64>,
    ticket: u64,
    budget: Arc<Budget>,
    /// Bytes of the block that are in memory, and whether nobody wants it yet: then it is what is
    /// ahead, and nothing else is.
    held: u64,
    /// When so much of it is read, that is given back.
    leave_at: usize,
    ahead: bool,
    door: Door,
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
fn decompress(source: &BlockSource, slots: &Receiver<Slot>, mut give: Give, unsure: &Unsure) {
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

/// The side of whoever writes: the plain tar of the blocks of a lane, one after another.
pub(crate) struct LaneFeed {
    given: Receiver<(u64, Given)>,
    lane: usize,
    run: LaneRun,
    door: Door,
    spare: Spare,
    /// The block that is wanted now, told to the lane's thread.
    wanted: Arc<AtomicU64>,
    ticket: u64,
    bytes: Vec<u8>,
    at: usize,
    /// Why the bytes do not go on, until [`LaneFeed::resume`].
    gap: Option<String>,
    /// True if bytes of a member came of which more was to come: what is not as usual is streamed.
    within: bool,
    ended: bool,
    /// Why no block can be read at all.
    pub hopeless: Option<anyhow::Error>,
    unsure: Unsure,
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
