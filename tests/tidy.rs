//! The house rules that a compiler does not know: rings, purity, one place for durable writes, file
//! sizes, paths in the docs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::{absolute, paths, tokens};

mod circles;
mod source;
mod unique;

/// The rings of `lib/`, each with those that it may use besides itself. Imports point inwards only.
const RINGS: [(&str, &[&str]); 8] = [
    ("format", &[]),
    ("core", &["format"]),
    ("store", &["format"]),
    ("edge", &["format"]),
    ("report", &["format", "store", "edge"]),
    ("archive", &["format", "core", "store", "edge", "report"]),
    ("ops", &["format", "core", "store", "edge", "report", "archive"]),
    ("cli", &["format", "core", "store", "edge", "report", "archive", "ops"]),
];

/// The rings in which nothing may touch the world.
const PURE: [&str; 2] = ["format", "core"];

/// Paths that a pure ring may not name, with all below them. A crate's name alone may be a
/// variable's.
const WORLD: [&str; 21] = [
    "std::fs::",
    "std::net::",
    "std::process::",
    "std::env::",
    "std::thread::",
    "std::os::unix::fs::",
    "std::os::unix::net::",
    "std::time::SystemTime::",
    "std::time::Instant::",
    "std::io::stdin::",
    "std::io::stdout::",
    "std::io::stderr::",
    "rustix::",
    "nix::",
    "tempfile::",
    "walkdir::",
    "rayon::",
    "rand::",
    "getrandom::",
    "jiff::Timestamp::now::",
    "jiff::Zoned::now::",
];

/// Last words of a path that a pure ring may not use, however they were imported; those with `::`
/// only behind another word, because `now` alone is what a machine's argument is called.
const WORLDLY_WORDS: [&str; 8] = [
    "SystemTime",
    "Instant",
    "RandomState",
    "thread_rng",
    "::now",
    "::stdin",
    "::stdout",
    "::stderr",
];

/// What arguments alone need, and nothing inside of them may know.
const ARGUMENTS: [&str; 2] = ["clap::", "clap_complete::"];

/// What the ring of arguments leaves to those inside of it.
const DEEDS: [&str; 7] = [
    "std::thread::",
    "std::fs::",
    "std::net::",
    "std::process::Command::",
    "rayon::",
    "crate::store::",
    "crate::edge::gpg::",
];

/// The program's own streams, which `lib/cli/` alone opens and asks about.
const STREAMS: [&str; 9] = [
    "io::stdin",
    "io::stdout",
    "pipe::stdin",
    "pipe::attended_stdin",
    "pipe::stdout",
    "pipe::stdout_refuses",
    "pipe::stdin_is_terminal",
    "pipe::stdout_is_terminal",
    "pipe::stdout_is_file",
];

/// Modules of `lib/ops/` that several deeds use; no deed uses another.
const SHARED: [&str; 5] = ["CANNOT_WRITE", "asked", "keyring", "records", "room"];

/// Macros that a pure ring may not call.
const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// The one file of the library that makes writes durable or visible.
const DURABLE: &str = "lib/store/durable.rs";

/// What only that file may call.
const DURABLE_CALLS: [&str; 14] = [
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_all",
    "sync_data",
    "rename",
    "renameat",
    "renameat_with",
    "hard_link",
    "linkat",
    "persist",
    "persist_noclobber",
    "fs::link",
    "fs::sync",
];

/// Where Rust source lies.
const SOURCES: [&str; 6] = ["bin", "lib", "tests", "fuzz", "benches", "examples"];

