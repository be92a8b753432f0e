//! The entries of a block whose index is lost, by the block's own headers: nothing says what they
//! should be, so they are given unchecked.

use std::sync::Arc;

use crate::archive::Archive;
use crate::archive::blocks::{BlockSource, Blocks, LaneFeed};
use crate::core::restore::BlockTicket;
use crate::format::entry::{Entry, Within};
use crate::format::head::Head;
use crate::format::tarball::line_of;
use crate::format::untar::Untar;

/// The entries, past damage.
pub(super) struct Salvaged {
    untar: Untar<LaneFeed>,
    // Its threads read what comes out here.
    _blocks: Blocks,
}

impl Salvaged {
    /// Those of this block; none if it cannot be read at all.
    pub(super) fn of(archive: &Arc<Archive>, band: &Head, number: u32) -> Option<Salvaged> {
        let source = Arc::new(BlockSource {
            archive: Arc::clone(archive),
            bands: vec![band.clone()],
            takes_remains: false,
            many: false,
            fetches: None,
        });
        let mut blocks = Blocks::new(&source, 1).ok()?;
        let block = Within { tier: 0, block: number };
        let open = BlockTicket { lane: 0, ticket: 1, block, is_delta: false };
        let mut feed = blocks.open(open)?;
        feed.turn_to(1);
        Some(Salvaged { untar: Untar::new(feed), _blocks: blocks })
    }
}

impl Iterator for Salvaged {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            match self.untar.next_entry() {
                Ok(Some(stored)) => {
                    if let Some(line) = line_of(&stored) {
                        return Some(line);
                    }
                }
                Ok(None) => return None,
                Err(_) => {
                    if !self.untar.input_mut().resume() {
                        return None;
                    }
                    self.untar.restart();
                }
            }
        }
    }
}
