//! A real SFTP server behind a relay that changes what goes through it, and servers that answer as
//! they should not.

use std::collections::HashSet;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::link::Wire;
use super::*;
use crate::store::contract::{hold_all, race, remove};
use crate::store::hostile::hearing;
use crate::store::{UNSEEN, unheard};

mod lies;

const SERVER: &str = "/usr/lib/openssh/sftp-server";
const HEAD: &str = "20261101T020000Z/HEAD";
const BLOCK: &str = "20261101T020000Z/00000/000000000.tar";

/// What a relay does with a request.
enum Act {
    Forward(Vec<u8>),
    /// Sends this back instead.
    Answer(Vec<u8>),
    Cut,
    /// The server has it, and nobody hears of that.
    ForwardAndCut(Vec<u8>),
}

fn read_packet(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut body).ok().map(|()| body)
}

fn sized(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

/// Two ends of a connection: ours, and what the other side reads and writes.
fn wire() -> (Wire, PipeReader, PipeWriter) {
    let ((theirs, to), (from, back)) = (pipe().unwrap(), pipe().unwrap());
    let (to, from) = (OwnedFd::from(to).into(), OwnedFd::from(from).into());
    (Wire { to, from, program: None }, theirs, back)
}

/// A connection to the system's server, with something between for each request and for what the
/// server says first.
fn relay(
    options: &[&str],
    mut each: impl FnMut(Vec<u8>) -> Act + Send + 'static,
    greet: impl Fn(Vec<u8>) -> Vec<u8> + Send + 'static,
) -> Wire {
    let (wire, mut theirs, back) = wire();
    let mut server = Command::new(SERVER)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let back = Arc::new(Mutex::new(Some(back)));
    let answers = Arc::clone(&back);
    std::thread::spawn(move || {
        let say = |bytes: &[u8]| {
            if let Some(back) = &mut *lock(&answers) {
                drop(back.write_all(bytes));
            }
        };
        while let Some(packet) = read_packet(&mut theirs) {
            match if packet[0] == 1 { Act::Forward(packet) } else { each(packet) } {
                Act::Forward(packet) => drop(to.write_all(&sized(&packet))),
                Act::Answer(packet) => say(&sized(&packet)),
                Act::Cut => break,
                Act::ForwardAndCut(packet) => {
                    // Nothing comes back any more, and the server ends when it has done it.
                    lock(&answers).take();
                    drop(to.write_all(&sized(&packet)));
                    break;
                }
            }
        }
        drop(to);
        drop(server.wait());
        lock(&answers).take();
    });
    std::thread::spawn(move || {
        while let Some(packet) = read_packet(&mut from) {
            let packet = if packet[0] == 2 { greet(packet) } else { packet };
            if let Some(back) = &mut *lock(&back) {
                drop(back.write_all(&sized(&packet)));
            }
        }
    });
    wire
}

/// A store in a directory, over connections that are made so.
fn store_in(dir: &Path, notice: Notice, dial: Box<Dial>) -> Sftp {
    let root = dir.to_str().unwrap();
    let idle = Duration::from_secs(20);
    Sftp::over(root.as_bytes().to_vec(), "ssh://nas/b".to_owned(), dial, idle, notice)
}

fn plain(dir: &Path) -> Sftp {
    store_in(dir, unheard(), Box::new(|| Ok(relay(&[], Act::Forward, |first| first))))
}

fn without_extensions(first: Vec<u8>) -> Vec<u8> {
    first[..5].to_vec()
}

/// The paths below a directory, of files.
fn files_in(dir: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(|entry| entry.path().strip_prefix(dir).unwrap().display().to_string()).collect()
}

fn status(id: &[u8], code: u32) -> Vec<u8> {
    [&[101], id, &code.to_be_bytes(), &[0; 8]].concat()
}

/// All that a store does, with one server and some connections; nothing temporary is left.
#[test]
fn a_server_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = plain(&dir.path().join("not/yet"));
    hold_all(&store);
    race(&plain(&dir.path().join("race")));
    let removed = plain(&dir.path().join("removed"));
    remove(&removed);
    assert_eq!(removed.list("").unwrap(), [("b/".to_owned(), 0)]);
    drop((store, removed));
    assert!(files_in(dir.path()).iter().all(|path| !path.contains(TEMPORARY)));
    let mode = |path: &str| {
        let path = dir.path().join(path);
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777
    };
    assert_eq!(mode("removed/b/HEAD") & 0o333, 0);
}

