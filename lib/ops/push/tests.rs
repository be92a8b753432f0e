//! Fault sweeps: each call of a push goes wrong in each way. Afterwards, or after one more run,
//! everything is there, nothing was written over, and no TAIL was ever a lie.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::*;
use crate::format::band::{BandId, BandName};
use crate::format::group::{GroupMember, List};
use crate::format::head::{Head, Parent, Tail};
use crate::format::object::{Compression, ObjectName};
use crate::format::stream::{END, StreamItem, write};
use crate::format::time::Stamp;
use crate::report::events::Events;
use crate::store::faulty::{Faulty, StoreCall, StoreFault};
use crate::store::local::Local;
use crate::store::memory::Memory;
use crate::store::recording::Recording;
use crate::store::{Store, StoreError, StoreErrorKind};

mod headers;

const PARENT: &str = "20261101T020000Z";
const BAND: &str = "20261101T020000Z-20261102T020000Z";

type PushedObjects = BTreeMap<String, Vec<u8>>;

/// The objects of a small band, in stream order.
fn band(name: &str, id: u8) -> Vec<StreamItem> {
    let band: BandName = name.parse().unwrap();
    let stamp = Stamp::from_unix(1_800_000_000).unwrap();
    let parent = band.parent().map(|band| Parent { band, id: BandId([1; 16]), last: 1 });
    let id = BandId([id; 16]);
    let (compression, writer) = (Compression::Gzip, "test".to_owned());
    let head = Head::new(band.clone(), id, parent, stamp, compression, &writer);
    let item = |name: &str, bytes: &[u8]| StreamItem {
        band: band.clone(),
        name: ObjectName::parse(name).unwrap(),
        bytes: bytes.to_vec(),
    };
    let mut items = vec![
        item("HEAD", head.to_string().as_bytes()),
        item("recover.sh", b"a note"),
        item("00000/000000000.tar.gz", &[7; 900]),
        item("00000/000000000.mtree.gz", &[8; 300]),
        item("00000/000000001.tar.gz", &[9; 700]),
        item("00000/000000001.mtree.gz", &[10; 200]),
        item("00000/000000001.toc.gz", &[11; 100]),
    ];
    let members = items.iter().map(|item| GroupMember::of(item.name, &item.bytes)).collect();
    let list =
        List { band: band.clone(), id, name: (0, 0), added: 0, slots: 32, parity: 0, members };
    items.push(item("00000/000000000-0.sha256", list.to_string().as_bytes()));
    let (entries, files, bytes, skipped) = (2, 1, 900, 0);
    let tail = Tail {
        band: band.clone(),
        id,
        finished: stamp,
        last: 1,
        toc: 1,
        entries,
        files,
        bytes,
        tree: None,
        skipped,
        behind: None,
        runs: Vec::new(),
        unattributed: 0,
        head: Some(head),
    };
    items.push(item("TAIL", tail.to_string().as_bytes()));
    items
}

fn stream(items: &[StreamItem]) -> Vec<u8> {
    let mut stream = Vec::new();
    items.iter().for_each(|item| write(&mut stream, item, 0).unwrap());
    stream.extend(END);
    stream
}

fn objects(items: &[StreamItem]) -> PushedObjects {
    items.iter().map(|item| (format!("{}/{}", item.band, item.name), item.bytes.clone())).collect()
}

/// A store that sees to it that nothing whole is written over, and that TAIL comes when all else is
/// there.
#[derive(Clone)]
struct WatchedStore {
    inner: Arc<Memory>,
    wanted: Arc<PushedObjects>,
}

impl WatchedStore {
    fn new(wanted: &[StreamItem]) -> WatchedStore {
        let watched = WatchedStore { inner: Arc::default(), wanted: Arc::new(objects(wanted)) };
        objects(&band(PARENT, 1))
            .iter()
            .for_each(|(name, bytes)| watched.inner.put_new(name, bytes).unwrap());
        watched
    }

    fn lacks(&self) -> Vec<&String> {
        let whole = |(name, bytes): &(&String, &Vec<u8>)| {
            self.inner.get(name).is_ok_and(|there| there == **bytes)
        };
        self.wanted.iter().filter(|object| !whole(object)).map(|(name, _)| name).collect()
    }

    fn check(&self, name: &str) {
        if name.ends_with("/TAIL") {
            assert!(
                self.lacks().iter().all(|lacking| **lacking == name),
                "TAIL is stored before {:?}",
                self.lacks()
            );
        }
        if let Some(number) = name.strip_suffix(".mtree.gz") {
            assert!(
                self.inner.get(&format!("{number}.tar.gz")).is_ok(),
                "{name} is stored before its block"
            );
        }
    }
}

