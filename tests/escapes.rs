//! Whatever a store holds, no program prints a control character of it, in no field of any object,
//! and none of it ends a program in another way than with its statuses.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::forge::{FULL, band, dir, dir_line, file, file_line, gzip, link_line, sha256};
use crate::util::run::{dura, scratch};

const EVIL: &str = "\x1b]0;pwned\x07\u{9b}31m\x08";

/// What reads the archive; those with files of their own on standard output have that thrown away.
const READERS: [&str; 12] = [
    "dura-restore -v --no-cache a >/dev/null",
    "dura-restore -v --no-cache a ./x >/dev/null",
    "dura-index -v --no-cache list a",
    "dura-index -v --no-cache ls a",
    "dura-index -v --no-cache find a x",
    "dura-index -v --no-cache where a ./x",
    "dura-index -v --no-cache bands a; dura-index -v --no-cache expire --keep-last 1 a",
    "dura-verify -v --files a; dura-verify -v --quick a; dura-verify -v --repair a >/dev/null",
    "dura-push -v --from a b",
    "mkdir -p s; dura-scan -q s | dura-index -v --no-cache diff a",
    "cd a/20260101T000000Z && sh recover.sh -l",
    "rm -rf out; cd a/20260101T000000Z && busybox sh recover.sh -c ../../out",
];

/// A band with one index line besides the root's.
fn line(top: &Path, line: &str) -> PathBuf {
    let lines = [dir_line(".", ""), line.to_owned()];
    band(&top.join("a"), FULL, &lines, &[dir("./"), file("./x", b"abc")].concat())
}

/// Changes an object's text, and what it says of itself.
fn changed(folder: &Path, name: &str, end: &str, change: &dyn Fn(&str) -> String) {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).unwrap();
    let above = if end.is_empty() { &text[..] } else { &text[..text.rfind(end).unwrap()] };
    let mut text = change(above);
    if !end.is_empty() {
        text += &format!("{end}{}\n", sha256(text.as_bytes()));
    }
    fs::write(path, text).unwrap();
}

/// The value of a key of a line or of a `key: value` text is the evil one.
fn with(text: &str, key: &str, stop: char) -> String {
    let at = text.find(key).unwrap_or_else(|| panic!("{key} in {text}")) + key.len();
    let end = text[at..].find(stop).map_or(text.len(), |end| at + end);
    format!("{}{EVIL}{}", &text[..at], &text[end..])
}

#[track_caller]
fn is_quiet(top: &Path, what: &str, nth: usize) {
    // A third of them by turns: each reader sees a third of the changes, of each kind.
    for reader in READERS.iter().skip(nth % 3).step_by(3) {
        let done = dura(reader).dir(top).run();
        let all = [done.stdout.clone(), done.stderr.clone().into_bytes()].concat();
        let odd = |byte: &u8| (*byte < b' ' && *byte != b'\n') || *byte == 0x7f;
        assert!(!all.iter().any(odd), "{what}: {reader}\n{}", done.report().escape_debug());
        let is_high = String::from_utf8_lossy(&all).contains('\u{9b}');
        assert!(!is_high, "{what}: {reader}\n{}", done.report().escape_debug());
        let ended = (0..=2).contains(&done.code) && !done.stderr.contains("panicked");
        assert!(ended, "{what}: {reader}\n{}", done.report());
    }
}