/// Without any extension the rename of the server is tried, and found to refuse.
#[test]
fn a_server_without_extensions() {
    let dir = tempfile::tempdir().unwrap();
    let (notice, heard) = hearing();
    let dial = || Ok(relay(&[], Act::Forward, without_extensions));
    hold_all(&store_in(&dir.path().join("a"), notice, Box::new(dial)));
    race(&store_in(&dir.path().join("b"), unheard(), Box::new(dial)));
    assert!(files_in(dir.path()).iter().all(|path| !path.contains(TEMPORARY)));
    let heard = heard.lock().unwrap();
    assert_eq!(*heard, [NO_FLUSH, NO_LINK].map(|text| format!("note {text}")));
}

/// One whose rename replaces, and one that lies of its links, are written to in place.
#[test]
fn servers_that_replace() {
    let over = |packet: Vec<u8>| match packet[0] {
        18 => {
            let name = [&(MOVE_OVER.len() as u32).to_be_bytes(), MOVE_OVER.as_bytes()].concat();
            Act::Forward([&[200], &packet[1..5], &name, &packet[5..]].concat())
        }
        _ => Act::Forward(packet),
    };
    let dir = tempfile::tempdir().unwrap();
    let (notice, heard) = hearing();
    let dial = move || Ok(relay(&[], over, without_extensions));
    let store = store_in(dir.path(), notice, Box::new(dial));
    hold_all(&store);
    drop(store);
    assert!(files_in(dir.path()).iter().all(|path| !path.contains(TEMPORARY)));
    assert_eq!(*heard.lock().unwrap(), [NO_FLUSH, IN_PLACE].map(|text| format!("note {text}")));

    let dir = tempfile::tempdir().unwrap();
    let (notice, heard) = hearing();
    let dial = || {
        let mut linked = HashSet::new();
        let lies = move |packet: Vec<u8>| match packet[0] {
            200 if packet[9..].starts_with(HARD_LINK.as_bytes())
                && !linked.insert(packet[5..].to_vec()) =>
            {
                Act::Answer(status(&packet[1..5], code::OK))
            }
            _ => Act::Forward(packet),
        };
        Ok(relay(&[], lies, |first| first))
    };
    let store = store_in(dir.path(), notice, Box::new(dial));
    hold_all(&store);
    assert_eq!(*heard.lock().unwrap(), [format!("note {IN_PLACE}")]);
}

/// A server that lets nothing be changed or removed stores all the same.
#[test]
fn a_server_that_only_adds() {
    let dir = tempfile::tempdir().unwrap();
    let (notice, heard) = hearing();
    let denied = "remove,rmdir,rename,posix-rename,symlink,setstat,fsetstat,lsetstat,copy-data";
    let dial = || Ok(relay(&["-P", denied], Act::Forward, |first| first));
    let store = store_in(dir.path(), notice, Box::new(dial));
    for (name, bytes) in [(HEAD, &b"head"[..]), (BLOCK, &[7; 100_000])] {
        store.put_new(name, bytes).unwrap();
        assert_eq!(store.put_new(name, b"x").unwrap_err().kind, StoreErrorKind::Exists);
        assert_eq!(store.replace(name, b"x").unwrap_err().kind, StoreErrorKind::Denied);
        assert_eq!(store.remove(name).unwrap_err().kind, StoreErrorKind::Denied);
        assert_eq!(store.get(name).unwrap(), bytes);
    }
    drop(store);
    assert!(files_in(dir.path()).len() > 2);
    assert_eq!(*heard.lock().unwrap(), [format!("note {NO_REMOVAL}")]);
}

/// What may be asked again after a connection broke.
fn again<T>(deed: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    match deed() {
        Err(error) if error.kind.may_pass() => deed(),
        other => other,
    }
}

