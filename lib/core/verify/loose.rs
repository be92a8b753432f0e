//! Which objects without a list make a group, and what its list is called.
//!
//! If the list is only damaged, its lines say. If it is gone, objects in no list that follow each
//! other make a group, of as many as the band's groups have; that is what the lost list named,
//! unless an object is lost as well. Where parity is left of the group, whoever makes the list can
//! prove it by that.

use std::collections::HashSet;

use super::audit::Free;
use super::relist::Claims;
use crate::format::object::ObjectName;

/// Counters from here on are given to lists of a band that may be on its way: its own run never
/// comes so far.
const OUT_OF_THE_WAY: u32 = 1_000_000;

/// A list that cannot be relied on, or is not there although something of its group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Its number and counter.
    pub name: (u32, u32),
    /// What is legible of it.
    pub claims: Claims,
    /// How many parity shards of the group there are.
    pub parity: usize,
}

/// A group that is to get a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// The list's number and counter.
    pub name: (u32, u32),
    /// Slots and parity shards.
    pub shape: (usize, usize),
    /// The objects that are there.
    pub objects: Vec<ObjectName>,
    /// What is legible of the old list.
    pub claims: Claims,
    /// True if there was a list of this name.
    pub had_list: bool,
}

/// Makes groups. `taken` are the names of the lists that are in order, `slots` is how many objects
/// their groups have.
pub fn groups(
    runs: Vec<Vec<Free>>,
    bad: Vec<Bad>,
    taken: &HashSet<(u32, u32)>,
    slots: usize,
    under_way: bool,
) -> Vec<Loose> {
    let mut groups = Vec::new();
    let (legible, mut lost): (Vec<Bad>, Vec<Bad>) =
        bad.into_iter().partition(|bad| !bad.claims.is_empty());
    let mut runs = runs;
    for Bad { name, claims, parity } in legible {
        let shape = claims.shape().unwrap_or((slots, parity));
        let objects = take(&mut runs, name.0, &claims, claims.count(shape.0, shape.1));
        groups.push(Loose { name, shape, objects, claims, had_list: true });
    }
    let mut taken = taken.clone();
    taken.extend(groups.iter().map(|group| group.name).chain(lost.iter().map(|bad| bad.name)));
    for chunk in runs.iter().flat_map(|run| run.chunks(slots.max(1))) {
        let Some(number) = chunk.first().and_then(|free| free.name.number()) else { continue };
        let known = lost
            .iter()
            .enumerate()
            .filter(|(_, bad)| bad.name.0 == number)
            .min_by_key(|(_, bad)| bad.name.1);
        let known = known.map(|(at, _)| at).map(|at| lost.swap_remove(at));
        if known.is_none() && !chunk.iter().any(|free| free.counts) {
            continue;
        }
        let first = if under_way && known.is_none() { OUT_OF_THE_WAY } else { 0 };
        let fresh =
            || (first..).map(|counter| (number, counter)).find(|name| !taken.contains(name));
        let Some(name) = known.as_ref().map(|bad| bad.name).or_else(fresh) else { continue };
        taken.insert(name);
        groups.push(Loose {
            name,
            shape: (slots, known.as_ref().map_or(0, |bad| bad.parity)),
            objects: chunk.iter().map(|free| free.name).collect(),
            had_list: known.is_some(),
            claims: known.map(|bad| bad.claims).unwrap_or_default(),
        });
    }
    groups
}

