//! What comes of a block, as far as it is no more than the block's index lists.

use std::cell::Cell;

use crate::core::expansion::{Expansion, ExpansionVerdict};
use crate::format::inflate::{BlockPiece, Sink};

/// Hands on to another sink.
pub(super) struct Bounded<'a> {
    sink: &'a mut dyn Sink,
    /// Bytes of the block as stored, of the parts that were fetched.
    stored: &'a Cell<u64>,
    /// The text of its index, if there is one that can be read.
    index: &'a dyn Fn() -> Option<Vec<u8>>,
    came: u64,
    expansion: Expansion,
}

impl<'a> Bounded<'a> {
    /// The sink of one block.
    pub(super) fn new(
        sink: &'a mut dyn Sink,
        stored: &'a Cell<u64>,
        index: &'a dyn Fn() -> Option<Vec<u8>>,
    ) -> Bounded<'a> {
        Bounded { sink, stored, index, came: 0, expansion: Expansion::default() }
    }

    fn verdict(&mut self) -> ExpansionVerdict {
        let verdict = self.expansion.handle(self.came, self.stored.get());
        if verdict != ExpansionVerdict::Ask {
            return verdict;
        }
        self.expansion.handle_index((self.index)().as_deref());
        self.expansion.handle(self.came, self.stored.get())
    }
}

impl Sink for Bounded<'_> {
    fn give(&mut self, piece: BlockPiece) -> bool {
        if let BlockPiece::Data(bytes, _) = &piece {
            self.came += bytes.len() as u64;
        }
        match self.verdict() {
            ExpansionVerdict::TooMuch(most) => {
                let why = format!("it expands to more than the {most} bytes that it can hold");
                self.sink.give(BlockPiece::Gap(why));
                false
            }
            _ => self.sink.give(piece),
        }
    }

    fn spare(&mut self) -> Vec<u8> {
        self.sink.spare()
    }

    fn leave_at(&self) -> usize {
        self.sink.leave_at()
    }

    fn leave(&mut self, bytes: u64) {
        self.sink.leave(bytes);
    }
}
