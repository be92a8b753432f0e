//! What of a large file stands in an older one, and in which pieces a delta takes it from there.
//!
//! A delta is laid over its base in one pass, so what it takes rises in the base. Of all chunks
//! that both have, the heaviest rising chain is taken: no other choice leaves fewer bytes to be
//! stored. (The first place at which each is found may leave nearly all of them, where something
//! was moved to the front.) It is the heaviest common subsequence of Jacobson and Vo (1992), found
//! with a Fenwick tree of the best chain up to each chunk of the base.
//!
//! Memory, in bytes: 16 for each chunk of the base, 4 for each of the file, and up to 24 MiB for
//! chains, beside the chunks themselves.

pub mod links;

use std::collections::VecDeque;

use crate::format::sums::{Chunk, SumsLine};

/// A delta with more new bytes than so many hundredths of the file's data is not worth its base.
const MOST: u64 = 60;

/// Places in chains at most.
const MAX_NODES: usize = 2 << 20;

/// Places of one chunk that are looked at, at most: a chunk that repeats has many.
const MAX_PLACES: usize = 64;

const NONE: u32 = u32::MAX;

/// What a file is made of: for each of its chunks, the one of the base that it equals.
#[derive(Debug)]
pub struct DeltaPlan {
    /// By chunk of the file; [`NONE`] for what is new.
    taken: Vec<u32>,
    /// Where pieces of holes are in the base: the chunk of the file, the place, the length.
    holes: VecDeque<(u32, u64, u64)>,
    /// Where the base's chunks begin; at the end its size.
    starts: Vec<u64>,
    /// Bytes that are new.
    literal: u64,
    /// Bytes of the file that are no holes.
    data: u64,
}

/// A place in a chain.
struct Node {
    base: u32,
    chunk: u32,
    before: u32,
}

/// The best chain that ends at or before each chunk of the base.
struct Best(Vec<(u64, u32)>);

impl Best {
    fn before(&self, mut at: usize) -> (u64, u32) {
        let mut best = (0, NONE);
        while at > 0 {
            if self.0[at - 1].0 > best.0 {
                best = self.0[at - 1];
            }
            at &= at - 1;
        }
        best
    }

    fn put(&mut self, at: usize, chain: (u64, u32)) {
        let mut at = at + 1;
        while at <= self.0.len() {
            if self.0[at - 1].0 < chain.0 {
                self.0[at - 1] = chain;
            }
            at += at & at.wrapping_neg();
        }
    }
}

impl DeltaPlan {
    /// Compares a file with its base.
    pub fn new(base: &[Chunk], file: &[Chunk]) -> DeltaPlan {
        let mut end = 0;
        let mut starts: Vec<u64> = Vec::with_capacity(base.len() + 1);
        for chunk in base {
            starts.push(end);
            end += u64::from(chunk.len);
        }
        starts.push(end);
        let taken = heaviest_chain(base, file);
        let holes = holes(base, file, &starts, &taken);
        let sum = |chunks: &mut dyn Iterator<Item = &Chunk>| -> u64 {
            chunks.map(|chunk| u64::from(chunk.len)).sum()
        };
        let new = file.iter().zip(&taken).filter(|(_, base)| **base == NONE);
        let in_holes: u64 = holes.iter().map(|(_, _, len)| len).sum();
        let literal = sum(&mut new.map(|(chunk, _)| chunk)) - in_holes;
        let data = sum(&mut file.iter().filter(|chunk| chunk.hash.is_some()));
        DeltaPlan { taken, holes, starts, literal, data }
    }

    /// Whether the delta is so small that it is worth to be laid over its base.
    pub fn is_worth_it(&self) -> bool {
        self.literal.saturating_mul(100) <= self.data.saturating_mul(MOST)
    }

    /// How many bytes are new.
    pub fn literal(&self) -> u64 {
        self.literal
    }

    /// Where in the base a chunk of the file is, if it is taken from there.
    pub fn place(&self, chunk: usize) -> Option<u64> {
        let base = self.taken.get(chunk).filter(|base| **base != NONE)?;
        Some(self.starts[*base as usize])
    }

    /// Which chunk of the base it is.
    pub fn line(&self, chunk: usize) -> Option<u32> {
        self.taken.get(chunk).copied().filter(|base| *base != NONE)
    }

    /// The next piece of this hole of the file that is in a hole of the base: where, and how long.
    /// None when the rest of it, if there is one, has to be stored.
    pub fn next_hole(&mut self, chunk: usize) -> Option<(u64, u64)> {
        let (_, start, len) = *self.holes.front().filter(|(hole, ..)| *hole as usize == chunk)?;
        self.holes.pop_front();
        Some((start, len))
    }
}