impl Store for WatchedStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check(name);
        self.inner.put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check(name);
        let there = self.inner.get(name).unwrap_or_default();
        assert!(there.len() < bytes.len() && bytes.starts_with(&there), "{name} is written over");
        self.inner.replace(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name)
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.get_range(name, start, length)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.inner.stat(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.inner.list(folder)
    }
}

fn setting(store: Arc<dyn Store>, jobs: usize) -> (UploadRun, Vec<UploadTarget>) {
    settings(vec![store], jobs)
}

fn settings(stores: Vec<Arc<dyn Store>>, jobs: usize) -> (UploadRun, Vec<UploadTarget>) {
    let report = Arc::new(Report::new("dura-push", -2, Events::default()));
    let (first, most) = (Duration::from_micros(10), Duration::from_micros(100));
    let limits =
        Limits { jobs, rate: None, patience: Patience { retries: 3, first, most }, seed: 1 };
    let run = UploadRun {
        report: Arc::clone(&report),
        journal: None,
        stop: StopFlag::default(),
        limits,
        dry_run: false,
        must_exist: false,
        // What is not waived is asked of the parent: tests/trips.rs counts that.
        waived: Waived { plain: true, unsigned: true, no_parity: true },
        beside_others: false,
        began: Instant::now(),
    };
    let place = |(at, store): (usize, Arc<dyn Store>)| UploadTarget {
        store,
        ahead: None,
        shown: format!("a{at}"),
        address: format!("a{at}"),
        label: String::new(),
        jobs,
        rate: Arc::default(),
        share: progress::shares(&report, &[String::new()]).remove(0),
    };
    (run, stores.into_iter().enumerate().map(place).collect())
}

/// Pushes a stream to several archives: which of them are done.
pub(crate) fn push_to(stores: Vec<Arc<dyn Store>>, stream: Vec<u8>) -> Vec<bool> {
    let (run, places) = settings(stores, 2);
    let outcomes = push_stream(&run, &places, Cursor::new(stream)).unwrap();
    outcomes.iter().map(Result::is_ok).collect()
}

/// Moves what a local archive has to another, but for what new layers are built on if
/// `keep_indexes`: whether that is done, and whether all is well.
pub(crate) fn move_from(
    dir: &std::path::Path,
    store: Arc<dyn Store>,
    keep_indexes: bool,
) -> (bool, bool) {
    let (run, places) = setting(store, 2);
    let asked = spool::SpoolRequest {
        dir: dir.as_os_str().to_owned().into(),
        empty: true,
        keep_indexes,
        follow: false,
        newer_than: None,
    };
    let done = spool::run(&run, &places, &asked).is_ok() && !run.report.failed();
    (done, run.report.warnings() == 0)
}

/// True if the push says that it is done.
fn push(store: Arc<dyn Store>, items: &[StreamItem], jobs: usize) -> bool {
    let (run, places) = setting(store, jobs);
    push_stream(&run, &places, Cursor::new(stream(items)))
        .is_ok_and(|outcomes| outcomes.iter().all(Result::is_ok))
}

/// What a push costs: HEAD, twice, TAIL, and the last index, twice, encrypted or not, of what the
/// band stands on, one write for each object, and looks whether what was confirmed is there, TAIL
/// too.
#[test]
fn a_push_costs_a_write_an_object() {
    for name in [PARENT, BAND] {
        let store = Arc::new(Memory::default());
        if name == BAND {
            objects(&band(PARENT, 1))
                .iter()
                .for_each(|(name, bytes)| store.put_new(name, bytes).unwrap());
        }
        let items = band(name, if name == BAND { 2 } else { 1 });
        let recording = Arc::new(Recording::new(store));
        assert!(push(recording.clone(), &items, 4));
        let mut wanted: Vec<String> =
            objects(&items).keys().map(|name| format!("put {name}")).collect();
        // HEAD is read back, and before TAIL each folder is listed once.
        let looks = ["get NAME/HEAD", "list NAME", "list NAME/00000", "get NAME/TAIL"];
        wanted.extend(looks.map(|look| look.replace("NAME", name)));
        match name == BAND {
            // HEAD and the last index of what it stands on once more before TAIL is stored.
            true => {
                let index = "stat PARENT/00000/000000001.mtree.gz";
                let indexes = [index.to_owned(), format!("{index}.gpg")];
                let looks = ["get PARENT/HEAD", "get PARENT/TAIL", "stat PARENT/HEAD"];
                let looks = looks.map(str::to_owned).into_iter();
                let looks = looks.chain(indexes.clone()).chain(indexes);
                wanted.extend(looks.map(|look| look.replace("PARENT", PARENT)));
            }
            // Whether something else lies there.
            false => wanted.push("list ".to_owned()),
        }
        wanted.sort();
        assert_eq!(recording.take(), wanted);
    }
}

