//! All orders of small runs: cut after every write with every subset of what was under way,
//! continued with the same and with other trees, a mask, other options, by two hosts at once; then
//! every loss of an object. What is decided is decided by the programs' own code:
//! `orders/model.rs`.
//!
//! A small scope is searched as it is; built with `ORDERS=2`, a larger one. docs/orders.md numbers
//! what must hold, as the assertions here do.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::format::band::BandName;
use crate::ops::verify::tests::verify;
use model::{
    ModelEntries, ModelObjects, ModelTree, Notes, ReadState, RunWish, Stream, counted, cuts, put,
    read, run, seen, store, tail, version,
};

mod archives;
mod losses;
mod model;
mod moves;
mod prune;
mod readers;
mod signed;
mod writers;

/// A larger scope is asked for.
fn large() -> bool {
    option_env!("ORDERS") == Some("2")
}

/// So many of a row are passed over: none in the larger scope.
fn every(few: usize) -> usize {
    if large() { 1 } else { few }
}

fn base() -> ModelTree {
    vec![("/", 1), ("a", 1), ("d/", 1), ("d/x", 1), ("e", 1)]
}

/// What the source may have become when the next run comes.
fn trees() -> Vec<(&'static str, ModelTree)> {
    let all = vec![
        ("the same", base()),
        ("changed at the front", vec![("/", 1), ("a", 2), ("d/", 1), ("d/x", 1), ("e", 1)]),
        ("changed at the end", vec![("/", 1), ("a", 1), ("d/", 1), ("d/x", 1), ("e", 2)]),
        ("gone at the front", vec![("/", 2), ("d/", 1), ("d/x", 1), ("e", 1)]),
        // Its folder does not tell, as when its times were set back.
        ("gone unseen", vec![("/", 1), ("d/", 1), ("d/x", 1), ("e", 1)]),
        ("new at the front", vec![("/", 2), ("a", 1), ("b", 2), ("d/", 1), ("d/x", 1), ("e", 1)]),
        ("a folder gone", vec![("/", 2), ("a", 1), ("e", 1)]),
        ("a folder is a file", vec![("/", 2), ("a", 1), ("d", 2), ("e", 1)]),
        ("renamed", vec![("/", 2), ("e", 1), ("y", 1), ("z/", 1), ("z/x", 1)]),
    ];
    all
}

/// What is left of a tree by a mask, and by the same when it was edited.
fn masked(mask: u8) -> ModelTree {
    match mask {
        7 => vec![("/", 1), ("e", 1)],
        _ => vec![("/", 1), ("a", 1), ("d/", 1), ("d/x", 1)],
    }
}

/// A state: what the archive holds, and what the host has noted.
#[derive(Clone, Default)]
struct WorldState {
    there: ModelObjects,
    notes: Notes,
    run: u8,
    /// What the runs so far have seen of the source.
    saw: BTreeSet<(String, i64)>,
    /// What each complete band held when its TAIL came.
    complete: BTreeMap<BandName, ModelEntries>,
}

struct StateSearch {
    parity: usize,
    sign: bool,
    seen: HashSet<Vec<(String, Vec<u8>)>>,
    states: u64,
}

impl StateSearch {
    fn new(parity: usize) -> StateSearch {
        StateSearch { parity, sign: false, seen: HashSet::new(), states: 0 }
    }

    /// False if the state was looked at before.
    fn is_new(&mut self, state: &WorldState) -> bool {
        let key = state.there.iter().map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
        let is_new = self.seen.insert(key);
        self.states += u64::from(is_new);
        is_new
    }

    /// A run as it would be stored.
    fn stream(
        &self,
        state: &WorldState,
        tree: &ModelTree,
        mask: Option<u8>,
        options: &[&str],
    ) -> Option<Stream> {
        run(&state.there, &self.wish(state, tree, mask, options), &state.notes)
    }

    fn wish<'a>(
        &self,
        state: &WorldState,
        tree: &'a ModelTree,
        mask: Option<u8>,
        options: &'a [&'a str],
    ) -> RunWish<'a> {
        let StateSearch { parity, sign, .. } = *self;
        RunWish { tree, mask, options, parity, sign, run: state.run }
    }

    /// A run that ends: what it says holds.
    fn ends(
        &self,
        state: &WorldState,
        tree: &ModelTree,
        mask: Option<u8>,
        options: &[&str],
        case: &str,
    ) -> Option<(WorldState, u8)> {
        let stream = self.stream(state, tree, mask, options)?;
        let before = counted(&state.there, &stream.band);
        let next = after(state, &stream, 0..stream.objects.len(), case);
        check_complete(&next.there, &stream, mask.is_some(), case);
        progress(&next.there, &stream.band, &before, case);
        Some((next, stream.status))
    }

    /// Whatever came before, runs that are not cut bring the version to the tree: by the second one
    /// at the latest, with status 0; the archive is whole, and a run more stores nothing else.
    fn settles(&self, state: &WorldState, tree: &ModelTree, case: &str) -> ModelObjects {
        let case = format!("{case}, then whole runs");
        let (one, status) = self.ends(state, tree, None, &[], &case).expect(&case);
        look(&one, &case);
        if status == 0 {
            assert_eq!(version(&one.there, None), Some((seen(tree), true)), "{case}");
            return one.there;
        }
        let (two, status) = self.ends(&one, tree, None, &[], &case).expect(&case);
        assert_eq!(status, 0, "{case}: the second run");
        look(&two, &case);
        assert_eq!(version(&two.there, None), Some((seen(tree), true)), "{case}");
        two.there
    }
}

