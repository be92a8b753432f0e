//! What operations cost, in calls of the store: the table of `docs/effort.md`, stated for archives
//! in memory.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::archive::Archive;
use crate::archive::named::ArchiveName;
use crate::archive::version::{Version, choose};
use crate::archive::vouching::Vouching;
use crate::core::assemble::{Assembler, AssemblerConfig, Finish, PackedMember};
use crate::edge::pipe::Output;
use crate::format::band::{BandId, BandName};
use crate::format::digest;
use crate::format::entry::{Entry, EntryState, Kind, Meta};
use crate::format::head::{Head, Parent};
use crate::format::listing::{End, Have, Header, ListingReader};
use crate::format::object::{Compression, Object};
use crate::format::path::Path;
use crate::format::tarball::{self, Content, padding};
use crate::format::time::{Stamp, Time};
use crate::ops::diff::{self, compare};
use crate::ops::restore::{self, restore};
use crate::report::events::Events;
use crate::report::message::Report;
use crate::store::cache::Cache;
use crate::store::journal::Journal;
use crate::store::memory::Memory;
use crate::store::recording::Recording;
use crate::store::{Store, StoreError};

const DAY: i64 = 86400;

fn report() -> Arc<Report> {
    Arc::new(Report::new("test", -1, Events::default()))
}

/// An entry of the tree: a directory when the name ends in `/`. Every file holds its own path.
pub(crate) fn entry(name: &str, time: i64) -> Entry {
    let (name, kind) = name.strip_suffix('/').map_or((name, Kind::File), |dir| (dir, Kind::Dir));
    let time = Time { sec: time, nsec: 0 };
    let meta = Meta { mode: 0o755, uid: 0, gid: 0, time };
    let mut entry = Entry::new(Path::from_raw(name.as_bytes()), kind, EntryState::Present(meta));
    entry.ctime = Some(time);
    if kind == Kind::File {
        let text = entry.path.as_bytes();
        (entry.size, entry.nlink, entry.sha256) =
            (Some(text.len() as u64), Some(1), Some(digest::of(text)));
    }
    entry
}

/// Gzip members do not need a gzip in these tests: blocks are stored as they are.
pub(crate) fn member(entry: &Entry) -> PackedMember {
    let (path, meta) = (&entry.path, *entry.meta().unwrap());
    let content = if entry.kind == Kind::File {
        Content::Bytes(entry.size.unwrap())
    } else {
        Content::Nothing
    };
    let mut bytes = Vec::new();
    tarball::TarHeader::plain(path, entry.kind, meta, content).write_header(&mut bytes).unwrap();
    if entry.kind == Kind::File {
        bytes.extend(path.as_bytes());
        bytes.resize(bytes.len() + padding(path.as_bytes().len() as u64), 0);
    }
    let mut lines = Vec::new();
    entry.write(&mut lines);
    let (files, span) = (u64::from(entry.kind == Kind::File), Some((path.clone(), path.clone())));
    PackedMember {
        bytes,
        lines,
        entries: 1,
        files,
        source_bytes: entry.size.unwrap_or(0),
        span,
        border: true,
        large: None,
    }
}

/// An archive in memory, and what a host that wrote it keeps.
struct MemoryArchive {
    store: Arc<Memory>,
    cache: Cache,
    bands: Vec<BandName>,
    _dir: tempfile::TempDir,
}

impl MemoryArchive {
    /// A full band of these names, and so many bands on top in each of which the file `./changed`
    /// has a new time. Every entry has a block and an index of its own.
    fn new(names: &[&str], above: usize) -> MemoryArchive {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        let mut written =
            MemoryArchive { store: Arc::default(), cache, bands: Vec::new(), _dir: dir };
        let mut parent = None;
        for tier in 0..=above {
            let entries: Vec<Entry> = match tier {
                0 => names.iter().map(|name| entry(name, 1)).collect(),
                _ => vec![entry("/", 1), entry("changed", 1 + tier as i64)],
            };
            parent = Some(written.band(&entries, parent, true));
        }
        written
    }