/// The aim is 400; at 100 columns some files are longer until they are split.
const LINES_IN_A_FILE: usize = 540;
const LINES_IN_A_PROGRAM: usize = 12;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below the folder, as paths from the repository's root, in order.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path: PathBuf = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} file in {folder}");
    found
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Fails with all findings, so that one run shows everything.
pub(crate) fn nothing(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// The part of a file that stands before its inline tests; nothing of a file of tests.
pub(crate) fn outside_of_tests(file: &str, source: &str) -> String {
    if file.ends_with("/tests.rs") || file.contains("/tests/") {
        return String::new();
    }
    match source.find("#[cfg(test)]\nmod tests {") {
        Some(end) => source[..end].to_owned(),
        None => source.to_owned(),
    }
}

/// Whether the path is the word or ends in it.
fn names(path: &str, word: &str) -> bool {
    path == word
        || path
            .strip_suffix(word)
            .is_some_and(|rest| word.starts_with("::") || rest.ends_with("::"))
}

fn ring_of(file: &str) -> &str {
    file.split('/').nth(1).filter(|ring| !ring.ends_with(".rs")).unwrap_or("")
}

/// Arguments lie outermost: what does the work knows nothing of them, and they do no work.
#[test]
fn arguments_and_deeds_are_apart() {
    let mut findings = Vec::new();
    for file in files("lib", "rs") {
        let forbidden: &[&str] = if ring_of(&file) == "cli" { &DEEDS } else { &ARGUMENTS };
        for (line, path) in paths(&tokens(&read(&file))) {
            let path = absolute(&file, &path);
            if forbidden.iter().any(|of| path.starts_with(of)) {
                findings.push(format!("{file}:{line}: may not use {path}"));
            }
            let below = path.strip_prefix("crate::ops::");
            let of_deed = below
                .and_then(|rest| rest.split("::").next())
                .filter(|of| !matches!(*of, "*" | ""));
            let own = file.strip_prefix("lib/ops/").map(|rest| rest.trim_end_matches(".rs"));
            if let (Some(of), Some(own)) = (of_deed, own)
                && own.split('/').next() != Some(of)
                && !SHARED.contains(&of)
                // Tests of several deeds.
                && !["answers", "effort", "orders"].contains(&own.split('/').next().unwrap_or(own))
            {
                findings.push(format!("{file}:{line}: a deed may not use another: {path}"));
            }
        }
    }
    nothing(findings);
}

/// What a deed reads and where it writes is given to it.
#[test]
fn arguments_open_the_standard_streams() {
    let (mut findings, mut opened) = (Vec::new(), 0);
    for file in files("lib", "rs").iter().filter(|file| ring_of(file) != "edge") {
        let tokens = tokens(&outside_of_tests(file, &read(file)));
        let is_cli = ring_of(file) == "cli";
        for (line, path) in paths(&tokens) {
            let path = absolute(file, &path);
            match STREAMS.iter().any(|stream| names(path.trim_end_matches("::"), stream)) {
                true if is_cli => opened += 1,
                true => findings.push(format!("{file}:{line}: only lib/cli/ may use {path}")),
                false => {}
            }
        }
    }
    nothing(findings);
    assert!(opened > 9, "lib/cli/ uses {opened} of them");
}

#[test]
fn imports_point_inwards() {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files("lib", "rs") {
        let Some((ring, allowed)) = RINGS.iter().find(|(ring, _)| *ring == ring_of(&file)) else {
            if file != "lib/lib.rs" {
                findings.push(format!("{file}: lies in no ring"));
            }
            continue;
        };
        seen.insert(*ring);
        for (line, path) in paths(&tokens(&read(&file))) {
            let path = absolute(&file, &path);
            let Some(target) =
                path.strip_prefix("crate::").and_then(|rest| rest.split("::").next())
            else {
                continue;
            };
            if RINGS.iter().any(|(other, _)| *other == target)
                && target != *ring
                && !allowed.contains(&target)
            {
                findings.push(format!("{file}:{line}: {ring} may not use {target}"));
            }
        }
    }
    nothing(findings);
    assert_eq!(seen.len(), RINGS.len(), "a ring has no file: only {seen:?} were seen");
}

#[test]
fn pure_rings_touch_nothing() {
    let mut findings = Vec::new();
    let mut looked_at = 0;
    for file in files("lib", "rs").iter().filter(|file| PURE.contains(&ring_of(file))) {
        looked_at += 1;
        let tokens = tokens(&read(file));
        for (line, path) in paths(&tokens) {
            let bare = path.trim_end_matches("::");
            if let Some(named) =
                WORLD.iter().find(|world| path.starts_with(*world) && bare.contains("::"))
            {
                findings.push(format!("{file}:{line}: names {}", named.trim_end_matches("::")));
            } else if let Some(word) = WORLDLY_WORDS.iter().find(|word| names(bare, word)) {
                findings.push(format!("{file}:{line}: uses {word}"));
            }
        }
        for pair in tokens
            .windows(2)
            .filter(|pair| pair[1].1 == "!" && PRINTING.contains(&pair[0].1.as_str()))
        {
            findings.push(format!("{file}:{}: prints with {}!", pair[0].0, pair[0].1));
        }
    }
    nothing(findings);
    assert!(looked_at > 0, "no file of {PURE:?} was looked at");
}

#[test]
fn one_file_makes_writes_durable() {
    assert!(
        read(DURABLE).contains("fsync") || read(DURABLE).contains("sync_all"),
        "{DURABLE} makes nothing durable"
    );
    let mut findings = Vec::new();
    for file in
        files("lib", "rs").into_iter().chain(files("bin", "rs")).filter(|file| file != DURABLE)
    {
        for (line, path) in paths(&tokens(&outside_of_tests(&file, &read(&file)))) {
            let path = path.trim_end_matches("::");
            for call in DURABLE_CALLS {
                if names(path, call) {
                    findings.push(format!("{file}:{line}: {call} belongs to {DURABLE}"));
                }
            }
        }
    }
    nothing(findings);
}

/// What happens next is for an error's kind to decide: a hint that is added changes only words.
#[test]
fn no_one_asks_for_a_hint() {
    let mut findings = Vec::new();
    for file in files("lib", "rs").iter().filter(|file| *file != "lib/report/message.rs") {
        for (number, line) in read(file).lines().enumerate() {
            if ["is::<", "downcast"].iter().any(|ask| line.contains(ask))
                && line.contains("Hinted>")
            {
                findings.push(format!("{file}:{}: asks for a hint", number + 1));
            }
        }
    }
    nothing(findings);
}

#[test]
fn every_file_says_its_purpose_and_is_short() {
    let mut findings = Vec::new();
    for folder in SOURCES {
        for file in files(folder, "rs") {
            let source = read(&file);
            if !source.starts_with("//! ") {
                findings.push(format!("{file}: does not open with `//!` and its purpose"));
            }
            let limit = if folder == "bin" { LINES_IN_A_PROGRAM } else { LINES_IN_A_FILE };
            let lines = source.lines().count();
            if lines > limit {
                findings.push(format!("{file}: {lines} lines, over {limit}"));
            }
        }
    }
    nothing(findings);
}

#[test]
fn nothing_is_left_to_do() {
    let mut findings = Vec::new();
    for file in SOURCES.iter().flat_map(|folder| files(folder, "rs")) {
        let tokens = tokens(&read(&file));
        for (at, (line, text)) in tokens.iter().enumerate() {
            let next = |n: usize| tokens.get(at + n).map_or("", |(_, text)| text.as_str());
            if matches!(text.as_str(), "todo" | "unimplemented" | "dbg") && next(1) == "!" {
                findings.push(format!("{file}:{line}: {text}!"));
            }
            if text == "#" && next(1) == "[" && next(2) == "ignore" {
                findings.push(format!("{file}:{line}: an ignored test"));
            }
        }
    }
    nothing(findings);
}

#[test]
fn every_test_file_is_part_of_the_suite() {
    let suite = read("tests/all.rs");
    let mut findings = Vec::new();
    for file in files("tests", "rs")
        .iter()
        .filter(|file| file.matches('/').count() == 1 && *file != "tests/all.rs")
    {
        let module = file.trim_start_matches("tests/").trim_end_matches(".rs");
        if !suite.lines().any(|line| line.starts_with(&format!("mod {module};"))) {
            findings.push(format!("{file}: tests/all.rs has no `mod {module};`"));
        }
    }
    nothing(findings);
}

#[test]
fn paths_in_the_docs_exist() {
    let mut named = 0;
    let mut findings = Vec::new();
    for page in
        files("docs", "md").into_iter().chain(["README.md".to_owned(), "CHANGES.md".to_owned()])
    {
        for (number, line) in read(&page).lines().enumerate() {
            // A path stands by itself: not behind another folder's name, nor with a wildcard or a
            // placeholder.
            for text in
                line.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-*{}~$<>…".contains(c)))
            {
                let path = text.trim_end_matches('.');
                let ours = SOURCES.iter().chain(&["man", "scripts", "docs"]).any(|folder| {
                    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
                });
                if !ours || path.contains(|c| "*{}$<>…".contains(c)) {
                    continue;
                }
                named += 1;
                if !root().join(path).exists() {
                    findings.push(format!("{page}:{}: {path} does not exist", number + 1));
                }
            }
        }
    }
    nothing(findings);
    assert!(named > 0, "no page names a path");
}

/// Tables and what is typed or shown as it is may be wider.
#[test]
fn pages_have_narrow_lines() {
    let mut findings = Vec::new();
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];
    for page in files("docs", "md").into_iter().chain(pages.map(str::to_owned)) {
        let mut is_code = false;
        for (number, line) in read(&page).lines().enumerate() {
            is_code ^= line.starts_with("```");
            let is_prose = !is_code && !line.starts_with("    ") && !line.starts_with('|');
            if is_prose && line.chars().count() > 100 {
                findings.push(format!("{page}:{}: over 100 characters", number + 1));
            }
        }
    }
    nothing(findings);
}

