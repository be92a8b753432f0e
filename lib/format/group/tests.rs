//! Checksum lists: golden bytes, and what is refused.

use super::*;

/// A list with two parity shards, one byte longer than a piece.
const PARITY: &str = "#dura group 1
#band 20261101T020000Z 00112233445566778899aabbccddeeff
#group 000000007-1 slots=4 parity=2
#object 3 00000/000000007.tar.gz ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  00000/000000007.tar.gz
#object 1048577 00000/000000007.mtree.gz 30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
2cb74edba754a81d121c9db6833704a8e7d417e5b13d1a19f4a52f007d644264  00000/000000007.mtree.gz
#object 1048577 00000/000000007-1.rs0 30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
2cb74edba754a81d121c9db6833704a8e7d417e5b13d1a19f4a52f007d644264  00000/000000007-1.rs0
#object 1048577 00000/000000007-1.rs1 30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
2cb74edba754a81d121c9db6833704a8e7d417e5b13d1a19f4a52f007d644264  00000/000000007-1.rs1
";

#[test]
fn golden() {
    let head = GroupMember::of(ObjectName::parse("HEAD").unwrap(), b"abc");
    let empty = GroupMember::of(ObjectName::parse("00000/000000000.tar").unwrap(), b"");
    let two = GroupMember::of(
        ObjectName::parse("00000/000000000.mtree.gz.gpg").unwrap(),
        &[0; PIECE + 1],
    );
    let list = List {
        band: "20261101T020000Z".parse().unwrap(),
        id: "00112233445566778899aabbccddeeff".parse().unwrap(),
        name: (0, 0),
        added: 0,
        slots: 32,
        parity: 0,
        members: vec![head, empty, two],
    };
    let text = "#dura group 1
#band 20261101T020000Z 00112233445566778899aabbccddeeff
#group 000000000-0 slots=32 parity=0
#object 3 HEAD ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  HEAD
#object 0 00000/000000000.tar
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  00000/000000000.tar
#object 1048577 00000/000000000.mtree.gz.gpg 30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
2cb74edba754a81d121c9db6833704a8e7d417e5b13d1a19f4a52f007d644264  00000/000000000.mtree.gz.gpg
";
    assert_eq!(list.to_string(), text);
    assert_eq!(List::parse(text.as_bytes()), Ok(list));
}