    fn band(&mut self, entries: &[Entry], parent: Option<Parent>, complete: bool) -> Parent {
        let started = Stamp::from_unix(1_600_000_000 + self.bands.len() as i64 * DAY).unwrap();
        let band = parent
            .as_ref()
            .map_or_else(|| BandName::full(started), |parent| parent.band.child(started).unwrap());
        let id = BandId([self.bands.len() as u8 + 1; 16]);
        let (compression, writer) = (Compression::Plain, "test".to_owned());
        let head = Head {
            source_id: Some(id),
            ..Head::new(band.clone(), id, parent, started, compression, &writer)
        };
        let config = AssemblerConfig {
            band: band.clone(),
            id,
            compression,
            block_size: 1,
            part_size: 1 << 20,
            first: 0,
            after: None,
            have: Have::default(),
            runs: Vec::new(),
            head: Some(head.clone()),
            headers: vec![Header::Source(b"host".to_vec(), b"/tree".to_vec())],
        };
        let mut assembler = Assembler::new(config);
        assembler.handle_head(&head, &[]);
        entries.iter().for_each(|entry| assembler.handle_member(member(entry)).unwrap());
        let end = End { entries: entries.len() as u64, ..End::default() };
        let tail = assembler
            .finish(Finish {
                end,
                skipped: 0,
                unattributed: 0,
                tree: None,
                behind: 0,
                finished: started,
            })
            .unwrap();
        while let Some((name, bytes)) = assembler.poll_object() {
            if let Object::Head | Object::Index(_) | Object::Toc(_) = name.object {
                self.cache.put(&band, id, name.object, &bytes).unwrap();
            }
            if complete || !matches!(name.object, Object::Toc(_) | Object::Tail) {
                self.store.put_new(&format!("{band}/{name}"), &bytes).unwrap();
            }
        }
        self.bands.push(band.clone());
        Parent { band, id, last: tail.last }
    }

    /// The calls that `work` makes of the archive, with bands as `0`, `1` …
    fn calls(&self, cached: bool, work: impl FnOnce(Archive)) -> Vec<String> {
        let store = Arc::new(Recording::new(self.store.clone()));
        work(Archive::over(store.clone(), cached.then(|| self.cache.clone())));
        let short = |call: String| {
            let (what, name) = call.split_once(' ').unwrap();
            let (band, object) = name.split_once('/').unwrap_or((name, ""));
            let tier = self.bands.iter().position(|known| known.to_string() == band);
            tier.map_or(call.clone(), |tier| {
                format!("{what} {tier}/{}", object.replace("00000/0000000", ""))
            })
        };
        let mut calls: Vec<String> = store.take().into_iter().map(short).collect();
        calls.sort();
        calls
    }
}

/// What such an archive is called.
pub(crate) fn memory() -> ArchiveName {
    std::ffi::OsString::from("memory").into()
}

/// `dura-index diff` of a scan of these entries.
fn diff(archive: Archive, entries: &[Entry]) -> String {
    let mut scan = b"#mtree\n#dura listing 1\n#source host /tree\n".to_vec();
    entries.iter().for_each(|entry| Entry { sha256: None, ..entry.clone() }.write(&mut scan));
    scan.extend(
        format!("{}\n", End { entries: entries.len() as u64, ..End::default() }).into_bytes(),
    );
    let options = diff::Options::of(memory());
    told(|out| {
        let scan = ListingReader::new(&scan[..]);
        compare(&options, scan, || Ok(archive), out, &report()).unwrap();
    })
}

