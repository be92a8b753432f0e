//! HEAD and TAIL: golden bytes, and what is refused.

use super::*;

const HEAD: &str = "dura-band: 1\nband: 20261101T020000Z-20261108T020000Z\nid: 00112233445566778899aabbccddeeff\nparent: 20261101T020000Z\nparent-id: ffeeddccbbaa99887766554433221100\nparent-last: 000000012\nstarted: 2026-11-08T02:00:00Z\ncompression: gzip\nwriter: dura 0.1.0\n";
const TAIL: &str = "band: 20261101T020000Z\nid: 00112233445566778899aabbccddeeff\nfinished: 2026-11-01T02:00:09Z\nlast: 000000012\ntoc: 000000012\nentries: 20310\nfiles: 18220\nbytes: 730121811\nskipped: 0\nsha256: e1987b2ee332166547f6ea1dea8e1beec5c64d44d08a6336a50977338d308ee0\n";

#[test]
fn golden_head() {
    let head = Head::parse(HEAD.as_bytes()).unwrap();
    assert_eq!(head.to_string(), HEAD);
    assert_eq!((head.band.tier(), head.parent.unwrap().last), (1, 12));
    let full = HEAD
        .replace("20261101T020000Z-", "")
        .replace("parent: 20261101T020000Z", "parent: -")
        .replace("ffeeddccbbaa99887766554433221100", "-");
    let full = full.replace("parent-last: 000000012", "parent-last: -");
    assert_eq!(Head::parse(full.as_bytes()).unwrap().to_string(), full);
    assert!(Head::parse(format!("{HEAD}later: thing\n").as_bytes()).is_ok());
}