#[test]
fn every_dependency_is_explained() {
    let manifest = read("Cargo.toml");
    let crates: BTreeSet<&str> = [
        "[dependencies]",
        "[build-dependencies]",
        "[dev-dependencies]",
        "[target.'cfg(fuzzing)'.dev-dependencies]",
    ]
    .iter()
    .flat_map(|table| {
        manifest
            .split(table)
            .nth(1)
            .unwrap()
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with('['))
    })
    .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
    .collect();
    let page = read("docs/dependencies.md");
    let explained: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|cell| *cell != "crate")
        .flat_map(|cell| cell.split(", "))
        .collect();
    assert!(!crates.is_empty());
    assert_eq!(crates, explained, "Cargo.toml (left) and docs/dependencies.md (right) differ");
    let sources: String = ["lib", "tests", "fuzz", "benches", "examples"]
        .iter()
        .flat_map(|folder| files(folder, "rs"))
        .chain(["build.rs".into()])
        .map(|file| read(&file))
        .collect();
    // One package's library has another name.
    let library =
        |name: &str| if name == "md-5" { "md5".to_owned() } else { name.replace('-', "_") };
    let unused = crates.iter().filter(|name| !sources.contains(&format!("{}::", library(name))));
    nothing(unused.map(|name| format!("Cargo.toml: nothing uses {name}")).collect());
}
