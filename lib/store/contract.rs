//! What every store must do, whatever it is made of: one suite over all of them.

use super::local::Local;
use super::memory::Memory;
use super::{Kind, Store};

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

#[test]
fn memory() {
    hold(&Memory::default());
    race(&Memory::default());
}

#[test]
fn local() {
    let dir = tempfile::tempdir().unwrap();
    hold(&Local::new(dir.path().join("not/yet/there")));
    race(&Local::new(dir.path().join("race")));
}

#[test]
fn local_without_unnamed_files() {
    let dir = tempfile::tempdir().unwrap();
    hold(&Local::with_named_temporaries(dir.path().join("a")));
    race(&Local::with_named_temporaries(dir.path().join("b")));
    let left = walkdir::WalkDir::new(dir.path())
        .into_iter()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".dura"));
    assert_eq!(left.count(), 0);
}
