//! Whole listings: good ones, cut ones, and ones whose lines are misplaced.

use super::*;

const META: &str = "mode=0755 uid=0 gid=0 time=0.000000000";

fn read(text: &str) -> Result<Vec<Line>, ListingError> {
    let mut reader = ListingReader::new(text.as_bytes());
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line()? {
        lines.push(line);
    }
    Ok(lines)
}

fn golden() -> String {
    format!(
        "#mtree\n#dura listing 1\n#source host /home/a\\040b\n. type=dir {META}\n./a type=dir {META}\n./a/b type=file {META} size=1\n\
         #socket ./a/s\n./a! type=dir optional ignore tags=excluded\n./c type=file optional ignore tags=unreadable\n\
         #end entries=3 excluded=1 unreadable=1\n"
    )
}

#[test]
fn a_good_listing() {
    let lines = read(&golden()).unwrap();
    assert_eq!(lines.len(), 10);
    assert_eq!(lines[2], Line::Header(Header::Source(b"host".to_vec(), b"/home/a b".to_vec())));
    assert_eq!(lines[6], Line::Header(Header::Socket(Path::from_raw(b"a/s"))));
    assert_eq!(lines[9], Line::End(End { entries: 3, excluded: 1, unreadable: 1 }));
}

#[test]
fn every_cut_is_seen() {
    let text = golden();
    for end in 0..text.len() {
        assert!(read(&text[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn headers_read_and_write_back() {
    let id = "00112233445566778899aabbccddeeff";
    for line in [
        "#mtree".to_owned(),
        "#dura listing 1".to_owned(),
        "#source h\\040x /d".to_owned(),
        "#partial".to_owned(),
        "#stdin ./db\\040x /tmp/x\\043/content".to_owned(),
        format!("#index {id} 000000000 after -"),
        format!("#index {id} 000000007 after 000000005"),
        format!("#parent 20261101T020000Z {id} 000000012"),
        "#band-after 20261101T020000Z".to_owned(),
        format!("#band 20261101T020000Z {id}"),
        "#next 000000013".to_owned(),
        "#after 000000012".to_owned(),
        "#have entries=1 files=2 bytes=3".to_owned(),
    ] {
        assert_eq!(parse_header(line.as_bytes()).unwrap().to_string(), line);
    }
    for bad in [
        "#source h",
        "#index x",
        "#parent a b c",
        "#next x",
        "#after",
        "#have entries=1",
        "#band x y",
        "#socket /x",
        "#dura listing x",
    ] {
        let result = parse_header(bad.as_bytes());
        assert!(matches!(result, Err(_) | Ok(Header::Comment)), "{bad}: {result:?}");
    }
    assert_eq!(parse_header(b"# what a person wrote"), Ok(Header::Comment));
}

#[test]
fn misplaced_lines() {
    let listing = |lines: &[&str], end: &str| {
        let lines: String = lines.iter().map(|path| format!("{path} type=dir {META}\n")).collect();
        read(&format!("#mtree\n{lines}#end {end}\n")).map(|_| ())
    };
    let counts = |n| format!("entries={n} excluded=0 unreadable=0");
    assert!(listing(&[".", "./a", "./a/b", "./a!"], &counts(4)).is_ok());
    assert!(matches!(listing(&["./a"], &counts(1)), Err(ListingError::Orphan(2, _))));
    assert!(matches!(listing(&[".", "./a/b"], &counts(2)), Err(ListingError::Orphan(3, _))));
    assert!(matches!(
        listing(&[".", "./a", "./a!", "./a/b"], &counts(4)),
        Err(ListingError::Order(5, _))
    ));
    assert!(matches!(listing(&[".", "./a", "./a"], &counts(3)), Err(ListingError::Order(4, _))));
    assert!(matches!(listing(&[".", "./a"], &counts(3)), Err(ListingError::Count { seen: 2, .. })));
    assert!(matches!(listing(&["."], "entries=x"), Err(ListingError::Header(3, "#end"))));
    assert!(matches!(read(&format!("{}x\n", golden())), Err(ListingError::AfterEnd(11))));
    assert!(matches!(read("x\n"), Err(ListingError::NotListing)));
    assert!(matches!(read("#mtree\n#dura listing 2\n"), Err(ListingError::Newer(2))));
    assert!(matches!(
        read(&format!("#mtree\n{}\n", "x".repeat(MAX_LINE + 1))),
        Err(ListingError::LongLine(2))
    ));
    let below_file = format!(
        "#mtree\n. type=dir {META}\n./a type=file {META} size=0\n./a/b type=dir {META}\n#end {}\n",
        counts(3)
    );
    assert!(matches!(read(&below_file), Err(ListingError::Orphan(4, _))));
}

#[test]
fn a_continued_listing_needs_no_directories_again() {
    let rest = format!(
        "./a/b type=dir {META}\n./a/b/c type=dir {META}\n#end entries=2 excluded=0 unreadable=0\n"
    );
    assert!(matches!(read(&format!("#mtree\n{rest}")), Err(ListingError::Orphan(2, _))));
    assert!(
        read(&format!("#mtree\n#band 20261101T020000Z 00112233445566778899aabbccddeeff\n{rest}"))
            .is_ok()
    );
}
