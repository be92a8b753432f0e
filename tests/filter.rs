//! `dura-index filter`: other programs leave lines out of a listing, and nothing is deleted by it.

use std::fs;
use std::path::{Path, PathBuf};

use super::util::run::{Done, dura, scratch};
use super::util::snapshot::{EXACT, assert_same, take};

const REST: &str = "dura-index diff -q archive | dura-pack -q | dura-seal | dura-push archive";

fn source() -> PathBuf {
    let dir = scratch("filter");
    fs::create_dir_all(dir.join("src/films/old")).unwrap();
    for name in ["a", "films/b.iso", "films/old/c", "linked.iso"] {
        fs::write(dir.join("src").join(name), name).unwrap();
    }
    for name in ["films/second", "third"] {
        fs::hard_link(dir.join("src/films/b.iso"), dir.join("src").join(name)).unwrap();
    }
    dir
}

fn stages(dir: &Path, filter: &str) -> Done {
    let line = format!("dura-scan src | dura-index filter {filter} | {REST}");
    dura(&line).dir(dir).stages()
}

fn restore(dir: &Path) {
    let line = "rm -rf out; mkdir out; dura-restore -q archive | tar -xpf - -C out";
    dura(line).dir(dir).ok();
}

/// What a filter leaves out stays in the version; links to what it left out hold together.
#[test]
fn what_a_filter_leaves_out_is_not_deleted() {
    let dir = source();
    assert_eq!(stages(&dir, "grep -v '[.]iso type='").stages, [0; 6]);
    restore(&dir);
    assert!(!dir.join("out/films/b.iso").exists() && !dir.join("out/linked.iso").exists());
    // The first name is left out, so the second has the content, and the third is a link to it.
    for name in ["b.iso", "second"] {
        let _ = fs::remove_file(dir.join("src/films").join(name));
    }
    fs::hard_link(dir.join("src/third"), dir.join("src/films/second")).unwrap();
    fs::remove_file(dir.join("src/linked.iso")).unwrap();
    dura("touch -r out/films src/films; touch -r out src").dir(&dir).ok();
    assert_same("links", &take(&dir.join("src")), &take(&dir.join("out")), EXACT);
    // All that is below a directory goes with it, and none of it is taken for deleted.
    fs::write(dir.join("src/a"), "changed").unwrap();
    let done = stages(&dir, "awk '!/^.\\/films\\/old /'");
    assert_eq!(done.stages, [0; 6], "{}", done.report());
    restore(&dir);
    assert_same("layer", &take(&dir.join("src")), &take(&dir.join("out")), EXACT);
}

/// A filter that fails, changes lines or drops the source itself makes no band.
#[test]
fn filters_that_are_not_believed() {
    let dir = source();
    for (filter, said) in [
        ("sh -c 'head -n 3; exit 1'", "sh: exit status: 1"),
        ("sh -c 'head -n 3; kill -9 $$'", "sh: signal: 9"),
        ("sed s/uid=/uid=1/", "left out the source itself"),
        (
            "sed 's/ size=1 / size=2 /'",
            "a line that does not come next in the listing: ./a type=file",
        ),
        ("sh -c 'cat; echo ./zz'", "a line that does not come next in the listing: ./zz"),
        ("grep -v .", "left out the source itself"),
        ("./no-such-program", "./no-such-program: no such file or directory"),
    ] {
        let done = stages(&dir, filter);
        assert_eq!(done.stages[1..], [2; 5], "{}", done.report());
        done.tells(said);
        let bands = fs::read_dir(dir.join("archive")).into_iter().flatten();
        let complete = bands.filter(|band| band.as_ref().unwrap().path().join("TAIL").exists());
        assert_eq!(complete.count(), 0, "{}", done.report());
    }
    let done = dura("dura-index filter cat </dev/null").dir(&dir).code(2);
    assert_eq!(done.text(), "");
}

/// A listing of many entries goes through a filter that gives nothing before it has read all.
#[test]
fn a_filter_may_hold_lines_back() {
    let dir = scratch("filter");
    fs::create_dir(dir.join("src")).unwrap();
    for n in 0..5000 {
        fs::write(dir.join(format!("src/a-name-that-fills-the-pipe-{n:05}")), "").unwrap();
    }
    let line =
        "dura-scan src > list; dura-index filter sh -c 'x=$(cat); echo \"$x\"' < list | cmp - list";
    dura(line).dir(&dir).ok();
}