#[test]
fn refused_heads() {
    let bad = |from: &str, to: &str| Head::parse(HEAD.replace(from, to).as_bytes()).unwrap_err();
    assert_eq!(bad("dura-band: 1", "dura-band: 3"), HeadError::Newer(3));
    assert_eq!(bad("parent: 20261101T020000Z", "parent: -"), HeadError::Bad("parent"));
    assert_eq!(
        bad("parent: 20261101T020000Z", "parent: 20261102T020000Z"),
        HeadError::Bad("parent")
    );
    assert_eq!(bad("gzip", "lzma"), HeadError::Bad("compression"));
    assert_eq!(bad("id: 0011", "id: 0011\nid: 00"), HeadError::Twice("id".into()));
    assert_eq!(bad("parent-last: 000000012", "parent-last: +12"), HeadError::Bad("parent-last"));
    assert_eq!(Head::parse(b""), Err(HeadError::NotLines));
    for end in 1..HEAD.len() {
        assert!(Head::parse(&HEAD.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn format_2_says_what_it_uses() {
    let text = HEAD.replace("band: 1", "band: 2") + "uses: keys\n";
    let head = Head::parse(text.as_bytes()).unwrap();
    assert!(head.keys);
    assert_eq!(head.to_string(), text);
    let head = |uses: &str| {
        let text = HEAD.replace("band: 1", "band: 2") + uses;
        Head::parse(text.as_bytes())
    };
    let with = |uses: &str| head(uses).map(drop);
    assert_eq!(with(""), Err(HeadError::Uses("all".into())));
    assert_eq!(with("uses: keys spells\n"), Err(HeadError::Uses("`spells`".into())));
    let both = head("uses: keys references\n").unwrap();
    assert!(both.keys && both.references && !head("uses: keys\n").unwrap().references);
    assert!(both.to_string().ends_with("\nuses: keys references\n"));
    assert_eq!(with("uses: references\n"), Err(HeadError::Bad("uses")));
    assert_eq!(with("uses: references keys\n"), Err(HeadError::Bad("uses")));
    let all = head("uses: keys references deltas\n").unwrap();
    assert!(all.deltas && !both.deltas);
    assert!(all.to_string().ends_with("\nuses: keys references deltas\n"));
    let later = "uses: keys references deltas spells\n";
    assert_eq!(with(later), Err(HeadError::Uses("`spells`".into())));
    assert_eq!(with("uses: \n"), Err(HeadError::Uses("``".into())));
    // In format 1 it means nothing.
    let first = Head::parse(format!("{HEAD}uses: it\n").as_bytes()).unwrap();
    assert_eq!((first.keys, first.to_string()), (false, format!("{HEAD}uses: it\n")));
}

#[test]
fn golden_tail() {
    let tail = Tail::parse(TAIL.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(tail.to_string(), TAIL);
    assert_eq!(
        (tail.last, tail.entries, tail.files, tail.bytes, tail.skipped),
        (12, 20310, 18220, 730_121_811, 0)
    );
    assert_eq!((tail.head, tail.unattributed), (None, 0));
}

#[test]
fn a_tail_tells_of_entries_without_attributes_only_where_there_are_some() {
    let tail = Tail { unattributed: 7, ..Tail::parse(TAIL.as_bytes()).unwrap() };
    let text = tail.to_string();
    assert!(text.contains("\nskipped: 0\nunattributed: 7\nsha256: "), "{text}");
    assert_eq!(Tail::parse(text.as_bytes()), Ok(tail));
}

#[test]
fn golden_tail_with_head() {
    let head = Head::parse(HEAD.as_bytes()).unwrap();
    let tail = Tail {
        band: head.band.clone(),
        head: Some(head.clone()),
        ..Tail::parse(TAIL.as_bytes()).unwrap()
    };
    let text = "band: 20261101T020000Z-20261108T020000Z\nid: 00112233445566778899aabbccddeeff\nfinished: 2026-11-01T02:00:09Z\nlast: 000000012\ntoc: 000000012\nentries: 20310\nfiles: 18220\nbytes: 730121811\nskipped: 0\ndura-band: 1\nparent: 20261101T020000Z\nparent-id: ffeeddccbbaa99887766554433221100\nparent-last: 000000012\nstarted: 2026-11-08T02:00:00Z\ncompression: gzip\nwriter: dura 0.1.0\n";
    let text = format!("{text}sha256: {}\n", hex::encode(digest::of(text.as_bytes())));
    assert_eq!(tail.to_string(), text);
    assert_eq!(Tail::parse(text.as_bytes()), Ok(tail));
    assert_eq!(Tail::head_text(text.as_bytes()).as_deref(), Some(HEAD));
    let later = text[..text.find("sha256").unwrap()].to_owned() + "later: thing\n";
    let later = format!("{later}sha256: {}\n", hex::encode(digest::of(later.as_bytes())));
    assert_eq!(Tail::head_text(later.as_bytes()), Some(format!("{HEAD}later: thing\n")));
    // A later format is refused, and so is a HEAD that is repeated in part.
    let changed = |from: &str, to: &str| {
        let above = text[..text.find("sha256").unwrap()].replace(from, to);
        Tail::parse(
            format!("{above}sha256: {}\n", hex::encode(digest::of(above.as_bytes()))).as_bytes(),
        )
        .unwrap_err()
    };
    assert_eq!(changed("dura-band: 1", "dura-band: 3"), HeadError::Newer(3));
    assert_eq!(changed("compression: gzip\n", ""), HeadError::Missing("compression"));
}

#[test]
fn later_keys_are_kept() {
    let more = "source-id: 8899aabbccddeeff0011223344556677\npartial: yes\nas-of: 2026-10-01T02:00:00Z\nlater: thing\n";
    let head = Head::parse(format!("{HEAD}{more}").as_bytes()).unwrap();
    assert_eq!(head.to_string(), format!("{HEAD}{more}"));
    assert!(head.partial && head.as_of.is_some() && head.source_id.is_some());
    let tail = Tail {
        band: head.band.clone(),
        tree: Some(Have { entries: 7, files: 5, bytes: 3 }),
        behind: Some(2),
        runs: vec![0, 32],
        head: Some(head.clone()),
        ..Tail::parse(TAIL.as_bytes()).unwrap()
    };
    let text = tail.to_string();
    assert!(text.contains("\ntree-entries: 7\ntree-files: 5\ntree-bytes: 3\nskipped: 0\nbehind: 2\nruns: 000000000 000000032\n"));
    assert_eq!(Tail::parse(text.as_bytes()), Ok(tail));
    for bad in ["partial: yes\npartial: yes\n", "as-of: now\n", "source-id: 1\n"] {
        assert!(Head::parse(format!("{HEAD}{bad}").as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn every_changed_byte_of_tail_is_seen() {
    for i in 0..TAIL.len() {
        assert!(Tail::parse(&TAIL.as_bytes()[..i]).is_err(), "cut at {i}");
        let mut bytes = TAIL.as_bytes().to_vec();
        bytes[i] ^= 1;
        assert!(Tail::parse(&bytes).is_err(), "changed at {i}");
    }
}
