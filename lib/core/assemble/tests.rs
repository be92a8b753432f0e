//! Where blocks, parts, indexes and tables begin and end.

use std::io::Read;

use super::*;
use crate::core::cut::Resumed;

const ID: &str = "00112233445566778899aabbccddeeff";

fn config(block_size: u64, part_size: u64) -> AssemblerConfig {
    AssemblerConfig {
        band: "20261101T020000Z".parse().unwrap(),
        id: ID.parse().unwrap(),
        compression: Compression::Gzip,
        block_size,
        part_size,
        first: 0,
        after: None,
        have: Have::default(),
        runs: Vec::new(),
        head: None,
        headers: vec![Header::Source(b"h".to_vec(), b"/d".to_vec())],
    }
}

fn member(name: &str, len: usize, border: bool) -> PackedMember {
    let path = Path::from_raw(name.as_bytes());
    let lines = if border { format!("{path} line\n").into_bytes() } else { Vec::new() };
    let entries = border.into();
    PackedMember {
        bytes: name.bytes().cycle().take(len).collect(),
        lines,
        entries,
        files: entries,
        source_bytes: entries * 10,
        span: border.then(|| (path.clone(), path)),
        border,
        large: None,
    }
}

fn finish() -> Finish {
    let end = End { entries: 99, excluded: 2, unreadable: 1 };
    Finish {
        end,
        skipped: 3,
        unattributed: 0,
        tree: None,
        behind: 0,
        finished: Stamp::parse("20261101T020009Z").unwrap(),
    }
}

fn run(config: AssemblerConfig, members: Vec<PackedMember>) -> Vec<(String, Vec<u8>)> {
    let mut machine = Assembler::new(config);
    members.into_iter().for_each(|member| machine.handle_member(member).unwrap());
    machine.finish(finish()).unwrap();
    std::iter::from_fn(|| machine.poll_object())
        .map(|(name, bytes)| (name.to_string(), bytes))
        .collect()
}

fn names(objects: &[(String, Vec<u8>)]) -> Vec<String> {
    objects
        .iter()
        .map(|(name, bytes)| {
            format!(
                "{}:{}",
                name.replace("00000/00000000", ""),
                if name.contains("gz") && name.contains("tar") { bytes.len() } else { 0 }
            )
        })
        .collect()
}

