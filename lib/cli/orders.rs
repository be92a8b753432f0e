//! All orders of small runs: cut after every write with every subset of what was under way, continued
//! with the same and with other trees, a mask, other options, by two hosts at once; then every loss
//! of an object. What is decided is decided by the programs' own code: `orders/model.rs`.
//!
//! A small scope is searched as it is; built with `ORDERS=2`, a larger one.

use std::collections::HashSet;

use super::push::tests::push_to;
use super::verify::tests::verify;
use crate::format::band::BandName;
use crate::format::group::{List, Member};
use crate::format::object::{Object, ObjectName};
use model::{
    Notes, Objects, Stream, Tree, Wish, bytes, counted, cuts, held, own, put, run, seen, store,
    tail, version,
};

mod model;
mod prune;

/// A larger scope is asked for.
fn large() -> bool {
    option_env!("ORDERS") == Some("2")
}

fn base() -> Tree {
    vec![("/", 1), ("a", 1), ("d/", 1), ("d/x", 1), ("e", 1)]
}

/// What the source may have become when the next run comes.
fn trees() -> Vec<(&'static str, Tree)> {
    let all = vec![
        ("the same", base()),
        ("changed at the front", vec![("/", 1), ("a", 2), ("d/", 1), ("d/x", 1), ("e", 1)]),
        ("changed at the end", vec![("/", 1), ("a", 1), ("d/", 1), ("d/x", 1), ("e", 2)]),
        ("gone at the front", vec![("/", 2), ("d/", 1), ("d/x", 1), ("e", 1)]),
        ("new at the front", vec![("/", 2), ("a", 1), ("b", 2), ("d/", 1), ("d/x", 1), ("e", 1)]),
        ("a folder gone", vec![("/", 2), ("a", 1), ("e", 1)]),
        ("a folder is a file", vec![("/", 2), ("a", 1), ("d", 2), ("e", 1)]),
        ("renamed", vec![("/", 2), ("e", 1), ("y", 1), ("z/", 1), ("z/x", 1)]),
    ];
    all
}

/// What is left of a tree by a mask.
fn masked() -> Tree {
    vec![("/", 1), ("e", 1)]
}

/// A state: what the archive holds, and what the host has noted.
#[derive(Clone, Default)]
struct State {
    there: Objects,
    notes: Notes,
    run: u8,
}

struct Search {
    parity: usize,
    seen: HashSet<Vec<(String, Vec<u8>)>>,
    states: u64,
}

impl Search {
    fn new(parity: usize) -> Search {
        Search { parity, seen: HashSet::new(), states: 0 }
    }

    /// False if the state was looked at before.
    fn is_new(&mut self, state: &State) -> bool {
        let key = state.there.iter().map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
        let is_new = self.seen.insert(key);
        self.states += u64::from(is_new);
        is_new
    }

    fn stream(&self, state: &State, tree: &Tree, masked: bool, options: &[&str]) -> Option<Stream> {
        let wish = Wish { tree, masked, options, parity: self.parity, run: state.run };
        run(&state.there, &wish, &state.notes)
    }

    /// A run that ends: what it says holds.
    fn ends(
        &self,
        state: &State,
        tree: &Tree,
        masked: bool,
        options: &[&str],
        case: &str,
    ) -> Option<(State, u8)> {
        let stream = self.stream(state, tree, masked, options)?;
        let before = counted(&state.there, &stream.band);
        let next = after(state, &stream, 0..stream.objects.len(), case);
        check_complete(&next.there, &stream, tree, masked, case);
        progress(&next.there, &stream.band, &before, case);
        Some((next, stream.status))
    }

    /// Whatever came before, runs that are not cut bring the version to the tree: by the second one at
    /// the latest, with status 0; the archive is whole, and a run more stores nothing else.
    fn settles(&self, state: &State, tree: &Tree, case: &str) -> Objects {
        let case = format!("{case}, then whole runs");
        let (one, status) = self.ends(state, tree, false, &[], &case).expect(&case);
        found_whole(&one.there, &case);
        if status == 0 {
            assert_eq!(version(&one.there, None), Some((seen(tree), true)), "{case}");
            return one.there;
        }
        let (two, status) = self.ends(&one, tree, false, &[], &case).expect(&case);
        assert_eq!(status, 0, "{case}: the second run");
        found_whole(&two.there, &case);
        assert_eq!(version(&two.there, None), Some((seen(tree), true)), "{case}");
        two.there
    }
}