/// For each chunk of the file the one of the base that the heaviest rising chain has for it.
fn heaviest_chain(base: &[Chunk], file: &[Chunk]) -> Vec<u32> {
    let mut by_hash: Vec<u32> = (0..base.len() as u32).collect();
    by_hash.retain(|at| base[*at as usize].hash.is_some());
    by_hash.sort_unstable_by_key(|at| (base[*at as usize].hash, *at));
    let mut best = Best(vec![(0, NONE); base.len()]);
    let mut nodes: Vec<Node> = Vec::new();
    let each = (MAX_NODES / file.len().max(1)).clamp(1, MAX_PLACES);
    let mut found = Vec::with_capacity(each);
    for (at, chunk) in file.iter().enumerate() {
        let Some(hash) = chunk.hash else { continue };
        let first = by_hash.partition_point(|other| base[*other as usize].hash < Some(hash));
        let same =
            by_hash[first..].partition_point(|other| base[*other as usize].hash == Some(hash));
        let places = &by_hash[first..first + same];
        // Of many places those around the same one as in the file: mostly little has moved.
        let near = places.partition_point(|other| (*other as usize) < at).saturating_sub(each / 2);
        let near = near.min(places.len().saturating_sub(each));
        found.clear();
        for other in places[near..].iter().take(each) {
            if base[*other as usize].len == chunk.len {
                let (weight, before) = best.before(*other as usize);
                found.push((*other, weight + u64::from(chunk.len), before));
            }
        }
        for (other, weight, before) in &found {
            best.put(*other as usize, (*weight, nodes.len() as u32));
            nodes.push(Node { base: *other, chunk: at as u32, before: *before });
        }
    }
    let mut taken = vec![NONE; file.len()];
    let (_, mut at) = best.before(base.len());
    while let Some(node) = nodes.get(at as usize) {
        taken[node.chunk as usize] = node.base;
        at = node.before;
    }
    taken
}

/// The holes of the file that lie in holes of the base, between what is taken from there.
fn holes(
    base: &[Chunk],
    file: &[Chunk],
    starts: &[u64],
    taken: &[u32],
) -> VecDeque<(u32, u64, u64)> {
    let mut holes = VecDeque::new();
    // The place in the base up to which all is passed, and the chunk of the base that is there.
    let (mut at, mut open) = (0, 0);
    let mut next = 0;
    for (number, chunk) in file.iter().enumerate() {
        if taken[number] != NONE {
            let last = taken[number] as usize;
            (at, open) = (starts[last + 1], last + 1);
            continue;
        }
        if chunk.hash.is_some() {
            continue;
        }
        // The next chunk that is taken is where the base is needed again.
        next = next.max(number);
        while next < taken.len() && taken[next] == NONE {
            next += 1;
        }
        let until = taken.get(next).map_or(base.len(), |chunk| *chunk as usize);
        let mut left = u64::from(chunk.len);
        while left > 0 && open < until {
            let len = (starts[open + 1] - at).min(left);
            if base[open].hash.is_none() {
                holes.push_back((number as u32, at, len));
                left -= len;
                at += len;
            } else {
                at = starts[open + 1];
            }
            if at == starts[open + 1] {
                open += 1;
            }
        }
    }
    holes
}

/// The lines of a file's sums: chunks that are the base's, as lines of those.
#[derive(Debug, Default)]
pub struct SumsLines(Vec<SumsLine>);

impl SumsLines {
    /// Those of a file without a base.
    pub fn of(chunks: Vec<Chunk>) -> SumsLines {
        SumsLines(chunks.into_iter().map(SumsLine::Chunk).collect())
    }

    /// The next chunk, and which one of the base it is.
    pub fn push(&mut self, chunk: Chunk, base: Option<u32>) {
        match (self.0.last_mut(), base) {
            (Some(SumsLine::OfBase(first, count)), Some(base)) if *first + *count == base => {
                *count += 1;
            }
            (_, Some(base)) => self.0.push(SumsLine::OfBase(base, 1)),
            (_, None) => self.0.push(SumsLine::Chunk(chunk)),
        }
    }

