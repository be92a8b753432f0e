//! The tricks of forged headers through recover.sh, with each tar, under both shells, as root and
//! as a user: what is there in the end is what the index lists, or it is told.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::hostile_bands::{Case, cases};
use crate::util::forge::{FULL, band, dir, dir_line, kind_word, sha256};
use crate::util::run::{bare, give, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};

/// What a line says of a key.
fn value<'a>(line: &'a str, key: &str) -> &'a str {
    line.split(' ').find_map(|word| word.strip_prefix(key)).unwrap_or_default()
}

/// Whether what lies at `dest` is what these lines list: `exact`, or at most that.
fn is_listed(dest: &Path, lines: &[String], exact: bool) -> Result<(), String> {
    let line = |path: &str| lines.iter().find(|line| line.split(' ').next() == Some(path));
    let mut count = 0;
    for entry in fs::read_dir(dest).unwrap() {
        let entry = entry.unwrap();
        let path = format!("./{}", entry.file_name().to_string_lossy());
        let stat = fs::symlink_metadata(entry.path()).unwrap();
        let line = line(&path).ok_or(format!("{path} is in no index"))?;
        let kind = kind_word(stat.file_type());
        let mode = stat.permissions().mode() & 0o7777;
        if kind != value(line, "type=") || mode & 0o7000 != 0 || stat.rdev() != 0 {
            return Err(format!("{path}: {kind} {mode:o}"));
        }
        if kind == "link" && !exact {
            continue;
        }
        let is_same = match kind {
            "link" => fs::read_link(entry.path()).unwrap().to_str() == Some(value(line, "link=")),
            "file" => sha256(&fs::read(entry.path()).unwrap()) == value(line, "sha256digest="),
            _ => true,
        };
        let modes =
            kind == "link" || format!("mode=0{mode:o}") == format!("mode={}", value(line, "mode="));
        if exact && !(is_same && modes) {
            return Err(format!("{path}: not what the index says: {mode:o}"));
        }
        count += 1;
    }
    match exact && count + 1 != lines.len() {
        true => Err(format!("{count} of {} entries", lines.len() - 1)),
        false => Ok(()),
    }
}

fn with(tar: &str) {
    let mut exact = 0;
    for (at, Case { what, lines, tar: block, .. }) in cases().into_iter().enumerate() {
        let lines = [&[dir_line(".", "")], &lines[..]].concat();
        for user in [false, true] {
            let top = scratch("forged");
            for sub in ["a", "tmp", "outside"] {
                fs::create_dir(top.join(sub)).unwrap();
                fs::set_permissions(top.join(sub), fs::Permissions::from_mode(0o777)).unwrap();
            }
            fs::write(top.join("outside/file"), "kept").unwrap();
            band(&top.join("a"), FULL, &lines, &[dir("./"), block.clone()].concat());
            if user {
                give(&top);
            }
            let outside = take(&top.join("outside"));
            let sh = ["dash", "busybox sh"][(at + usize::from(user)) % 2];
            let run = format!("cd a/{FULL} && {sh} recover.sh -c ../../dest");
            let shell = bare(&run).dir(&top).var("TAR", tar).var("TMPDIR", top.join("tmp"));
            let done = shell.user(user).seconds(60).run();
            let what = format!("{what}: {tar}, {sh}, user {user}\n{}", done.report());
            assert!([0, 1].contains(&done.code), "{what}");
            let listed = is_listed(&top.join("dest"), &lines, done.code == 0);
            assert_eq!(listed, Ok(()), "{what}");
            assert_same(&what, &outside, &take(&top.join("outside")), EXACT);
            exact += usize::from(done.code == 0);
        }
    }
    // Some tricks mean the same to this tar.
    assert!(exact > 4, "{exact}");
}

#[test]
fn with_gnu_tar() {
    with("tar");
}

#[test]
fn with_bsdtar() {
    with("bsdtar");
}

#[test]
fn with_busybox_tar() {
    with("busybox tar");
}
