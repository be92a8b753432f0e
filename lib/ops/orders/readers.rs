//! Readers, a verifier and a second run while a run is stored: more of it comes at every call that
//! they make.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::ops::orders::model::{ModelTree, Notes, Stream, cuts, held, put, read, run_over, seen};
use crate::ops::orders::{StateSearch, WorldState, after, base, every, looks_right};
use crate::ops::verify::tests::verify;
use crate::store::memory::Memory;
use crate::store::{Store, StoreError};

/// An archive that grows while it is read.
struct Growing {
    inner: Memory,
    /// What is still to come.
    coming: Mutex<VecDeque<(String, Vec<u8>)>>,
    calls: AtomicUsize,
    pace: ReaderPace,
}

#[derive(Debug, Clone, Copy)]
enum ReaderPace {
    /// So many objects at each call.
    Steady(usize),
    /// All the rest at this call.
    Leap(usize),
}

impl Growing {
    /// An archive that has these objects of a stream already.
    fn new(state: &WorldState, stream: &Stream, has: &[usize], pace: ReaderPace) -> Arc<Growing> {
        let inner = Memory::default();
        let mut there = state.there.clone();
        assert!(put(&mut there, stream, has.iter().copied()));
        there.iter().for_each(|(name, bytes)| inner.put_new(name, bytes).unwrap());
        let rest = (0..stream.objects.len()).filter(|at| !has.contains(at));
        let named = |at: usize| {
            let (name, bytes) = &stream.objects[at];
            (format!("{}/{name}", stream.band), bytes.clone())
        };
        Arc::new(Growing {
            inner,
            coming: Mutex::new(rest.map(named).collect()),
            calls: AtomicUsize::new(0),
            pace,
        })
    }

    fn grow(&self) {
        let mut objects = self.coming.lock().unwrap();
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let some = match self.pace {
            ReaderPace::Steady(some) => some.min(objects.len()),
            ReaderPace::Leap(call) if calls == call => objects.len(),
            ReaderPace::Leap(_) => 0,
        };
        objects.drain(..some).for_each(|(name, bytes)| self.inner.put_new(&name, &bytes).unwrap());
    }
}

impl Store for Growing {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.replace(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.grow();
        self.inner.get(name)
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.grow();
        self.inner.get_range(name, start, length)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.grow();
        self.inner.stat(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.grow();
        self.inner.list(folder)
    }
}

/// Every way in which more may come.
fn paces() -> impl Iterator<Item = ReaderPace> {
    let leaps = (1..40).step_by(every(3)).map(ReaderPace::Leap);
    [1, 2, 5].map(ReaderPace::Steady).into_iter().chain(leaps)
}

/// While this run is stored on top of that state.
fn look_meanwhile(search: &StateSearch, state: &WorldState, tree: &ModelTree, name: &str) -> u64 {
    let mut states = 0;
    let stream = search.stream(state, tree, None, &[]).unwrap();
    let whole = after(state, &stream, 0..stream.objects.len(), name);
    for cut in cuts(&stream, 1).iter().step_by(every(2)) {
        for pace in paces() {
            let case = format!("{name}, from {cut:?} on, {pace:?}");
            let growing = || Growing::new(state, &stream, cut, pace);
            if let Some(found) = read(growing(), None) {
                looks_right(&whole, &found, &case);
            }
            let store: Arc<dyn Store> = growing();
            let (found, ..) = verify(&store, false);
            let is_tail = |line: &String| {
                line.starts_with("missing ") && line.contains(&format!("{}/TAIL: ", stream.band))
            };
            assert!(found.iter().all(is_tail), "{case}: {found:?}");
            states += 1;
        }
    }
    states
}

#[test]
fn every_look_at_a_run_that_is_stored() {
    let mut states = 0;
    let search = StateSearch::new(1);
    let empty = WorldState::default();
    states += look_meanwhile(&search, &empty, &base(), "the first run");
    let first = search.stream(&empty, &base(), None, &[]).unwrap();
    for cut in cuts(&first, 1).iter().step_by(every(4)) {
        let one = after(&empty, &first, cut.iter().copied(), "cut");
        states += look_meanwhile(&search, &one, &base(), &format!("a run behind {cut:?}"));
    }
    let (full, _) = search.ends(&empty, &base(), None, &[], "full").unwrap();
    let tree: ModelTree = vec![("/", 3), ("a", 3), ("d/", 1), ("d/x", 1), ("f", 3)];
    states += look_meanwhile(&search, &full, &tree, "a layer");
    println!("{states} states");
    assert!(states > 100, "{states}");
}

/// A second host that reads while the first one writes: what it makes of that is refused, or whole.
#[test]
fn every_run_beside_a_run_that_is_stored() {
    let mut states = 0;
    let search = StateSearch::new(0);
    let other: ModelTree = vec![("/", 4), ("a", 4), ("d/", 1), ("d/x", 4), ("e", 1), ("g", 4)];
    let (full, _) = search.ends(&WorldState::default(), &base(), None, &[], "full").unwrap();
    for (name, state) in [("a full band", WorldState::default()), ("a layer", full)] {
        let tree: ModelTree = vec![("/", 3), ("a", 3), ("d/", 1), ("d/x", 1), ("f", 3)];
        let stream = search.stream(&state, &tree, None, &[]).unwrap();
        let whole = after(&state, &stream, 0..stream.objects.len(), name);
        for cut in cuts(&stream, 1).iter().step_by(every(2)) {
            for pace in paces() {
                let case = format!("{name}, another run from {cut:?} on, {pace:?}");
                let host = WorldState { run: state.run + 1, notes: Notes::new(), ..state.clone() };
                let store = Growing::new(&state, &stream, cut, pace);
                let wish = search.wish(&host, &other, None, &[]);
                states += 1;
                let reads = Arc::clone(&store) as Arc<dyn Store>;
                let run = run_over(reads, &state.there, &wish, &host.notes);
                let Some(others) = run else { continue };
                let there = held(&(store as Arc<dyn Store>));
                let mut next = WorldState { run: whole.run + 1, ..whole.clone() };
                // The first may be done, or have stopped when the second had looked.
                for done in [&whole.there, &there] {
                    let mut all = done.clone();
                    let stored = put(&mut all, &others, 0..others.objects.len());
                    next.there = all;
                    if stored && crate::ops::orders::tail(&next.there, &others.band).is_some() {
                        crate::ops::orders::check_complete(&next.there, &others, false, &case);
                    }
                    let (three, status) = search.ends(&next, &other, None, &[], &case).unwrap();
                    let last = match status {
                        0 => three,
                        _ => search.ends(&three, &other, None, &[], &case).unwrap().0,
                    };
                    let version = crate::ops::orders::version(&last.there, None);
                    assert_eq!(version, Some((seen(&other), true)), "{case}");
                }
            }
        }
    }
    println!("{states} states");
    assert!(states > 100, "{states}");
}