    /// All lines, and whether any is of the base.
    pub fn finish(self) -> (Vec<SumsLine>, bool) {
        let of_base = self.0.iter().any(|line| matches!(line, SumsLine::OfBase(..)));
        (self.0, of_base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks of ten bytes, by letters; a dash is a hole of ten.
    fn chunks(text: &str) -> Vec<Chunk> {
        let chunk = |b: u8| Chunk { len: 10, hash: (b != b'-').then_some([b; 16]) };
        text.bytes().map(chunk).collect()
    }

    /// By chunk of the file: what of the base it is, `+` for what is new; and what is new in all.
    fn plan(base: &str, file: &str) -> (String, u64) {
        let (base, file) = (chunks(base), chunks(file));
        let mut plan = DeltaPlan::new(&base, &file);
        let mut said = String::new();
        let mut last = 0;
        for at in 0..file.len() {
            let mut pieces: Vec<(u64, u64)> =
                plan.place(at).map(|start| (start, 10)).into_iter().collect();
            pieces.extend(std::iter::from_fn(|| plan.next_hole(at)));
            for (start, len) in &pieces {
                assert!(*start >= last, "{base:?}");
                last = start + len;
            }
            match pieces[..] {
                [] => said.push('+'),
                [(start, 10)] => said += &format!("{:x}", start / 10),
                _ => said += &format!("{pieces:?}"),
            }
        }
        assert_eq!(plan.holes.len(), 0);
        (said, plan.literal)
    }

    #[test]
    fn the_heaviest_rising_chain_is_taken() {
        assert_eq!(plan("abcd", "abcd"), ("0123".to_owned(), 0));
        assert_eq!(plan("abcd", "abxcd"), ("01+23".to_owned(), 10));
        // What was moved to the front is new, and not all else.
        assert_eq!(plan("abcdef", "fabcde"), ("+01234".to_owned(), 10));
        assert_eq!(plan("abcdef", "efabcd"), ("++0123".to_owned(), 20));
        assert_eq!(plan("abab", "bbaa").1, 20);
        assert_eq!(plan("", "ab"), ("++".to_owned(), 20));
        assert_eq!(plan("ab", ""), (String::new(), 0));
        // The same piece of the base is taken once.
        assert_eq!(plan("a", "aa").1, 10);
    }

    #[test]
    fn holes_are_taken_from_holes() {
        assert_eq!(plan("a--b", "a--b"), ("0123".to_owned(), 0));
        // One is written into.
        assert_eq!(plan("a---b", "a-x-b"), ("01+24".to_owned(), 10));
        // A new one, and one that got longer.
        assert_eq!(plan("abc", "a-c"), ("0+2".to_owned(), 10));
        assert_eq!(plan("a-bc", "a--bc"), ("01+23".to_owned(), 10));
        // Of a hole that lies further on, nothing is taken that would go back.
        assert_eq!(plan("ab-", "-ab"), ("+01".to_owned(), 10));
    }

    #[test]
    fn holes_of_other_lengths() {
        let hole = |len| Chunk { len, hash: None };
        let (a, b) = (chunks("a")[0], chunks("b")[0]);
        let mut plan =
            DeltaPlan::new(&[a, hole(100), b], &[a, hole(30), chunks("x")[0], hole(60), b]);
        assert_eq!(
            (plan.place(1), plan.next_hole(1), plan.next_hole(1)),
            (None, Some((10, 30)), None)
        );
        assert_eq!((plan.next_hole(2), plan.next_hole(3)), (None, Some((40, 60))));
        assert_eq!((plan.literal, plan.data, plan.place(4)), (10, 30, Some(110)));
        // Of two, one after the other.
        let mut plan = DeltaPlan::new(&[hole(20), a, hole(20)], &[hole(50)]);
        assert_eq!((plan.next_hole(0), plan.next_hole(0)), (Some((0, 20)), Some((30, 20))));
        assert_eq!((plan.next_hole(0), plan.literal), (None, 10));
    }

    #[test]
    fn a_delta_is_worth_it_up_to_six_tenths() {
        let is_worth_it =
            |base: &str, file: &str| DeltaPlan::new(&chunks(base), &chunks(file)).is_worth_it();
        assert!(is_worth_it("abcdefghij", "abcdtuvwxy"));
        assert!(!is_worth_it("abcdefghij", "abcstuvwxy"));
        // Holes that are there are not counted, and new ones in full.
        assert!(!is_worth_it("ab------", "xy------"));
        assert!(!is_worth_it("abcd", "a-----"));
    }

    #[test]
    fn a_chunk_that_repeats_is_found_near_its_place() {
        let (base, file) = ("z".repeat(1000), format!("{}x{}", "z".repeat(500), "z".repeat(500)));
        assert_eq!(plan(&base, &file).1, 10);
    }

    #[test]
    fn lines_of_sums() {
        let mut lines = SumsLines::default();
        let [a, x] = [chunks("a")[0], chunks("x")[0]];
        for (chunk, base) in [(a, Some(4)), (a, Some(5)), (x, None), (a, Some(6)), (a, Some(9))] {
            lines.push(chunk, base);
        }
        let wanted = vec![
            SumsLine::OfBase(4, 2),
            SumsLine::Chunk(x),
            SumsLine::OfBase(6, 1),
            SumsLine::OfBase(9, 1),
        ];
        assert_eq!(lines.finish(), (wanted, true));
        assert_eq!(SumsLines::of(vec![x]).finish(), (vec![SumsLine::Chunk(x)], false));
    }
}
