//! Options of dura-seal that were forgotten: a layer that is not encrypted, not signed or without
//! parity does not go on a band that is, unless it is meant so.

use std::fs;
use std::path::Path;

use crate::util::gpg::{KEY, OTHER, home};
use crate::util::run::{Done, dura, scratch};

/// Backs a small tree up, sealed and pushed with these options.
fn backup(dir: &Path, seal: &str, push: &str) -> Done {
    let line = format!(
        "dura-scan src | dura-index diff --cache cache archive | dura-pack --cache cache | dura-seal {seal} | dura-push {push} archive"
    );
    home().with(dura(&line).dir(dir)).stages()
}

fn tree() -> std::path::PathBuf {
    let dir = scratch("forgotten");
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/file"), "text").unwrap();
    dir
}

fn bands(dir: &Path) -> usize {
    fs::read_dir(dir.join("archive")).unwrap().count()
}

#[test]
fn each_of_them_is_refused_unless_it_is_meant() {
    let all = format!("-r {KEY} --sign {OTHER} --parity 1");
    let dir = tree();
    let first = backup(&dir, &all, "-v");
    assert_eq!(first.stages, [0; 5]);
    first.tells(" stored, encrypted, signed, with parity\n");
    let row = dura("dura-index bands --no-cache archive").dir(&dir).ok().text();
    assert!(row.ends_with(" encrypted signed 1\n"), "{row}");
    for (seal, hint, waive) in [
        (format!("--sign {OTHER} --parity 1"), "-r KEY", "--plain"),
        (format!("-r {KEY} --parity 1"), "--sign KEY", "--unsigned"),
        (format!("-r {KEY} --sign {OTHER}"), "--parity M", "--no-parity"),
        (
            String::new(),
            "-r KEY or --symmetric, --sign KEY, --parity M",
            "--plain --unsigned --no-parity",
        ),
    ] {
        let before = bands(&dir);
        let done = backup(&dir, &seal, "");
        assert_eq!(done.stages, [0, 0, 0, 0, 2], "{seal}\n{}", done.report());
        done.tells(hint);
        assert_eq!(bands(&dir), before, "{seal}: nothing is stored");
        // In an archive of its own each time: the next layer stands on this one.
        let copy = tree();
        assert_eq!(backup(&copy, &all, "").stages, [0; 5]);
        let done = backup(&copy, &seal, &format!("-v {waive}"));
        assert_eq!(done.stages, [0; 5], "{seal}\n{}", done.report());
        let encrypted = if seal.contains("-r ") { "encrypted" } else { "not encrypted" };
        let signed = if seal.contains("--sign") { ", signed" } else { "" };
        let parity = if seal.contains("--parity") { ", with parity" } else { "" };
        done.tells(&format!(" stored, {encrypted}{signed}{parity}\n"));
    }
    // More than before is no matter, and a full band stands on nothing.
    assert_eq!(backup(&dir, &all.replace("--parity 1", "--parity 2"), "").stages, [0; 5]);
    let line = "dura-scan src | dura-index diff --cache cache --full archive | dura-pack --cache cache | dura-push archive";
    dura(line).dir(&dir).ok();
}

/// Nor is a band continued with less than it was begun with.
#[test]
fn a_band_goes_on_as_it_was_begun() {
    let dir = tree();
    assert_eq!(backup(&dir, &format!("-r {KEY} --parity 1"), "").stages, [0; 5]);
    let band = fs::read_dir(dir.join("archive")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(band.join("TAIL")).unwrap();
    let done = backup(&dir, "", "");
    assert_eq!(done.stages, [0, 0, 0, 0, 2], "{}", done.report());
    done.tells("is encrypted, protected by parity, but this band is not");
    assert_eq!(backup(&dir, &format!("-r {KEY} --parity 1"), "").stages, [0; 5]);
}
