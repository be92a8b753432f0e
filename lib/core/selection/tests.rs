//! Tests of the selection: readings of names, the merge, and how much it compares.

use super::super::merge::tests::sample::entry;
use super::*;
use crate::format::entry::Kind;

const TREE: [&str; 12] = [
    ". dir",
    "./\\052 file",
    "./\\133x] file",
    "./\\134101 file",
    "./a dir",
    "./a/n.c file",
    "./a/sub dir",
    "./a/sub/m.c file",
    "./a/sub/x file",
    "./b.c dir",
    "./b.c/y file",
    "./c\\052 file",
];

fn select(typed: &[&[u8]], exclude: &[&str]) -> Selection {
    let source = Some(&b"/home/me"[..]);
    let asked: Vec<_> = typed
        .iter()
        .map(|&typed| (typed.to_vec(), Readings::new(typed, source).unwrap()))
        .collect();
    let mut patterns = Patterns::default();
    exclude.iter().for_each(|line| patterns.add_line(line.as_bytes()));
    let tree: BTreeSet<Path> = TREE.iter().map(|line| entry(line).path).collect();
    let there = undecided(&asked).into_iter().filter(|path| tree.contains(path)).collect();
    Selection::new(asked, patterns, &there)
}

fn wanted(typed: &[&str], exclude: &[&str]) -> Vec<String> {
    let typed: Vec<&[u8]> = typed.iter().map(|typed| typed.as_bytes()).collect();
    let mut selection = select(&typed, exclude);
    TREE.iter()
        .map(|line| entry(line))
        .filter(|entry| selection.wants(&entry.path, entry.kind == Kind::Dir))
        .map(|entry| entry.path.to_string())
        .collect()
}

#[test]
fn paths_and_patterns() {
    assert_eq!(wanted(&[], &[]).len(), TREE.len());
    assert_eq!(wanted(&["a/sub/"], &[]), ["./a/sub", "./a/sub/m.c", "./a/sub/x"]);
    assert_eq!(wanted(&["a/sub/x", "./a/n.c"], &[]), ["./a/n.c", "./a/sub/x"]);
    assert_eq!(wanted(&["a/sub", "a/sub/x"], &[]), ["./a/sub", "./a/sub/m.c", "./a/sub/x"]);
    assert_eq!(wanted(&["*.c"], &[]), ["./a/n.c", "./a/sub/m.c", "./b.c", "./b.c/y"]);
    assert_eq!(wanted(&["./*.c"], &[]), ["./b.c", "./b.c/y"]);
    assert_eq!(wanted(&["a/*/"], &[]), ["./a/sub", "./a/sub/m.c", "./a/sub/x"]);
    assert_eq!(wanted(&["a"], &["sub"]), ["./a", "./a/n.c"]);
    assert_eq!(wanted(&[], &["*", "!/a", "!*.c"]), [".", "./a", "./a/n.c", "./b.c"]);
    assert_eq!(wanted(&["."], &["a", "b.c", "*x*"]), [".", "./\\052", "./\\134101", "./c\\052"]);
}

#[test]
fn a_name_is_tried_before_its_octal_reading_and_both_before_the_pattern() {
    assert_eq!(wanted(&["c*"], &[]), ["./c\\052"]);
    assert_eq!(wanted(&["*"], &[]), ["./\\052"]);
    assert_eq!(wanted(&["[x]"], &[]), ["./\\133x]"]);
    assert_eq!(wanted(&["./\\133x]"], &[]), ["./\\133x]"]);
    assert_eq!(wanted(&["\\101"], &[]), ["./\\134101"]);
    assert_eq!(wanted(&["./\\134101"], &[]), ["./\\134101"]);
    assert_eq!(wanted(&["\\141/sub/x"], &[]), ["./a/sub/x"]);
    // Neither name is there, so it is a pattern; an escape in it is one of gitignore.
    assert_eq!(wanted(&["[\\142x].c"], &[]).len(), 0);
    assert_eq!(wanted(&["[ab].c"], &[]), ["./b.c", "./b.c/y"]);
}

