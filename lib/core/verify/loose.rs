//! Which objects without a list make a group, and what its list is called.
//!
//! If the list is only damaged, its lines say. If it is gone and some of its parity is left, that
//! tells where the group begins and ends. Else objects in no list that follow each other make a
//! group, of as many as the band's groups have; that is what the lost list named, unless an object
//! is lost as well.

use std::collections::HashSet;
use std::ops::Range;

use super::audit::Free;
use super::relist::Claims;
use super::{Finding, FindingKind};
use crate::format::object::{Object, ObjectName};

/// A list that cannot be relied on, or is not there although something of its group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Its number and counter.
    pub name: (u32, u32),
    /// What is legible of it.
    pub claims: Claims,
    /// The parity shards of the group that are there.
    pub shards: Vec<u32>,
}

/// A group that is to get a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlistedGroup {
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
    /// True if the run that made the group was cut: its list, and some of its parity, may never
    /// have come.
    pub cut: bool,
    /// Another name, for a list without parity, if the run that made the group was cut: then its
    /// parity may be of objects that never came.
    pub spare: Option<(u32, u32)>,
}

impl UnlistedGroup {
    /// Whether a finding is one: parity of a run that was cut may never have come, and is made.
    pub fn is_told(&self, finding: &Finding) -> bool {
        let object = finding.subject.object().map(|(_, name)| name.object);
        !self.cut
            || finding.kind != FindingKind::Missing
            || !matches!(object, Some(Object::Parity(..)))
    }
}

/// What the groups of a band are like, and what is known of its lists.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// The names of lists that are in order.
    pub taken: &'a HashSet<(u32, u32)>,
    /// How many objects a group has.
    pub slots: usize,
    /// How many parity shards.
    pub parity: usize,
}

/// Looks by its parity for a group among objects that follow each other: gives where it is, and how
/// many slots and parity shards it has.
pub type GroupSearch<'a> =
    &'a mut dyn FnMut(&Bad, &[Free]) -> Option<(Range<usize>, (usize, usize))>;

