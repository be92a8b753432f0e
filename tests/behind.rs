//! Several archives in one run, one of which lacks what the run builds on: it gets no TAIL, the
//! others go on, and `dura-push --from` brings it level.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::util::run::{Done, Share, dura, scratch};
use crate::util::small::{CONTENTS, tree};
use crate::util::snapshot::{assert_same, take};
use crate::util::stream::{Member, split};

/// The objects of a full band of the small tree, and those of a layer on it that is full of new
/// files.
fn objects() -> &'static [Member] {
    static OBJECTS: OnceLock<Vec<Member>> = OnceLock::new();
    OBJECTS.shared(|| {
        let line = "dura-scan \"$SRC\" | dura-pack --block-size 500k --part-size 1500k | dura-seal";
        split(&dura(line).var("SRC", tree()).ok().stdout)
    })
}

/// Puts objects of the band into an archive: HEAD and notes, and those whose names begin so.
fn put(archive: &Path, wanted: &[&str]) -> String {
    let mut band = String::new();
    for member in objects() {
        let name = member.name();
        let (folder, object) = name.split_once('/').unwrap();
        band = folder.to_owned();
        let numbered = object.split_once('/').map(|(_, object)| object);
        let put = match numbered {
            Some(object) => wanted.iter().any(|start| object.starts_with(start)),
            None => object != "TAIL",
        };
        if put {
            let path = archive.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &member.data).unwrap();
        }
    }
    band
}

/// Backs the small tree up into both archives, as diff finds it in the first.
fn backup(dir: &Path, diff: &str) -> Done {
    let line = format!(
        "dura-scan \"$SRC\" | dura-index -q diff {diff} a1 | dura-pack -q --block-size 500k | dura-seal | dura-push a1 a2"
    );
    dura(&line).dir(dir).var("SRC", tree()).stages()
}

/// What a restore of the archive gives is the small tree.
#[track_caller]
fn restores(dir: &Path, archive: &str) {
    let line = format!("mkdir {archive}.out; dura-restore {archive} | tar xpf - -C {archive}.out");
    dura(&line).dir(dir).ok();
    assert_same(archive, &take(tree()), &take(&dir.join(format!("{archive}.out"))), CONTENTS);
    fs::remove_dir_all(dir.join(format!("{archive}.out"))).unwrap();
}

fn tails(archive: &Path) -> usize {
    let bands = fs::read_dir(archive).map(|bands| bands.flatten().collect::<Vec<_>>());
    let done = |band: &fs::DirEntry| band.path().join("TAIL").exists();
    bands.unwrap_or_default().iter().filter(|band| done(band)).count()
}

const BLOCKS: [&str; 4] = ["000000000.", "000000001.", "000000002.", "000000003."];

/// What the second archive has of a band that the first has up to block 3; its name for messages.
fn second() -> Vec<(&'static str, Vec<&'static str>)> {
    let [zero, one, two, three] = BLOCKS;
    vec![
        ("behind", vec![zero, one]),
        ("a gap", vec![zero, two, three]),
        ("a block without its index", vec![zero, one, "000000002.tar", three]),
        ("an index without its block", vec![zero, one, two, "000000003.mtree"]),
        ("a part is missing", vec!["000000000.mtree", "000000000.tar.gz.000001", one, two, three]),
        ("only HEAD", vec![]),
    ]
}

fn both(first: &[&str], other: Option<&[&str]>) -> PathBuf {
    let dir = scratch("behind");
    put(&dir.join("a1"), first);
    if let Some(other) = other {
        put(&dir.join("a2"), other);
    }
    dir
}

/// The band goes on in the first archive; the second has no TAIL until it is level.
#[track_caller]
fn is_refused_and_mended(what: &str, dir: &Path, diff: &str, says: &str) {
    let done = backup(dir, diff);
    assert_eq!(done.stages, [0, 0, 0, 0, 2], "{what}\n{}", done.report());
    done.tells(says).tells("dura-push: hint: copy what it lacks first: dura-push --from a1 a2");
    assert_eq!((tails(&dir.join("a1")), tails(&dir.join("a2"))), (1, 0), "{what}");
    restores(dir, "a1");
    // With --no-resume the parent stays as it is: unfinished, and told.
    let code = i32::from(!diff.is_empty());
    dura("dura-push --from a1 a2").dir(dir).code(code);
    assert_eq!(tails(&dir.join("a2")), 1, "{what}");
    restores(dir, "a2");
}