pub(crate) fn told(work: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut text = Vec::new();
    work(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// `dura-restore` of these paths: the names in the tar.
fn restored(archive: Archive, paths: &[&str]) -> Vec<String> {
    let paths = paths.iter().map(Into::into).collect();
    let options = restore::Options { paths, ..restore::Options::of(memory()) };
    let report = report();
    let mut file = tempfile::tempfile().unwrap();
    let out = Output::to(file.try_clone().unwrap());
    let sum = restore(&options, archive, out, &report).unwrap();
    assert_eq!(sum.lost, 0);
    let mut tar = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut tar).unwrap();
    assert_eq!(report.warnings(), 0);
    let mut tar = tar::Archive::new(&tar[..]);
    tar.entries()
        .unwrap()
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect()
}

/// Reads a version as `list`, `ls` and `find` do: how many entries it has.
fn listed(archive: Archive, band: Option<&str>) -> usize {
    let (archive, report) = (Arc::new(archive), report());
    let band = choose(&archive, &memory(), band, None, &report).unwrap();
    let chain = archive.chain(&band).unwrap();
    let mut version = Version::open(&archive, &chain, &report).unwrap();
    let count = std::iter::from_fn(|| version.next_entry().unwrap()).count();
    assert_eq!(report.warnings(), 0);
    count
}

const TREE: [&str; 9] =
    ["/", "a/", "a/b/", "a/b/c/", "a/b/c/file", "a/b/c/other", "a/z", "changed", "last"];

fn tree(changed: i64) -> Vec<Entry> {
    TREE.iter().map(|name| entry(name, if *name == "changed" { changed } else { 1 })).collect()
}

#[test]
fn nothing_changed() {
    let written = MemoryArchive::new(&TREE, 2);
    let journal = Journal::open(&written._dir.path().join("journal")).unwrap();
    let unchanged = |archive: Archive| {
        let vouching = Vouching::new(Some(journal.clone()), None, None).map(Arc::new);
        let out = diff(archive.vouched_by(vouching), &tree(3));
        assert!(out.ends_with("#end entries=0 excluded=0 unreadable=0\n"), "{out}");
    };
    // With a warm cache: the names of the bands, HEAD and TAIL of each tier, and a look whether
    // that is encrypted.
    let warm = [
        "list ",
        "range 0/HEAD",
        "range 0/TAIL",
        "range 1/HEAD",
        "range 1/TAIL",
        "range 2/HEAD",
        "range 2/TAIL",
        "stat 0/00.mtree.gz.gpg",
        "stat 1/00.mtree.gz.gpg",
        "stat 2/00.mtree.gz.gpg",
    ];
    assert_eq!(written.calls(true, unchanged), warm);
    // Without: every index and table of contents as well, once; and a call that finds out that
    // nothing is encrypted.
    let cold = written.calls(false, unchanged);
    let mut wanted: Vec<String> = warm[..7].iter().map(ToString::to_string).collect();
    wanted.extend((0..TREE.len()).map(|number| format!("range 0/{number:02}.mtree.gz")));
    wanted.extend(
        ["range 0/08.toc.gz", "range 1/00.mtree.gz", "range 1/01.mtree.gz", "range 1/01.toc.gz"]
            .map(String::from),
    );
    wanted.extend(
        ["range 2/00.mtree.gz", "range 2/01.mtree.gz", "range 2/01.toc.gz"].map(String::from),
    );
    let (probes, reads): (Vec<String>, Vec<String>) =
        cold.into_iter().partition(|call| call.ends_with(".gpg"));
    wanted.sort();
    assert_eq!(reads, wanted);
    assert_eq!(probes.len(), 4, "{probes:?}");
    // What the cache lacked is there now.
    std::fs::remove_dir_all(written._dir.path().join("cache")).unwrap();
    assert_eq!(written.calls(true, unchanged).len(), wanted.len() + 4);
    assert_eq!(written.calls(true, unchanged), warm);
}

#[test]
fn one_file() {
    for above in [0, 1, 4, 9] {
        let written = MemoryArchive::new(&TREE, above);
        let calls = written.calls(false, |archive| {
            assert_eq!(
                restored(archive, &["./a/b/c/file"]),
                ["./a/", "./a/b/", "./a/b/c/", "./a/b/c/file"]
            );
        });
        let mut wanted = vec!["list ".to_owned(), "range 0/04.tar".to_owned()];
        for tier in 0..=above {
            let (index, toc) = if tier == 0 { ("04", "08") } else { ("00", "01") };
            wanted.extend([
                format!("range {tier}/TAIL"),
                format!("range {tier}/{toc}.toc.gz"),
                format!("range {tier}/{index}.mtree.gz"),
            ]);
        }
        wanted.sort();
        let (probes, reads): (Vec<String>, Vec<String>) =
            calls.into_iter().partition(|call| call.ends_with(".gpg"));
        assert_eq!(reads, wanted);
        // Whether the archive is encrypted, and beside the tables whether each tier is.
        let (looks, guesses): (Vec<&String>, Vec<&String>) =
            probes.iter().partition(|call| call.starts_with("stat "));
        assert_eq!((guesses.len(), looks.len()), (1, above + 1), "{probes:?}");
    }
}

#[test]
fn one_file_with_a_warm_cache() {
    let written = MemoryArchive::new(&TREE, 3);
    let calls = written.calls(true, |archive| {
        assert_eq!(restored(archive, &["./changed"]), ["./changed"]);
    });
    // Which band is encrypted is not known before its first object comes; each is looked at while
    // the copies are read.
    assert_eq!(
        calls,
        [
            "list ",
            "range 0/TAIL",
            "range 1/TAIL",
            "range 2/TAIL",
            "range 3/01.tar",
            "range 3/01.tar.gpg",
            "range 3/TAIL",
            "stat 0/00.mtree.gz.gpg",
            "stat 1/00.mtree.gz.gpg",
            "stat 2/00.mtree.gz.gpg",
            "stat 3/00.mtree.gz.gpg"
        ]
    );
}

#[test]
fn a_directory_needs_the_indexes_of_what_is_below() {
    let written = MemoryArchive::new(&TREE, 0);
    let calls = written.calls(true, |archive| {
        assert_eq!(
            restored(archive, &["./a/b"]),
            ["./a/", "./a/b/", "./a/b/c/", "./a/b/c/file", "./a/b/c/other"]
        );
    });
    let blocks = calls.iter().filter(|call| call.ends_with(".tar")).count();
    assert_eq!(blocks, 4, "{calls:?}");
}

#[test]
fn listing_reads_each_index_once() {
    let mut written = MemoryArchive::new(&TREE, 2);
    let once = |calls: Vec<String>| {
        let mut indexes: BTreeMap<String, usize> = BTreeMap::new();
        calls
            .iter()
            .filter(|call| call.ends_with(".mtree.gz"))
            .for_each(|call| *indexes.entry(call.clone()).or_default() += 1);
        assert!(indexes.values().all(|count| *count == 1), "{calls:?}");
        indexes.len()
    };
    assert_eq!(
        once(written.calls(false, |archive| assert_eq!(listed(archive, None), TREE.len()))),
        TREE.len() + 4
    );
    assert_eq!(
        once(written.calls(true, |archive| assert_eq!(listed(archive, None), TREE.len()))),
        0
    );
    // An unfinished band, whose indexes have to be sorted out first.
    let parent = Parent { band: written.bands[2].clone(), id: BandId([3; 16]), last: 1 };
    written.band(&[entry("/", 5), entry("new", 5)], Some(parent), false);
    let latest = |archive| assert_eq!(listed(archive, Some("latest")), TREE.len() + 1);
    assert_eq!(once(written.calls(false, latest)), TREE.len() + 6);
    assert_eq!(once(written.calls(true, latest)), 0);
    // And to go on with it.
    let goes_on = |archive: Archive| {
        let out = diff(archive.vouched_by(None), &tree(3));
        assert!(out.contains("#after 000000001\n") && out.contains("#head dura-band:"), "{out}");
    };
    assert_eq!(once(written.calls(false, goes_on)), TREE.len() + 6);
    let warm = written.calls(true, goes_on);
    let reads: Vec<&String> =
        warm.iter().filter(|call| call.starts_with("range") && !call.ends_with("TAIL")).collect();
    assert_eq!(reads, ["range 0/HEAD", "range 1/HEAD", "range 2/HEAD", "range 3/HEAD"]);
}

/// A store that answers a call for an object of a kind only when so many are asked for at once.
struct Together {
    store: Arc<Memory>,
    suffix: &'static str,
    wanted: usize,
    asked: Mutex<usize>,
    changed: Condvar,
}

impl Store for Together {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.replace(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        if name.ends_with(self.suffix) {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            self.changed.notify_all();
            let waited = self
                .changed
                .wait_timeout_while(asked, Duration::from_secs(60), |asked| *asked < self.wanted)
                .unwrap();
            assert!(!waited.1.timed_out(), "{name} was asked for alone");
        }
        self.store.get(name)
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get_range(name, start, length)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.store.stat(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.store.list(folder)
    }
}

#[test]
fn tiers_are_read_side_by_side() {
    let written = MemoryArchive::new(&TREE, 5);
    // The newest band's TAIL is asked for before it is known which bands belong to it.
    for (suffix, wanted) in [("0Z/TAIL", 5), (".toc.gz", 6), (".mtree.gz", 6)] {
        let (store, asked, changed) = (written.store.clone(), Mutex::default(), Condvar::new());
        let newest = written.bands[5].clone();
        let together = Together {
            store,
            suffix,
            wanted: wanted + usize::from(suffix.ends_with("TAIL")),
            asked,
            changed,
        };
        if suffix.ends_with("TAIL") {
            *together.asked.lock().unwrap() += 1;
        }
        let archive = Arc::new(Archive::over(Arc::new(together), None));
        let chain = archive.chain(&newest).unwrap();
        let path = Path::from_raw(b"a/b/c/file");
        let mut version = Version::open_part(&archive, &chain, Some(&[path]), &report()).unwrap();
        assert!(version.next_entry().unwrap().is_some());
    }
}