#[test]
fn spellings_of_one_name() {
    for typed in [
        "a/sub",
        "./a/sub",
        "a/sub/",
        "a/sub//",
        ".//a///sub",
        "./a/./sub",
        "/home/me/a/sub",
        "/home//me/a/sub/",
        "\\141/sub",
        "/home/me/\\141/sub",
    ] {
        assert_eq!(wanted(&[typed], &[]), ["./a/sub", "./a/sub/m.c", "./a/sub/x"], "{typed}");
    }
    for typed in ["/home/me", "/home/me/", ".", "./"] {
        assert_eq!(wanted(&[typed], &[]).len(), TREE.len(), "{typed}");
    }
    assert_eq!(wanted(&["/home/me/*.c"], &[]), ["./b.c", "./b.c/y"]);
    assert_eq!(wanted(&["/*.c//"], &[]), ["./b.c", "./b.c/y"]);
}

#[test]
fn what_cannot_be_asked_for() {
    for bad in [&b""[..], b"/etc", b"../x", b"a/../x", b"/home/mean/x", b"/home/me/../x"] {
        let source = Some(&b"/home/me"[..]);
        assert!(Readings::new(bad, source).is_err(), "{}", String::from_utf8_lossy(bad));
    }
    assert!(Readings::new(b"/home/me/a", None).is_err());
    assert!(Readings::new(b"/etc", Some(b"/")).is_ok());
}

#[test]
fn what_is_nowhere_is_known() {
    let mut selection = select(&[b"a/n.c", b"none", b"z*", b"\xff"], &[]);
    for line in TREE {
        let entry = entry(line);
        selection.wants(&entry.path, entry.kind == Kind::Dir);
    }
    let unseen: Vec<&[u8]> = selection.unseen().collect();
    assert_eq!(unseen, [&b"none"[..], b"z*", b"\xff"]);
    assert!(!selection.found_nothing() && selection.paths().is_none());
}

/// What is left out is not called missing.
#[test]
fn what_is_left_out_is_there() {
    let mut selection = select(&[b"a/sub/x", b"b.c"], &["sub"]);
    let wanted: Vec<String> = TREE
        .iter()
        .map(|line| entry(line))
        .filter(|entry| selection.wants(&entry.path, entry.kind == Kind::Dir))
        .map(|entry| entry.path.to_string())
        .collect();
    assert_eq!(wanted, ["./b.c", "./b.c/y"]);
    assert_eq!(selection.unseen().count(), 0);
}

/// Fifty thousand names among two hundred thousand entries cost about as much as one.
#[test]
fn many_names_cost_as_little_as_one() {
    const ENTRIES: usize = 200_000;
    let path = |n: usize| Path::from_raw(format!("d{:03}/f{n:06}", n / 1000).as_bytes());
    let compared = |names: usize| {
        let typed = (0..names).map(|n| path(n * (ENTRIES / names)).as_bytes().to_vec());
        let asked = typed.map(|typed| {
            let readings = Readings::new(&typed, None).unwrap();
            (typed, readings)
        });
        let mut selection = Selection::new(asked.collect(), Patterns::default(), &BTreeSet::new());
        let wanted = (0..ENTRIES).filter(|n| selection.wants(&path(*n), false)).count();
        assert_eq!((wanted, selection.unseen().count()), (names, 0));
        selection.compared()
    };
    let (one, many) = (compared(1), compared(50_000));
    assert!(many <= one + 4 * 50_000, "{one} {many}");
}

#[test]
fn a_path_lies_in_one_index_and_what_is_below_in_more() {
    let path_of = |text: &str| Path::from_raw(text.as_bytes());
    // First path, the next index's first path; whether `a/b` lies there, and whether it or a
    // directory above it does.
    let cases = [
        ("", "a", false, true),
        ("", "a/a", false, true),
        ("a", "a/a", false, true),
        ("a/0", "a/a", false, false),
        ("a/a", "a/b", false, false),
        ("a/a", "a/b/x", true, true),
        ("a/a", "a/b!", true, true),
        ("a/b", "a/b!", true, true),
        ("a/b/x", "a/b/y", true, true),
        ("a/b!", "a/c", false, false),
        ("b", "c", false, false),
        ("", "z", true, true),
    ];
    for also in [&[][..], &["a/b/c", "a/b"]] {
        let paths: Vec<Path> = also.iter().copied().chain(["a/b"]).map(path_of).collect();
        let set = PathSet::new(&paths);
        for (first, next, lies, does) in cases {
            let (first, next) = (path_of(first), path_of(next));
            assert_eq!(set.lies_in(&first, Some(&next)), lies, "{first} {next}");
            assert_eq!(set.concerns(&first, Some(&next)), does, "{first} {next}");
        }
        assert!(set.lies_in(&path_of("a"), None) && !set.lies_in(&path_of("c"), None));
    }
}
