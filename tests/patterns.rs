//! Patterns of all kinds against git's own answers, over a tree with odd names.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::util::dice::{Dice, variable};
use crate::util::run::{dura, need, scratch};

/// What names and patterns are made of.
const MARKS: [&[u8]; 24] = [
    b"a",
    b"a",
    b"b",
    b"b",
    b"X",
    b"1",
    b"{",
    b"}",
    b",",
    b"[",
    b"]",
    b"!",
    b"*",
    b"?",
    b"\\",
    b" ",
    b"\t",
    b"#",
    b"$",
    b"~",
    b"-",
    b"^",
    b"\xc3\xa9",
    b"\xff",
];

/// What patterns have besides.
const SYNTAX: [&[u8]; 16] = [
    b"*",
    b"*",
    b"**",
    b"?",
    b"/",
    b"/",
    b"/",
    b"**/",
    b"/**",
    b"[ab]",
    b"[!a]",
    b"[^b]",
    b"[[:upper:]]",
    b"[a-c]",
    b"\\",
    b"{a,b}",
];

fn text(dice: &mut Dice, syntax: u64, most: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..=dice.below(most) {
        let of: &[&[u8]] = if dice.chance(syntax) { &SYNTAX } else { &MARKS };
        text.extend_from_slice(dice.one(of));
    }
    text
}

fn pattern(dice: &mut Dice) -> Vec<u8> {
    let mut line = if dice.chance(20) { b"!".to_vec() } else { Vec::new() };
    line.extend(text(dice, 40, 4));
    line.extend_from_slice(dice.one(&[&b""[..], b"", b"", b"/", b" ", b"\r", b"\t"]));
    line
}

fn tree() -> PathBuf {
    let dir = scratch("patterns").join("src");
    let mut dice = Dice::new(7);
    for _ in 0..160 {
        let mut path = dir.clone();
        for _ in 0..dice.below(3) {
            path.push(OsStr::from_bytes(&[&text(&mut dice, 0, 1)[..], b"d"].concat()));
        }
        fs::create_dir_all(&path).unwrap();
        path.push(OsStr::from_bytes(&text(&mut dice, 0, 2)));
        if !path.exists() {
            fs::write(path, "").unwrap();
        }
    }
    dir
}

/// A line as git is to have it: in a name, though not in a pattern, doubled slashes are one to
/// dura-scan.
fn for_git(line: &[u8]) -> Vec<u8> {
    let mut line = line.to_vec();
    if !line.iter().any(|byte| b"*?[\\".contains(byte)) {
        line.dedup_by(|next, last| *next == b'/' && *last == b'/');
    }
    line
}

/// The files that a listing says are there, raw.
fn listed(listing: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = listing.split(|byte| *byte == b'\n');
    let files = lines.filter(|line| {
        let line = String::from_utf8_lossy(line);
        line.contains(" type=file") && !line.contains("excluded")
    });
    let path = |line: &[u8]| line[2..].split(|byte| *byte == b' ').next().unwrap().to_vec();
    files.map(|line| dura::format::path::decode(&path(line)).unwrap()).collect()
}

/// The same files are left out as git leaves out. `scripts/patterns` tries thousands of lists.
#[test]
fn the_same_files_as_git_leaves_out() {
    need("git");
    let dir = tree();
    dura("git init -q .").dir(&dir).ok();
    let list = dir.parent().unwrap().join("list");
    let first = variable("DURA_PATTERNS_SEED", 1);
    for seed in first..first + variable("DURA_PATTERNS_CASES", 40) {
        let mut dice = Dice::new(seed);
        let lines: Vec<Vec<u8>> = (0..=dice.below(5)).map(|_| pattern(&mut dice)).collect();
        fs::write(&list, lines.join(&b'\n')).unwrap();
        let of_git: Vec<Vec<u8>> = lines.iter().map(|line| for_git(line)).collect();
        fs::write(list.with_extension("git"), of_git.join(&b'\n')).unwrap();
        let git = dura("git ls-files -z -o --exclude-from=../list.git").dir(&dir).ok().stdout;
        let git: BTreeSet<Vec<u8>> = git
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        let own = dura("dura-scan -q --exclude '/.git' --exclude-from ../list .").dir(&dir);
        let mut own = listed(&own.ok().stdout);
        // A pattern that begins with ! takes this one back, too.
        own.retain(|path| !path.starts_with(b".git/"));
        let odd: Vec<_> = own.symmetric_difference(&git).map(|path| path.escape_ascii()).collect();
        assert!(
            odd.is_empty(),
            "seed {seed}: {:?}: {}",
            lines.iter().map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>(),
            odd.into_iter().map(|path| path.to_string()).collect::<Vec<_>>().join(" ")
        );
    }
}

/// Those who know braces from a shell are told that they are none here.
#[test]
fn braces_are_warned_of_once() {
    let dir = scratch("braces");
    fs::write(dir.join("x.c"), "").unwrap();
    fs::write(dir.join("x.{c,o}"), "").unwrap();
    let done = dura("dura-scan --exclude '*.{c,o}' . | grep type=file").dir(&dir).ok();
    assert_eq!(done.stderr.matches("braces").count(), 1, "{}", done.report());
    let text = done.text();
    assert!(
        text.contains("./x.c type=file mode") && text.contains("x.{c,o} type=file op"),
        "{text}"
    );
}