#[test]
fn an_archive_that_is_behind_is_refused() {
    for (what, has) in second() {
        let dir = both(&BLOCKS, Some(&has));
        is_refused_and_mended(what, &dir, "", "dura-push: a2: ");
    }
    let dir = both(&BLOCKS, None);
    is_refused_and_mended("not there", &dir, "", "dura-push: a2: ");
}

#[test]
fn a_layer_needs_all_of_an_unfinished_parent() {
    for (what, has) in second() {
        let dir = both(&BLOCKS, Some(&has));
        is_refused_and_mended(what, &dir, "--no-resume", "dura-push: a2: ");
    }
}

/// One that has all of it, or more, goes on.
#[test]
fn an_archive_that_is_level_or_ahead_goes_on() {
    for (what, first, other) in
        [("level", &BLOCKS[..], &BLOCKS[..]), ("ahead", &BLOCKS[..2], &BLOCKS[..])]
    {
        for diff in ["", "--no-resume"] {
            let dir = both(first, Some(other));
            let done = backup(&dir, diff);
            assert_eq!(done.stages, [0; 5], "{what}\n{}", done.report());
            assert_eq!((tails(&dir.join("a1")), tails(&dir.join("a2"))), (1, 1), "{what}");
            restores(&dir, "a1");
            restores(&dir, "a2");
        }
    }
}

/// A parent that is complete in the first archive alone, with all its indexes but one there.
#[test]
fn a_layer_needs_all_of_a_parent_that_is_complete_elsewhere() {
    let dir = scratch("behind");
    let line = "dura-scan \"$SRC\" | dura-pack -q --block-size 500k | dura-seal | dura-push a1 a2";
    dura(line).dir(&dir).var("SRC", tree()).ok();
    let band = fs::read_dir(dir.join("a2")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(band.join("TAIL")).unwrap();
    fs::remove_file(band.join("00000/000000001.mtree.gz")).unwrap();
    let done = backup(&dir, "");
    assert_eq!(done.stages, [0, 0, 0, 0, 2], "{}", done.report());
    done.tells("lacks 00000/000000001.mtree.gz, on which the backup builds");
    dura("dura-push --from a1 a2").dir(&dir).ok();
    restores(&dir, "a2");
}

/// The remedy leaves alone what was pruned on purpose.
#[test]
fn only_newer_bands_are_brought() {
    let dir = scratch("newer");
    let full = "dura-scan \"$SRC\" | dura-pack -q --band NAME | dura-seal | dura-push a1";
    for name in ["20200101T000000Z", "20200102T000000Z", "20200103T000000Z"] {
        dura(&full.replace("NAME", name)).dir(&dir).var("SRC", tree()).ok();
    }
    dura("dura-push --from a1 --newer-than 20200102T000000Z a2").dir(&dir).ok();
    let bands: Vec<_> =
        fs::read_dir(dir.join("a2")).unwrap().map(|b| b.unwrap().file_name()).collect();
    assert_eq!(bands, ["20200103T000000Z"]);
}

/// Runs into two archives that are cut again and again, the second behind, end with both whole once
/// the remedy has run.
#[test]
fn cut_again_and_again() {
    let dir = scratch("again");
    let stream =
        "dura-scan \"$SRC\" | dura-index -q diff a1 | dura-pack -q --block-size 300k | dura-seal";
    for cut in [3_000_000, 1_000_000, 600_000, 500_000] {
        // The second archive gets less of each run.
        let line = format!(
            "{stream} > stream; head -c {cut} stream | dura-push a1; head -c $(({cut} / 2)) stream | dura-push a2; true"
        );
        dura(&line).dir(&dir).var("SRC", tree()).ok();
    }
    let done = dura(&format!("{stream} | dura-push a1 a2")).dir(&dir).var("SRC", tree()).run();
    assert_eq!((done.code, tails(&dir.join("a1"))), (2, 1), "{}", done.report());
    dura("dura-push --from a1 a2").dir(&dir).ok();
    restores(&dir, "a1");
    restores(&dir, "a2");
}
