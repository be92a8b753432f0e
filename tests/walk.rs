//! The walk where entries go wrong: what goes wrong costs itself, and nothing beside it. Each kind
//! of trouble, at each place among its siblings, with each option, as root and as an ordinary user,
//! is held against what a reader of the tree's description expects.

use std::collections::BTreeMap;

use crate::util::run::{Done, dura, scratch};
use crate::util::tree::root;

/// What goes wrong on a file system of tests/walk/fuse.py.
const FUSE: [&str; 8] =
    ["plain", "vanished", "removed", "shut", "closed", "broken", "exchanged", "became"];

/// What goes wrong on others.
const REAL: [&str; 4] = ["mount", "foreign", "readonly", "passonly"];

/// Where the entry stands that goes wrong, and its name.
const PLACES: [(&str, &str); 3] = [("first", "a"), ("middle", "m"), ("last", "z")];

/// The options, with `ODD` for the entry's name.
const OPTIONS: [&str; 7] = [
    "-j 2",
    "-x",
    "--exclude /ODD",
    "--exclude-caches",
    "--only-from ../../mask",
    "--after ./b/f",
    "-j 1 --host other",
];

/// Makes the trees and mounts, and then, twice, what `scans` says.
fn run(scans: &str) -> Done {
    let dir = scratch("walk");
    let fuse = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/walk/fuse.py");
    let user = match root() {
        true => "--reuid 65534 --regid 65534 --clear-groups",
        // Root of its own names alone, and without what makes it root.
        false => "--bounding-set=-all",
    };
    let script = format!(
        "set -eu; mkdir typed untyped real; printf '/y\\n' > mask
         python3 {fuse} typed typed {kinds}; python3 {fuse} untyped untyped {kinds}
         for place in first:a middle:m last:z; do
             odd=${{place#*:}} place=${{place%:*}}
             for kind in {real}; do
                 top=real/$kind-$place; mkdir -p $top/b $top/c $top/y $top/$odd
                 echo 1 | tee $top/b/f $top/c/x $top/y/f $top/$odd/inside > /dev/null
                 echo 'Signature: 8a477f597d28d172789f06886806bc55' > $top/c/CACHEDIR.TAG
             done
             mount -t tmpfs none real/mount-$place/$odd; echo 1 > real/mount-$place/$odd/inside
             chmod 444 real/readonly-$place/$odd; chmod 111 real/passonly-$place/$odd
         done
         python3 {fuse} foreign real/foreign-*/[amz]
         cat > scans; chmod 755 scans; set +e; ./scans root; setpriv {user} --inh-caps=-all --no-new-privs ./scans user",
        kinds = FUSE.join(" "),
        real = REAL.join(" "),
    );
    std::fs::write(dir.join("script"), script).unwrap();
    let scan = "#!/bin/bash
        scan() { echo \"== $who $*\"; (cd \"$1\" && shift && dura-scan -q \"$@\"); echo \"code $?\"; }
        who=$1\n";
    let namespace = if root() { "-m" } else { "-rm" };
    dura(&format!("unshare {namespace} bash script"))
        .dir(&dir)
        .input(format!("{scan}{scans}").as_bytes())
        .run()
}

/// What each scan wrote: entries as `./path type tag`, and its exit status.
fn outcomes(done: &Done) -> BTreeMap<String, (Vec<String>, i32)> {
    let text = done.text();
    let runs = text.split("== ").skip(1).map(|run| {
        let (name, rest) = run.split_once('\n').unwrap();
        let (lines, code) = rest.rsplit_once("code ").unwrap();
        let simple = |line: &str| {
            let mut words = line.split(' ');
            let (path, kind) = (words.next().unwrap(), words.next().unwrap());
            let kind = kind.strip_prefix("type=").unwrap();
            let tags = words.find_map(|word| word.strip_prefix("tags=")).unwrap_or_default();
            let tag =
                tags.split(',').find(|tag| ["unread", "excluded", "unreadable"].contains(tag));
            [path, kind].into_iter().chain(tag).collect::<Vec<_>>().join(" ")
        };
        let lines = lines.lines().filter(|line| !line.starts_with('#')).map(simple);
        (name.to_owned(), (lines.collect(), code.trim().parse().unwrap()))
    });
    runs.collect()
}

/// The lines that the entry has which goes wrong, and the exit status.
fn odd(kind: &str, name: &str, typed: bool, option: &str, user: bool) -> (Vec<String>, i32) {
    let path = format!("./{name}");
    let line = |rest: &str| vec![format!("{path} {rest}")];
    let whole = || vec![format!("{path} dir"), format!("{path}/inside file")];
    let unknown = if typed { "dir unreadable" } else { "file unreadable" };
    if option.starts_with("--exclude /") {
        let kind = if !typed || kind == "became" { "file" } else { "dir" };
        return (line(&format!("{kind} excluded")), 0);
    }
    if option.starts_with("--after") && name == "a" {
        return (vec![], 0);
    }
    let (lines, code) = match kind {
        "mount" if option == "-x" => (line("dir unread"), 0),
        "mount" | "plain" => (whole(), 0),
        "vanished" | "shut" => (line(unknown), 1),
        "removed" | "foreign" => (line("dir unreadable"), 1),
        "closed" => (line("dir unread"), 1),
        "broken" => (vec![format!("{path} dir unread"), format!("{path}/inside file")], 1),
        "exchanged" => (line("link"), 0),
        "became" if typed => (line("dir unread"), 1),
        "readonly" if user => {
            (vec![format!("{path} dir"), format!("{path}/inside file unreadable")], 1)
        }
        "passonly" if user => (line("dir unread"), 1),
        "became" | "readonly" | "passonly" => (whole(), 0),
        _ => panic!("{kind}"),
    };
    // Nothing of it is wanted, so only what may hide something counts.
    let hides =
        matches!(kind, "shut" | "foreign" | "closed" | "broken") || kind == "passonly" && user;
    match option.starts_with("--only") {
        true if hides => (vec![lines[0].clone()], 1),
        true => (vec![], 0),
        false => (lines, code),
    }
}

fn expected(kind: &str, name: &str, typed: bool, option: &str, user: bool) -> (Vec<String>, i32) {
    let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let (wrong, code) = odd(kind, name, typed, option, user);
    let mut siblings = BTreeMap::from([(name, wrong)]);
    if !option.starts_with("--only") {
        if !option.starts_with("--after") {
            siblings.insert("b", text(&["./b dir", "./b/f file"]));
        }
        let cache = match option.starts_with("--exclude-caches") {
            true => text(&["./c dir unread", "./c/CACHEDIR.TAG file"]),
            false => text(&["./c dir", "./c/CACHEDIR.TAG file", "./c/x file"]),
        };
        siblings.insert("c", cache);
    }
    siblings.insert("y", text(&["./y dir", "./y/f file"]));
    let lines = text(&[". dir"]).into_iter().chain(siblings.into_values().flatten());
    (lines.collect(), code)
}

/// Scans all trees of some kinds with all options, and compares.
fn matrix(dirs: &[(&str, &[&str])]) {
    let mut scans = String::new();
    let mut wanted = BTreeMap::new();
    for (dir, kinds) in dirs {
        let trees = kinds.iter().flat_map(|kind| PLACES.map(|(place, name)| (kind, place, name)));
        for (kind, place, name) in trees {
            for option in OPTIONS {
                let run = format!("{dir}/{kind}-{place} {} .", option.replace("ODD", name));
                scans += &format!("scan {run}\n");
                for (user, who) in [(false, "root"), (true, "user")] {
                    let lines = expected(kind, name, *dir != "untyped", option, user);
                    wanted.insert(format!("{who} {run}"), lines);
                }
            }
        }
    }
    let done = run(&scans);
    let found = outcomes(&done);
    assert_eq!(found.len(), wanted.len(), "{}", done.report());
    for (run, lines) in &wanted {
        assert_eq!(found.get(run), Some(lines), "{run}");
    }
}

#[test]
fn trouble_costs_the_entry_alone() {
    matrix(&[("typed", &FUSE)]);
}

#[test]
fn trouble_costs_the_entry_alone_where_directories_name_no_types() {
    matrix(&[("untyped", &FUSE)]);
}

#[test]
fn mounts_and_modes_cost_the_entry_alone() {
    matrix(&[("real", &REAL)]);
}

/// The same entries as the source itself.
#[test]
fn trouble_of_the_source() {
    let sources = [
        "real/mount-first/a",
        "real/foreign-first/a",
        "real/readonly-first/a",
        "real/passonly-first/a",
    ];
    let fuse = FUSE
        .iter()
        .flat_map(|kind| ["typed", "untyped"].map(|dir| format!("{dir}/{kind}-first/a")));
    let sources: Vec<String> = fuse.chain(sources.map(str::to_owned)).collect();
    let options = ["-x", "--exclude-caches", "-j 1"];
    let scans = sources
        .iter()
        .flat_map(|source| options.map(|option| format!("scan . {option} {source}\n")));
    let done = run(&scans
        .collect::<String>()
        .replace("exchanged-first/a", "exchanged-first/a --exclude '*'"));
    let found = outcomes(&done);
    assert_eq!(found.len(), sources.len() * options.len() * 2, "{}", done.report());
    for (run, (lines, code)) in &found {
        let user = run.starts_with("user");
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let kind = run.split(['/', '-']).find(|part| FUSE.contains(part) || REAL.contains(part));
        let whole = (&[". dir", "./inside file"][..], 0);
        let wanted = match kind.unwrap() {
            "vanished" | "removed" | "shut" | "closed" | "foreign" => (&[][..], 2),
            "passonly" if user => (&[][..], 2),
            "readonly" if user => (&[". dir", "./inside file unreadable"][..], 1),
            "broken" => (&[". dir unread", "./inside file"][..], 1),
            "exchanged" => {
                assert_eq!((lines[0], *code), (". dir", 0), "{run}");
                continue;
            }
            _ => whole,
        };
        assert_eq!((lines.as_slice(), *code), wanted, "{run}");
    }
}
