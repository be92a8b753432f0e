//! Pruning: cut after every call that changes the store, and with a run that makes a band on top of
//! one that goes at every moment of it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::reading::Reach;
use crate::archive::retrying::Retrying;
use crate::format::band::BandName;
use crate::format::time::Stamp;
use crate::ops::orders::model::held;
use crate::ops::orders::{
    ModelObjects, ModelTree, StateSearch, WorldState, base, found_whole, seen, version,
};
use crate::ops::prune::removal::Remover;
use crate::ops::prune::{PruneWish, prune};
use crate::report::events::Events;
use crate::report::message::Report;
use crate::store::memory::Memory;
use crate::store::{Remove, Store, StoreError, StoreErrorKind};

/// What happens to a store in between.
type Interloper = Box<dyn Fn(&Memory) + Send + Sync>;

/// A store of which calls are counted. From one on nothing is changed any more, or before one a
/// writer comes.
struct PruneTrial {
    memory: Memory,
    changes: AtomicUsize,
    calls: AtomicUsize,
    /// How many changes are made.
    most: usize,
    /// Objects are listed from the last on.
    backwards: bool,
    writer: Option<(usize, Interloper)>,
}

impl PruneTrial {
    fn new(there: &ModelObjects, most: usize) -> PruneTrial {
        let memory = Memory::default();
        there.iter().for_each(|(name, bytes)| memory.put_new(name, bytes).unwrap());
        let (changes, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
        PruneTrial { memory, changes, calls, most, backwards: false, writer: None }
    }

    fn call(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if let Some((at, write)) = &self.writer
            && *at == call
        {
            write(&self.memory);
        }
    }

    fn change(&self, name: &str) -> Result<(), StoreError> {
        self.call();
        if self.changes.fetch_add(1, Ordering::Relaxed) < self.most {
            return Ok(());
        }
        let source = std::io::Error::other("cut");
        Err(StoreError {
            kind: StoreErrorKind::Other,
            at: name.to_owned(),
            source,
            retry_after: None,
        })
    }
}

impl Store for PruneTrial {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.change(name)?;
        self.memory.put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.change(name)?;
        self.memory.replace(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.call();
        self.memory.get(name)
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.call();
        self.memory.get_range(name, start, length)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.call();
        self.memory.stat(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.call();
        let mut names = self.memory.list(folder)?;
        if self.backwards {
            names.reverse();
        }
        Ok(names)
    }
}

impl Remove for PruneTrial {
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.change(name)?;
        self.memory.remove(name)
    }
}

/// Prunes what a store holds; gives what it holds then, and the status.
fn pruned(trial: PruneTrial, named: &BTreeSet<BandName>) -> (ModelObjects, u8) {
    let report = Arc::new(Report::new("test", -2, Events::default()));
    let trial = Arc::new(trial);
    let store = Retrying::reader(trial.clone(), &Reach::default(), 1, &report);
    let remover = Remover { store: Arc::new(store), from: trial.clone(), jobs: 1, hiding: None };
    let wish = PruneWish { named, expect: None, list: None };
    let done = prune(&OsString::from("memory").into(), wish, &remover, &report);
    let status = if done.is_err() || report.failed() { 2 } else { u8::from(report.warnings() > 0) };
    let there: Arc<dyn Store> = trial;
    (held(&there), status)
}

fn of(there: &ModelObjects, band: &BandName) -> usize {
    let prefix = format!("{band}/");
    there.keys().filter(|name| name.starts_with(&prefix)).count()
}

/// Two chains of a full band and a layer.
fn two_chains(search: &StateSearch) -> (WorldState, ModelTree, Vec<BandName>) {
    let mut state = WorldState::default();
    let mut tree = base();
    for (time, options) in [(1, &[][..]), (2, &[]), (3, &["--full"]), (4, &[])] {
        tree[1].1 = time;
        state = search.ends(&state, &tree, None, options, "chains").unwrap().0;
    }
    let names: BTreeSet<BandName> =
        state.there.keys().map(|name| name.split('/').next().unwrap().parse().unwrap()).collect();
    let mut names: Vec<BandName> = names.into_iter().collect();
    names.sort_by_key(BandName::start);
    (state, tree, names)
}

/// Cut after every change: the newest version is what it was, no reader takes a band that is half
/// removed for what it was, another backup works, and another prune ends the removal.
#[test]
fn every_cut_of_a_prune() {
    let search = StateSearch::new(1);
    let (state, tree, names) = two_chains(&search);
    let named: BTreeSet<BandName> = names[..2].iter().cloned().collect();
    let before: Vec<_> = names.iter().map(|name| version(&state.there, Some(name))).collect();
    let all: usize = named.iter().map(|name| of(&state.there, name)).sum();
    for backwards in [false, true] {
        for most in 0..=all {
            let case = format!("cut after {most} of {all}, backwards {backwards}");
            let trial = PruneTrial { backwards, ..PruneTrial::new(&state.there, most) };
            let (there, status) = pruned(trial, &named);
            assert_eq!(status, if most < all { 2 } else { 0 }, "{case}");
            assert_eq!(version(&there, None), Some((seen(&tree), true)), "{case}");
            for (name, before) in names.iter().zip(&before) {
                if let Some(found) = version(&there, Some(name)).filter(|(_, silent)| *silent) {
                    assert_eq!(Some(found), *before, "{case}: {name} is read without a word");
                }
            }
            for name in &named {
                // What TAIL completes is whole but for HEAD, which TAIL repeats.
                let lacks = of(&state.there, name) - of(&there, name);
                let is_complete = there.contains_key(&format!("{name}/TAIL"));
                assert!(!is_complete || lacks < 2, "{case}: {name} lacks {lacks} objects");
            }
            let cut = WorldState { there, ..state.clone() };
            let mut later = tree.clone();
            later[1].1 = 5;
            let (next, status) = search.ends(&cut, &later, None, &[], &case).expect(&case);
            assert_eq!(status, 0, "{case}");
            assert_eq!(version(&next.there, None), Some((seen(&later), true)), "{case}");
            let (there, status) = pruned(PruneTrial::new(&next.there, usize::MAX), &named);
            assert!(status < 2, "{case}: another prune ends with {status}");
            assert!(named.iter().all(|name| of(&there, name) == 0), "{case}");
            found_whole(&there, &case);
        }
    }
}

/// While the newest band is removed, because somebody asks for that, another host makes a layer on
/// it: one of them stops, whenever it comes.
#[test]
fn every_moment_for_a_writer() {
    let search = StateSearch::new(0);
    let (mut state, mut tree, names) = two_chains(&search);
    tree[1].1 = 5;
    let run = Arc::new(search.stream(&state, &tree, None, &[]).unwrap());
    let parent = run.band.parent().unwrap();
    assert!(names.contains(&parent));
    // A folder that is listed before it, and holds no band, does not hide it.
    let before = Stamp::from_unix(run.band.start().unix() - 1).unwrap();
    let empty = parent.child(before).unwrap();
    state.there.insert(format!("{empty}/RECOVER.txt"), b"left".to_vec());
    let named: BTreeSet<BandName> = names.iter().filter(|name| **name == parent).cloned().collect();
    let (mut stopped, mut stayed) = (0, 0);
    for at in 0.. {
        let case = format!("a writer before call {at}");
        // Push stores HEAD, looks for the HEAD below, stores the rest, looks again, stores TAIL.
        let goes_on = Arc::new(Mutex::new(None));
        let (mut first, mut rest) = (ModelObjects::new(), ModelObjects::new());
        for (name, bytes) in &run.objects {
            let into = if name.to_string() == "HEAD" { &mut first } else { &mut rest };
            into.insert(format!("{}/{name}", run.band), bytes.clone());
        }
        let head = format!("{parent}/HEAD");
        let writer: Interloper = Box::new({
            let (goes_on, head) = (Arc::clone(&goes_on), head.clone());
            move |memory| {
                first.iter().for_each(|(name, bytes)| memory.put_new(name, bytes).unwrap());
                let has = memory.stat(&head).unwrap().is_some();
                *goes_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(has);
            }
        });
        let trial =
            PruneTrial { writer: Some((at, writer)), ..PruneTrial::new(&state.there, usize::MAX) };
        let (mut there, status) = pruned(trial, &named);
        let came = goes_on.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(goes_on) = came else { break };
        if goes_on && there.contains_key(&head) {
            there.extend(rest);
            assert_eq!(status, 2, "{case}");
            assert_eq!(version(&there, None), Some((seen(&tree), true)), "{case}");
            found_whole(&there, &case);
            stayed += 1;
        } else {
            // What the writer began is not complete, and what was there before is read.
            assert!(version(&there, None).is_some_and(|(_, silent)| silent), "{case}");
            stopped += 1;
        }
        assert!(status == 0 || there.contains_key(&head), "{case}");
    }
    assert!(stopped > 3 && stayed > 3, "{stopped} {stayed}");
}