#[test]
fn of_index_lines() {
    let good = file_line("./x", b"abc", "");
    let mut lines: Vec<String> = ["type=", "mode=", "uid=", "time=", "size=", "sha256digest="]
        .iter()
        .map(|key| with(&good, key, ' '))
        .collect();
    lines.extend(["=1", "", "=", ",x"].map(|end| format!("{good} {EVIL}{end}")));
    lines.extend(["", "in:", "hard:", "c:", "body:"].map(|tag| format!("{good} tags={tag}{EVIL}")));
    lines.push(good.replace("./x", &format!("./x{EVIL}")));
    lines.push(good.replace("./x", "./x\\033\\007\\233"));
    lines.push(good.replace("./x", "./\\99x\\"));
    lines.push(link_line("./x", EVIL, ""));
    lines.push(link_line("./x", "\\033[1m\\233", ""));
    lines
        .push(format!("./x type=char mode=0600 uid=0 gid=0 time=1.000000000 device=native,{EVIL}"));
    for header in ["", "source ", "above ", "index ", "mask ", "dura listing ", "end entries="] {
        lines.push(format!("#{header}{EVIL}\n{good}"));
    }
    for (nth, evil) in lines.into_iter().enumerate() {
        let top = scratch("escapes");
        line(&top, &evil);
        is_quiet(&top, &evil.escape_debug().to_string(), nth);
        fs::remove_dir_all(top).unwrap();
    }
}

#[test]
fn of_all_other_objects() {
    let good = file_line("./x", b"abc", "");
    let ends = ["dura-band: ", "band: ", "id: ", "parent: ", "started: ", "compression: "];
    type Change<'a> = Box<dyn Fn(&Path) + 'a>;
    let mut changes: Vec<(String, Change)> = Vec::new();
    let mut add = |what: String, change: Change<'static>| changes.push((what, change));
    for (object, end) in [("HEAD", ""), ("TAIL", "sha256: ")] {
        for key in ends.into_iter().chain(["writer: "]) {
            let change =
                move |folder: &Path| changed(folder, object, end, &|it| with(it, key, '\n'));
            add(format!("{object}, {key}"), Box::new(change));
        }
        for more in ["", "as-of: ", "source-id: ", "runs: ", "behind: ", "tree-files: "] {
            let change = move |folder: &Path| {
                changed(folder, object, end, &|it| format!("{it}{more}{EVIL}: 1\n"));
            };
            add(format!("{object}, more, {more}"), Box::new(change));
        }
    }
    for key in ["finished: ", "last: ", "toc: ", "entries: ", "bytes: "] {
        let change =
            move |folder: &Path| changed(folder, "TAIL", "sha256: ", &|it| with(it, key, '\n'));
        add(format!("TAIL, {key}"), Box::new(change));
    }
    for (key, stop) in [("group ", '\n'), ("#band ", '\n'), ("slots=", ' '), ("#object ", ' ')] {
        let list = "00000/000000000-0.sha256";
        let change = move |folder: &Path| changed(folder, list, "#end ", &|it| with(it, key, stop));
        add(format!("list, {key}"), Box::new(change));
    }
    let more = |folder: &Path| {
        let line = format!("{}  00000/{EVIL}\n{EVIL}\n#{EVIL}\n", "0".repeat(64));
        changed(folder, "00000/000000000-0.sha256", "#end ", &|it| format!("{it}{line}"));
    };
    add("list, more".to_owned(), Box::new(more));
    for toc in [
        format!("#toc {EVIL}\n"),
        format!("#toc {} 000000000\n000000000 {EVIL} ./x 1\n", "0".repeat(32)),
    ] {
        let change = move |folder: &Path| {
            fs::write(folder.join("00000/000000000.toc.gz"), gzip(toc.as_bytes())).unwrap();
        };
        add("table of contents".to_owned(), Box::new(change));
    }
    let names = |folder: &Path| {
        for name in [format!("00000/{EVIL}"), format!("{EVIL}.tar.gz"), format!("../{EVIL}")] {
            fs::write(folder.join(name), "x").unwrap();
        }
        for name in [format!("../20270101T000000Z{EVIL}"), format!("000{EVIL}")] {
            fs::create_dir(folder.join(name)).unwrap();
        }
    };
    add("names".to_owned(), Box::new(names));
    for (nth, (what, change)) in changes.into_iter().enumerate() {
        let top = scratch("escapes");
        change(&line(&top, &good));
        is_quiet(&top, &what, nth);
        fs::remove_dir_all(top).unwrap();
    }
}
