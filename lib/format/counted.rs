//! What counts of a band, as the programs of a pipe pass it on: ranges of index numbers, each with
//! the number of parts of its blocks. `#counted` in a listing, a record in an object stream.

use std::fmt;

use super::entry::number;
use super::object::MAX_NUMBER;

/// How many stretches stand in one line or record at most: so it stays far below what a reader of
/// either takes.
pub const MAX_STRETCHES: usize = 1000;

/// Indexes with consecutive numbers whose blocks have as many parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The number of the first.
    pub first: u32,
    /// The number of the last.
    pub last: u32,
    /// How many objects each block has: 0 for no block, 1 for one object, more for parts.
    pub parts: u32,
}

/// The indexes of a band that count, in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountedBlocks(Vec<Stretch>);

impl CountedBlocks {
    /// Takes the next index; numbers rise.
    pub fn push(&mut self, number: u32, parts: u32) {
        match self.0.last_mut() {
            Some(stretch)
                if stretch.parts == parts && stretch.last.checked_add(1) == Some(number) =>
            {
                stretch.last = number;
            }
            _ => self.0.push(Stretch { first: number, last: number, parts }),
        }
    }

    /// The stretches, which rise.
    pub fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    /// The same in pieces that fit into a line.
    pub fn pieces(&self) -> impl Iterator<Item = CountedBlocks> {
        self.0.chunks(MAX_STRETCHES).map(|piece| CountedBlocks(piece.to_vec()))
    }

    /// Takes the next piece; false if it does not lie behind what came before.
    #[must_use]
    pub fn extend(&mut self, piece: &CountedBlocks) -> bool {
        let before = self.0.last().map(|stretch| stretch.last);
        let rises = piece.0.first().is_none_or(|next| before.is_none_or(|last| last < next.first));
        if rises {
            self.0.extend_from_slice(&piece.0);
        }
        rises
    }

    /// Reads what [`fmt::Display`] writes; none for anything else, and where numbers do not rise.
    pub fn parse(text: &[u8]) -> Option<CountedBlocks> {
        let mut counted = CountedBlocks::default();
        for word in text.split(|&b| b == b' ') {
            let (range, parts) = halves(word, b':')?;
            let (first, last) = halves(range, b'-')?;
            let stretch =
                Stretch { first: number(first)?, last: number(last)?, parts: number(parts)? };
            let sound = stretch.first <= stretch.last && stretch.last <= MAX_NUMBER;
            if !sound || !counted.extend(&CountedBlocks(vec![stretch])) {
                return None;
            }
        }
        Some(counted)
    }
}

fn halves(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b == at)?;
    Some((&text[..at], &text[at + 1..]))
}

impl fmt::Display for CountedBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Stretch { first, last, parts }) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{first:09}-{last:09}:{parts}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_stretch() {
        let mut counted = CountedBlocks::default();
        for (number, parts) in [(0, 1), (1, 1), (2, 0), (3, 3), (32, 3), (33, 3)] {
            counted.push(number, parts);
        }
        let text = "000000000-000000001:1 000000002-000000002:0 000000003-000000003:3 000000032-000000033:3";
        assert_eq!(counted.to_string(), text);
        assert_eq!(CountedBlocks::parse(text.as_bytes()), Some(counted.clone()));
        assert_eq!(counted.pieces().collect::<Vec<_>>(), [counted]);
    }

    #[test]
    fn long_lists_come_in_pieces_and_go_together_again() {
        let mut counted = CountedBlocks::default();
        (0..2500).for_each(|number| counted.push(number, number % 2));
        let pieces: Vec<CountedBlocks> = counted.pieces().collect();
        assert_eq!(pieces.len(), 3);
        let mut again = CountedBlocks::default();
        assert!(pieces.iter().all(|piece| again.extend(piece)));
        assert_eq!(again, counted);
        assert!(!again.extend(&pieces[0]));
    }

    #[test]
    fn what_no_program_writes() {
        for text in [
            "",
            "0-1",
            "1-0:1",
            "0-1:",
            "0-1:1  3-4:1",
            "0-4:1 4-5:1",
            "5-6:1 0-1:1",
            "0-1000000000:1",
            "-1:0",
        ] {
            assert_eq!(CountedBlocks::parse(text.as_bytes()), None, "{text}");
        }
    }
}
