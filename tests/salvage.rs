//! dura-restore against recover.sh over damage: it never brings fewer files, nor others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::util::run::{bare, dura, scratch};
use crate::util::tree::noise;

const FULL: &str = "20200101T000000Z";
const LAYER: &str = "20200101T000000Z-20200102T000000Z";

/// A chain of two: six files in blocks of their own, then some new, gone, and unchanged but in
/// mode.
fn chain() -> PathBuf {
    let top = scratch("salvage");
    let src = top.join("s");
    fs::create_dir_all(src.join("d")).unwrap();
    for n in 1..=6 {
        fs::write(src.join(format!("d/f{n}")), noise(n, 1_100_000)).unwrap();
    }
    fs::hard_link(src.join("d/f5"), src.join("d/hard")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let run = |band: &str| {
        let line = format!(
            "dura-scan s | dura-index diff p | dura-pack --block-size 200k --band {band} | dura-seal | dura-push p"
        );
        dura(&line).dir(&top).ok();
    };
    run(FULL);
    bare("echo new > s/d/new; rm s/d/f2; chmod 600 s/d/f3").dir(&top).ok();
    run(LAYER);
    top
}

/// The regular files below a directory, with their content.
fn files(dir: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let list = bare("cd out 2>/dev/null && find . -type f | sort").dir(dir).run().text();
    list.lines()
        .map(|name| (name.to_owned(), fs::read(dir.join("out").join(name)).unwrap()))
        .collect()
}

#[test]
fn never_less_than_the_script() {
    let top = chain();
    // What is garbage or gone, and the options that take the band.
    let cases: [(&[&str], &[&str], &str); 11] = [
        (&[], &[], ""),
        (&["F/00000/000000000.mtree.gz"], &[], ""),
        (&["F/00000/000000003.mtree.gz"], &[], ""),
        (&["F/00000/000000000.mtree.gz", "F/00000/000000001.mtree.gz"], &[], ""),
        (&["F/00000/000000000.mtree.gz", "F/00000/*.toc.gz"], &[], ""),
        (&["F/TAIL", "F/00000/000000002.mtree.gz"], &[], ""),
        (&["L/00000/000000000.mtree.gz"], &[], ""),
        (&["L/00000/000000000.mtree.gz"], &["L/TAIL"], "--band latest"),
        (&[], &["F/00000/000000001.mtree.gz"], ""),
        (&["F/00000/000000000.mtree.gz"], &["L/TAIL"], "--band latest"),
        (&["F/00000/000000004.tar.gz"], &["F/00000/000000002.mtree.gz"], ""),
    ];
    for (garbage, gone, options) in cases {
        let place = |object: &&str| match object.split_once('/') {
            Some(("F", rest)) => format!("a/{FULL}/{rest}"),
            Some((_, rest)) => format!("a/{LAYER}/{rest}"),
            None => panic!("{object}: no object"),
        };
        bare("rm -rf a && cp -a p a").dir(&top).ok();
        for object in garbage.iter().map(place) {
            let line = format!(
                "for f in {object}; do n=$(wc -c < $f); rm $f; head -c $n /dev/urandom > $f; done"
            );
            bare(&line).dir(&top).ok();
        }
        for object in gone.iter().map(place) {
            bare(&format!("rm {object}")).dir(&top).ok();
        }
        bare("rm -rf out").dir(&top).ok();
        let script = bare(&format!("cd a/{LAYER} && sh recover.sh ../../out")).dir(&top).run();
        let by_script = files(&top);
        bare("rm -rf out; mkdir out").dir(&top).ok();
        let line = format!("dura-restore {options} a > t; c=$?; tar xf t -C out; exit $c");
        let done = dura(&line).dir(&top).run();
        let by_restore = files(&top);
        let names = |files: &BTreeSet<(String, Vec<u8>)>| -> Vec<String> {
            files.iter().map(|(name, _)| name.clone()).collect()
        };
        let what = format!(
            "{garbage:?} {gone:?}: {:?} against {:?}\n{}\n{}",
            names(&by_restore),
            names(&by_script),
            done.report(),
            script.report()
        );
        assert!(by_script.is_subset(&by_restore), "{what}");
        let harmed = !garbage.is_empty() || !gone.is_empty();
        assert_eq!(done.code, i32::from(harmed), "{what}");
    }
}

/// A bad byte in a large file costs its member, and what follows stands in its place.
#[test]
fn a_bad_member_of_a_large_file_costs_itself() {
    let top = scratch("members");
    fs::create_dir(top.join("s")).unwrap();
    let was = noise(7, 6 << 20);
    fs::write(top.join("s/large"), &was).unwrap();
    fs::write(top.join("s/small"), "after").unwrap();
    dura("dura-scan s | dura-pack --compress zstd | dura-push z; dura-scan s | dura-pack | dura-push g")
        .dir(&top)
        .ok();
    for archive in ["z", "g"] {
        let block = bare(&format!("ls {archive}/*/00000/000000000.tar.*")).dir(&top).ok().text();
        let block = top.join(block.trim());
        let mut bytes = fs::read(&block).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 0x10;
        fs::write(&block, bytes).unwrap();
        let line = format!(
            "rm -rf out; mkdir out; dura-restore {archive} > t; c=$?; tar xf t -C out; exit $c"
        );
        let done = dura(&line).dir(&top).run();
        assert_eq!(done.code, 1, "{}", done.report());
        let is = fs::read(top.join("out/large")).unwrap();
        assert_eq!(is.len(), was.len());
        let wrong: Vec<usize> = (0..was.len()).filter(|&at| was[at] != is[at]).collect();
        let (first, last) = (wrong[0], wrong[wrong.len() - 1]);
        assert!(last - first < 1 << 20, "{archive}: {first} to {last}\n{}", done.report());
        assert_eq!(fs::read(top.join("out/small")).unwrap(), b"after");
    }
}