/// A small archive is written, read, mended and removed, whatever breaks once.
fn small_archive(store: &Sftp) -> Result<(), StoreError> {
    let block = [9; 70_000];
    // A write whose answer was lost has been done.
    let put = |name, bytes: &[u8]| match again(|| store.put_new(name, bytes)) {
        Err(error) if error.kind != StoreErrorKind::Exists => Err(error),
        _ => again(|| store.get(name)).map(|there| assert_eq!(there, bytes)),
    };
    put(HEAD, b"head")?;
    put(BLOCK, &block)?;
    put("20261101T020000Z/TAIL", b"t")?;
    again(|| store.replace(HEAD, b"mended"))?;
    assert_eq!(again(|| store.stat(HEAD))?, Some(6));
    assert_eq!(again(|| store.get_range(BLOCK, 33_000, 40_000))?, block[33_000..]);
    let left = |(name, _): &(String, u64)| !name.starts_with(TEMPORARY);
    let listed = again(|| store.list("20261101T020000Z"))?;
    assert_eq!(listed.iter().filter(|entry| left(entry)).count(), 3);
    match again(|| store.remove(BLOCK)) {
        Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
        _ => put(BLOCK, b"again"),
    }
}

/// The connection breaks at each request, before or after the server has it.
#[test]
fn connections_that_break_at_each_request() {
    let run = |cut: usize, after: bool, greet: fn(Vec<u8>) -> Vec<u8>| {
        let dir = tempfile::tempdir().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&count);
        let dial = move || {
            let counts = Arc::clone(&counts);
            let each = move |packet| match counts.fetch_add(1, Ordering::Relaxed) {
                number if number != cut => Act::Forward(packet),
                _ if after => Act::ForwardAndCut(packet),
                _ => Act::Cut,
            };
            Ok(relay(&[], each, greet))
        };
        let store = store_in(dir.path(), unheard(), Box::new(dial));
        small_archive(&store).unwrap_or_else(|error| panic!("{cut} {after}: {error:?}"));
        drop(store);
        let files = files_in(dir.path());
        let (left, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| path.contains(TEMPORARY));
        assert!(left.len() <= 1, "{cut} {after}: {left:?}");
        let wanted = [BLOCK, HEAD, "20261101T020000Z/TAIL"];
        assert_eq!(files, wanted, "{cut} {after}");
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        assert_eq!((read(BLOCK), read(HEAD)), (b"again".to_vec(), b"mended".to_vec()));
        count.load(Ordering::Relaxed)
    };
    // One of the two ways for each request, and some of the requests where there are no extensions.
    for (greet, stride) in [((|first| first) as fn(Vec<u8>) -> Vec<u8>, 1), (without_extensions, 4)]
    {
        let requests = run(usize::MAX, false, greet);
        assert!((40..120).contains(&requests), "{requests}");
        let cases: Vec<_> =
            (0..requests).step_by(stride).enumerate().map(|(nth, at)| (at, nth % 2 == 1)).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some((at, after)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        run(*at, *after, greet);
                    }
                });
            }
        });
    }
}

/// Many callers share few connections, and one that broke is made again.
#[test]
fn few_connections_for_many() {
    let dir = tempfile::tempdir().unwrap();
    let made = Arc::new(AtomicUsize::new(0));
    let makes = Arc::clone(&made);
    let dial = move || {
        makes.fetch_add(1, Ordering::Relaxed);
        Ok(relay(&[], Act::Forward, |first| first))
    };
    let store = store_in(dir.path(), unheard(), Box::new(dial));
    std::thread::scope(|scope| {
        for i in 0..32 {
            let store = &store;
            scope.spawn(move || {
                for j in 0..4 {
                    store.put_new(&format!("a/00000/{i}-{j}"), &vec![i; 300_000]).unwrap();
                }
            });
        }
    });
    assert_eq!(store.list("a/00000").unwrap().len(), 128);
    assert!((2..=4).contains(&made.load(Ordering::Relaxed)));
}

/// Each request of an object is needed: the file and its folder are opened, the file written,
/// flushed, closed and linked, the folder flushed and closed, the temporary name removed.
#[test]
fn what_an_object_costs() {
    let dir = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    let dial = move || {
        let counts = Arc::clone(&counts);
        let each = move |packet| {
            counts.fetch_add(1, Ordering::SeqCst);
            Act::Forward(packet)
        };
        Ok(relay(&[], each, |first| first))
    };
    let store = store_in(dir.path(), unheard(), Box::new(dial));
    // What nobody waits for has gone before the next answer.
    let costs = |deed: &dyn Fn()| {
        store.stat(HEAD).unwrap();
        let before = count.load(Ordering::SeqCst);
        deed();
        store.stat(HEAD).unwrap();
        count.load(Ordering::SeqCst) - before - 1
    };
    store.put_new(HEAD, b"head").unwrap();
    store.put_new(BLOCK, &[7; 100_000]).unwrap();
    let tail = "20261101T020000Z/TAIL";
    assert_eq!(costs(&|| store.put_new(tail, b"tail").unwrap()), 9);
    assert_eq!(costs(&|| drop(store.get(tail).unwrap())), 4);
    assert_eq!(costs(&|| drop(store.get(BLOCK).unwrap())), 7);
    assert_eq!(costs(&|| drop(store.get_range(BLOCK, 40_000, 10).unwrap())), 4);
    assert_eq!(costs(&|| assert_eq!(store.stat(tail).unwrap(), Some(4))), 1);
    // Two pages are asked for at once; how many more is a matter of what comes first.
    assert!((4..=7).contains(&costs(&|| drop(store.list("20261101T020000Z").unwrap()))));
}