/// Takes out of the runs what a damaged list names, and what stands before and behind until the
/// group has as many as it had. Its first object has the number that its list is named by.
fn take(runs: &mut Vec<Vec<Free>>, number: u32, claims: &Claims, count: usize) -> Vec<ObjectName> {
    let own: HashSet<ObjectName> = claims.names().copied().collect();
    let mut taken = Vec::new();
    let mut rest = Vec::new();
    for run in std::mem::take(runs) {
        let is_own = |free: &Free| own.contains(&free.name);
        let (Some(first), Some(last)) = (run.iter().position(is_own), run.iter().rposition(is_own))
        else {
            rest.push(run);
            continue;
        };
        let own_number = |free: &Free| free.name.number() >= Some(number);
        let first = if taken.is_empty() {
            run.iter().position(own_number).map_or(first, |at| at.min(first))
        } else {
            first
        };
        let end = (last + 1).max((first + count.saturating_sub(taken.len())).min(run.len()));
        taken.extend(run[first..end].iter().map(|free| free.name));
        rest.extend(
            [&run[..first], &run[end..]]
                .into_iter()
                .filter(|part| !part.is_empty())
                .map(<[Free]>::to_vec),
        );
    }
    *runs = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::group::{List, Member};

    fn frees(numbers: std::ops::Range<u32>) -> Vec<Free> {
        numbers
            .map(|n| Free {
                name: ObjectName::parse(&format!("00000/{n:09}.tar")).unwrap(),
                counts: true,
            })
            .collect()
    }

    /// The text of a list of these objects, in groups of 4.
    fn text(numbers: std::ops::Range<u32>) -> String {
        let first = numbers.start;
        let members = frees(numbers).into_iter().map(|free| Member::of(free.name, b"x")).collect();
        let (band, id) = (
            "20261101T020000Z".parse().unwrap(),
            "00112233445566778899aabbccddeeff".parse().unwrap(),
        );
        List { band, id, name: (first, 0), slots: 4, parity: 0, members }.text()
    }

    fn made(
        runs: Vec<Vec<Free>>,
        bad: &[(u32, &str)],
        taken: &[(u32, u32)],
        under_way: bool,
    ) -> Vec<String> {
        let (band, id) = (
            "20261101T020000Z".parse().unwrap(),
            "00112233445566778899aabbccddeeff".parse().unwrap(),
        );
        let claims = |n, text: &str| Claims::read(text.as_bytes(), &band, id, (n, 0));
        let bad = bad
            .iter()
            .map(|(n, text)| Bad { name: (*n, 0), claims: claims(*n, text), parity: 0 })
            .collect();
        let groups = groups(runs, bad, &taken.iter().copied().collect(), 4, under_way);
        let numbers = |group: &Loose| {
            group
                .objects
                .iter()
                .map(|name| name.number().unwrap().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        groups
            .iter()
            .map(|group| format!("{}-{}: {}", group.name.0, group.name.1, numbers(group)))
            .collect()
    }

    #[test]
    fn objects_that_follow_each_other_make_groups() {
        assert_eq!(
            made(vec![frees(0..6), frees(9..10)], &[], &[(9, 0)], false),
            ["0-0: 0 1 2 3", "4-0: 4 5", "9-1: 9"]
        );
        assert_eq!(made(vec![frees(0..2)], &[], &[], true), ["0-1000000: 0 1"]);
        let left = vec![Free { counts: false, ..frees(3..4)[0] }];
        assert_eq!(made(vec![left], &[], &[], false), [""; 0]);
    }

    #[test]
    fn what_is_legible_decides() {
        let whole = text(2..5);
        // All of it is there but a digit: three objects, though five follow each other and a group
        // has room for four.
        let digit = whole.replacen("2d711", "2d710", 1);
        assert_ne!(digit, whole);
        assert_eq!(made(vec![frees(0..8)], &[(2, &digit)], &[], false)[0], "2-0: 2 3 4");
        // A name in its midst is gone, and one at its end.
        for (from, to) in [("000000003.tar", "000000003.xar"), ("000000004.tar", "000000004.xar")] {
            assert_eq!(
                made(vec![frees(0..8)], &[(2, &whole.replace(from, to))], &[], false)[0],
                "2-0: 2 3 4",
                "{to}"
            );
        }
        // Cut off: as many as a group has.
        let cut = &whole[..whole.len() - 200];
        assert_eq!(
            made(vec![frees(0..8)], &[(2, cut)], &[], false),
            ["2-0: 2 3 4 5", "0-0: 0 1", "6-0: 6 7"]
        );
        // Gone, but something of its group is left, so its name is known.
        assert_eq!(made(vec![frees(2..4)], &[(2, "")], &[], true), ["2-0: 2 3"]);
    }
}
