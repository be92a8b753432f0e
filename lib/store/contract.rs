//! What every store must do, whatever it is made of: one suite over all of them.

use super::local::Local;
use super::memory::Memory;
use super::{Kind, Remove, Store};

fn hold(store: &dyn Store) {
    let band = "20261101T020000Z";
    let name = |name: &str| format!("{band}/{name}");
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.list("no/such").unwrap(), []);
    assert_eq!(store.stat(&name("HEAD")).unwrap(), None);
    assert_eq!(store.get(&name("HEAD")).unwrap_err().kind, Kind::NotFound);

    store.put_new(&name("HEAD"), b"head").unwrap();
    store.put_new(&name("00000/000000000.tar.gz"), &[7; 100_000]).unwrap();
    assert_eq!(store.get(&name("HEAD")).unwrap(), b"head");
    assert_eq!(store.get(&name("00000/000000000.tar.gz")).unwrap(), [7; 100_000]);
    assert_eq!(store.stat(&name("HEAD")).unwrap(), Some(4));
    assert_eq!(store.stat(&name("00000")).unwrap(), None);

    // The second write is refused, even of the same bytes, and changes nothing.
    for bytes in [&b"head"[..], b"other", b""] {
        assert_eq!(store.put_new(&name("HEAD"), bytes).unwrap_err().kind, Kind::Exists);
        assert_eq!(store.get(&name("HEAD")).unwrap(), b"head");
    }

    assert_eq!(store.list("").unwrap(), [(format!("{band}/"), 0)]);
    assert_eq!(store.list(band).unwrap(), [("00000/".to_owned(), 0), ("HEAD".to_owned(), 4)]);
    assert_eq!(store.list(&name("00000")).unwrap(), [("000000000.tar.gz".to_owned(), 100_000)]);

    // An empty object counts as absent, and gives way to a real one.
    store.put_new(&name("TAIL"), b"").unwrap();
    assert_eq!(store.stat(&name("TAIL")).unwrap(), None);
    assert_eq!(store.get(&name("TAIL")).unwrap_err().kind, Kind::NotFound);
    store.put_new(&name("TAIL"), b"tail").unwrap();
    assert_eq!(store.get(&name("TAIL")).unwrap(), b"tail");
    assert_eq!(store.put_new(&name("TAIL"), b"x").unwrap_err().kind, Kind::Exists);
}

/// The second half, on what the first has left: parts of objects, and objects that are replaced.
fn hold_parts(store: &dyn Store) {
    let name = |name: &str| format!("20261101T020000Z/{name}");
    let bytes: Vec<u8> = (0..10_000u32).flat_map(|i| i.to_be_bytes()).collect();
    store.put_new(&name("00000/000000001.tar"), &bytes).unwrap();
    let range = |start, length| store.get_range(&name("00000/000000001.tar"), start, length).unwrap();
    for (start, length) in [(0, 1), (0, 40_000), (1, 3), (39_999, 1), (17, 20_000)] {
        assert_eq!(range(start, length), bytes[start as usize..][..length as usize], "{start} {length}");
    }
    assert_eq!(range(39_990, 100), bytes[39_990..]);
    assert_eq!(range(39_990, u64::MAX), bytes[39_990..]);
    for (start, length) in [(0, 0), (7, 0), (40_000, 1), (40_001, 100), (1 << 40, 1)] {
        assert_eq!(range(start, length), b"", "{start} {length}");
    }
    for absent in ["00000/000000002.tar", "00009/000090000.tar"] {
        assert_eq!(store.get_range(&name(absent), 0, 1).unwrap_err().kind, Kind::NotFound);
    }

    // What is replaced may be longer, shorter, the same, or not there; and it is an object like any other afterwards.
    for bytes in [&b"a longer head"[..], b"h", b"h", b"head"] {
        store.replace(&name("HEAD"), bytes).unwrap();
        assert_eq!(store.get(&name("HEAD")).unwrap(), bytes);
        assert_eq!(store.stat(&name("HEAD")).unwrap(), Some(bytes.len() as u64));
        assert_eq!(store.put_new(&name("HEAD"), b"other").unwrap_err().kind, Kind::Exists);
    }
    store.replace(&name("00001/000010000.tar"), b"new").unwrap();
    assert_eq!(store.get(&name("00001/000010000.tar")).unwrap(), b"new");
    let listed: Vec<_> = store.list("20261101T020000Z").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["00000/", "00001/", "HEAD", "TAIL"]);
}

/// What can be removed is gone then, and nothing else is.
fn remove(store: &dyn Remove) {
    for object in ["a/00000/0", "a/00000/1", "a/HEAD"] {
        store.put_new(object, b"x").unwrap();
    }
    store.remove("a/00000/0").unwrap();
    assert_eq!(store.list("a/00000").unwrap(), [("1".to_owned(), 1)]);
    assert_eq!(store.remove("a/00000/0").unwrap_err().kind, Kind::NotFound);
    store.put_new("a/00000/0", b"again").unwrap();
    for object in ["a/00000/0", "a/00000/1"] {
        store.remove(object).unwrap();
    }
    assert_eq!(store.list("a").unwrap(), [("HEAD".to_owned(), 1)]);
    store.remove("a/HEAD").unwrap();
    assert_eq!(store.list("").unwrap(), []);
    store.put_new("b/HEAD", b"x").unwrap();
}

fn race(store: &dyn Store) {
    let wins = |round: usize| {
        let name = format!("20261101T020000Z/00000/{round:09}.tar");
        let name = &name;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4u8).map(|i| scope.spawn(move || store.put_new(name, &[i; 5000]).is_ok())).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).filter(|won| *won).count()
        })
    };
    assert!((0..50).all(|round| wins(round) == 1));
}

fn hold_all(store: &dyn Store) {
    hold(store);
    hold_parts(store);
}

#[test]
fn memory() {
    hold_all(&Memory::default());
    race(&Memory::default());
    remove(&Memory::default());
}

#[test]
fn local() {
    let dir = tempfile::tempdir().unwrap();
    hold_all(&Local::new(dir.path().join("not/yet/there")));
    race(&Local::new(dir.path().join("race")));
    remove(&Local::new(dir.path().join("removed")));
}

#[test]
fn local_without_unnamed_files() {
    let dir = tempfile::tempdir().unwrap();
    hold_all(&Local::with_named_temporaries(dir.path().join("a")));
    race(&Local::with_named_temporaries(dir.path().join("b")));
    let left = walkdir::WalkDir::new(dir.path())
        .into_iter()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".dura"));
    assert_eq!(left.count(), 0);
}
