//! `dura-index expire`: which bands of a real archive may go. The rules themselves have their
//! tables in `core/expire`, and `scripts/expire-as-restic` holds them against restic.

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

/// What somebody puts there never pushes out a user's own bands: unsigned ones no signed ones,
/// plain ones no encrypted ones, and where a key is named, only what that has signed counts.
#[test]
fn what_somebody_puts_there_pushes_out_nothing() {
    let dir = scratch("expire");
    fs::create_dir(dir.join("src")).unwrap();
    let band = |day: u64, seal: &str| {
        let second = 1_767_232_800 + (day - 1) * 86_400;
        let line = format!(
            "echo {day} >src/f; export SOURCE_DATE_EPOCH={second}; dura-scan src | \
             dura-index diff -q --full archive | dura-pack -q | dura-seal {seal} | dura-push -q archive"
        );
        home().with(dura(&line)).dir(&dir).var("HOME", &dir).ok();
        format!("202601{day:02}T020000Z")
    };
    let sealed = format!("-r {KEY}");
    let own: Vec<String> =
        (1..=2).map(|day| band(day, &format!("{sealed} --sign {KEY}"))).collect();
    let run = |options: &str| {
        let line = format!("dura-index expire --no-cache --keep-last 1 {options} archive");
        let done = home().with(dura(&line)).dir(&dir).run();
        let names: Vec<String> = done.text().lines().map(str::to_owned).collect();
        (done.code, names, done)
    };
    let signed_by = format!("--signed-by {KEY}");
    let expect = format!("--expect {}", own[1]);
    for options in ["", &signed_by, &format!("{signed_by} {expect}")] {
        assert_eq!(run(options).1, own[..1], "{options}");
        assert_eq!(run(options).0, 0, "{options}");
    }
    // To the public key, unsigned; and with what looks like a signature.
    let forged: Vec<String> = (3..=4).map(|day| band(day, &sealed)).collect();
    for signature in [false, true] {
        if signature {
            for band in &forged {
                fs::write(dir.join("archive").join(band).join("TAIL.sig"), "garbage").unwrap();
            }
        }
        let (code, names, done) = run(&signed_by);
        assert_eq!((code, &names[..]), (1, &own[..1]), "{}", done.report());
        if !signature {
            assert!(!run("").1.contains(&own[1]), "signed ones stay");
        }
    }
    // Plain.
    for band in &forged {
        fs::remove_dir_all(dir.join("archive").join(band)).unwrap();
    }
    let plain = band(5, "");
    fs::write(dir.join("archive").join(&plain).join("TAIL.sig"), "garbage").unwrap();
    let (code, names, done) = run("");
    assert_eq!((code, &names[..]), (1, &own[..1]), "{}", done.report());
    done.tells(&format!("{plain}: not encrypted, though {} is", own[0]));
    let (code, names, done) = run("--plain");
    assert_eq!((code, &names), (0, &own), "{}", done.report());
    let (code, _, done) = run("--expect 20260106T020000Z");
    assert_eq!(code, 1, "{}", done.report());
    // An own one whose signature is damaged is not taken for one that was cut off.
    fs::write(dir.join("archive").join(&own[0]).join("TAIL.sig"), "garbage").unwrap();
    let (code, names, done) = run(&signed_by);
    assert_eq!((code, names.len()), (1, 0), "{}", done.report());
}
