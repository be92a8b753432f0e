//! Streams that lose, gain or change objects on their way.

use super::*;
use crate::format::cut::BegunBlock;
use crate::format::group::GroupMember;
use crate::format::stream::SealedAs;

const BAND: &str = "20261101T020000Z";
const ID: BandId = BandId([7; 16]);

/// An object of a stream, by its name and content; a list has its members.
#[derive(Debug, Clone)]
enum StreamObject {
    Object(&'static str, &'static str),
    List((u32, u32), Vec<(&'static str, &'static str)>),
    Signature(&'static str),
    Looked(&'static str, SignatureCheck),
}
use StreamObject::{List as L, Looked as K, Object as O, Signature as S};

fn name(text: &str) -> ObjectName {
    ObjectName::parse(text).unwrap()
}

/// A band of two groups, the last index 1.
fn stream() -> Vec<StreamObject> {
    let (b0, i0) = ("00000/000000000.tar.gz", "00000/000000000.mtree.gz");
    let (b1, i1, toc) =
        ("00000/000000001.tar.gz", "00000/000000001.mtree.gz", "00000/000000001.toc.gz");
    vec![
        O("HEAD", "h"),
        O(b0, "b0"),
        O(i0, "i0"),
        L((0, 0), vec![("HEAD", "h"), (b0, "b0"), (i0, "i0")]),
        S("00000/000000000-0.sha256.sig"),
        O(b1, "b1"),
        O(i1, "i1"),
        O(toc, "t"),
        L((1, 0), vec![(b1, "b1"), (i1, "i1"), (toc, "t")]),
        S("00000/000000001-0.sha256.sig"),
    ]
}

fn preface() -> Preface {
    let sealed = SealedAs { encrypted: false, signed: true, parity: 0 };
    Preface { sealed: Some(sealed), ..Preface::default() }
}

fn tail(last: u32) -> Tail {
    let text = format!(
        "band: {BAND}\nid: {ID}\nfinished: 2026-11-01T02:00:09Z\nlast: {last:09}\ntoc: {last:09}\nentries: 1\nfiles: 1\nbytes: 1\nskipped: 0\n"
    );
    let sum = hex::encode(crate::format::digest::of(text.as_bytes()));
    Tail::parse(format!("{text}sha256: {sum}\n").as_bytes()).unwrap()
}

fn run(preface: &Preface, stream: &[StreamObject], tail_signed: bool) -> Vec<String> {
    let mut intake = Intake::new(BAND.parse().unwrap(), ID, preface);
    for came in stream {
        match came {
            O(text, bytes) => {
                let sum = crate::format::digest::of(bytes.as_bytes());
                intake.handle_object(name(text), bytes.len() as u64, sum);
            }
            L(group, members) => {
                let members = members
                    .iter()
                    .map(|(text, bytes)| GroupMember::of(name(text), bytes.as_bytes()));
                let list = List {
                    band: BAND.parse().unwrap(),
                    id: ID,
                    name: *group,
                    added: 0,
                    slots: 32,
                    parity: 0,
                    members: members.collect(),
                };
                intake.handle_list(list.object(), Some(&list));
            }
            S(text) => _ = intake.handle_signature(name(text), SignatureCheck::Good),
            K(text, look) => _ = intake.handle_signature(name(text), *look),
        }
    }
    intake
        .finish(Some(&tail(1)), tail_signed.then_some(SignatureCheck::Good))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_whole_stream_has_no_flaw() {
    assert_eq!(run(&preface(), &stream(), true), [""; 0]);
    assert_eq!(run(&Preface::default(), &stream(), true), [""; 0]);
    let unsigned: Vec<StreamObject> =
        stream().into_iter().filter(|came| !matches!(came, S(_))).collect();
    assert_eq!(run(&Preface::default(), &unsigned, false), [""; 0]);
    // Pack's own stream has no lists.
    let plain: Vec<StreamObject> =
        unsigned.into_iter().filter(|came| matches!(came, O(..))).collect();
    assert_eq!(run(&Preface::default(), &plain, false), [""; 0]);
}

#[test]
fn each_object_that_is_lost_is_missed() {
    for at in 0..stream().len() {
        let mut cut = stream();
        let lost = cut.remove(at);
        assert_ne!(run(&preface(), &cut, true), [""; 0], "{lost:?}");
    }
    assert_eq!(run(&preface(), &stream(), false), ["TAIL.sig: missing"]);
    // Whole groups, with all that would tell of them.
    assert_ne!(run(&preface(), &stream()[5..], true), [""; 0]);
    assert_ne!(run(&preface(), &stream()[..5], true), [""; 0]);
    assert_ne!(run(&preface(), &[], true), [""; 0]);
}

#[test]
fn each_object_that_is_changed_is_seen() {
    for at in 0..stream().len() {
        let mut changed = stream();
        let O(name, bytes) = &mut changed[at] else { continue };
        *bytes = "changed";
        let says = format!("{name}: does not agree with its checksum list");
        assert_eq!(run(&preface(), &changed, true), [says]);
    }
    let mut added = stream();
    added.insert(2, O("00000/000000000.tar.zst", "more"));
    assert_eq!(run(&preface(), &added, true), ["00000/000000000.tar.zst: in no checksum list"]);
}

#[test]
fn a_signature_that_is_changed_is_seen() {
    let sig = "00000/000000000-0.sha256.sig";
    let says = format!("{sig}: not a signature of this object, or damaged");
    for (look, flaws) in [
        (SignatureCheck::Good, &[][..]),
        (SignatureCheck::Damaged, &[says.clone()][..]),
        // Others are good.
        (SignatureCheck::Unknown, &[says.clone()][..]),
    ] {
        let mut changed = stream();
        changed[4] = K(sig, look);
        assert_eq!(run(&preface(), &changed, true), flaws, "{look:?}");
    }
    // Where no key is known, nothing can be said.
    let mut intake = Intake::new(BAND.parse().unwrap(), ID, &preface());
    assert_eq!(intake.look(name(sig), SignatureCheck::Unknown), IntakeVerdict::Store);
    let flaws = intake.finish(None, Some(SignatureCheck::Unknown));
    assert_eq!(flaws, []);
}

#[test]
fn a_continuation_begins_with_its_first_number() {
    let block = |n: u32| Box::leak(format!("00000/{n:09}.tar.gz").into_boxed_str()) as &'static str;
    let index =
        |n: u32| Box::leak(format!("00000/{n:09}.mtree.gz").into_boxed_str()) as &'static str;
    let group = |n: u32| {
        let (block, index) = (block(n), index(n));
        vec![O(block, "b"), O(index, "i"), L((n, 0), vec![(block, "b"), (index, "i")])]
    };
    let continues = Some((BAND.parse().unwrap(), ID));
    let at = |next| Preface { continues: continues.clone(), next, ..Preface::default() };
    let says = |preface: &Preface, numbers: &[u32]| {
        let stream: Vec<StreamObject> = numbers.iter().flat_map(|n| group(*n)).collect();
        let mut flaws = run(preface, &stream, false);
        flaws.retain(|flaw| !flaw.contains("TAIL"));
        flaws
    };
    assert_eq!(says(&at(Some(32)), &[32, 33]), [""; 0]);
    assert_eq!(says(&at(Some(32)), &[64, 65]), ["00000/000000032.mtree.gz: missing"]);
    assert_eq!(says(&at(None), &[33]), ["00000/000000032.mtree.gz: missing"]);
    assert_eq!(says(&at(None), &[32, 34]), ["00000/000000033.mtree.gz: missing"]);
    // It may end blocks that an earlier run has begun.
    let begun = |number| BegunBlock { number, parts: vec![0], ..BegunBlock::default() };
    let cut = Preface { parts: vec![begun(3), begun(5)], ..at(Some(32)) };
    for numbers in [&[32][..], &[3, 32], &[5, 32], &[3, 5, 32]] {
        assert_eq!(says(&cut, numbers), [""; 0], "{numbers:?}");
    }
    for numbers in [&[4, 32][..], &[5, 3, 32], &[3, 33], &[32, 3]] {
        assert_ne!(says(&cut, numbers), [""; 0], "{numbers:?}");
    }
    // What an earlier run left without a list may be named now, if it has the size it had.
    let earlier = "00000/000000000.tar.gz";
    let list = vec![L((32, 0), vec![(earlier, "b")])];
    let known = Preface { unlisted: vec![(name(earlier), 1)], ..at(Some(32)) };
    let absent = |preface: &Preface| {
        run(preface, &list, false).iter().any(|flaw| flaw.contains("though a checksum list"))
    };
    assert!(!absent(&known) && absent(&at(Some(32))));
}
