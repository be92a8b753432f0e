//! Blocks fetched, decrypted and decompressed ahead of where they are wanted.
//!
//! Each lane of the plan has a thread that decompresses its blocks one after another into a short
//! queue. Blocks are fetched ahead in the order of the plan's opens, within a budget. What lanes
//! hold counts in it, but one block may be ahead in any case: all that was opened before the block
//! that is wanted now was begun, so the budget never waits for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use anyhow::Context;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::core::restore::BlockTicket;
use crate::edge::budget::Budget;
use crate::edge::gate::Gate;
use crate::format::inflate::LEAVE;

use decompress::{Give, decompress};
pub(crate) use feed::LaneFeed;
use feed::{LaneRun, Spare, Unsure};
pub(crate) use source::BlockSource;
use source::FirstObject;

mod decompress;
mod feed;
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

/// A block that a lane will come to.
struct Slot {
    open: BlockTicket,
    first: Receiver<(u64, anyhow::Result<FirstObject>)>,
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
