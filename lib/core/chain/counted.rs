//! Which indexes of a band count: the chain of `after` from the last one back to the first.
//!
//! Two processes that continue a band at once both write indexes; only the chain tells whose are
//! part of it. For that a link must mean the index that its writer meant: see [`STRIDE`]. Memory
//! goes with the number of interruptions, not of indexes: numbers that follow each other are kept
//! as one run.

use std::ops::RangeInclusive;

use crate::format::object::{MAX_NUMBER, Object, ObjectName};

/// The numbers of a continued run begin at the next multiple of this.
///
/// If two processes write one band, an index must never come to stand on another one's index of the
/// number that its own should have had. Storing each index only when the one before it is stored
/// would do, but costs a round trip each. As every run begins at a multiple, the numbers from one
/// multiple to the next belong to whoever has stored the index of the first of them, which nobody
/// else can then store: push does that one alone, and those behind it side by side.
pub const STRIDE: u32 = 32;

/// Indexes with consecutive numbers, each after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IndexRun {
    first: u32,
    last: u32,
    /// The index that the first one is after.
    after: Option<u32>,
    /// Whether the chain reaches the first index of all.
    rooted: bool,
}

/// The machine: [`Indexes::handle_index`] for each index in the order of numbers,
/// [`Indexes::handle_number`] for all other objects; then ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    runs: Vec<IndexRun>,
    highest: Option<u32>,
}

/// The indexes of a band, sorted out. Ranges rise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Those that count.
    pub counted: Vec<RangeInclusive<u32>>,
    /// Those that count but are not there.
    pub lost: Vec<RangeInclusive<u32>>,
    /// Those that are there but do not count, as their blocks do not.
    pub superseded: Vec<RangeInclusive<u32>>,
    /// Whether the link of a lost index had to be guessed: some that count may be listed as
    /// superseded, or the reverse.
    pub guessed: bool,
}

impl Counted {
    /// The last index that counts.
    pub fn last(&self) -> Option<u32> {
        self.counted.last().map(|range| *range.end())
    }

    /// Whether the index with this number counts.
    pub fn contains(&self, number: u32) -> bool {
        let at = self.counted.partition_point(|range| *range.end() < number);
        self.counted.get(at).is_some_and(|range| range.contains(&number))
    }
}

impl Indexes {
    /// No index yet.
    pub fn new() -> Indexes {
        Indexes::default()
    }

    /// The next index of the band, as its `#index` line says: its number, higher than those before,
    /// and the one that it is after. An index of another band's id is not one of this band: give
    /// its number to [`Indexes::handle_number`].
    pub fn handle_index(&mut self, number: u32, after: Option<u32>) {
        self.handle_number(number);
        // An index after itself or a later one is forged; like one whose predecessor is not there,
        // it leads nowhere.
        let rooted = match after {
            None => true,
            Some(after) => after < number && self.run_of(after).is_some_and(|run| run.rooted),
        };
        match self.runs.last_mut() {
            Some(run) if number <= run.last => {}
            Some(run) if after == Some(run.last) && number == run.last + 1 => run.last = number,
            _ => self.runs.push(IndexRun { first: number, last: number, after, rooted }),
        }
    }

    /// The number of any object seen in the band.
    pub fn handle_number(&mut self, number: u32) {
        self.highest = self.highest.max(Some(number));
    }

    /// The first number for new objects: above every one seen, and a multiple of [`STRIDE`]. None
    /// when nine digits are used up.
    pub fn next_number(&self) -> Option<u32> {
        let next =
            self.highest.map_or(Some(0), |highest| (highest / STRIDE + 1).checked_mul(STRIDE));
        next.filter(|next| *next <= MAX_NUMBER)
    }

    fn run_of(&self, number: u32) -> Option<&IndexRun> {
        let at = self.runs.partition_point(|run| run.last < number);
        self.runs.get(at).filter(|run| run.first <= number)
    }

    /// What counts of an unfinished band: the highest chain that reaches back to the first index
    /// without a gap.
    pub fn of_unfinished(&self) -> Counted {
        match self.runs.iter().rfind(|run| run.rooted) {
            Some(run) => self.up_to(run.last),
            None => Counted { superseded: self.rest(&[]), ..Counted::default() },
        }
    }

    /// What counts of a complete band, or of an unfinished one that another is on top of, given its
    /// last index that counts.
    pub fn up_to(&self, last: u32) -> Counted {
        let mut found = Counted::default();
        let mut next = Some(last);
        while let Some(number) = next {
            match self.run_of(number) {
                Some(run) => {
                    found.counted.push(run.first..=number);
                    next = run.after.filter(|after| *after < run.first);
                    found.guessed |= next != run.after;
                }
                None => {
                    found.lost.push(number..=number);
                    // Its link is lost with it; mostly it was after the one below it.
                    next = self.runs.iter().rfind(|run| run.last < number).map(|run| run.last);
                    found.guessed = true;
                }
            }
        }
        found.counted.reverse();
        found.lost.reverse();
        found.superseded = self.rest(&found.counted);
        found
    }

    /// The indexes that are there but not in `counted`.
    fn rest(&self, counted: &[RangeInclusive<u32>]) -> Vec<RangeInclusive<u32>> {
        let mut rest = Vec::new();
        for run in &self.runs {
            // A chain takes a run from its first index on.
            let at = counted.partition_point(|range| *range.end() < run.first);
            match counted.get(at).filter(|range| *range.start() <= run.last) {
                None => rest.push(run.first..=run.last),
                Some(range) if *range.end() < run.last => rest.push(range.end() + 1..=run.last),
                Some(_) => {}
            }
        }
        rest
    }
}

/// The size as stored of what two runs have begun of a file and not ended, if there is one: parts
/// of blocks under the numbers of two runs, behind the last counted index, with no index.
pub fn never_ended(objects: &[(ObjectName, u64)], last: Option<u32>) -> Option<u64> {
    let is_behind = |number: &u32| last.is_none_or(|last| *number > last);
    let of = |wanted: fn(&Object) -> Option<u32>| {
        objects.iter().filter_map(move |(name, size)| Some((wanted(&name.object)?, *size)))
    };
    let indexed: Vec<u32> = of(|object| match object {
        Object::Index(number) => Some(*number),
        _ => None,
    })
    .map(|(number, _)| number)
    .collect();
    let first_part: fn(&Object) -> Option<u32> = |object| match object {
        Object::Part(number, _, 0) => Some(*number),
        _ => None,
    };
    let mut begun: Vec<(u32, u64)> = of(first_part)
        .filter(|(number, _)| is_behind(number) && !indexed.contains(number))
        .collect();
    begun.sort_unstable();
    // A run begins at a multiple above all numbers that are there. Two blocks that one run had
    // under way have numbers that follow each other.
    let (first, last) = (begun.first()?, begun.last()?);
    (last.0 / STRIDE * STRIDE > first.0 + 1).then_some(first.1.min(last.1))
}