/// A state behind these writes of a run.
fn after(
    state: &State,
    stream: &Stream,
    which: impl IntoIterator<Item = usize>,
    case: &str,
) -> State {
    let mut next =
        State { run: state.run + 1, notes: stream.notes.clone(), there: state.there.clone() };
    assert!(put(&mut next.there, stream, which), "{case}: an object is written over");
    next
}

/// Of a complete band, what its run said, and what TAIL says, hold.
fn check_complete(there: &Objects, stream: &Stream, tree: &Tree, masked: bool, case: &str) {
    let tail = tail(there, &stream.band).expect(case);
    let (found, silent) = version(there, Some(&stream.band)).expect(case);
    assert!(silent, "{case}: a complete band is not read without a warning");
    let lacking: Vec<_> =
        seen(tree).into_iter().filter(|(path, time)| found.get(path) != Some(time)).collect();
    let more = found.keys().filter(|path| !seen(tree).contains_key(*path)).count();
    if stream.status == 0 {
        assert!(lacking.is_empty() && (masked || more == 0), "{case}: status 0, and {found:?}");
    }
    if let Some(tree) = tail.tree {
        assert_eq!(tree.entries, found.len() as u64, "{case}: TAIL counts another version");
    }
}

/// What counted of a band counts still.
fn progress(there: &Objects, band: &BandName, before: &[u32], case: &str) {
    let now = counted(there, band);
    let undone: Vec<_> = before.iter().filter(|number| !now.contains(number)).collect();
    assert!(undone.is_empty(), "{case}: {undone:?} of {band} count no more");
}

/// Verify finds nothing, and has nothing to repair; but that of a band which was cut just before its
/// TAIL nobody can tell whether that was lost.
fn found_whole(there: &Objects, case: &str) {
    let (found, items, _) = verify(&store(there), true);
    let cut = |line: &String| {
        let of_tail = line.strip_prefix("missing ").and_then(|line| line.split_once("/TAIL: "));
        of_tail.is_some_and(|(band, _)| !there.contains_key(&format!("{band}/TAIL")))
    };
    assert!(found.iter().all(cut) && items.is_empty(), "{case}: {found:?}");
}

/// A first run that is cut in every way, and one that goes on with another tree, a mask or other
/// options, and is cut in every way too.
fn cut_and_cut_again(search: &mut Search, jobs: usize, first: &State, tree: &Tree, name: &str) {
    let stream = search.stream(first, tree, false, &[]).unwrap();
    for (at, cut) in cuts(&stream, jobs).iter().enumerate() {
        let one = after(first, &stream, cut.iter().copied(), name);
        if !search.is_new(&one) {
            continue;
        }
        let case = format!("{name}, cut {cut:?}");
        for (what, tree) in trees() {
            // Of every other cut all trees, of the rest the one that changes at the front.
            if !large() && at % 2 != 0 && what != "changed at the front" {
                continue;
            }
            let case = format!("{case}, {what}");
            search.settles(&one, &tree, &case);
            let Some(second) = search.stream(&one, &tree, false, &[]) else { continue };
            let before = counted(&one.there, &second.band);
            let step = if large() { 1 } else { 3 };
            for cut in cuts(&second, if large() { jobs } else { 1 }).iter().step_by(step) {
                let case = format!("{case}, cut {cut:?}");
                let two = after(&one, &second, cut.iter().copied(), &case);
                if search.is_new(&two) {
                    progress(&two.there, &second.band, &before, &case);
                    search.settles(&two, &tree, &case);
                }
            }
        }
        masks(search, &one, tree, &case);
    }
}

/// A run with a mask stands beside: it undoes nothing, and what goes on without it sees all.
fn masks(search: &mut Search, one: &State, tree: &Tree, case: &str) {
    let case = format!("{case}, a mask");
    let Some(masked_run) = search.stream(one, &masked(), true, &[]) else { return };
    for cut in cuts(&masked_run, 1).iter().step_by(if large() { 1 } else { 4 }) {
        let case = format!("{case}, cut {cut:?}");
        let two = after(one, &masked_run, cut.iter().copied(), &case);
        if search.is_new(&two) {
            search.settles(&two, tree, &case);
            // The reverse: what was cut with a mask goes on with one.
            if let Some((three, status)) = search.ends(&two, &masked(), true, &[], &case) {
                assert!(status < 2);
                search.settles(&three, tree, &case);
            }
        }
    }
}

