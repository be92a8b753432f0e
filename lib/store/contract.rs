//! What every store must do, whatever it is made of: one suite over all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::dav::Dav;
use super::durable::Way;
use super::faulty::Faulty;
use super::local::Local;
use super::memory::Memory;
use super::s3::{S3, Sources};
use super::sftp::Sftp;
use super::{Notice, Remove, Store, StoreErrorKind, UNSEEN, Word};

// Real servers on loopback; the black-box tests start the same.
#[path = "../../tests/util/servers.rs"]
#[allow(dead_code)]
mod servers;

fn hold(store: &dyn Store) {
    let band = "20261101T020000Z";
    let name = |name: &str| format!("{band}/{name}");
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.list("no/such").unwrap(), []);
    assert_eq!(store.stat(&name("HEAD")).unwrap(), None);
    assert_eq!(store.get(&name("HEAD")).unwrap_err().kind, StoreErrorKind::NotFound);

    store.put_new(&name("HEAD"), b"head").unwrap();
    store.put_new(&name("00000/000000000.tar.gz"), &[7; 100_000]).unwrap();
    assert_eq!(store.get(&name("HEAD")).unwrap(), b"head");
    assert_eq!(store.get(&name("00000/000000000.tar.gz")).unwrap(), [7; 100_000]);
    assert_eq!(store.stat(&name("HEAD")).unwrap(), Some(4));
    assert_eq!(store.stat(&name("00000")).unwrap(), None);

    // The second write is refused, even of the same bytes, and changes nothing.
    for bytes in [&b"head"[..], b"other", b""] {
        assert_eq!(store.put_new(&name("HEAD"), bytes).unwrap_err().kind, StoreErrorKind::Exists);
        assert_eq!(store.get(&name("HEAD")).unwrap(), b"head");
    }

    assert_eq!(store.list("").unwrap(), [(format!("{band}/"), 0)]);
    assert_eq!(store.list(band).unwrap(), [("00000/".to_owned(), 0), ("HEAD".to_owned(), 4)]);
    assert_eq!(store.list(&name("00000")).unwrap(), [("000000000.tar.gz".to_owned(), 100_000)]);

    // An empty object counts as absent, and gives way to a real one.
    store.put_new(&name("TAIL"), b"").unwrap();
    assert_eq!(store.stat(&name("TAIL")).unwrap(), None);
    assert_eq!(store.get(&name("TAIL")).unwrap_err().kind, StoreErrorKind::NotFound);
    store.put_new(&name("TAIL"), b"tail").unwrap();
    assert_eq!(store.get(&name("TAIL")).unwrap(), b"tail");
    assert_eq!(store.put_new(&name("TAIL"), b"x").unwrap_err().kind, StoreErrorKind::Exists);
}

/// The second half, on what the first has left: parts of objects, and objects that are replaced.
fn hold_parts(store: &dyn Store) {
    let name = |name: &str| format!("20261101T020000Z/{name}");
    let bytes: Vec<u8> = (0..10_000u32).flat_map(|i| i.to_be_bytes()).collect();
    store.put_new(&name("00000/000000001.tar"), &bytes).unwrap();
    let range =
        |start, length| store.get_range(&name("00000/000000001.tar"), start, length).unwrap();
    for (start, length) in [(0, 1), (0, 40_000), (1, 3), (39_999, 1), (17, 20_000)] {
        assert_eq!(
            range(start, length),
            bytes[start as usize..][..length as usize],
            "{start} {length}"
        );
    }
    assert_eq!(range(39_990, 100), bytes[39_990..]);
    assert_eq!(range(39_990, u64::MAX), bytes[39_990..]);
    for (start, length) in [(0, 0), (7, 0), (40_000, 1), (40_001, 100), (1 << 40, 1)] {
        assert_eq!(range(start, length), b"", "{start} {length}");
    }
    for absent in ["00000/000000002.tar", "00009/000090000.tar"] {
        assert_eq!(
            store.get_range(&name(absent), 0, 1).unwrap_err().kind,
            StoreErrorKind::NotFound
        );
    }

    // What is replaced may be longer, shorter, the same, or not there; and it is an object like any
    // other afterwards.
    for bytes in [&b"a longer head"[..], b"h", b"h", b"head"] {
        store.replace(&name("HEAD"), bytes).unwrap();
        assert_eq!(store.get(&name("HEAD")).unwrap(), bytes);
        assert_eq!(store.stat(&name("HEAD")).unwrap(), Some(bytes.len() as u64));
        assert_eq!(
            store.put_new(&name("HEAD"), b"other").unwrap_err().kind,
            StoreErrorKind::Exists
        );
    }
    store.replace(&name("00001/000010000.tar"), b"new").unwrap();
    assert_eq!(store.get(&name("00001/000010000.tar")).unwrap(), b"new");
    let listed: Vec<_> =
        store.list("20261101T020000Z").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["00000/", "00001/", "HEAD", "TAIL"]);
}

