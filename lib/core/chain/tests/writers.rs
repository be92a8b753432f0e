//! Processes that write one band at once, interleaved at every object: what counts is always a
//! beginning of the tree, each path once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::core::chain::counted::{Counted, Indexes, STRIDE};

/// How many paths the tree has.
const TREE: u32 = 120;

/// An unfinished band: its objects, each created once and never changed.
#[derive(Debug, Default)]
struct ModelBand {
    blocks: BTreeSet<u32>,
    /// By number: the index before it, and which paths it lists.
    indexes: BTreeMap<u32, (Option<u32>, Range<u32>)>,
    /// The last index, once the band is complete.
    tail: Option<u32>,
}

/// A block and its index on their way.
#[derive(Debug)]
struct Pending {
    number: u32,
    after: Option<u32>,
    paths: Range<u32>,
    block_is_stored: bool,
}

/// A process that writes the band from where it found it ending.
#[derive(Debug)]
struct ModelWriter {
    next: u32,
    after: Option<u32>,
    at: u32,
    pending: Vec<Pending>,
    closed: bool,
}

impl ModelBand {
    fn links(&self) -> Indexes {
        let mut indexes = Indexes::new();
        for (number, (after, _)) in &self.indexes {
            indexes.handle_index(*number, *after);
        }
        self.blocks.iter().for_each(|number| indexes.handle_number(*number));
        indexes
    }

    /// How far the tree is listed by what counts. Fails if a path is listed twice, or one is left
    /// out.
    fn covered(&self, counted: &Counted) -> u32 {
        let mut end = 0;
        for number in counted.counted.iter().cloned().flatten() {
            let (_, paths) = &self.indexes[&number];
            assert_eq!(paths.start, end, "index {number} of {self:?}");
            end = paths.end;
        }
        end
    }

    fn check(&self) {
        match self.tail {
            None => _ = self.covered(&self.links().of_unfinished()),
            Some(last) => {
                let found = self.links().up_to(last);
                assert!(found.lost.is_empty() && !found.guessed, "{found:?} {self:?}");
                assert_eq!(self.covered(&found), TREE, "{self:?}");
            }
        }
    }
}

impl ModelWriter {
    fn start(band: &ModelBand) -> ModelWriter {
        let links = band.links();
        let counted = links.of_unfinished();
        ModelWriter {
            next: links.next_number().unwrap(),
            after: counted.last(),
            at: band.covered(&counted),
            pending: Vec::new(),
            closed: false,
        }
    }

    /// Goes one step on; false if the process has ended, because it is done or because it was
    /// refused.
    fn step(&mut self, band: &mut ModelBand, choice: u8) -> bool {
        if self.pending.len() < 6 && !self.closed {
            let end = (self.at + 1 + u32::from(choice % 3)).min(TREE);
            let paths = self.at..end;
            self.pending.push(Pending {
                number: self.next,
                after: self.after,
                paths,
                block_is_stored: false,
            });
            (self.at, self.closed, self.after) = (end, end == TREE, Some(self.next));
            self.next += 1;
            return true;
        }
        if self.pending.is_empty() {
            // TAIL is stored when all else is, and only once.
            band.tail = band.tail.or(self.after);
            return false;
        }
        // Objects are stored side by side, but an index after its block, and after that of the last
        // gate. Without the latter, of two that begin with the same number, one could store index 5
        // before the other's index 4 stops it, and 5 would be after a 4 that it knows nothing of.
        // Gates come after all that is before them.
        let at = usize::from(choice) % self.pending.len();
        let object = &mut self.pending[at];
        if !object.block_is_stored {
            object.block_is_stored = true;
            return band.blocks.insert(object.number);
        }
        let gate = |object: &Pending| object.number.is_multiple_of(STRIDE);
        if self.pending[..at].iter().any(|before| gate(before) || gate(&self.pending[at])) {
            return true;
        }
        let object = self.pending.remove(at);
        if band.indexes.contains_key(&object.number) {
            return false;
        }
        band.indexes.insert(object.number, (object.after, object.paths));
        true
    }
}

proptest! {
    #[test]
    fn any_interleaving_gives_one_band(steps in vec((0..4usize, any::<u8>(), 0..30u8), 0..600)) {
        let mut band = ModelBand::default();
        let mut writers: [Option<ModelWriter>; 4] = [const { None }; 4];
        for (who, choice, killed) in steps {
            let writer = writers[who].get_or_insert_with(|| ModelWriter::start(&band));
            if killed == 0 || !writer.step(&mut band, choice) {
                writers[who] = None;
            }
            band.check();
            if band.tail.is_some() {
                break;
            }
        }
        // The others go on until they are refused, or done; then one more makes the band complete.
        // Nothing can spoil it any more.
        for writer in writers.iter_mut().flatten() {
            while writer.step(&mut band, 0) {
                band.check();
            }
        }
        let mut last = ModelWriter::start(&band);
        while band.tail.is_none() && last.step(&mut band, 0) {
            band.check();
        }
        band.check();
        prop_assert!(band.tail.is_some());
    }
}