#[test]
fn every_cut_of_two_runs() {
    let mut states = 0;
    for parity in if large() { 0..=2 } else { 1..=1 } {
        let mut search = Search::new(parity);
        let empty = State::default();
        cut_and_cut_again(&mut search, if large() { 3 } else { 2 }, &empty, &base(), "a full band");
        states += search.states;
    }
    println!("{states} states");
    assert!(states > 100, "{states}");
}

/// The same on top of a complete band.
#[test]
fn every_cut_of_a_layer() {
    let mut search = Search::new(0);
    let (full, _) = search.ends(&State::default(), &base(), false, &[], "full").unwrap();
    let tree = vec![("/", 3), ("a", 3), ("d/", 3), ("d/x", 1), ("e", 3), ("f", 3)];
    cut_and_cut_again(&mut search, 2, &full, &tree, "a layer");
    println!("{} states", search.states);
    assert!(search.states > 50, "{}", search.states);
}

/// Two hosts that found the archive in the same state write at once: one may be stopped, and what
/// comes of it is whole all the same.
#[test]
fn every_order_of_two_writers() {
    let mut states = 0;
    let search = Search::new(1);
    let empty = State::default();
    let first = search.stream(&empty, &base(), false, &[]).unwrap();
    let other: Tree = vec![("/", 4), ("a", 4), ("d/", 1), ("d/x", 4), ("e", 1), ("g", 4)];
    for cut in cuts(&first, 1).iter().step_by(if large() { 1 } else { 2 }) {
        let one = after(&empty, &first, cut.iter().copied(), "two writers");
        let host = State { run: one.run + 1, notes: Notes::new(), ..one.clone() };
        let both =
            (search.stream(&one, &base(), false, &[]), search.stream(&host, &other, false, &[]));
        let (Some(own), Some(others)) = both else { panic!("{cut:?}: refused") };
        let step = if large() { 1 } else { 3 };
        for i in (0..=own.objects.len()).step_by(step) {
            for j in (0..=others.objects.len()).step_by(step) {
                let case = format!("cut {cut:?}, {i} of one writer, {j} of the other");
                let mut there = one.there.clone();
                let mut done = [true, true];
                for (writer, stream, range) in [
                    (0, &own, 0..i),
                    (1, &others, 0..j),
                    (0, &own, i..own.objects.len()),
                    (1, &others, j..others.objects.len()),
                ] {
                    // Push stops where an object is another's, or the band was completed before it.
                    if done[writer] {
                        done[writer] = put(&mut there, stream, range);
                    }
                }
                for (stream, tree, done) in [(&own, &base(), done[0]), (&others, &other, done[1])] {
                    if done && !stream.objects.is_empty() {
                        check_complete(&there, stream, tree, false, &case);
                    }
                }
                let state = State { there, notes: own.notes.clone(), run: one.run + 2 };
                let (three, status) = search.ends(&state, &other, false, &[], &case).expect(&case);
                let (last, _) = match status {
                    0 => (three, 0),
                    _ => search.ends(&three, &other, false, &[], &case).expect(&case),
                };
                assert_eq!(version(&last.there, None), Some((seen(&other), true)), "{case}");
                states += 1;
            }
        }
    }
    println!("{states} states");
    assert!(states > 50, "{states}");
}