#[test]
fn golden_with_parity() {
    let list = List::parse(PARITY.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(list.to_string(), PARITY);
    let names: Vec<String> = list.members.iter().map(|member| member.name.to_string()).collect();
    assert_eq!(names[2..], ["00000/000000007-1.rs0", "00000/000000007-1.rs1"]);
    assert_eq!((list.name, list.slots, list.parity, list.objects()), ((7, 1), 4, 2, 2));
}

#[test]
fn lines_of_later_releases_are_ignored() {
    let later = PARITY
        .replace("#group", "#later 1 2\n#\n#\u{ff}\n#group")
        .replace("\n2cb7", "\n#pieces none\n2cb7");
    assert_eq!(List::parse(later.as_bytes()).unwrap().to_string(), PARITY);
    assert_eq!(List::parse(b"#dura group 2\nwhat ever\n"), Err(ListError::Newer(2)));
}

#[test]
fn every_cut_is_seen() {
    for end in 0..PARITY.len() {
        assert!(List::parse(&PARITY.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn every_changed_byte_is_refused_or_shows() {
    let list = List::parse(PARITY.as_bytes()).unwrap();
    for i in 0..PARITY.len() {
        let mut bytes = PARITY.as_bytes().to_vec();
        bytes[i] ^= 1;
        assert_ne!(List::parse(&bytes), Ok(list.clone()), "changed at {i}");
    }
}

#[test]
fn refused_lists() {
    let line = |at, what| Err(ListError::Line(at, what));
    let first = "#object 3 00000/000000007.tar.gz ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  00000/000000007.tar.gz
";
    let sizes = "digests of more or fewer pieces than the size has";
    let name = "a name that no object has";
    let shards = "no code has so many slots and parity shards";
    let next = "parity that is not the group's next";
    let sum = "the checksum of another object than the #object before it";
    for (from, to, wanted) in [
        ("#dura group 1", "#dura group 0", Err(ListError::NotList)),
        ("#dura group 1", "#dura listing 1", Err(ListError::NotList)),
        ("#dura group 1", "#dura group 1\r", Err(ListError::NotList)),
        ("#band 2026", "#brand 2026", Err(ListError::Lacks("no #band"))),
        ("#band 2026", "#band ../2026", line(2, "a bad #band")),
        ("eeff\n", "eeff x\n", line(2, "a bad #band")),
        (
            "#group",
            "#band 20261101T020000Z 00112233445566778899aabbccddeeff\n#group",
            line(3, "a second #band"),
        ),
        ("parity=2", "parity=2\n#group 000000007-1 slots=4 parity=2", line(4, "a second #group")),
        ("#group", "#grip", line(4, "an #object before #group")),
        ("slots=4", "slots=", line(3, "a bad #group")),
        ("slots=4", "slots=-4", line(3, "a bad #group")),
        ("parity=2", "parity=2 more=1", line(3, "a bad #group")),
        ("slots=4", "slots=99999999999999999999", line(3, "a bad #group")),
        ("slots=4", "slots=18446744073709551615", line(3, shards)),
        ("parity=2", "parity=18446744073709551615", line(3, shards)),
        ("slots=4", "slots=0", line(3, shards)),
        ("slots=4", "slots=255", line(3, shards)),
        ("slots=4", "slots=1", line(6, "more objects than slots")),
        ("parity=2", "parity=0", line(8, next)),
        ("parity=2", "parity=1", line(10, next)),
        ("parity=2", "parity=3", Err(ListError::Lacks("not all parity shards"))),
        (".rs0 ", ".rs1 ", line(8, next)),
        ("7-1.rs0 ", "7-2.rs0 ", line(8, next)),
        (
            "#object 1048577 00000/000000007-1.rs0",
            "#object 1048578 00000/000000007-1.rs0",
            line(8, "parity that is not as long as the longest object"),
        ),
        ("#object 3 ", "#object 0 ", line(4, sizes)),
        ("#object 3 ", "#object 1048577 ", line(4, sizes)),
        ("#object 3 ", "#object 2147483649 ", line(4, "a size that no object has")),
        ("#object 3 ", "#object +3 ", line(4, "a bad size")),
        ("#object 3 ", "#object ", line(4, "a bad size")),
        ("00000/000000007.tar.gz", "../000000007.tar.gz", line(4, name)),
        ("00000/000000007.tar.gz", "/etc/passwd", line(4, name)),
        ("00000/000000007.tar.gz", "00000/../HEAD", line(4, name)),
        ("00000/000000007.tar.gz", "TAIL", line(4, "an object that belongs in no list")),
        (
            "00000/000000007.tar.gz",
            "00000/000000000-0.sha256",
            line(4, "an object that belongs in no list"),
        ),
        (
            "00000/000000007.mtree.gz",
            "00000/000000007.tar.gz",
            line(6, "an object that stands twice"),
        ),
        ("ad  00000/000000007.tar.gz", "ad  HEAD", line(5, sum)),
        ("ad  00000", "ad *00000", line(5, sum)),
        ("tar.gz\n#object", "tar.gz\r\n#object", line(5, sum)),
        ("\nba7816", "\nBA7816", line(5, "no checksum")),
        (
            "\nba7816",
            "\nba7817",
            line(5, "a checksum that the digest of its only piece contradicts"),
        ),
        (" ba7816", " BA7816", line(4, "a bad digest of a piece")),
        ("\nba7816", "\n#", line(6, "an #object without a checksum before it")),
        (
            "\n#object 3",
            "\n\n#object 3",
            line(4, "a checksum without an #object, or no line of a list"),
        ),
        ("rs1\n", "rs1\nhello\n", line(12, "a checksum without an #object, or no line of a list")),
        (first, "", Ok(())),
    ] {
        let text = PARITY.replace(from, to);
        assert_ne!(text, PARITY, "{from}");
        assert_eq!(List::parse(text.as_bytes()).map(|_| ()), wanted, "{from} -> {to}");
    }
    let behind = format!("{PARITY}{}", first.replace("00000/000000007.tar.gz", "HEAD"));
    assert_eq!(List::parse(behind.as_bytes()), Err(ListError::Line(12, "an object behind parity")));
    let none = PARITY
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .replace("parity=2", "parity=0");
    assert_eq!(List::parse(none.as_bytes()), Err(ListError::Lacks("no object")));
    assert_eq!(List::parse(&vec![b'#'; MAX_LIST + 1]), Err(ListError::TooLong));
    assert_eq!(List::parse(b""), Err(ListError::NotList));
}

#[test]
fn the_last_line_tells_whether_a_list_is_damaged() {
    let list = List::parse(PARITY.as_bytes()).unwrap();
    let text = list.text();
    assert_eq!(
        text,
        PARITY.to_owned() + "#end " + &hex::encode(digest::of(PARITY.as_bytes())) + "\n"
    );
    assert_eq!(List::parse(text.as_bytes()), Ok(list.clone()));
    for at in 0..text.len() {
        for bit in [1, 4, 32] {
            let mut bad = text.clone().into_bytes();
            bad[at] ^= bit;
            // Where the word itself is hit, a list is left that has no such line, and that says so.
            assert!(
                List::parse(&bad).is_ok_and(|read| read == list && at >= PARITY.len())
                    || List::parse(&bad).is_err(),
                "byte {at}"
            );
        }
    }
    assert!(List::parse(text.replace("#end", "#object 1 HEAD\n#end").as_bytes()).is_err());
    assert!(List::parse((text.clone() + &text).as_bytes()).is_err());
}