/// What may go wrong, and whether the run that it happens to is to be done all the same; none where
/// that depends on the call.
const FAULTS: [(StoreFault, Option<bool>); 13] = [
    (StoreFault::Error(StoreErrorKind::Denied), Some(false)),
    (StoreFault::Error(StoreErrorKind::NoSpace), Some(false)),
    (StoreFault::Error(StoreErrorKind::Other), Some(false)),
    (StoreFault::Error(StoreErrorKind::Passing), Some(true)),
    (StoreFault::Error(StoreErrorKind::NotFound), None),
    (StoreFault::Busy(Duration::from_millis(1)), Some(true)),
    (StoreFault::Torn(0), Some(true)),
    (StoreFault::Torn(50), Some(true)),
    (StoreFault::Torn(usize::MAX), Some(true)),
    (StoreFault::LostReply, Some(true)),
    (StoreFault::Stale, Some(true)),
    (StoreFault::LostPage, Some(true)),
    (StoreFault::Short, None),
];

#[test]
fn every_call_of_a_push_goes_wrong_in_every_way() {
    let items = band(BAND, 2);
    let mut seen = 0;
    for jobs in [1, 4] {
        let clean = Arc::new(Faulty::new(WatchedStore::new(&items)));
        assert!(push(clean.clone(), &items, jobs));
        let calls = clean.calls().len();
        assert_eq!(calls, 3 + items.len() + 3 + 5);
        for number in 0..calls {
            for (fault, done) in FAULTS {
                let what = format!("{fault:?} at call {number} of {calls}, {jobs} jobs");
                let watched = WatchedStore::new(&items);
                let store = Arc::new(Faulty::new(watched.clone()).with(number, fault));
                let first = push(store.clone(), &items, jobs);
                // Who may not list asks for each object.
                let unlisted = store.calls()[number].0 == StoreCall::List
                    && fault == StoreFault::Error(StoreErrorKind::Denied);
                // TAIL is stored when it is read back: that this fails is reported.
                let tail = format!("{BAND}/TAIL");
                let unread = store.calls()[number] == (StoreCall::Get, tail);
                assert!(
                    done.is_none_or(|done| done == first) || unlisted || unread,
                    "{what}: {first}"
                );
                let tail = store.stat(&format!("{BAND}/TAIL")).unwrap().is_some();
                assert!(!first || tail, "{what}: no TAIL");
                assert!(push(store.clone(), &items, jobs), "{what}: not even then");
                assert_eq!(watched.lacks(), [""; 0], "{what}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2 * 20 * FAULTS.len());
}

/// A store that confirms what it does not keep, or keeps nothing of: with HEAD, or with any other
/// object.
#[test]
fn what_is_confirmed_and_not_kept_is_told() {
    struct Liar(Memory, &'static str, usize);
    impl Store for Liar {
        fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
            let kept = if name.contains(self.1) { self.2.min(bytes.len()) } else { bytes.len() };
            self.0.replace(name, &bytes[..kept])
        }
        fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
            self.put_new(name, bytes)
        }
        fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
            self.0.get(name)
        }
        fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
            self.0.get_range(name, start, length)
        }
        fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
            self.0.stat(name)
        }
        fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
            self.0.list(folder)
        }
    }
    let items = band(PARENT, 1);
    for item in &items {
        let name: &'static str = item.name.to_string().leak();
        for kept in [0, 3] {
            let store = Arc::new(Liar(Memory::default(), name, kept));
            let done = push(store.clone(), &items, 4);
            assert!(!done, "{name} {kept}");
            assert!(
                name == "TAIL" || store.get(&format!("{PARENT}/TAIL")).is_err(),
                "{name} {kept}"
            );
            if name == "HEAD" {
                assert_eq!(store.list(PARENT).unwrap().len(), 1, "{kept}");
            }
            // Nor does a spool lose it.
            let dir = tempfile::tempdir().unwrap();
            let local = Local::new(dir.path());
            objects(&items).iter().for_each(|(name, bytes)| local.put_new(name, bytes).unwrap());
            let liar = Arc::new(Liar(Memory::default(), name, kept));
            let (moved, _) = move_from(dir.path(), liar, false);
            let left = local.get(&format!("{PARENT}/{name}"));
            assert!(!moved && left.is_ok_and(|left| left == item.bytes), "{name} {kept}");
        }
    }
}