/// A state behind these writes of a run.
fn after(
    state: &WorldState,
    stream: &Stream,
    which: impl IntoIterator<Item = usize>,
    case: &str,
) -> WorldState {
    let mut next = WorldState { run: state.run + 1, notes: stream.notes.clone(), ..state.clone() };
    assert!(put(&mut next.there, stream, which), "{case}: an object is written over");
    next.saw.extend(stream.saw.clone());
    if tail(&next.there, &stream.band).is_some() {
        let (found, _) = version(&next.there, Some(&stream.band)).expect(case);
        next.complete.insert(stream.band.clone(), found);
    }
    next
}

/// Between two writes of a run too, a reader gets a complete version as it was completed, or what
/// runs have seen, and verify finds nothing.
fn look(state: &WorldState, case: &str) {
    let found = read(store(&state.there), None);
    if let Some(found) = &found {
        looks_right(state, found, case);
    }
    let begun = state.there.keys().any(|name| name.ends_with("/HEAD"));
    assert_eq!(found.is_some(), begun, "{case}: cannot be read");
    for (band, entries) in &state.complete {
        let again = version(&state.there, Some(band));
        assert_eq!(again.as_ref(), Some(&(entries.clone(), true)), "{case}: {band} is another");
    }
    found_whole(&state.there, case);
}

/// What a reader has got is no mixture.
fn looks_right(state: &WorldState, found: &ReadState, case: &str) {
    assert!(found.silent, "{case}: a reader warns");
    if found.complete {
        let entries = state.complete.get(&found.band);
        assert_eq!(entries, Some(&found.entries), "{case}: {} is another", found.band);
    }
    let unseen =
        found.entries.iter().find(|(path, time)| !state.saw.contains(&((*path).clone(), **time)));
    assert_eq!(unseen, None, "{case}: nobody saw that");
}

/// Of a complete band, what its run said, and what TAIL says, hold.
fn check_complete(there: &ModelObjects, stream: &Stream, masked: bool, case: &str) {
    let saw = &stream.saw;
    let tail = tail(there, &stream.band).expect(case);
    let (found, silent) = version(there, Some(&stream.band)).expect(case);
    assert!(silent, "{case}: a complete band is not read without a warning");
    let lacking = saw.iter().filter(|(path, time)| found.get(*path) != Some(*time)).count();
    let more = found.keys().filter(|path| !saw.contains_key(*path)).count();
    let status = stream.status;
    if status == 0 || (tail.behind == Some(0) && tail.skipped == 0) {
        let is_all = lacking == 0 && (masked || more == 0);
        assert!(is_all, "{case}: status {status}, {tail:?}, and {found:?}");
    }
    if let Some(tree) = tail.tree {
        assert_eq!(tree.entries, found.len() as u64, "{case}: TAIL counts another version");
    }
}

/// What counted of a band counts still.
fn progress(there: &ModelObjects, band: &BandName, before: &[u32], case: &str) {
    let now = counted(there, band);
    let undone: Vec<_> = before.iter().filter(|number| !now.contains(number)).collect();
    assert!(undone.is_empty(), "{case}: {undone:?} of {band} count no more");
}

/// Verify finds nothing, and has nothing to repair; but of a band which was cut just before its
/// TAIL nobody can tell whether that was lost, and what no run will continue may get lists, and the
/// parity that they name.
fn found_whole(there: &ModelObjects, case: &str) {
    let (found, items, _) = verify(&store(there), true);
    let cut = |line: &String| {
        let of_tail = line.strip_prefix("missing ").and_then(|line| line.split_once("/TAIL: "));
        of_tail.is_some_and(|(band, _)| !there.contains_key(&format!("{band}/TAIL")))
    };
    let left = there.keys().filter(|name| name.ends_with("/HEAD")).count() > 1;
    let may_be_made = |name: &String| left && (name.ends_with(".sha256") || name.contains(".rs"));
    let made = items.keys().filter(|name| !may_be_made(name)).count();
    assert!(found.iter().all(cut) && made == 0, "{case}: {found:?} {:?}", items.keys());
}