/// Two archives that were cut differently: a run that goes on by what the first one has is stored in
/// the other only if nothing is lacking there, and one that is stored is whole.
#[test]
fn every_pair_of_archives() {
    let mut states = 0;
    let mut refused = 0;
    let search = Search::new(0);
    let empty = State::default();
    let first = search.stream(&empty, &base(), false, &[]).unwrap();
    let (cuts_of_one, cuts_of_other) = (cuts(&first, 2), cuts(&first, 1));
    for cut in cuts_of_one.iter().step_by(if large() { 1 } else { 4 }) {
        let one = after(&empty, &first, cut.iter().copied(), "one");
        for other in cuts_of_other.iter().step_by(if large() { 1 } else { 2 }) {
            let case = format!("{cut:?} of one archive, {other:?} of the other");
            let two = after(&empty, &first, other.iter().copied(), "other");
            for (what, tree) in trees().into_iter().take(if large() { 8 } else { 2 }) {
                let case = format!("{case}, {what}");
                let run = search.stream(&one, &tree, false, &[]).unwrap();
                let stores = [store(&one.there), store(&two.there)];
                let done = push_to(stores.to_vec(), bytes(&run));
                assert!(done[0], "{case}: the archive that was looked at refuses");
                for (store, done) in stores.iter().zip(done) {
                    let there = held(store);
                    assert_eq!(done, tail_of(&there, &run), "{case}");
                    if done {
                        check_complete(&there, &run, &tree, false, &case);
                    }
                    refused += u64::from(!done);
                }
                // The remedy: what the first has goes to the other.
                let mut level = held(&stores[1]);
                for (name, bytes) in held(&stores[0]) {
                    let was = level.insert(name.clone(), bytes.clone());
                    assert!(was.is_none_or(|was| was == bytes), "{case}: {name} is another");
                }
                check_complete(&level, &run, &tree, false, &case);
                states += 1;
            }
        }
    }
    println!("{states} states, {refused} refused");
    assert!(states > 50 && refused > 20, "{states} {refused}");
}

fn tail_of(there: &Objects, run: &Stream) -> bool {
    tail(there, &run.band).is_some()
}

/// Of an archive of two bands, one of them cut and continued, each object is lost, damaged, emptied
/// or renamed: verify names it, and no reader takes less for all without a word.
#[test]
fn every_loss_in_a_chain() {
    let mut states = 0;
    let search = Search::new(1);
    let first = search.stream(&State::default(), &base(), false, &[]).unwrap();
    for cut in cuts(&first, 2).iter().step_by(if large() { 1 } else { 3 }) {
        let one = after(&State::default(), &first, cut.iter().copied(), "losses");
        let tree: Tree = vec![("/", 1), ("a", 5), ("d/", 1), ("d/x", 1), ("e", 5)];
        let (two, _) = search.ends(&one, &base(), false, &[], "losses").unwrap();
        let chain = search.settles(&two, &tree, "losses");
        found_whole(&chain, "losses");
        let whole = version(&chain, None).unwrap();
        for name in chain.keys() {
            for how in ["lost", "damaged", "empty", "renamed"] {
                let case = format!("cut {cut:?}, {name} {how}");
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
                assert!(
                    !found.is_empty() || is_open || idle(&chain, name),
                    "{case}: nothing found"
                );
                // Without its TAIL a band is not read by default: what is then taken is told.
                if let Some((found, true)) =
                    version(&there, None).filter(|_| !name.ends_with("TAIL"))
                {
                    assert_eq!(found, whole.0, "{case}: read without a word");
                }
                states += 1;
            }
        }
    }
    println!("{states} states");
    assert!(states > 100, "{states}");
}

/// A band below that has lost both HEAD and TAIL is read all the same, with a word; nothing is built on
/// it.
#[test]
fn what_a_chain_without_head_and_tail_gives() {
    let search = Search::new(0);
    let (full, _) = search.ends(&State::default(), &base(), false, &[], "ruin").unwrap();
    let tree: Tree = vec![("/", 1), ("a", 5), ("d/", 1), ("d/x", 1), ("e", 1)];
    let (two, _) = search.ends(&full, &tree, false, &[], "ruin").unwrap();
    let mut there = two.there.clone();
    let below = there.keys().next_back().unwrap().split('/').next().unwrap().to_owned();
    for end in ["HEAD", "TAIL"] {
        assert!(there.remove(&format!("{below}/{end}")).is_some());
    }
    assert_eq!(version(&there, None), Some((seen(&tree), false)));
    let state = State { there, ..two };
    assert!(search.stream(&state, &tree, false, &[]).is_none());
}

/// Whether an object counts for nothing: what a cut run left and no list names.
fn idle(there: &Objects, name: &str) -> bool {
    let (band, object) = name.split_once('/').unwrap();
    let listed = own(there, &band.parse().unwrap())
        .filter(|(name, _)| name.ends_with(".sha256"))
        .any(|(_, text)| String::from_utf8_lossy(text).contains(object));
    if let Some(list) = there.get(name).filter(|_| object.ends_with(".sha256")) {
        // A late list may name nothing but what the run after it made superfluous.
        let members = List::parse(list).unwrap().members;
        let superseded = |member: &Member| {
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