/// A full band makes an archive where nothing else lies, but for what other programs leave.
#[test]
fn an_archive_is_made_in_an_empty_place_or_where_bands_are() {
    let items = band(PARENT, 1);
    let others = ["photos/a.jpg", "notes.txt"];
    let litter = ["lost+found/x", ".DS_Store", "@eaDir/x"];
    for (there, welcome) in [
        (&others[..], false),
        (&litter[..], true),
        (&["photos/a.jpg", "20200101T000000Z/HEAD"][..], true),
        (&[][..], true),
    ] {
        let store = Arc::new(Memory::default());
        there.iter().for_each(|name| store.put_new(name, b"x").unwrap());
        assert_eq!(push(store.clone(), &items, 4), welcome, "{there:?}");
        assert_eq!(store.stat(&format!("{PARENT}/HEAD")).unwrap().is_some(), welcome);
    }
}

/// What is read wrong is never the reason to write over something, or to take another's object for
/// ours.
#[test]
fn another_writers_object_stays() {
    let items = band(BAND, 2);
    for at in 0..items.len() {
        let store = Arc::new(WatchedStore::new(&items));
        let name = format!("{BAND}/{}", items[at].name);
        let mut other = items[at].bytes.clone();
        other[0] ^= 1;
        store.inner.put_new(&name, &other).unwrap();
        assert!(!push(store.clone(), &items, 4), "{name}");
        assert_eq!(store.get(&name).unwrap(), other);
        assert!(at + 1 == items.len() || store.get(&format!("{BAND}/TAIL")).is_err());
    }
}

/// The same for a spool that is emptied: at no time is an object in neither place, and in the end
/// it is in the archive alone.
#[test]
fn every_call_of_a_move_goes_wrong_in_every_way() {
    let items = band(BAND, 2);
    let fill = || {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(dir.path());
        objects(&items).iter().for_each(|(name, bytes)| local.put_new(name, bytes).unwrap());
        (dir, local)
    };
    let empty = |dir: &std::path::Path, store| move_from(dir, store, false).0;
    // As a run leaves it that was cut off: some is there already, so that it is listed.
    let begun = || {
        let watched = WatchedStore::new(&items);
        items[..4].iter().for_each(|item| {
            watched.inner.put_new(&format!("{BAND}/{}", item.name), &item.bytes).unwrap()
        });
        watched
    };
    let (dir, _) = fill();
    let clean = Arc::new(Faulty::new(begun()));
    assert!(empty(dir.path(), clean.clone()));
    let calls = clean.calls().len();
    // HEAD, two listings, what was missing, what was there read back, a look for what was stored,
    // the parent's HEAD and last index before TAIL, and a look for TAIL.
    assert_eq!(calls, 1 + 2 + (items.len() - 4) + 4 + 1 + 3 + 1);
    for number in 0..calls {
        for (fault, _) in FAULTS {
            let what = format!("{fault:?} at call {number} of {calls}");
            let ((dir, local), watched) = (fill(), begun());
            let store = Arc::new(Faulty::new(watched.clone()).with(number, fault));
            let first = empty(dir.path(), store.clone());
            for (name, bytes) in objects(&items) {
                let there = [local.get(&name), store.get(&name)]
                    .into_iter()
                    .flatten()
                    .any(|there| there == bytes);
                assert!(there, "{what}: {name} is lost");
            }
            assert!(first || empty(dir.path(), store.clone()), "{what}: not even then");
            assert_eq!((watched.lacks().len(), local.list("").unwrap().len()), (0, 0), "{what}");
        }
    }
}

/// A band without TAIL is sent and stays in the spool, for the run that continues it; that is told.
#[test]
fn an_unfinished_band_stays_in_the_spool() {
    let items = band(BAND, 2);
    let (tail, before) = items.split_last().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let local = Local::new(dir.path());
    objects(before).iter().for_each(|(name, bytes)| local.put_new(name, bytes).unwrap());
    let watched = Arc::new(WatchedStore::new(&items));
    assert_eq!(move_from(dir.path(), watched.clone(), false), (true, false));
    assert_eq!(watched.lacks(), [&format!("{BAND}/TAIL")]);
    assert!(local.get(&format!("{BAND}/HEAD")).is_ok(), "it is gone");
    local.put_new(&format!("{BAND}/TAIL"), &tail.bytes).unwrap();
    assert_eq!(move_from(dir.path(), watched.clone(), false), (true, true));
    assert_eq!((watched.lacks().len(), local.list("").unwrap().len()), (0, 0));
}
