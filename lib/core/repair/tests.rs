//! Repair's plan as tables, and over chance: what is rebuilt is what was there.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::core::parity::Encoder;

const SMALL: u64 = 8;

/// A group with its content, in pieces of 8 bytes.
struct Sample {
    slots: usize,
    parity: usize,
    members: Vec<Vec<u8>>,
    objects: usize,
}

impl Sample {
    fn new(slots: usize, parity: usize, sizes: &[usize]) -> Sample {
        let noise = |seed: usize, len: usize| {
            (0..len).map(|i| (((seed * 7919 + i) * 2_654_435_761) >> 13) as u8).collect()
        };
        let mut members: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(at, size)| noise(at, *size)).collect();
        if let Some(mut encoder) = Encoder::new(slots, parity) {
            members.iter().for_each(|object| encoder.handle_object(object));
            members.extend(encoder.finish());
        }
        Sample { slots, parity, members, objects: sizes.len() }
    }

    fn plan(&self, bad: &BTreeSet<(usize, usize)>) -> RepairPlan {
        let group = GroupShape {
            piece: SMALL,
            slots: self.slots,
            parity: self.parity,
            sizes: self.members.iter().map(|member| member.len() as u64).collect(),
            objects: self.objects,
        };
        RepairPlan::of(group, |member, row| !bad.contains(&(member, row)))
    }

    fn piece(&self, member: usize, row: usize) -> &[u8] {
        self.members[member].chunks(SMALL as usize).nth(row).unwrap_or_default()
    }

    fn rows(&self) -> usize {
        self.members.iter().map(|member| member.len().div_ceil(SMALL as usize)).max().unwrap()
    }

    /// All pieces of a member.
    fn whole(&self, member: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.members[member].len().div_ceil(SMALL as usize)).map(move |row| (member, row))
    }

    /// Follows the plan; it may read what is good and nothing else. Fails unless it rebuilds all
    /// that can be.
    #[track_caller]
    fn repair(&self, bad: &BTreeSet<(usize, usize)>) -> RepairPlan {
        let plan = self.plan(bad);
        let mut open = bad.clone();
        for row in plan.rows() {
            assert!(row.from.len() <= self.slots);
            // All at once, and each alone.
            let alone = row.bad.iter().map(std::slice::from_ref);
            for wanted in std::iter::once(row.bad.as_slice()).chain(alone) {
                let mut rebuild = plan.rebuild(row, wanted).unwrap();
                for member in row.from.iter().rev() {
                    assert!(!bad.contains(&(*member, row.row)), "a bad piece was read");
                    rebuild.handle_piece(*member, self.piece(*member, row.row));
                }
                for (member, piece) in wanted.iter().zip(rebuild.finish()) {
                    assert_eq!(
                        piece,
                        self.piece(*member, row.row),
                        "member {member}, row {}",
                        row.row
                    );
                    open.remove(&(*member, row.row));
                }
            }
        }
        for row in plan.lost() {
            assert!(
                row.bad.len() > self.parity
                    && row.from.is_empty()
                    && plan.rebuild(row, &row.bad).is_none()
            );
            row.bad.iter().for_each(|member| assert!(open.remove(&(*member, row.row))));
        }
        assert!(open.is_empty(), "neither repaired nor told: {open:?}");
        for member in 0..self.members.len() {
            assert_eq!(
                plan.saves(member),
                !plan.lost().iter().any(|row| row.bad.contains(&member))
            );
        }
        plan
    }
}

/// Every choice of `count` of the numbers below `all`.
fn choices(all: usize, count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    (count - 1..all)
        .flat_map(|last| {
            choices(last, count - 1).into_iter().map(move |mut rest| {
                rest.push(last);
                rest
            })
        })
        .collect()
}

#[test]
fn as_few_pieces_as_will_do_are_read() {
    // Slots 0 to 3 hold objects of 20, 8 and 0 bytes and one of 16; two are empty; then two parity
    // shards of 20.
    let sample = Sample::new(6, 2, &[20, 8, 0, 16]);
    let from = |bad: &[(usize, usize)]| -> Vec<(usize, Vec<usize>, Vec<usize>)> {
        let plan = sample.repair(&bad.iter().copied().collect());
        assert!(plan.lost().is_empty());
        plan.rows().iter().map(|row| (row.row, row.bad.clone(), row.from.clone())).collect()
    };
    assert_eq!(from(&[]), []);
    assert_eq!(from(&[(0, 0)]), [(0, vec![0], vec![1, 3, 4])]);
    assert_eq!(from(&[(0, 2)]), [(2, vec![0], vec![4])]);
    assert_eq!(from(&[(0, 2), (4, 2)]), [(2, vec![0, 4], vec![5])]);
    assert_eq!(from(&[(5, 1)]), [(1, vec![5], vec![0, 3])]);
    assert_eq!(
        from(&[(1, 0), (3, 1), (0, 1)]),
        [(0, vec![1], vec![0, 3, 4]), (1, vec![0, 3], vec![4, 5])]
    );
}

