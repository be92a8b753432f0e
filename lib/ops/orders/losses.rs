//! Losses in what whole runs have left.

use crate::format::group::{GroupMember, List};
use crate::format::object::{Object, ObjectName};
use crate::ops::orders::model::{ModelObjects, ModelTree, cuts, own, put, seen, store, version};
use crate::ops::orders::{StateSearch, WorldState, after, base, every, found_whole, large};
use crate::ops::verify::tests::{lose, verify};

fn changed() -> ModelTree {
    vec![("/", 1), ("a", 5), ("d/", 1), ("d/x", 1), ("e", 5)]
}

/// Chains of two bands, of which the lower one was cut in every way and continued.
fn chains(parity: usize, jobs: usize, few: usize) -> Vec<(String, WorldState)> {
    let search = StateSearch::new(parity);
    let first = search.stream(&WorldState::default(), &base(), None, &[]).unwrap();
    let cuts = cuts(&first, jobs);
    let chain = |cut: &Vec<usize>| {
        let one = after(&WorldState::default(), &first, cut.iter().copied(), "losses");
        let (two, _) = search.ends(&one, &base(), None, &[], "losses").unwrap();
        let there = search.settles(&two, &changed(), "losses");
        found_whole(&there, "losses");
        (format!("parity {parity}, cut {cut:?}"), WorldState { there, run: 9, ..two })
    };
    cuts.iter().step_by(few).map(chain).collect()
}

/// Each object is lost, damaged, emptied or renamed: verify names it, and no reader takes less for
/// all without a word.
#[test]
fn every_loss_in_a_chain() {
    let mut states = 0;
    let search = StateSearch::new(1);
    for (cut, state) in chains(1, 2, every(5)) {
        let chain = &state.there;
        let whole = version(chain, None).unwrap();
        for name in chain.keys() {
            for how in ["lost", "damaged", "empty", "renamed"] {
                let case = format!("{cut}, {name} {how}");
                let mut there = chain.clone();
                let bytes = there.remove(name).unwrap();
                match how {
                    "damaged" => {
                        let mut bytes = bytes;
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 0x55;
                        there.insert(name.clone(), bytes);
                    }
                    "empty" => _ = there.insert(name.clone(), Vec::new()),
                    "renamed" => {
                        let Some(other) = name.strip_suffix(".mtree.gz") else { continue };
                        let folder = &other[..other.len() - 3];
                        there.insert(format!("{folder}777.mtree.gz"), bytes);
                    }
                    _ => {}
                }
                let (found, ..) = verify(&store(&there), false);
                let is_open = name.ends_with("/TAIL") && how != "damaged";
                assert!(!found.is_empty() || is_open || idle(chain, name), "{case}: nothing found");
                // Without its TAIL a band is not read by default: what is then taken is told.
                if let Some((found, true)) =
                    version(&there, None).filter(|_| !name.ends_with("TAIL"))
                {
                    assert_eq!(found, whole.0, "{case}: read without a word");
                }
                // Who backs up over it is refused, or told, or gets all.
                let lossy = WorldState { there, ..state.clone() };
                let tree: ModelTree = vec![("/", 1), ("a", 6), ("d/", 1), ("d/x", 1), ("e", 5)];
                if let Some(run) = search.stream(&lossy, &tree, None, &[]).filter(|_| how == "lost")
                {
                    let mut there = lossy.there.clone();
                    let stored = put(&mut there, &run, 0..run.objects.len());
                    let found = version(&there, Some(&run.band)).filter(|_| stored);
                    let is_all = found.is_none_or(|found| !found.1 || found.0 == seen(&tree));
                    assert!(run.status > 0 || is_all, "{case}: a run over it says 0");
                }
                states += 1;
            }
        }
    }
    println!("{states} states");
    assert!(states > 100, "{states}");
}

/// Two objects are lost, or three with two parity shards: verify finds that, repair gives back what
/// can be given back by counting, and what it gives reads as before.
#[test]
fn every_two_or_three_losses_in_a_chain() {
    let mut states = 0;
    for parity in 0..=2 {
        for (cut, state) in chains(parity, 1, if large() { 5 } else { 9 }) {
            let chain = &state.there;
            let whole = version(chain, None);
            let names: Vec<&String> = chain.keys().collect();
            let pairs = (0..names.len()).flat_map(|a| (0..a).map(move |b| vec![a, b]));
            let triples = (0..if parity == 2 { names.len() } else { 0 })
                .flat_map(|a| (0..a).flat_map(move |b| (0..b).map(move |c| vec![a, b, c])));
            let (some, few) =
                (pairs.step_by(every(13)), triples.step_by(if large() { 11 } else { 331 }));
            for lost in some.chain(few) {
                let lost: Vec<&String> = lost.into_iter().map(|at| names[at]).collect();
                let case = format!("{cut}, lost {lost:?}");
                let after = lose(chain, &lost, &case);
                // What repair finds no more fault with is the version that it was.
                if verify(&store(&after), false).0.is_empty()
                    && !lost.iter().any(|it| it.ends_with("/TAIL"))
                {
                    assert_eq!(version(&after, None), whole, "{case}: another version");
                }
                states += 1;
            }
        }
    }
    println!("{states} states");
    assert!(states > 100, "{states}");
}

/// A band below that has lost both HEAD and TAIL is read all the same, with a word; nothing is
/// built on it.
#[test]
fn what_a_chain_without_head_and_tail_gives() {
    let search = StateSearch::new(0);
    let (full, _) = search.ends(&WorldState::default(), &base(), None, &[], "ruin").unwrap();
    let tree: ModelTree = vec![("/", 1), ("a", 5), ("d/", 1), ("d/x", 1), ("e", 1)];
    let (two, _) = search.ends(&full, &tree, None, &[], "ruin").unwrap();
    let mut there = two.there.clone();
    let below = there.keys().next_back().unwrap().split('/').next().unwrap().to_owned();
    for end in ["HEAD", "TAIL"] {
        assert!(there.remove(&format!("{below}/{end}")).is_some());
    }
    assert_eq!(version(&there, None), Some((seen(&tree), false)));
    let state = WorldState { there, ..two };
    assert!(search.stream(&state, &tree, None, &[]).is_none());
}

/// Whether an object counts for nothing: what a cut run left and no list names.
fn idle(there: &ModelObjects, name: &str) -> bool {
    let (band, object) = name.split_once('/').unwrap();
    let listed = own(there, &band.parse().unwrap())
        .filter(|(name, _)| name.ends_with(".sha256"))
        .any(|(_, text)| String::from_utf8_lossy(text).contains(object));
    if let Some(list) = there.get(name).filter(|_| object.ends_with(".sha256")) {
        // A late list may name nothing but what the run after it made superfluous.
        let members = List::parse(list).unwrap().members;
        let superseded = |member: &GroupMember| {
            let number = match member.name.object {
                Object::Block(number, _) | Object::Part(number, ..) => number,
                _ => return false,
            };
            let index = ObjectName::plain(Object::Index(number));
            !there.contains_key(&format!("{band}/{index}"))
        };
        return members.iter().all(superseded);
    }
    let counts = object.contains(".tar") || object.contains(".rs");
    !listed && counts
}