/// A first run that is cut in every way, and one that goes on with another tree, a mask or other
/// options, and is cut in every way too.
fn cut_and_cut_again(
    search: &mut StateSearch,
    jobs: usize,
    first: &WorldState,
    tree: &ModelTree,
    name: &str,
) {
    let stream = search.stream(first, tree, None, &[]).unwrap();
    for (at, cut) in cuts(&stream, jobs).iter().enumerate() {
        let one = after(first, &stream, cut.iter().copied(), name);
        if !search.is_new(&one) {
            continue;
        }
        let case = format!("{name}, cut {cut:?}");
        look(&one, &case);
        for (what, tree) in trees() {
            // Of every third cut all trees, of the rest the one that changes at the front.
            if !large() && at % 3 != 0 && what != "changed at the front" {
                continue;
            }
            let case = format!("{case}, {what}");
            search.settles(&one, &tree, &case);
            let Some(second) = search.stream(&one, &tree, None, &[]) else { continue };
            let before = counted(&one.there, &second.band);
            for cut in cuts(&second, if large() { jobs } else { 1 }).iter().step_by(every(5)) {
                let case = format!("{case}, cut {cut:?}");
                let two = after(&one, &second, cut.iter().copied(), &case);
                if search.is_new(&two) {
                    look(&two, &case);
                    progress(&two.there, &second.band, &before, &case);
                    search.settles(&two, &tree, &case);
                }
            }
        }
        if at % every(2) == 0 {
            masks(search, &one, tree, &case, every(4));
            options(search, &one, tree, &case);
        }
    }
}

/// A run with a mask stands beside: it undoes nothing, and what goes on without it sees all; also
/// when the mask is edited meanwhile.
fn masks(search: &mut StateSearch, one: &WorldState, tree: &ModelTree, case: &str, step: usize) {
    let case = format!("{case}, a mask");
    let Some(masked_run) = search.stream(one, &masked(7), Some(7), &[]) else { return };
    for cut in cuts(&masked_run, 1).iter().step_by(step) {
        let case = format!("{case}, cut {cut:?}");
        let two = after(one, &masked_run, cut.iter().copied(), &case);
        if !search.is_new(&two) {
            continue;
        }
        look(&two, &case);
        search.settles(&two, tree, &case);
        // The reverse: what was cut with a mask goes on with one, with the same or another.
        for mask in [7, 8] {
            let case = format!("{case}, a mask again: {mask}");
            let Some(next) = search.stream(&two, &masked(mask), Some(mask), &[]) else { continue };
            let goes_on = next.band == masked_run.band;
            let is_known = !counted(&two.there, &masked_run.band).is_empty();
            let begun = two.there.contains_key(&format!("{}/HEAD", masked_run.band));
            assert_eq!(goes_on, begun && (mask == 7 || !is_known), "{case}: which band goes on");
            let (three, status) =
                search.ends(&two, &masked(mask), Some(mask), &[], &case).expect(&case);
            assert!(status < 2);
            look(&three, &case);
            search.settles(&three, tree, &case);
        }
    }
}

/// Runs that begin a full band or a new one, cut too.
fn options(search: &mut StateSearch, one: &WorldState, tree: &ModelTree, case: &str) {
    for options in [&["--full"][..], &["--no-resume"], &["--full", "--no-resume"]] {
        let case = format!("{case}, {options:?}");
        let Some(run) = search.stream(one, tree, None, options) else {
            panic!("{case}: refused");
        };
        let goes_on = one.there.contains_key(&format!("{}/HEAD", run.band));
        assert!(!goes_on || !options.contains(&"--no-resume"), "{case}: goes on");
        for cut in cuts(&run, 1).iter().step_by(every(6)) {
            let case = format!("{case}, cut {cut:?}");
            let two = after(one, &run, cut.iter().copied(), &case);
            if search.is_new(&two) {
                look(&two, &case);
                search.settles(&two, tree, &case);
            }
        }
        let (two, status) = search.ends(one, tree, None, options, &case).expect(&case);
        assert_eq!((status, version(&two.there, None)), (0, Some((seen(tree), true))), "{case}");
        look(&two, &case);
    }
}

#[test]
fn every_cut_of_two_runs() {
    let mut states = 0;
    for parity in if large() { 0..=2 } else { 1..=1 } {
        let mut search = StateSearch::new(parity);
        let empty = WorldState::default();
        cut_and_cut_again(&mut search, if large() { 3 } else { 2 }, &empty, &base(), "a full band");
        states += search.states;
    }
    println!("{states} states");
    assert!(states > 100, "{states}");
}

/// What is left of a masked run that no other continues, of its parity too.
#[test]
fn every_cut_of_a_masked_run() {
    let mut search = StateSearch::new(2);
    masks(&mut search, &WorldState::default(), &base(), "no band", 1);
    assert!(search.states > 10, "{}", search.states);
}

/// The same on top of a complete band.
#[test]
fn every_cut_of_a_layer() {
    let mut search = StateSearch::new(0);
    let (full, _) = search.ends(&WorldState::default(), &base(), None, &[], "full").unwrap();
    let tree = vec![("/", 3), ("a", 3), ("d/", 3), ("d/x", 1), ("e", 3), ("f", 3)];
    cut_and_cut_again(&mut search, 2, &full, &tree, "a layer");
    println!("{} states", search.states);
    assert!(search.states > 50, "{}", search.states);
}
