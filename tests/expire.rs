//! `dura-index expire`: which bands of a real archive may go. The rules themselves have their tables
//! in `core/expire`, and `scripts/expire-as-restic` holds them against restic.

use std::fs;
use std::path::{Path, PathBuf};

use super::util::gpg::{KEY, home};
use super::util::run::{Done, dura, scratch};

/// A chain of a full band and two layers, a band with a mask, a later full band, and one that was
/// cut off; sealed, so that what is decided needs no key.
fn archive() -> PathBuf {
    let dir = scratch("expire");
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/f"), "f").unwrap();
    fs::write(dir.join("mask"), "/f\n").unwrap();
    for (day, scan, diff) in [
        (1, "", "--full"),
        (2, "", ""),
        (3, "", "--tier 1"),
        (4, "--only-from mask", ""),
        (5, "", "--full"),
        (6, "", ""),
    ] {
        let second = 1_767_232_800 + (day - 1) * 86_400;
        let line = format!(
            "echo {day} >src/f; export SOURCE_DATE_EPOCH={second}; \
             dura-scan {scan} src | dura-index diff -q {diff} archive | dura-pack -q | \
             dura-seal -r {KEY} | dura-push -q archive"
        );
        home().with(dura(&line)).dir(&dir).var("HOME", &dir).ok();
    }
    fs::remove_file(dir.join("archive").join(CUT).join("TAIL")).unwrap();
    dir
}

const FULL: &str = "20260101T020000Z";
const SECOND: &str = "20260101T020000Z-20260102T020000Z";
const THIRD: &str = "20260101T020000Z-20260103T020000Z";
const MASKED: &str = "20260101T020000Z-20260103T020000Z-20260104T020000Z";
const FIFTH: &str = "20260105T020000Z";
const CUT: &str = "20260105T020000Z-20260106T020000Z";

/// With the public key alone, and without a cache.
fn expire(dir: &Path, options: &str) -> Done {
    dura(&format!("dura-index expire --no-cache {options} archive")).dir(dir).run()
}

#[test]
fn what_no_rule_keeps_and_nothing_needs_may_go() {
    let dir = archive();
    for (options, wanted) in [
        // The mask has a later band of the whole source, what was cut off has none.
        ("--keep-last 1", &[MASKED, SECOND, THIRD, FULL][..]),
        ("--keep-last 2", &[MASKED, SECOND]),
        ("--keep-daily 3", &[MASKED]),
        ("--keep-within 2d1h", &[MASKED, SECOND]),
        ("--keep-space 1", &[MASKED, SECOND, THIRD, FULL]),
        ("--keep-space 1G", &[MASKED]),
        ("", &[]),
    ] {
        let done = expire(&dir, options);
        assert_eq!(done.code, 0, "{}", done.report());
        assert_eq!(done.text().lines().collect::<Vec<_>>(), wanted, "{options}");
        if options.is_empty() {
            done.tells("no rule says what to keep");
        }
    }
    let done = expire(&dir, "-v --keep-last 2");
    done.tells(&format!("keeping {FULL}: {THIRD} is based on it"));
    done.tells(&format!("keeping {CUT}: no later band of the whole source is complete"));
    done.tells(&format!("keeping {FIFTH}: --keep-last, {CUT} is based on it"));
    // It says and removes nothing.
    assert_eq!(fs::read_dir(dir.join("archive")).unwrap().count(), 6);
}

#[test]
fn when_nothing_can_go_and_what_is_damaged() {
    let dir = archive();
    for name in [FIFTH, CUT, MASKED] {
        fs::remove_dir_all(dir.join("archive").join(name)).unwrap();
    }
    fs::remove_dir_all(dir.join("archive").join(SECOND)).unwrap();
    let done = expire(&dir, "--keep-last 1");
    assert_eq!((done.code, done.text().as_str()), (0, ""), "{}", done.report());
    done.tells("nothing expires: later bands are based on 1 that no rule keeps");
    fs::write(dir.join("archive").join(THIRD).join("TAIL"), "garbage").unwrap();
    let done = expire(&dir, "--keep-last 1");
    assert_eq!((done.code, done.text().as_str()), (1, ""), "{}", done.report());
    done.tells(&format!("{THIRD}: cannot be read: kept"));
    for options in ["--keep-last x", "--keep-within 3w", "--zone Berlin", "--keep-space 0"] {
        assert_eq!(expire(&dir, options).code, 2, "{options}");
    }
    let done = dura("dura-index expire --keep-last 1 src").dir(&dir).code(2);
    done.tells("src: the archive has no band");
}
