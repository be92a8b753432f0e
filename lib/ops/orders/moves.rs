//! `push --from --move`, cut at every call of the archive: what is in the spool then, and what in
//! the archive.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::ops::orders::model::{ModelObjects, ModelTree, cuts, held, store};
use crate::ops::orders::{
    StateSearch, WorldState, after, base, every, found_whole, looks_right, seen, version,
};
use crate::ops::push::tests::move_from;
use crate::store::local::Local;
use crate::store::{Store, StoreError};

/// An archive that remembers, for each call, what it had and what the spool had.
struct WatchedArchive {
    inner: Arc<dyn Store>,
    spool: PathBuf,
    seen: Mutex<Vec<(ModelObjects, ModelObjects)>>,
}

impl WatchedArchive {
    fn new(archive: &ModelObjects, spool: &Path) -> Arc<WatchedArchive> {
        let (inner, spool, seen) = (store(archive), spool.to_owned(), Mutex::default());
        Arc::new(WatchedArchive { inner, spool, seen })
    }

    fn note(&self) {
        let both = (on_disk(&self.spool), held(&self.inner));
        self.seen.lock().unwrap().push(both);
    }

    /// What was seen, once each, with the end.
    fn states(&self) -> Vec<(ModelObjects, ModelObjects)> {
        self.note();
        let mut seen = self.seen.lock().unwrap().clone();
        seen.dedup();
        seen
    }
}

impl Store for WatchedArchive {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.note();
        self.inner.put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.note();
        self.inner.replace(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.note();
        self.inner.get(name)
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.note();
        self.inner.get_range(name, start, length)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.note();
        self.inner.stat(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.note();
        self.inner.list(folder)
    }
}

/// The objects of a spool. One that goes while it is looked at is gone.
fn on_disk(dir: &Path) -> ModelObjects {
    let entries = walkdir::WalkDir::new(dir).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    let object = |path: &Path| {
        let name = path.strip_prefix(dir).ok()?.to_str()?.to_owned();
        // What a write has not finished yet is no object.
        let is_object = !name.rsplit('/').next()?.starts_with('.');
        Some((name, std::fs::read(path).ok().filter(|_| is_object)?))
    };
    files.filter_map(|entry| object(entry.path())).collect()
}

fn filled(objects: &ModelObjects) -> tempfile::TempDir {
    // Durable writes are tried elsewhere; where there is a disk in memory, they cost nothing.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let local = Local::new(dir.path());
    objects.iter().for_each(|(name, bytes)| local.put_new(name, bytes).unwrap());
    dir
}

/// Moves a spool, looks at each state on the way, and goes on from each. Gives how many there were.
fn moved(
    state: &WorldState,
    archive: &ModelObjects,
    keep_indexes: bool,
    tree: &ModelTree,
    case: &str,
) -> u64 {
    let mut states = 0;
    let spool = filled(&state.there);
    let watched = WatchedArchive::new(archive, spool.path());
    let before: ModelObjects =
        archive.iter().chain(&state.there).map(|(n, b)| (n.clone(), b.clone())).collect();
    let (done, _) = move_from(spool.path(), watched.clone(), keep_indexes);
    assert!(done, "{case}: not moved");
    let all = watched.states();
    for (at, (left, there)) in all.iter().enumerate() {
        if at % every(4) != 0 && at + 1 != all.len() {
            continue;
        }
        let case = format!("{case}, at call {at} of {}", all.len());
        // Nothing is in neither place, or another.
        for (name, bytes) in &before {
            let found = [left.get(name), there.get(name)].into_iter().flatten();
            assert_eq!(found.clone().count().min(1), 1, "{case}: {name} is lost");
            assert!(found.into_iter().all(|it| it == bytes), "{case}: {name} is another");
        }
        found_whole(there, &case);
        if let Some(found) = crate::ops::orders::read(store(there), None) {
            looks_right(state, &found, &case);
        }
        // The same again ends it.
        let (spool, place) = (filled(left), store(there));
        assert!(move_from(spool.path(), Arc::clone(&place), keep_indexes).0, "{case}: again");
        let there = held(&place);
        assert_eq!(there, before, "{case}: another archive");
        // A run that goes on, in the spool if it has what that needs, else in the archive.
        let local = if keep_indexes { on_disk(spool.path()) } else { there };
        let search = StateSearch::new(1);
        let mut next = WorldState { there: local, run: state.run + 1, ..state.clone() };
        for _ in 0..2 {
            let run = search.stream(&next, tree, None, &[]).unwrap();
            next = after_blindly(&next, &run);
            if run.status == 0 {
                break;
            }
        }
        if keep_indexes {
            let spool = filled(&next.there);
            assert!(move_from(spool.path(), Arc::clone(&place), true).0, "{case}: the rest");
            next.there = held(&place);
        }
        found_whole(&next.there, &case);
        assert_eq!(version(&next.there, None), Some((seen(tree), true)), "{case}");
        states += 1;
    }
    states
}

/// A run that is stored where blocks are gone already.
fn after_blindly(state: &WorldState, run: &crate::ops::orders::Stream) -> WorldState {
    let mut next = WorldState { run: state.run + 1, notes: run.notes.clone(), ..state.clone() };
    assert!(super::put(&mut next.there, run, 0..run.objects.len()));
    next
}

#[test]
fn every_call_of_a_move() {
    let mut states = 0;
    let search = StateSearch::new(1);
    let (empty, none) = (WorldState::default(), ModelObjects::new());
    let first = search.stream(&empty, &base(), None, &[]).unwrap();
    let tree: ModelTree = vec![("/", 3), ("a", 3), ("d/", 1), ("d/x", 1), ("f", 3)];
    for keep_indexes in [false, true] {
        let case = |what: &str| format!("{what}, indexes kept: {keep_indexes}");
        // What a run left that was cut, and was moved; and what it was continued to.
        for cut in cuts(&first, 1).iter().skip(1).step_by(every(7)) {
            let one = after(&empty, &first, cut.iter().copied(), "cut");
            states += moved(&one, &none, keep_indexes, &base(), &case(&format!("cut {cut:?}")));
            let (two, _) = search.ends(&one, &base(), None, &[], "continued").unwrap();
            states += moved(&two, &none, keep_indexes, &tree, &case(&format!("{cut:?}, whole")));
        }
        // A chain of two.
        let (full, _) = search.ends(&empty, &base(), None, &[], "full").unwrap();
        let (two, _) = search.ends(&full, &tree, None, &[], "two").unwrap();
        states += moved(&two, &none, keep_indexes, &tree, &case("two bands"));
        states += moved(&two, &full.there, keep_indexes, &tree, &case("the second of two"));
    }
    println!("{states} states");
    assert!(states > 50, "{states}");
}
