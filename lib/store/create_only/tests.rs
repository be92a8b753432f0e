//! Servers that keep the condition, ignore it, or do not understand it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A server in memory, and what it was asked.
#[derive(Default)]
struct MemoryServer {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    calls: Mutex<Vec<String>>,
    overwrites: bool,
    refuses: bool,
    /// How many bytes the next writes keep before they fail; `None` for one that succeeds.
    torn: Mutex<VecDeque<Option<usize>>>,
    /// How many bytes it keeps of what it confirms.
    keeps: Option<usize>,
}

impl MemoryServer {
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl Conditional for MemoryServer {
    fn put(&self, name: &str, bytes: &[u8], only_new: bool) -> Result<Put, StoreError> {
        self.calls.lock().unwrap().push(format!("{} {name}", if only_new { "new" } else { "put" }));
        let mut objects = self.objects.lock().unwrap();
        if only_new && self.refuses {
            return Ok(Put::NotUnderstood);
        }
        if only_new && !self.overwrites && objects.contains_key(name) {
            return Ok(Put::Exists);
        }
        let torn = self.torn.lock().unwrap().pop_front().flatten();
        let kept = torn.or(self.keeps).unwrap_or(bytes.len());
        objects.insert(name.to_owned(), bytes[..kept].to_vec());
        match torn {
            Some(_) => Err(StoreError::of(StoreErrorKind::Passing, name, "cut")),
            None => Ok(Put::Done),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.calls.lock().unwrap().push(format!("look {name}"));
        Ok(self.objects.lock().unwrap().get(name).map(|bytes| bytes.len() as u64))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.calls.lock().unwrap().push(format!("read {name}"));
        let there = self.objects.lock().unwrap().get(name).cloned();
        there.ok_or_else(|| StoreError::of(StoreErrorKind::NotFound, name, "gone"))
    }

    fn shown(&self, name: &str) -> String {
        name.to_owned()
    }
}

fn writer() -> (CreateOnly, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let notice = move |_: Word<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    (CreateOnly::new(Arc::new(notice)), told)
}

/// Calls in stages: what is asked side by side comes in any order.
#[track_caller]
fn assert_calls(server: &MemoryServer, stages: &[&[&str]]) {
    let mut calls = server.calls().into_iter();
    for stage in stages {
        let mut next: Vec<String> = calls.by_ref().take(stage.len()).collect();
        let mut wanted = stage.to_vec();
        next.sort();
        wanted.sort_unstable();
        assert_eq!(next, wanted);
    }
    assert_eq!(calls.next(), None);
}

#[test]
fn one_that_keeps_the_condition_is_seen_by_the_second_write_of_head() {
    let (server, (once, told)) = (MemoryServer::default(), writer());
    for name in ["a/HEAD", "a/0", "a/TAIL"] {
        once.put_new(&server, name, b"x").unwrap();
    }
    let found_out: &[&[&str]] = &[
        &["look a/HEAD"],
        &["new a/HEAD"],
        &["look a/0", "read a/HEAD"],
        &["new a/0", "new a/HEAD"],
    ];
    assert_calls(&server, &[found_out, &[&["new a/TAIL"]]].concat());
    assert_eq!(once.put_new(&server, "a/0", b"y").unwrap_err().kind, StoreErrorKind::Exists);
    assert_eq!(told.load(Ordering::Relaxed), 0);
}

#[test]
fn one_that_ignores_it_is_looked_at_before_each_write() {
    let (server, (once, told)) =
        (MemoryServer { overwrites: true, ..MemoryServer::default() }, writer());
    for name in ["a/HEAD", "a/0", "a/1", "a/TAIL"] {
        once.put_new(&server, name, b"x").unwrap();
    }
    let found_out: &[&[&str]] = &[
        &["look a/HEAD"],
        &["new a/HEAD"],
        &["look a/0", "read a/HEAD"],
        &["new a/0", "new a/HEAD"],
    ];
    let then: &[&[&str]] =
        &[&["look a/1"], &["new a/1"], &["look a/TAIL", "read a/HEAD"], &["new a/TAIL"]];
    assert_calls(&server, &[found_out, then].concat());
    assert_eq!(once.put_new(&server, "a/0", b"y").unwrap_err().kind, StoreErrorKind::Exists);
    assert_eq!(server.objects.lock().unwrap()["a/0"], b"x");
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[test]
fn one_that_does_not_understand_it_gets_plain_writes_after_a_look() {
    let (server, (once, told)) =
        (MemoryServer { refuses: true, ..MemoryServer::default() }, writer());
    for name in ["a/HEAD", "a/0"] {
        once.put_new(&server, name, b"x").unwrap();
    }
    assert_calls(
        &server,
        &[
            &["look a/HEAD"],
            &["new a/HEAD"],
            &["put a/HEAD"],
            &["look a/0", "read a/HEAD"],
            &["put a/0"],
        ],
    );
    assert_eq!(once.put_new(&server, "a/0", b"y").unwrap_err().kind, StoreErrorKind::Exists);
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

/// A look ahead is the one before the write, once, and not for long; where the server refuses by
/// itself there is none.
#[test]
fn a_look_ahead_serves_one_write_soon_after() {
    let (server, (once, _)) =
        (MemoryServer { overwrites: true, ..MemoryServer::default() }, writer());
    for name in ["a/HEAD", "a/0"] {
        once.look_ahead(&server, name);
        once.put_new(&server, name, b"x").unwrap();
    }
    once.look_ahead(&server, "a/TAIL");
    once.put_new(&server, "a/TAIL", b"x").unwrap();
    let before: &[&[&str]] = &[
        &["look a/HEAD"],
        &["new a/HEAD"],
        &["look a/0", "read a/HEAD"],
        &["new a/0", "new a/HEAD"],
    ];
    assert_calls(&server, &[before, &[&["look a/TAIL", "read a/HEAD"], &["new a/TAIL"]]].concat());
    // What is there was not seen to be absent, and a second write looks for itself.
    once.look_ahead(&server, "a/0");
    for _ in 0..2 {
        assert_eq!(once.put_new(&server, "a/0", b"y").unwrap_err().kind, StoreErrorKind::Exists);
    }
    server.calls();
    once.look_ahead(&server, "a/1");
    let old = Instant::now().checked_sub(2 * LOOK_HOLDS).unwrap();
    once.state().ahead.insert("a/1".to_owned(), Ok(old));
    server.objects.lock().unwrap().insert("a/1".to_owned(), b"theirs".to_vec());
    assert_eq!(once.put_new(&server, "a/1", b"ours").unwrap_err().kind, StoreErrorKind::Exists);
    let (server, (once, _)) = (MemoryServer::default(), writer());
    ["a/HEAD", "a/0"].iter().for_each(|name| once.put_new(&server, name, b"x").unwrap());
    server.calls();
    once.look_ahead(&server, "a/1");
    assert_eq!(server.calls(), [""; 0]);
}

/// Two that look for HEAD before either has written it: only the one who wrote it last writes more,
/// whoever is ahead of the other.
#[test]
fn of_two_that_write_one_band_at_most_one_goes_on() {
    for late in ["HEAD", "0", "1"] {
        let server = MemoryServer { overwrites: true, ..MemoryServer::default() };
        let ((first, _), (second, _)) = (writer(), writer());
        second.look_ahead(&server, "a/HEAD");
        let mut ended = Vec::new();
        for name in ["HEAD", "0", "1", "TAIL"] {
            ended.push(
                first.put_new(&server, &format!("a/{name}"), b"first").map_err(|error| error.kind),
            );
            if name == late {
                second.put_new(&server, "a/HEAD", b"second").unwrap();
            }
        }
        assert_eq!(ended.last(), Some(&Err(StoreErrorKind::Overtaken)), "{late}: {ended:?}");
        let gone_on = second.put_new(&server, "a/0", b"second").map_err(|error| error.kind);
        assert_eq!(gone_on, if late == "HEAD" { Ok(()) } else { Err(StoreErrorKind::Exists) });
        assert!(!server.objects.lock().unwrap().contains_key("a/TAIL"));
    }
}

/// The second write of HEAD may be cut off in the middle, and leave a piece of it.
#[test]
fn a_head_that_was_cut_is_made_whole() {
    let (server, (once, _)) =
        (MemoryServer { overwrites: true, ..MemoryServer::default() }, writer());
    once.put_new(&server, "a/HEAD", b"whole").unwrap();
    server.objects.lock().unwrap().insert("a/HEAD".to_owned(), b"who".to_vec());
    once.put_new(&server, "a/TAIL", b"x").unwrap();
    assert_eq!(server.objects.lock().unwrap()["a/HEAD"], b"whole");
}

/// But where nothing, or a piece, is all that is ever kept, nothing follows.
#[test]
fn a_head_of_which_a_piece_is_kept_is_followed_by_nothing() {
    for (overwrites, kept) in [(false, 0), (false, 3), (true, 0), (true, 3)] {
        let server = MemoryServer { overwrites, keeps: Some(kept), ..MemoryServer::default() };
        let (once, _) = writer();
        once.put_new(&server, "a/HEAD", b"whole").unwrap();
        for name in ["a/0", "a/1", "a/TAIL"] {
            assert_eq!(
                once.put_new(&server, name, b"x").unwrap_err().kind,
                StoreErrorKind::Passing
            );
        }
        assert_eq!(server.objects.lock().unwrap().len(), 1);
    }
}

#[test]
fn a_large_object_is_not_sent_twice_to_find_out() {
    let (server, (once, _)) = (MemoryServer::default(), writer());
    once.put_new(&server, "a/0", &[1; SMALL + 1]).unwrap();
    once.put_new(&server, "a/1", b"x").unwrap();
    once.put_new(&server, "a/2", &[1; SMALL + 1]).unwrap();
    assert_eq!(
        server.calls(),
        ["look a/0", "new a/0", "look a/1", "new a/1", "new a/1", "new a/2"]
    );
}

#[test]
fn a_head_that_becomes_anothers_ends_the_run_before_its_tail() {
    let (server, (once, _)) =
        (MemoryServer { overwrites: true, ..MemoryServer::default() }, writer());
    once.put_new(&server, "a/HEAD", b"ours").unwrap();
    server.objects.lock().unwrap().insert("a/HEAD".to_owned(), b"theirs".to_vec());
    once.put_new(&server, "b/HEAD", b"ours").unwrap();
    once.put_new(&server, "b/TAIL", b"x").unwrap();
    let error = once.put_new(&server, "a/TAIL", b"x").unwrap_err();
    assert_eq!((error.kind, error.at.as_str()), (StoreErrorKind::Overtaken, "a/HEAD"));
    assert!(!server.objects.lock().unwrap().contains_key("a/TAIL"));
}

#[test]
fn what_is_empty_or_a_piece_of_ours_gives_way() {
    for overwrites in [false, true] {
        let (server, (once, _)) =
            (MemoryServer { overwrites, ..MemoryServer::default() }, writer());
        ["a/HEAD", "a/note"].iter().for_each(|name| once.put_new(&server, name, b"x").unwrap());
        server.objects.lock().unwrap().insert("a/0".to_owned(), Vec::new());
        once.put_new(&server, "a/0", b"whole").unwrap();
        *server.torn.lock().unwrap() = [Some(3), Some(2), None, Some(5)].into();
        assert_eq!(
            once.put_new(&server, "a/1", b"whole").unwrap_err().kind,
            StoreErrorKind::Passing
        );
        assert_eq!(
            once.put_new(&server, "a/1", b"whole").unwrap_err().kind,
            StoreErrorKind::Passing
        );
        once.put_new(&server, "a/1", b"whole").unwrap();
        assert_eq!(server.objects.lock().unwrap()["a/1"], b"whole");
        // All of it came, only the reply did not: that is for the caller to see.
        assert_eq!(
            once.put_new(&server, "a/2", b"whole").unwrap_err().kind,
            StoreErrorKind::Passing
        );
        assert_eq!(
            once.put_new(&server, "a/2", b"whole").unwrap_err().kind,
            StoreErrorKind::Exists
        );
        // What only has the size of a piece stays.
        server.objects.lock().unwrap().insert("a/3".to_owned(), b"who?".to_vec());
        assert_eq!(
            once.put_new(&server, "a/3", b"whole").unwrap_err().kind,
            StoreErrorKind::Exists
        );
    }
}

/// Some servers have nothing at all after a write over an object that failed.
#[test]
fn a_head_that_is_gone_after_its_second_write_comes_back() {
    let (server, (once, _)) =
        (MemoryServer { overwrites: true, ..MemoryServer::default() }, writer());
    once.put_new(&server, "a/HEAD", b"whole").unwrap();
    let head = once.head_above("a/0").unwrap();
    confirm(&server, &head, false).unwrap();
    *server.torn.lock().unwrap() = [Some(2)].into();
    assert_eq!(twice_head(&server, &head), Condition::Unknown);
    server.objects.lock().unwrap().remove("a/HEAD");
    once.put_new(&server, "a/TAIL", b"x").unwrap();
    assert_eq!(server.objects.lock().unwrap()["a/HEAD"], b"whole");
}

/// Or the object would be taken for stored.
#[test]
fn a_second_write_that_is_cut_off_is_told() {
    for name in ["a/0", "a/TAIL"] {
        let (server, (once, _)) =
            (MemoryServer { overwrites: true, ..MemoryServer::default() }, writer());
        *server.torn.lock().unwrap() = [None, Some(3)].into();
        assert_eq!(
            once.put_new(&server, name, b"whole").unwrap_err().kind,
            StoreErrorKind::Passing
        );
        once.put_new(&server, name, b"whole").unwrap();
        assert_eq!(server.objects.lock().unwrap()[name], b"whole");
    }
}