/// Makes groups. Gives as well the names of lists that no group is to get: they are of runs that
/// were cut, and all that these left is in other groups.
pub fn groups(
    mut runs: Vec<Vec<Free>>,
    bad: Vec<Bad>,
    shape: Shape<'_>,
    search: GroupSearch<'_>,
) -> (Vec<UnlistedGroup>, Vec<(u32, u32)>) {
    let all = runs.clone();
    let mut groups = Vec::new();
    let (legible, lost): (Vec<Bad>, Vec<Bad>) =
        bad.into_iter().partition(|bad| !bad.claims.is_empty());
    let shards = |bad: &Bad| bad.shards.iter().max().map_or(0, |shard| *shard as usize + 1);
    for bad in legible {
        let Bad { name, claims, .. } = &bad;
        let shape = claims.shape().unwrap_or((shape.slots, shards(&bad)));
        let objects = take(&mut runs, name.0, claims, claims.count(shape.0, shape.1));
        let (name, claims) = (*name, claims.clone());
        groups.push(UnlistedGroup {
            name,
            shape,
            objects,
            claims,
            had_list: true,
            cut: false,
            spare: None,
        });
    }
    let mut taken = shape.taken.clone();
    taken.extend(groups.iter().map(|group| group.name).chain(lost.iter().map(|bad| bad.name)));
    let mut left: Vec<Bad> = Vec::new();
    for bad in lost {
        let found = runs.iter().enumerate().find_map(|(at, run)| Some((at, search(&bad, run)?)));
        let Some((at, (range, shape))) = found else {
            left.push(bad);
            continue;
        };
        let run = runs.remove(at);
        let (behind, before) = (run[range.end..].to_vec(), run[..range.start].to_vec());
        let parts = [before, behind].into_iter().filter(|part| !part.is_empty());
        runs.splice(at..at, parts);
        let cut = run[range.clone()].iter().all(|free| free.cut);
        groups.push(UnlistedGroup {
            name: bad.name,
            shape,
            objects: run[range].iter().map(|free| free.name).collect(),
            claims: bad.claims,
            had_list: true,
            cut,
            spare: None,
        });
    }
    for chunk in runs.iter().flat_map(|run| run.chunks(shape.slots.max(1))) {
        let Some(number) = chunk.first().and_then(|free| free.name.number()) else { continue };
        let known = left
            .iter()
            .enumerate()
            .filter(|(_, bad)| bad.name.0 == number)
            .min_by_key(|(_, bad)| bad.name.1);
        let known = known.map(|(at, _)| at).map(|at| left.remove(at));
        if known.is_none() && !chunk.iter().any(|free| free.counts) {
            continue;
        }
        let fresh = (0..).map(|counter| (number, counter)).find(|name| !taken.contains(name));
        let Some(name) = known.as_ref().map(|bad| bad.name).or(fresh) else { continue };
        let cut = known.is_some() && chunk.iter().all(|free| free.cut);
        taken.insert(name);
        taken.extend(fresh.filter(|_| cut));
        let parity = known.as_ref().map_or(0, |bad| match bad.shards.is_empty() {
            true => 0,
            false => shape.parity.max(shards(bad)),
        });
        groups.push(UnlistedGroup {
            name,
            shape: (shape.slots, parity),
            objects: chunk.iter().map(|free| free.name).collect(),
            had_list: known.is_some(),
            claims: known.map(|bad| bad.claims).unwrap_or_default(),
            cut,
            spare: fresh.filter(|_| cut),
        });
    }
    let behind = |bad: &&Bad| {
        let own = |free: &Free| free.name.number() >= Some(bad.name.0);
        let run = all.iter().find(|run| run.iter().any(own));
        run.is_some_and(|run| run.iter().all(|free| free.cut))
    };
    let dropped = left.iter().filter(behind).map(|bad| bad.name).collect();
    (groups, dropped)
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
    use crate::format::group::{GroupMember, List};

    fn frees(numbers: std::ops::Range<u32>) -> Vec<Free> {
        numbers
            .map(|n| Free {
                name: ObjectName::parse(&format!("00000/{n:09}.tar")).unwrap(),
                counts: true,
                cut: false,
            })
            .collect()
    }

    /// The text of a list of these objects, in groups of 4.
    fn text(numbers: std::ops::Range<u32>) -> String {
        let first = numbers.start;
        let members =
            frees(numbers).into_iter().map(|free| GroupMember::of(free.name, b"x")).collect();
        let (band, id) = (
            "20261101T020000Z".parse().unwrap(),
            "00112233445566778899aabbccddeeff".parse().unwrap(),
        );
        List { band, id, name: (first, 0), added: 0, slots: 4, parity: 0, members }.text()
    }

    fn made(runs: Vec<Vec<Free>>, bad: &[(u32, &str)], taken: &[(u32, u32)]) -> Vec<String> {
        let (band, id) = (
            "20261101T020000Z".parse().unwrap(),
            "00112233445566778899aabbccddeeff".parse().unwrap(),
        );
        let claims = |n, text: &str| Claims::read(text.as_bytes(), &band, id, (n, 0));
        let bad = bad
            .iter()
            .map(|(n, text)| Bad { name: (*n, 0), claims: claims(*n, text), shards: Vec::new() })
            .collect();
        let taken = taken.iter().copied().collect();
        let shape = Shape { taken: &taken, slots: 4, parity: 0 };
        let (groups, _) = groups(runs, bad, shape, &mut |_, _| None);
        let numbers = |group: &UnlistedGroup| {
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
            made(vec![frees(0..6), frees(9..10)], &[], &[(9, 0)]),
            ["0-0: 0 1 2 3", "4-0: 4 5", "9-1: 9"]
        );
        let left = vec![Free { counts: false, ..frees(3..4)[0] }];
        assert_eq!(made(vec![left], &[], &[]), [""; 0]);
    }

    #[test]
    fn what_is_legible_decides() {
        let whole = text(2..5);
        // All of it is there but a digit: three objects, though five follow each other and a group
        // has room for four.
        let digit = whole.replacen("2d711", "2d710", 1);
        assert_ne!(digit, whole);
        assert_eq!(made(vec![frees(0..8)], &[(2, &digit)], &[])[0], "2-0: 2 3 4");
        // A name in its midst is gone, and one at its end.
        for (from, to) in [("000000003.tar", "000000003.xar"), ("000000004.tar", "000000004.xar")] {
            assert_eq!(
                made(vec![frees(0..8)], &[(2, &whole.replace(from, to))], &[])[0],
                "2-0: 2 3 4",
                "{to}"
            );
        }
        // Cut off: as many as a group has.
        let cut = &whole[..whole.len() - 200];
        assert_eq!(
            made(vec![frees(0..8)], &[(2, cut)], &[]),
            ["2-0: 2 3 4 5", "0-0: 0 1", "6-0: 6 7"]
        );
        // Gone, but something of its group is left, so its name is known.
        assert_eq!(made(vec![frees(2..4)], &[(2, "")], &[]), ["2-0: 2 3"]);
    }

    #[test]
    fn parity_tells_where_a_lost_group_is() {
        let bad = |number, shards: &[u32]| Bad {
            name: (number, 0),
            claims: Claims::default(),
            shards: shards.to_vec(),
        };
        let taken = HashSet::new();
        let shape = Shape { taken: &taken, slots: 4, parity: 2 };
        let mut search = |bad: &Bad, run: &[Free]| {
            let at = run.iter().position(|free| free.name.number() == Some(bad.name.0))?;
            Some((at..at + 3, (5, 2)))
        };
        let bads = vec![bad(3, &[1]), bad(9, &[0])];
        let (made, dropped) = groups(vec![frees(0..8)], bads, shape, &mut search);
        assert_eq!(dropped, []);
        let show = |group: &UnlistedGroup| (group.name, group.shape, group.objects.len());
        let all: Vec<_> = made.iter().map(show).collect();
        assert_eq!(all, [((3, 0), (5, 2), 3), ((0, 0), (4, 0), 3), ((6, 0), (4, 0), 2)]);
        // A group that its parity does not fit, of a run that was cut, may get another list.
        let cut: Vec<Free> = frees(9..11).iter().map(|free| Free { cut: true, ..*free }).collect();
        let bads = vec![bad(8, &[0]), bad(9, &[0])];
        let (made, dropped) = groups(vec![cut], bads, shape, &mut |_, _| None);
        assert_eq!(dropped, [(8, 0)]);
        assert_eq!((show(&made[0]), made[0].spare), (((9, 0), (4, 2), 2), Some((9, 1))));
    }
}