fn text(objects: &[(String, Vec<u8>)], name: &str) -> String {
    let (_, bytes) = objects.iter().find(|(known, _)| known == name).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn blocks_close_at_the_first_border_past_their_size() {
    let objects = run(
        config(10, 100),
        vec![
            member("a", 6, true),
            member("b", 6, true),
            member("c", 9, true),
            member("d", 1, true),
            member("e", 1, true),
        ],
    );
    assert_eq!(
        names(&objects),
        [
            "0.tar.gz:12",
            "0.mtree.gz:0",
            "1.tar.gz:10",
            "1.mtree.gz:0",
            "2.tar.gz:1",
            "2.mtree.gz:0",
            "2.toc.gz:0",
            "TAIL:0"
        ]
    );
    assert_eq!(
        text(&objects, "00000/000000000.mtree.gz"),
        format!(
            "#mtree\n#dura listing 1\n#index {ID} 000000000 after -\n#source h /d\n./a line\n./b line\n"
        )
    );
    assert_eq!(
        text(&objects, "00000/000000001.mtree.gz"),
        format!("#index {ID} 000000001 after 000000000\n./c line\n./d line\n")
    );
    assert_eq!(
        text(&objects, "00000/000000002.mtree.gz"),
        format!(
            "#index {ID} 000000002 after 000000001\n./e line\n#end entries=5 excluded=2 unreadable=1\n"
        )
    );
    assert_eq!(
        text(&objects, "00000/000000002.toc.gz"),
        format!(
            "#toc {ID} 000000002\n000000000 ./a ./b 1\n000000001 ./c ./d 1\n000000002 ./e ./e 1\n"
        )
    );
    let tail = Tail::parse(&objects.last().unwrap().1).unwrap();
    assert_eq!(
        (tail.last, tail.toc, tail.entries, tail.files, tail.bytes, tail.skipped),
        (2, 2, 5, 5, 50, 4)
    );
}

#[test]
fn an_entry_is_never_split_over_blocks_but_over_parts() {
    let objects = run(
        config(10, 16),
        vec![
            member("a", 15, false),
            member("a", 15, false),
            member("a", 15, true),
            member("b", 1, true),
        ],
    );
    assert_eq!(
        names(&objects),
        [
            "0.tar.gz.000000:15",
            "0.tar.gz.000001:15",
            "0.tar.gz.000002:15",
            "0.mtree.gz:0",
            "1.tar.gz:1",
            "1.mtree.gz:0",
            "1.toc.gz:0",
            "TAIL:0"
        ]
    );
    let whole = [15, 16, 17, 32, 33].map(|len| {
        let names = names(&run(config(100, 16), vec![member("a", len, true)]));
        names
            .iter()
            .filter(|name| name.contains("tar"))
            .map(|name| name.replace("0.tar.gz", ""))
            .collect::<Vec<_>>()
            .join(" ")
    });
    assert_eq!(
        whole,
        [
            ":15",
            ":16",
            ".000000:16 .000001:1",
            ".000000:16 .000001:16",
            ".000000:16 .000001:16 .000002:1"
        ]
    );
}

#[test]
fn a_run_has_always_an_index() {
    let objects = run(config(10, 100), vec![]);
    assert_eq!(names(&objects), ["0.mtree.gz:0", "0.toc.gz:0", "TAIL:0"]);
    assert_eq!(
        text(&objects, "00000/000000000.toc.gz"),
        format!("#toc {ID} 000000000\n000000000 - - 0\n")
    );
    let mut nothing_stored = member("gone", 0, true);
    nothing_stored.files = 0;
    assert_eq!(
        names(&run(config(10, 100), vec![nothing_stored])),
        ["0.mtree.gz:0", "0.toc.gz:0", "TAIL:0"]
    );
}

#[test]
fn an_index_holds_no_more_lines_than_it_may() {
    let many = |name: &str, entries| PackedMember { entries, ..member(name, 1, true) };
    let objects = run(
        config(1000, 1000),
        vec![many("a", MAX_LINES - 1), many("b", 1), many("c", 1), many("d", MAX_LINES)],
    );
    let blocks: Vec<String> =
        names(&objects).into_iter().filter(|name| name.contains("tar")).collect();
    assert_eq!(blocks, ["0.tar.gz:2", "1.tar.gz:1", "2.tar.gz:1"]);
    let long =
        |name: &str| PackedMember { lines: vec![b'x'; MAX_TEXT / 2 + 1], ..member(name, 1, true) };
    let objects = run(config(1000, 1000), vec![long("a"), long("b")]);
    assert_eq!(names(&objects).iter().filter(|name| name.contains("mtree")).count(), 2);
}

#[test]
fn tables_follow_4096_indexes_and_the_last_lists_the_others() {
    let members = (0..MAX_ROWS + 2).map(|i| member(&format!("{i:06}"), 1, true)).collect();
    let objects = run(config(1, 10), members);
    let tocs: Vec<&String> =
        objects.iter().map(|(name, _)| name).filter(|name| name.contains("toc")).collect();
    assert_eq!(tocs, ["00000/000004095.toc.gz", "00000/000004097.toc.gz"]);
    assert_eq!(text(&objects, "00000/000004095.toc.gz").lines().count(), 1 + MAX_ROWS);
    assert_eq!(
        text(&objects, "00000/000004097.toc.gz"),
        format!(
            "#toc {ID} 000004097\n000004096 ./004096 ./004096 1\n000004097 ./004097 ./004097 1\ntoc 000004095 ./000000\n"
        )
    );
}

#[test]
fn a_continuation_counts_on() {
    let have = Have { entries: 100, files: 90, bytes: 1000 };
    let objects = run(
        AssemblerConfig { first: 7, after: Some(4), have, ..config(10, 100) },
        vec![member("x", 1, true)],
    );
    assert_eq!(
        text(&objects, "00000/000000007.mtree.gz"),
        format!(
            "#index {ID} 000000007 after 000000004\n#source h /d\n./x line\n#end entries=101 excluded=2 unreadable=1\n"
        )
    );
    let tail = Tail::parse(&objects.last().unwrap().1).unwrap();
    assert_eq!((tail.last, tail.entries, tail.files, tail.bytes), (7, 101, 91, 1010));
}

#[test]
fn numbers_end_at_nine_digits() {
    let mut machine = Assembler::new(AssemblerConfig { first: MAX_NUMBER, ..config(1, 10) });
    machine.handle_member(member("a", 1, true)).unwrap();
    machine.handle_member(member("b", 1, true)).unwrap();
    assert!(matches!(machine.finish(finish()), Err(AssembleError::TooMany)));
}

fn piece(len: usize, last: bool, large: LargePiece) -> PackedMember {
    PackedMember { large: Some(Box::new(large)), ..member("./large", len, last) }
}

fn end(place: u64) -> PartEnd {
    PartEnd { place, sha256: [place as u8; 32] }
}

fn new_file() -> BlockStart {
    let time = crate::format::time::Time { sec: 0, nsec: 0 };
    let path = Path::from_raw(b"./large");
    let mark =
        FileMark { path, size: 9, time, ctime: time, inode: 1, is_delta: false, headers: [7; 32] };
    BlockStart::New(Box::new(mark))
}

/// The objects, and what was noted of parts: number, part, place.
fn large_run(
    config: AssemblerConfig,
    members: Vec<PackedMember>,
) -> (Vec<String>, Vec<(u32, u32, u64)>) {
    let mut machine = Assembler::new(config);
    members.into_iter().for_each(|member| machine.handle_member(member).unwrap());
    machine.finish(finish()).unwrap();
    let notes = std::iter::from_fn(|| machine.poll_note()).filter_map(|note| match note {
        CutNote::Part(number, part, end) => Some((number, part, end.place)),
        CutNote::File(..) => None,
    });
    let notes = notes.collect();
    let objects: Vec<(String, Vec<u8>)> = std::iter::from_fn(|| machine.poll_object())
        .map(|(name, bytes)| (name.to_string(), bytes))
        .collect();
    (names(&objects), notes)
}

#[test]
fn a_large_file_has_a_block_of_its_own_and_parts_end_with_members() {
    let large = |start, at| LargePiece { start, end: end(at), ..LargePiece::default() };
    let members = vec![
        member("./a", 1, true),
        piece(4, false, large(Some(new_file()), 10)),
        piece(4, false, large(None, 20)),
        piece(4, false, large(None, 30)),
        piece(4, true, large(None, 35)),
        member("./z", 1, true),
    ];
    let (objects, notes) = large_run(config(100, 9), members);
    let wanted = [
        "0.tar.gz:1",
        "0.mtree.gz:0",
        "1.tar.gz.000000:8",
        "1.tar.gz.000001:8",
        "1.mtree.gz:0",
        "2.tar.gz:1",
        "2.mtree.gz:0",
        "2.toc.gz:0",
        "TAIL:0",
    ];
    assert_eq!(objects, wanted);
    assert_eq!(notes, [(1, 0, 20), (1, 1, 35)]);
    // A member that is larger than a part is split, and such a part is not noted.
    let members = vec![
        piece(4, false, large(Some(new_file()), 10)),
        piece(20, false, large(None, 20)),
        piece(1, true, large(None, 30)),
    ];
    let (objects, notes) = large_run(config(100, 9), members);
    let parts: Vec<&str> = objects.iter().map(|name| &name[9..]).take(4).collect();
    assert_eq!(parts, ["000000:4", "000001:9", "000002:9", "000003:3"]);
    assert_eq!(notes, [(0, 0, 10), (0, 3, 30)]);
}

/// The header comes last; it is part 0, or goes before all else in a block of one object.
#[test]
fn a_file_of_unknown_length_has_its_header_last() {
    let of = |start, is_header| LargePiece { start, is_header, ..LargePiece::default() };
    let run = |lens: &[usize], header: usize| {
        let first = |at| (at == 0).then_some(BlockStart::Headless);
        let pieces =
            lens.iter().enumerate().map(|(at, len)| piece(*len, false, of(first(at), false)));
        let all = [member("./a", 1, true)].into_iter().chain(pieces);
        let all = all.chain([piece(header, true, of(None, true)), member("./z", 1, true)]);
        let (objects, notes) = large_run(config(100, 9), all.collect());
        assert_eq!(notes, []);
        assert!(objects[2..].iter().any(|name| name == "1.mtree.gz:0"), "{objects:?}");
        let of_file = objects.into_iter().filter(|name| name.starts_with("1.tar"));
        of_file.map(|name| name["1.tar.gz".len()..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(run(&[4, 4, 4, 1], 2), [".000001:8", ".000002:5", ".000000:2"]);
    assert_eq!(run(&[4, 4], 2), [".000001:8", ".000000:2"]);
    assert_eq!(run(&[4, 3], 2), [":9"]);
    assert_eq!(run(&[20], 2), [".000001:9", ".000002:9", ".000003:2", ".000000:2"]);
}

/// A run goes on with block 3 of which parts 0 and 2 are there, below its own numbers, which begin
/// with 6.
#[test]
fn a_block_is_gone_on_with_below_the_numbers_of_the_run() {
    let own = || AssemblerConfig { first: 6, after: Some(2), runs: vec![0], ..config(100, 9) };
    let at = |start, place, part, ends| LargePiece {
        start,
        end: end(place),
        part,
        ends,
        ..LargePiece::default()
    };
    let cut = || Some(BlockStart::Cut(Resumed { number: 3, is_delta: false, has_sums: false }));
    let members = || {
        vec![
            piece(8, false, at(cut(), 10, Some(1), Some(false))),
            piece(8, false, at(None, 20, None, Some(true))),
            piece(5, false, at(None, 40, Some(3), None)),
        ]
    };
    let last = piece(2, true, at(None, 45, None, None));
    let all = [members(), vec![last.clone(), member("./z", 1, true)]].concat();
    let (objects, notes) = large_run(own(), all);
    let wanted = [
        "3.tar.gz.000001:16",
        "3.tar.gz.000003:7",
        "3.mtree.gz:0",
        "6.tar.gz:1",
        "6.mtree.gz:0",
        "6.toc.gz:0",
        "TAIL:0",
    ];
    assert_eq!(objects, wanted);
    assert_eq!(notes, [(3, 1, 20), (3, 3, 45)]);
    // Nothing else is to be stored: the run still has its first index, by which it is known.
    let (objects, _) = large_run(own(), [members(), vec![last]].concat());
    assert_eq!(objects[2..], ["3.mtree.gz:0", "6.mtree.gz:0", "6.toc.gz:0", "TAIL:0"]);
    // All parts are there, only the line is not.
    let line = piece(0, true, at(cut(), 45, Some(4), None));
    let (objects, notes) = large_run(own(), vec![line]);
    assert_eq!(objects, ["3.mtree.gz:0", "6.mtree.gz:0", "6.toc.gz:0", "TAIL:0"]);
    assert_eq!(notes, []);
    // It is not that file any more: it begins anew, with a number of the run.
    let anew = vec![
        piece(8, false, at(Some(new_file()), 10, None, None)),
        piece(8, true, at(None, 20, None, None)),
    ];
    let (objects, notes) = large_run(own(), [members(), anew].concat());
    let wanted = [
        "3.tar.gz.000001:16",
        "6.tar.gz.000000:8",
        "6.tar.gz.000001:8",
        "6.mtree.gz:0",
        "6.toc.gz:0",
        "TAIL:0",
    ];
    assert_eq!(objects, wanted);
    assert_eq!(notes, [(3, 1, 20), (6, 0, 10), (6, 1, 20)]);
}