#[test]
fn what_is_too_much_is_told() {
    let sample = Sample::new(4, 2, &[24, 24, 24]);
    let plan = sample.repair(&[(0, 0), (1, 0), (2, 0), (0, 1), (4, 1)].into());
    assert_eq!(
        plan.lost().iter().map(|row| (row.row, row.bad.clone())).collect::<Vec<_>>(),
        [(0, vec![0, 1, 2])]
    );
    assert_eq!(plan.rows().iter().map(|row| row.row).collect::<Vec<_>>(), [1]);
    assert_eq!([0, 1, 2, 3, 4].map(|member| plan.saves(member)), [false, false, false, true, true]);

    let plan = Sample::new(4, 0, &[24, 24]).repair(&[(1, 2)].into());
    assert_eq!((plan.rows().len(), plan.lost().len()), (0, 1));
}

#[test]
fn any_m_of_small_groups_may_be_lost() {
    let mut tried = 0;
    for (slots, parity, sizes) in [
        (1, 1, &[13][..]),
        (2, 1, &[13, 30]),
        (3, 2, &[30, 1, 17]),
        (5, 2, &[9, 8]),
        (4, 3, &[40, 40, 39, 7]),
        (6, 3, &[8, 16, 24, 32, 40, 48]),
        (3, 5, &[11, 12, 13]),
    ] {
        let sample = Sample::new(slots, parity, sizes);
        for lost in choices(sample.members.len(), parity.min(sample.members.len())) {
            let plan =
                sample.repair(&lost.iter().flat_map(|member| sample.whole(*member)).collect());
            assert!(plan.lost().is_empty(), "{slots}+{parity}: {lost:?}");
            tried += 1;
        }
        // One more, and it is told; unless zeros stand in for objects that do not exist, or are
        // short.
        for lost in choices(sample.members.len(), parity + 1) {
            let plan =
                sample.repair(&lost.iter().flat_map(|member| sample.whole(*member)).collect());
            assert!(!plan.lost().is_empty(), "{slots}+{parity}: {lost:?}");
        }
    }
    assert_eq!(tried, 2 + 3 + 10 + 6 + 35 + 84 + 56);
}

#[test]
fn the_pieces_are_those_of_the_list() {
    let text = include_str!(
        "../../../tests/fixtures/format-1/sealed/20261101T020000Z/00000/000000000-0.sha256"
    );
    let list = List::parse(text.as_bytes()).unwrap();
    let plan = RepairPlan::new(&list, |member, row| (member, row) != (0, 0));
    assert_eq!(
        plan.lost().iter().map(|row| (row.row, row.bad.clone())).collect::<Vec<_>>(),
        [(0, vec![0])]
    );
    assert!(RepairPlan::new(&list, |_, _| true).lost().is_empty());
}

/// How many of a million pieces are bad.
fn damage() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1_000u64), Just(10_000), Just(50_000), Just(300_000)]
}

proptest! {
    #[test]
    fn scattered_damage(
        (slots, parity) in (1..40usize, 0..5usize),
        sizes in prop::collection::vec(0..200usize, 1..40),
        rate in damage(),
        seed: u64,
    ) {
        let sample = Sample::new(slots, parity, &sizes[..sizes.len().min(slots)]);
        let mut state = seed;
        let mut chance = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 1_000_000
        };
        let all = (0..sample.members.len()).flat_map(|member| sample.whole(member));
        let bad: BTreeSet<(usize, usize)> = all.filter(|_| chance() < rate).collect();
        let plan = sample.repair(&bad);
        for row in 0..sample.rows() {
            let count = bad.iter().filter(|(_, at)| *at == row).count();
            prop_assert_eq!(plan.lost().iter().any(|lost| lost.row == row), count > parity);
        }
    }

    #[test]
    fn any_two_of_groups_of_32(first in 0..34usize, second in 0..34usize, sizes in prop::collection::vec(0..100usize, 32)) {
        let sample = Sample::new(32, 2, &sizes);
        let plan = sample.repair(&sample.whole(first).chain(sample.whole(second)).collect());
        prop_assert!(plan.lost().is_empty());
    }
}
