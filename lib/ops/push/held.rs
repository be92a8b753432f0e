//! Objects in memory, shared by all archives that they go to.

use std::sync::Arc;

use crate::edge::budget::Budget;
use crate::format::stream::StreamItem;
use crate::ops::room::room;

/// Bytes of objects that may be in memory at once; one larger object goes alone.
const MAX_UNDER_WAY: u64 = 80 << 20;

/// What an object costs of that at least, so that many small ones are few enough to be looked
/// through.
pub(super) const LEAST: u64 = 64 << 10;

/// Bytes of objects that may be in memory at once, as far as there is memory.
pub(super) fn most() -> u64 {
    room().bytes(MAX_UNDER_WAY, 2)
}

/// An object that gives its room back when the last archive is done with it: so a slow archive
/// holds the others up, and memory is bounded.
#[derive(Debug)]
pub(super) struct Held {
    /// The object.
    pub item: StreamItem,
    budget: Arc<Budget>,
}

/// Waits for room for an object of so many bytes.
pub(super) fn take(budget: &Budget, bytes: u64) -> bool {
    budget.take(bytes.max(LEAST))
}

impl Held {
    /// An object for which room was [taken](take).
    pub(super) fn new(item: StreamItem, budget: &Arc<Budget>) -> Arc<Held> {
        Arc::new(Held { item, budget: Arc::clone(budget) })
    }

    /// The object's name in the archive.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.item.band, self.item.name)
    }

    /// Its size.
    pub(super) fn size(&self) -> u64 {
        self.item.bytes.len() as u64
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.adjust(self.size().max(LEAST), 0);
    }
}
