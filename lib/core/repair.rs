//! Repair's plan: which pieces of a group can be rebuilt, and from which others.
//!
//! Pieces at the same place make a row, and rows are independent: in each, as many shards may be
//! bad as the group has parity. What lies behind the end of an object, and what no object fills, is
//! zeros and always known. So the plan asks for as few pieces as will do: zeros first, then
//! objects, then parity.

use super::parity::{self, Code};
use crate::format::group::{List, PIECE};

/// A row with bad pieces. Members count as in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRow {
    /// Its place: its pieces begin at so many [`PIECE`]s.
    pub row: usize,
    /// The members whose piece is bad.
    pub bad: Vec<usize>,
    /// The members whose piece is to be read. They are enough for all bad ones; none when the row
    /// cannot be repaired.
    pub from: Vec<usize>,
    /// The shards that `from` and the zeros are, for the code.
    known: Vec<KnownPiece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KnownPiece {
    shard: usize,
    /// None for zeros.
    member: Option<usize>,
}

/// What can be done for a group.
#[derive(Debug)]
pub struct RepairPlan {
    group: GroupShape,
    code: Option<Code>,
    rows: Vec<DamagedRow>,
    lost: Vec<DamagedRow>,
}

/// The shape of a group, and of its pieces: tests take smaller ones.
#[derive(Debug)]
struct GroupShape {
    piece: u64,
    slots: usize,
    parity: usize,
    /// The members' sizes, parity last.
    sizes: Vec<u64>,
    objects: usize,
}

impl GroupShape {
    /// The shard that a member is.
    fn shard(&self, member: usize) -> usize {
        if member < self.objects { member } else { self.slots + member - self.objects }
    }

    /// How long a member's piece in a row is; 0 behind its end.
    fn len(&self, member: usize, row: usize) -> usize {
        let size = self.sizes.get(member).copied().unwrap_or_default();
        size.saturating_sub((row as u64).saturating_mul(self.piece)).min(self.piece) as usize
    }

    /// The plan of one row; none when nothing is bad in it.
    fn row(&self, row: usize, good: &impl Fn(usize, usize) -> bool) -> Option<DamagedRow> {
        let (mut bad, mut zeros, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for member in 0..self.sizes.len() {
            let known = KnownPiece { shard: self.shard(member), member: Some(member) };
            match self.len(member, row) {
                0 => zeros.push(KnownPiece { member: None, ..known }),
                _ if good(member, row) => read.push(known),
                _ => bad.push(member),
            }
        }
        if bad.is_empty() {
            return None;
        }
        zeros.extend((self.objects..self.slots).map(|shard| KnownPiece { shard, member: None }));
        let mut known: Vec<KnownPiece> = zeros.into_iter().chain(read).take(self.slots).collect();
        if known.len() < self.slots {
            known.clear();
        }
        Some(DamagedRow {
            row,
            bad,
            from: known.iter().filter_map(|known| known.member).collect(),
            known,
        })
    }
}

impl RepairPlan {
    /// The plan for a group of which `good` says whether a piece (member, row) is there and has the
    /// listed digest.
    pub fn new(list: &List, good: impl Fn(usize, usize) -> bool) -> RepairPlan {
        RepairPlan::of(
            GroupShape {
                piece: PIECE as u64,
                slots: list.slots,
                parity: list.parity,
                sizes: list.members.iter().map(|member| member.size).collect(),
                objects: list.objects(),
            },
            good,
        )
    }

    fn of(group: GroupShape, good: impl Fn(usize, usize) -> bool) -> RepairPlan {
        let longest = group.sizes.iter().copied().max().unwrap_or_default();
        let rows =
            (0..longest.div_ceil(group.piece) as usize).filter_map(|row| group.row(row, &good));
        let (rows, lost) = rows.partition(|row| !row.known.is_empty());
        RepairPlan { code: Code::new(group.slots, group.parity), group, rows, lost }
    }

    /// The rows that can be repaired, in their order.
    pub fn rows(&self) -> &[DamagedRow] {
        &self.rows
    }

    /// The rows that cannot: too many pieces are bad.
    pub fn lost(&self) -> &[DamagedRow] {
        &self.lost
    }

    /// Whether a member comes out whole: none of its bad pieces is in a row that is lost.
    pub fn saves(&self, member: usize) -> bool {
        !self.lost.iter().any(|row| row.bad.contains(&member))
    }

    /// Begins to rebuild these of a row's bad pieces. None if the row is lost, or of another plan.
    pub fn rebuild(&self, row: &DamagedRow, wanted: &[usize]) -> Option<Rebuild> {
        let shards = |members: &[usize]| {
            members.iter().map(|member| self.group.shard(*member)).collect::<Vec<_>>()
        };
        let known: Vec<usize> = row.known.iter().map(|known| known.shard).collect();
        Some(Rebuild {
            factors: self.code.as_ref()?.factors(&known, &shards(wanted))?,
            known: row.known.iter().map(|known| known.member).collect(),
            sums: wanted.iter().map(|member| vec![0; self.group.len(*member, row.row)]).collect(),
        })
    }
}

/// Rebuilds pieces of a row: `handle_piece` for each of [`DamagedRow::from`] in any order, then
/// `finish`. What comes out must be checked against the listed digests: a piece that changed after
/// it was found good would make all of it wrong.
#[derive(Debug)]
pub struct Rebuild {
    factors: Vec<Vec<u8>>,
    /// Whose factor stands at each place.
    known: Vec<Option<usize>>,
    sums: Vec<Vec<u8>>,
}

impl Rebuild {
    /// Takes the piece of one member.
    pub fn handle_piece(&mut self, member: usize, piece: &[u8]) {
        if let Some(at) = self.known.iter().position(|known| *known == Some(member)) {
            parity::add(piece, self.factors.iter().map(|factors| factors[at]), &mut self.sums);
        }
    }

    /// The pieces that were wanted, in that order.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.sums
    }
}

#[cfg(test)]
mod tests;
