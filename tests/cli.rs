//! How the programs meet a person: help, version, and mistakes in the arguments.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};

const PROGRAMS: [(&str, &str); 5] = [
    ("dura-scan", env!("CARGO_BIN_EXE_dura-scan")),
    ("dura-index", env!("CARGO_BIN_EXE_dura-index")),
    ("dura-pack", env!("CARGO_BIN_EXE_dura-pack")),
    ("dura-seal", env!("CARGO_BIN_EXE_dura-seal")),
    ("dura-push", env!("CARGO_BIN_EXE_dura-push")),
];

/// `--help` teaches: it says what the program does, gives an example, and its exit statuses.
#[test]
fn help_teaches() {
    for (name, path) in PROGRAMS {
        let wanted = contains("Usage:")
            .and(contains("Example:"))
            .and(contains("Exit status:"))
            .and(contains(name));
        Command::new(path).arg("--help").assert().code(0).stdout(wanted).stderr(is_empty());
        Command::new(path)
            .arg("--version")
            .assert()
            .code(0)
            .stdout(starts_with(format!("{name} 0.")));
    }
}

/// Events go into no file that a link leads to, and are for their owner alone; a run does without.
#[test]
fn events_follow_no_link() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let (own, link, other) =
        (dir.path().join("own"), dir.path().join("link"), dir.path().join("other"));
    std::os::unix::fs::symlink(&other, &link).unwrap();
    let run = |events: &std::path::Path| {
        Command::new(PROGRAMS[0].1).arg(dir.path()).arg("--events").arg(events).assert().code(0)
    };
    run(&own);
    assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o600);
    run(&link).stderr(predicates::str::contains("cannot write events: "));
    assert!(!other.exists());
    // Another name of a file, and a FIFO that nobody reads.
    std::fs::write(&other, "as it was").unwrap();
    let (name, fifo) = (dir.path().join("name"), dir.path().join("fifo"));
    std::fs::hard_link(&other, &name).unwrap();
    run(&name).stderr(predicates::str::contains("another name"));
    assert_eq!(std::fs::read(&other).unwrap(), b"as it was");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    run(&fifo).stderr(predicates::str::contains("cannot write events: "));
}

/// A mistake in the arguments ends in status 2, says so on stderr, and writes nothing to stdout.
#[test]
fn mistakes_end_in_2() {
    for (_, path) in PROGRAMS {
        Command::new(path)
            .arg("--no-such-option")
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains("--no-such-option"));
    }
    let [scan, index, pack, seal, push] = PROGRAMS.map(|(_, path)| path);
    let fails = |path: &str, args: &[&str], says: &str| {
        Command::new(path)
            .args(args)
            .write_stdin("")
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains(says));
    };
    fails(scan, &[], "DIR");
    fails(scan, &["/no/such/dir"], "dura-scan: /no/such/dir: no such file or directory");
    fails(scan, &["--exclude-from", "/no/list", "."], "/no/list: no such file or directory");
    fails(scan, &["--after", "../x", "."], "--after");
    fails(index, &["bands", "/no/such/dir"], "dura-index: /no/such/dir: no such file or directory");
    fails(index, &["bands", path_of_a_file()], "not a directory");
    fails(index, &["ls", "--at", "someday", "."], "2026-11-27");
    fails(pack, &["--block-size", "10Q"], "10M");
    fails(pack, &["--compress", "lzma"], "gzip, zstd or none");
    fails(pack, &["--band", "x"], "YYYYMMDDThhmmssZ");
    fails(seal, &["--group", "0"], "2 to 255");
    fails(seal, &["--symmetric"], "--passphrase-file");
    fails(push, &[], "ARCHIVE");
    fails(push, &["ftp://x"], "no store for ftp://");
}

fn path_of_a_file() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")
}

/// `-q` is silent about what is not wrong, and `-v` is not.
#[test]
fn quiet_and_verbose() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let listing = Command::new(PROGRAMS[0].1)
        .arg("-q")
        .arg(dir.path())
        .assert()
        .code(0)
        .stderr(is_empty())
        .get_output()
        .stdout
        .clone();
    let pack = |flag: &str| {
        Command::new(PROGRAMS[2].1).arg(flag).write_stdin(listing.clone()).assert().code(0)
    };
    pack("-q").stderr(is_empty());
    pack("-v").stderr(contains("00000/000000000.tar.gz"));
}

/// With `--events`, or by the environment, each program appends JSON lines with time, tool and
/// event.
#[test]
fn events_are_json_lines() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events");
    Command::new(PROGRAMS[0].1).arg(dir.path()).arg("--events").arg(&events).assert().code(0);
    Command::new(PROGRAMS[2].1)
        .env("DURA_EVENTS", &events)
        .write_stdin("no listing")
        .assert()
        .code(2);
    let text = std::fs::read_to_string(&events).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["tool"].as_str().unwrap(), line["event"].as_str().unwrap()))
        .collect();
    let (scan, pack) = ("dura-scan", "dura-pack");
    assert_eq!(
        seen,
        [
            (scan, "start"),
            (scan, "listed"),
            (scan, "end"),
            (pack, "start"),
            (pack, "error"),
            (pack, "end")
        ]
    );
    assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))));
    assert_eq!((lines[2]["status"].as_u64(), lines[5]["status"].as_u64()), (Some(0), Some(2)));
}

/// A variable that is set to nothing is as good as not set, also where it stands for an option of a
/// subcommand.
#[test]
fn empty_variables_count_as_not_set() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().to_str().unwrap();
    let listing = "#mtree\n#dura listing 1\n. type=dir mode=0755 uid=0 gid=0 time=1.000000000\n#end entries=1 excluded=0 unreadable=0\n";
    let [_, index, pack, ..] = PROGRAMS.map(|(_, path)| path);
    let runs = |path: &str, args: &[&str], input: &'static str| {
        Command::new(path)
            .args(args)
            .env("DURA_CACHE", "")
            .env("DURA_EVENTS", "")
            .write_stdin(input)
            .assert()
            .code(0);
    };
    runs(index, &["bands", archive], "");
    runs(pack, &["-C", archive], listing);
    // One that is set, and cannot be used, is told of.
    Command::new(index)
        .args(["bands", archive])
        .env("DURA_CACHE", "/dev/null/x")
        .assert()
        .code(0)
        .stderr(contains("/dev/null/x: not a directory: continuing without a cache"));
}
