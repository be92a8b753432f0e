//! More forged chains through recover.sh, with each tar, under both shells, as root and as a user:
//! what a member, a line or a field may hold that no honest one does. Nothing outside of DEST
//! changes, and DEST holds what the lines list, or it is told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cases::{BOTH, Layer, cases};

use crate::util::forge::{FULL, LAYER, band, dir, dir_line, kind_word, sha256};
use crate::util::run::{Done, bare, give, scratch};
use crate::util::snapshot::{EXACT, diff, take};
use crate::util::sweep::all;

mod cases;

const THIRD: &str = "20260101T000000Z-20260102T000000Z-20260103T000000Z";
const NAMES: [&str; 3] = [FULL, LAYER, THIRD];

/// An archive, and a place beside it that nobody may touch.
fn place(user: bool) -> PathBuf {
    let top = scratch("forged");
    let make =
        "mkdir -p a tmp outside/dir/locked outside/dir/sub && cd outside && printf kept > file
        printf kept > dir/kept && printf kept > dir/s && mkfifo fifo && ln -s nowhere link
        printf kept > dir/locked/kept; chmod 666 file fifo dir/kept dir/s; chmod 500 dir/locked
        chmod 777 .. ../a ../tmp . dir dir/sub";
    if user {
        give(&top);
    }
    bare(make).dir(&top).user(user).ok();
    top
}

/// What the lines of a chain list in the end, by path.
fn version(chain: &[Layer]) -> BTreeMap<String, String> {
    let mut version = BTreeMap::new();
    for (lines, _) in chain {
        let is = |line: &str, tag: &str| {
            let tags = line.split(' ').find_map(|word| word.strip_prefix("tags="));
            tags.is_some_and(|tags| tags.split(',').any(|known| known == tag))
        };
        for line in lines.iter().filter(|line| is(line, "deleted") || is(line, "over")) {
            let path = line.split(' ').next().unwrap();
            let below = format!("{path}/");
            version.retain(|known: &String, _| known != path && !known.starts_with(&below));
        }
        for line in lines.iter().filter(|line| !is(line, "deleted")) {
            version.insert(line.split(' ').next().unwrap().to_owned(), line.clone());
        }
    }
    version
}

fn value<'a>(line: &'a str, key: &str) -> &'a str {
    line.split(' ').find_map(|word| word.strip_prefix(key)).unwrap_or_default()
}

/// A name as lines have it.
fn encoded(name: &[u8]) -> String {
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || b"\\#=*?[".contains(&byte);
    let encode = |&byte: &u8| match is_odd(byte) {
        true => format!("\\{byte:03o}"),
        false => char::from(byte).to_string(),
    };
    name.iter().map(encode).collect()
}

/// Compares what lies at `dest` with what is listed: exactly, or that there is nothing else.
fn is_listed(dest: &Path, listed: &BTreeMap<String, String>, exact: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut count, mut is_seen) = (0, true);
    let mut folders = vec![(dest.to_owned(), ".".to_owned())];
    while let Some((folder, at)) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            // Of an ordinary user who shut it.
            is_seen = false;
            continue;
        };
        for entry in entries.map(Result::unwrap) {
            let path = format!("{at}/{}", encoded(entry.file_name().as_bytes()));
            let stat = fs::symlink_metadata(entry.path()).unwrap();
            let kind = kind_word(stat.file_type());
            if kind == "dir" {
                folders.push((entry.path(), path.clone()));
            }
            let Some(line) = listed.get(&path) else {
                faults.push(format!("{path} is in no index"));
                continue;
            };
            count += 1;
            let mode = stat.permissions().mode() & 0o7777;
            let wanted = u32::from_str_radix(value(line, "mode="), 8).unwrap_or(0);
            let is_same = match kind {
                "link" => {
                    fs::read_link(entry.path()).unwrap().to_str() == Some(value(line, "link="))
                }
                "file" => sha256(&fs::read(entry.path()).unwrap()) == value(line, "sha256digest="),
                _ => true,
            };
            if kind != value(line, "type=") || mode & 0o7000 & !wanted != 0 || stat.rdev() != 0 {
                faults.push(format!("{path}: {kind} {mode:o}"));
            } else if exact && !(is_same && (kind == "link" || mode == wanted)) {
                faults.push(format!("{path}: not what the index says: {kind} {mode:o}"));
            }
        }
    }
    if exact && is_seen && count != listed.len() {
        faults.push(format!("{count} of {} entries", listed.len()));
    }
    faults
}

fn run(top: &Path, name: &str, tar: &str, sh: &str, user: bool, options: &str) -> Done {
    let run = format!("cd a/{name} && {sh} recover.sh {options} ../../dest");
    bare(&run).dir(top).var("TAR", tar).var("TMPDIR", top.join("tmp")).user(user).seconds(120).run()
}

/// Cases of more than one folder or kind of entry are tried with each tar, as root and as a user;
/// those of one member or field by turns, unless `DURA_FAULTS=all` (`scripts/fault-sweep`).
fn with(tar: &str, turn: usize) {
    let mut faults = Vec::new();
    for (at, (what, chain)) in cases().into_iter().enumerate() {
        if at >= BOTH && !all() && at % 3 != turn {
            continue;
        }
        let listed = version(&chain);
        for user in [false, true] {
            if at >= BOTH && user != ((at + turn) % 2 == 1) {
                continue;
            }
            let top = place(user);
            for ((lines, tar), name) in chain.iter().zip(NAMES) {
                let lines = [&[dir_line(".", "")], &lines[..]].concat();
                band(&top.join("a"), name, &lines, &[dir("./"), tar.clone()].concat());
            }
            let outside = take(&top.join("outside"));
            let sh = ["dash", "busybox sh"][(at + usize::from(user)) % 2];
            let options = ["-c", ""][(at / 2 + usize::from(user)) % 2];
            let done = run(&top, NAMES[chain.len() - 1], tar, sh, user, options);
            let mut found = Vec::new();
            if ![0, 1].contains(&done.code) || (what.starts_with("honest") && done.code != 0) {
                found.push(format!("status {}", done.code));
            }
            if top.join("dest").exists() {
                let exact = done.code == 0 && !options.is_empty();
                found.extend(is_listed(&top.join("dest"), &listed, exact));
            }
            found.extend(diff(&outside, &take(&top.join("outside")), EXACT));
            let mut beside: Vec<_> =
                fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            beside.sort();
            beside.retain(|name| name != "dest");
            if beside != ["a", "outside", "tmp"] {
                found.push(format!("beside: {beside:?}"));
            }
            if !found.is_empty() {
                let how = format!("{tar}, {sh}, user {user}, {options}");
                faults.push(format!("{what}: {how}: {found:#?}\n{}", done.report()));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn with_gnu_tar() {
    with("tar", 0);
}

#[test]
fn with_bsdtar() {
    with("bsdtar", 1);
}

#[test]
fn with_busybox_tar() {
    with("busybox tar", 2);
}