/// What can be removed is gone then, and nothing else is.
pub(super) fn remove(store: &dyn Remove) {
    for object in ["a/00000/0", "a/00000/1", "a/HEAD"] {
        store.put_new(object, b"x").unwrap();
    }
    store.remove("a/00000/0").unwrap();
    assert_eq!(store.list("a/00000").unwrap(), [("1".to_owned(), 1)]);
    assert_eq!(store.remove("a/00000/0").unwrap_err().kind, StoreErrorKind::NotFound);
    store.put_new("a/00000/0", b"again").unwrap();
    for object in ["a/00000/0", "a/00000/1"] {
        store.remove(object).unwrap();
    }
    assert_eq!(store.list("a/00000").unwrap(), []);
    assert_eq!(store.stat("a/HEAD").unwrap(), Some(1));
    store.remove("a/HEAD").unwrap();
    assert!(store.list("a").unwrap().iter().all(|(name, _)| name.ends_with('/')));
    store.put_new("b/HEAD", b"x").unwrap();
}

pub(super) fn race(store: &dyn Store) {
    let wins = |round: usize| {
        let name = format!("20261101T020000Z/00000/{round:09}.tar");
        let name = &name;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4u8)
                .map(|i| scope.spawn(move || store.put_new(name, &[i; 5000]).is_ok()))
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).filter(|won| *won).count()
        })
    };
    assert!((0..50).all(|round| wins(round) == 1));
}

pub(super) fn hold_all(store: &dyn Store) {
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
fn faulty_with_its_faults_off() {
    hold_all(&Faulty::new(Memory::default()));
    race(&Faulty::new(Memory::default()));
}

#[test]
fn local() {
    let dir = tempfile::tempdir().unwrap();
    hold_all(&Local::new(dir.path().join("not/yet/there")));
    race(&Local::new(dir.path().join("race")));
    let removed = Local::new(dir.path().join("removed"));
    remove(&removed);
    // Folders go with what was in them.
    assert_eq!(removed.list("").unwrap(), [("b/".to_owned(), 0)]);
}

#[test]
fn local_without_unnamed_files() {
    let dir = tempfile::tempdir().unwrap();
    hold_all(&Local::knowing(dir.path().join("a"), Way::Renamed));
    race(&Local::knowing(dir.path().join("b"), Way::Renamed));
    let left = walkdir::WalkDir::new(dir.path())
        .into_iter()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".dura"));
    assert_eq!(left.count(), 0);
}

/// Whoever may write into the directory may put anything in the place of an object.
#[test]
fn local_opens_nothing_but_regular_files() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("20261101T020000Z").join(name);
    std::fs::create_dir_all(at("00000/000000003.tar")).unwrap();
    std::fs::write(dir.path().join("secret"), b"of another").unwrap();
    std::os::unix::fs::symlink("../../secret", at("HEAD")).unwrap();
    std::os::unix::fs::symlink("000000000.tar", at("00000/000000000.tar")).unwrap();
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    mknodat(CWD, at("TAIL"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(at("00000/000000001.tar")).unwrap();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let notice: Notice = Arc::new(move |word: Word<'_>| {
        let Word::Flaw(error) = word else { return };
        hearing.lock().unwrap().push(error.at.rsplit('/').next().unwrap().to_owned());
    });
    let store = Local::with(dir.path(), notice);
    for name in
        ["HEAD", "TAIL", "00000/000000000.tar", "00000/000000001.tar", "00000/000000003.tar"]
    {
        let name = format!("20261101T020000Z/{name}");
        assert_eq!(store.get(&name).unwrap_err().kind, StoreErrorKind::Damaged, "{name}");
        assert_eq!(
            store.get_range(&name, 0, 9).unwrap_err().kind,
            StoreErrorKind::Damaged,
            "{name}"
        );
        assert_eq!(store.stat(&name).unwrap(), None, "{name}");
        assert_eq!(store.put_new(&name, b"x").unwrap_err().kind, StoreErrorKind::Exists, "{name}");
    }
    drop(socket);
    // What cannot be examined costs nothing else of the listing.
    let top = store.list("").unwrap();
    let names: Vec<&str> = top.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["20261101T020000Z/", "loop", "secret"]);
    assert_eq!(top[1].1, UNSEEN);
    assert_eq!(store.list("20261101T020000Z/00000").unwrap()[0].1, UNSEEN);
    assert_eq!(*heard.lock().unwrap(), ["loop", "000000000.tar"]);
    // No object is as large: none of it is read, and no room is made for it.
    for (name, size) in [("TAIL.sig", 2 << 20), ("00000/000000005.tar", 3u64 << 30)] {
        std::fs::File::create(at(name)).unwrap().set_len(size).unwrap();
        let error = store.get(&format!("20261101T020000Z/{name}")).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Damaged, "{name}");
    }
}

