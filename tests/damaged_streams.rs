//! Object streams that were damaged on their way: a bit, an object or a signature. Push stores no
//! TAIL, and says what is wrong.

use std::fs;

use crate::util::gpg::{KEY, OTHER, home};
use crate::util::run::{Done, dura, scratch};
use crate::util::small::{BAND, packed, sealed, tails};
use crate::util::stream::{Member, join, split};

/// The small band with parity, in several groups.
fn protected() -> Vec<u8> {
    dura("dura-seal --parity 1 --group 8").input(packed()).ok().stdout
}

#[track_caller]
fn push(stream: &[u8]) -> (Done, usize) {
    let dir = scratch("damaged");
    let done = dura("dura-push archive").dir(&dir).input(stream).run();
    let tails = tails(&dir).len();
    fs::remove_dir_all(&dir).unwrap();
    (done, tails)
}

#[track_caller]
fn is_refused(what: &str, members: &[Member]) {
    let (done, tails) = push(&join(members));
    assert_eq!((done.code, tails), (2, 0), "{what}\n{}", done.report());
}

/// Objects whose loss is told by others; the header before the first object is none.
fn objects(members: &[Member]) -> Vec<usize> {
    (0..members.len()).filter(|at| members[*at].name().starts_with(BAND)).collect()
}

#[test]
fn every_object_that_is_lost_or_changed_is_seen() {
    let whole = split(&protected());
    for at in objects(&whole) {
        let name = whole[at].name();
        let mut lost = whole.clone();
        lost.remove(at);
        is_refused(&format!("{name} lost"), &lost);
        let mut changed = whole.clone();
        let middle = changed[at].data.len() / 2;
        changed[at].data[middle] ^= 1;
        is_refused(&format!("{name} changed"), &changed);
    }
    let (done, tails) = push(&join(&whole));
    assert_eq!((done.code, tails), (0, 1), "{}", done.report());
}

/// A whole group, with its list, or the rest of the stream before TAIL.
#[test]
fn groups_that_are_lost() {
    let whole = split(&protected());
    let lists: Vec<usize> =
        objects(&whole).into_iter().filter(|at| whole[*at].name().ends_with(".sha256")).collect();
    for (from, to) in lists.iter().zip(&lists[1..]) {
        let mut lost = whole.clone();
        lost.drain(from + 1..=*to);
        is_refused("a group", &lost);
        let mut lost = whole.clone();
        lost.drain(from + 1..=*lists.last().unwrap());
        is_refused("the rest", &lost);
    }
    // All lists: what is encrypted was in some.
    let line = format!("dura-seal -r {KEY}");
    let whole = split(&home().with(dura(&line).input(packed())).ok().stdout);
    let unlisted: Vec<Member> =
        whole.iter().filter(|member| !member.name().contains("-")).cloned().collect();
    is_refused("all lists", &unlisted);
}

/// What is damaged is stored with its list, so that it is found, and mended where parity allows.
#[test]
fn what_was_stored_damaged_is_found_and_mended() {
    let dir = scratch("mended");
    let mut members = split(&protected());
    let name = format!("{BAND}/00000/000000002.tar.gz");
    members.iter_mut().find(|member| member.name() == name).unwrap().data[100] ^= 1;
    let done = dura("dura-push archive").dir(&dir).input(&join(&members)).code(2);
    done.tells("the object stream was damaged on the way: 00000/000000002.tar.gz: does not agree with its checksum list");
    dura("dura-verify -q archive").dir(&dir).code(1);
    dura("dura-verify -q --repair archive | dura-push --replace archive").dir(&dir).run();
    let verified = dura("dura-verify -q archive").dir(&dir).run();
    assert!(!verified.text().contains("damaged"), "{}", verified.report());
}

/// A stream of which the first list is signed has a signature for each, and for TAIL.
#[test]
fn signatures_that_are_lost() {
    let line = format!("dura-seal --sign {OTHER} --group 8");
    let whole = split(&home().with(dura(&line).input(packed())).ok().stdout);
    for at in objects(&whole).into_iter().filter(|at| whole[*at].name().ends_with(".sig")) {
        let mut lost = whole.clone();
        let name = lost.remove(at).name();
        is_refused(&name, &lost);
    }
}

/// No list names a signature; gpg tells of one that was changed, anywhere in it, and in a spool
/// too.
#[test]
fn signatures_that_are_changed() {
    let line = format!("dura-seal --sign {OTHER} --group 8");
    let whole = split(&home().with(dura(&line).input(packed())).ok().stdout);
    let push = |members: &[Member]| {
        let dir = scratch("signatures");
        let done = home().with(dura("dura-push archive")).dir(&dir).input(&join(members)).run();
        (done, dir)
    };
    let signatures: Vec<usize> =
        objects(&whole).into_iter().filter(|at| whole[*at].name().ends_with(".sig")).collect();
    for (count, at) in signatures.iter().enumerate() {
        let mut changed = whole.clone();
        let data = &mut changed[*at].data;
        let place = [1, data.len() / 4, data.len() / 2, data.len() - 1][count % 4];
        data[place] ^= 1;
        let (done, dir) = push(&changed);
        let name = changed[*at].name();
        assert_eq!((done.code, tails(&dir).len()), (2, 0), "{name}\n{}", done.report());
        done.tells(name.rsplit('/').next().unwrap());
        assert!(!dir.join("archive").join(&name).exists(), "{name}: left out");
    }
    assert!(signatures.len() > 2);
    let (done, dir) = push(&whole);
    assert_eq!((done.code, tails(&dir).len()), (0, 2), "TAIL, its signature: {}", done.report());
    // Without the key nothing is known of signatures.
    dura("dura-push unknown").dir(&dir).input(&join(&whole)).ok();
    let name = whole[signatures[1]].name();
    let file = dir.join("archive").join(&name);
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let done = home().with(dura("dura-push --from archive other")).dir(&dir).code(2);
    done.tells(&name).tells("damaged in the spool");
}

/// Pack's own stream has no lists: what its numbers tell is all there is.
#[test]
fn an_index_that_is_lost_of_a_stream_without_lists() {
    let whole = split(packed());
    for at in objects(&whole).into_iter().filter(|at| whole[*at].name().contains(".mtree")) {
        let mut lost = whole.clone();
        lost.remove(at);
        is_refused("an index", &lost);
    }
    let (done, tails) = push(packed());
    assert_eq!((done.code, tails), (0, 1), "{}", done.report());
    assert_eq!(push(sealed()).0.code, 0);
}