/// What lies in the place of an object is not followed, and not waited for.
#[test]
fn what_is_no_file_is_not_opened() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("20261101T020000Z").join(name);
    std::fs::create_dir_all(at("00000")).unwrap();
    std::fs::write(dir.path().join("secret"), b"of another").unwrap();
    std::os::unix::fs::symlink("../secret", at("HEAD")).unwrap();
    std::os::unix::fs::symlink("20261101T020000Z", dir.path().join("linked")).unwrap();
    mknodat(CWD, at("TAIL"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let store = plain(dir.path());
    for name in ["HEAD", "TAIL", "00000"] {
        let name = format!("20261101T020000Z/{name}");
        assert_eq!(store.get(&name).unwrap_err().kind, StoreErrorKind::Damaged, "{name}");
        let part = store.get_range(&name, 0, 9).unwrap_err();
        assert_eq!(part.kind, StoreErrorKind::Damaged, "{name}");
        assert_eq!(store.stat(&name).unwrap(), None, "{name}");
        assert_eq!(store.put_new(&name, b"x").unwrap_err().kind, StoreErrorKind::Exists, "{name}");
    }
    let names = ["00000/", "HEAD", "TAIL"].map(str::to_owned);
    let sizes = [0, UNSEEN, UNSEEN];
    let wanted: Vec<_> = names.into_iter().zip(sizes).collect();
    assert_eq!(store.list("20261101T020000Z").unwrap(), wanted);
    assert_eq!(store.list("").unwrap()[1].0, "linked/");
    std::fs::File::create(at("TAIL.sig")).unwrap().set_len(2 << 20).unwrap();
    let error = store.get("20261101T020000Z/TAIL.sig").unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged);
}

/// A failure is one of room if the server has none.
#[test]
fn a_disk_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let full = |packet: Vec<u8>| match packet[0] {
        6 => Act::Answer(status(&packet[1..5], code::FAILURE)),
        200 if packet[9..].starts_with(ROOM.as_bytes()) => {
            Act::Answer([&[201], &packet[1..5], &[0; 88]].concat())
        }
        _ => Act::Forward(packet),
    };
    let dial = move || Ok(relay(&[], full, |first| first));
    let store = store_in(dir.path(), unheard(), Box::new(dial));
    assert_eq!(store.put_new(HEAD, b"head").unwrap_err().kind, StoreErrorKind::NoSpace);
    drop(store);
    assert_eq!(files_in(dir.path()), [""; 0]);
}

/// What a program that is not ssh says.
#[test]
fn programs_that_are_no_ssh() {
    let address = SshAddress::parse("ssh://nas/b").unwrap();
    let said = |ssh: &str| {
        let idle = Duration::from_secs(2);
        let dial = links::dial(address.clone(), Some(ssh.to_owned()), idle);
        let store = Sftp::over(b"/b".to_vec(), "ssh://nas/b".to_owned(), dial, idle, unheard());
        let error = store.get(HEAD).unwrap_err();
        (error.kind, error.source.to_string())
    };
    let (kind, text) = said("echo Welcome to nas");
    assert_eq!(kind, StoreErrorKind::Other);
    assert!(
        text.contains("prints text instead of speaking SFTP: Welcome to nas -o Batch"),
        "{text}"
    );
    assert_eq!(said("false").0, StoreErrorKind::Passing);
    let (kind, text) = said("/no/such/ssh -v");
    assert_eq!(kind, StoreErrorKind::Other);
    assert!(text.contains("/no/such/ssh: cannot be started"), "{text}");
}