#[test]
fn local_written_in_place() {
    let dir = tempfile::tempdir().unwrap();
    hold_all(&Local::knowing(dir.path().join("a"), Way::InPlace));
    race(&Local::knowing(dir.path().join("b"), Way::InPlace));
}

/// The server is one for all, and each suite has an archive of its own in it.
fn on_server(
    server: &servers::Server,
    open: &dyn Fn(&str, Notice) -> Box<dyn Remove>,
    overwrites: bool,
) {
    let told = Arc::new(AtomicUsize::new(0));
    let opened = |archive: &str| {
        let told = Arc::clone(&told);
        let notice = move |_: Word<'_>| {
            told.fetch_add(1, Ordering::Relaxed);
        };
        open(&server.archive(archive), Arc::new(notice))
    };
    let store = opened("one");
    hold_all(store.as_ref());
    assert_eq!(told.load(Ordering::Relaxed), usize::from(overwrites));
    // For another run the second write is refused as well, whatever it writes first.
    let again = opened("one");
    assert_eq!(
        again.put_new("20261101T020000Z/HEAD", b"other").unwrap_err().kind,
        StoreErrorKind::Exists
    );
    assert_eq!(
        again.put_new("20261101T020000Z/00000/000000000.tar.gz", b"other").unwrap_err().kind,
        StoreErrorKind::Exists
    );
    assert_eq!(again.get("20261101T020000Z/HEAD").unwrap(), b"head");
    remove(opened("two").as_ref());
    // More names than one page has.
    if server.folder("").is_some() {
        let listed = opened("three").list("many").unwrap();
        assert_eq!(listed.len(), MANY);
        assert_eq!(listed[MANY - 1], ("000002099.tar".to_owned(), 1));
    }
}

const MANY: usize = 2100;

/// A directory to serve, with many small objects in it already, which is quicker than writing them
/// through the server.
fn served() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("store/three/many");
    std::fs::create_dir_all(&folder).unwrap();
    for i in 0..MANY {
        std::fs::write(folder.join(format!("{i:09}.tar")), b"x").unwrap();
    }
    dir
}

fn bucket(server: &servers::Server, name: &str, notice: Notice) -> Box<dyn Remove> {
    let endpoint = server.endpoint();
    let variable = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some(servers::KEY.to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(servers::SECRET.to_owned()),
        "AWS_ENDPOINT_URL" => Some(endpoint.clone()),
        _ => None,
    };
    Box::new(
        S3::with(name, &Sources { variable: &variable, file: &|_| None }, None, notice).unwrap(),
    )
}

#[test]
fn s3_of_rclone_which_overwrites() {
    let server = servers::rclone_s3_in(served());
    on_server(&server, &|name, notice| bucket(&server, name, notice), true);
}

#[test]
fn s3_of_moto_which_keeps_the_condition() {
    let server = servers::moto();
    on_server(&server, &|name, notice| bucket(&server, name, notice), false);
}

#[test]
fn webdav_of_rclone_which_overwrites() {
    let server = servers::rclone_webdav_in(served());
    let variable = |name: &str| match name {
        "DURA_DAV_USER" => Some(servers::KEY.to_owned()),
        "DURA_DAV_PASSWORD" => Some(servers::SECRET.to_owned()),
        _ => None,
    };
    let open = |name: &str, notice: Notice| -> Box<dyn Remove> {
        Box::new(Dav::with(name, &variable, &|_| None, None, notice).unwrap())
    };
    on_server(&server, &open, true);
}

#[test]
fn ssh_of_openssh_which_refuses() {
    let server = servers::sshd_in(served());
    let open = |name: &str, notice: Notice| -> Box<dyn Remove> {
        Box::new(Sftp::with(name, Some(server.ssh()), None, notice).unwrap())
    };
    on_server(&server, &open, false);
}
