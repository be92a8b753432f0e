//! Objects from the pieces that are there, and from those that parity gives.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::core::repair::{DamagedRow, RepairPlan};
use crate::format::band::BandName;
use crate::format::digest;
use crate::format::group::{GroupMember, List, PIECE};
use crate::store::Store;

/// A piece of a member, by member and row.
pub(super) type MemberPieces = HashMap<(usize, usize), Vec<u8>>;

fn piece(store: &dyn Store, list: &List, member: usize, row: usize) -> Option<Vec<u8>> {
    piece_of(store, &list.band, &list.members[member], row)
}

/// A piece of an object, if it is as the list says.
pub(super) fn piece_of(
    store: &dyn Store,
    band: &BandName,
    member: &GroupMember,
    row: usize,
) -> Option<Vec<u8>> {
    let start = (row * PIECE) as u64;
    let len = (PIECE as u64).min(member.size.saturating_sub(start));
    let bytes = store.get_range(&format!("{band}/{}", member.name), start, len).ok()?;
    (Some(&digest::of(&bytes)) == member.pieces.get(row)).then_some(bytes)
}

/// The pieces that are rebuilt: only those of objects that come out whole, and that have the
/// digest that the list says.
pub(super) fn rebuild(
    store: &dyn Store,
    list: &List,
    plan: &RepairPlan,
    pieces: &MemberPieces,
) -> MemberPieces {
    let rows = plan.rows().par_iter().flat_map_iter(|row| {
        let wanted: Vec<usize> =
            row.bad.iter().copied().filter(|member| plan.saves(*member)).collect();
        let sums = if wanted.is_empty() {
            None
        } else {
            rebuild_row(store, list, plan, pieces, row, &wanted)
        };
        let made = wanted.into_iter().zip(sums.unwrap_or_default());
        made.map(|(member, bytes)| ((member, row.row), bytes)).collect::<Vec<_>>()
    });
    let as_listed = |(at, bytes): &((usize, usize), Vec<u8>)| {
        list.members[at.0].pieces.get(at.1) == Some(&digest::of(bytes))
    };
    rows.filter(as_listed).collect()
}

fn rebuild_row(
    store: &dyn Store,
    list: &List,
    plan: &RepairPlan,
    pieces: &MemberPieces,
    row: &DamagedRow,
    wanted: &[usize],
) -> Option<Vec<Vec<u8>>> {
    let mut rebuild = plan.rebuild(row, wanted)?;
    for &member in &row.from {
        match pieces.get(&(member, row.row)) {
            Some(piece) => rebuild.handle_piece(member, piece),
            None => rebuild.handle_piece(member, &piece(store, list, member, row.row)?),
        }
    }
    Some(rebuild.finish())
}

/// An object from pieces that are there and pieces that were rebuilt; none unless all of it is
/// as the list says.
pub(super) fn assemble(
    store: &dyn Store,
    list: &List,
    member: usize,
    rebuilt: &mut MemberPieces,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for row in 0..list.members[member].pieces.len() {
        let piece = rebuilt.remove(&(member, row)).or_else(|| piece(store, list, member, row))?;
        bytes.extend(piece);
    }
    let member = &list.members[member];
    (bytes.len() as u64 == member.size && digest::of(&bytes) == member.sha256).then_some(bytes)
}
