//! Tables of scans and versions, and what a band records of them.

mod archive;
mod distrusted;
mod model;
mod property;
mod resume;
pub(crate) mod run;
mod unread;

use self::run::{DiffRun, run, tier};
use super::*;
use crate::core::merge::tests::sample::{entry, short};

/// A band on top of the given ones.
fn on(tiers: u8) -> DiffConfig {
    DiffConfig { tier: tiers, full: false, pass_over: None, after: None }
}

fn entries(lines: &[&str]) -> Vec<Entry> {
    lines.iter().map(|line| entry(line)).collect()
}

fn lines(run: &DiffRun) -> Vec<String> {
    run.records.iter().map(short).collect()
}

/// A band on top of one full band.
fn diff(version: &[&str], scan: &[&str]) -> DiffRun {
    run(on(1), false, &entries(scan), &[tier(version)])
}

#[track_caller]
fn check(version: &[&str], scan: &[&str], wanted: &[&str]) {
    assert_eq!(lines(&diff(version, scan)), wanted);
}

#[test]
fn a_first_band_records_everything() {
    let scan = [
        ". dir",
        "./a file s1 n2 i9",
        "./b dir m700",
        "./b/c file n2 i9 h./a",
        "./d link >x",
        "./e file excluded",
    ];
    let found = run(on(0), false, &entries(&scan), &[]);
    assert_eq!(lines(&found), scan[..5]);
    assert_eq!(
        found.summary,
        DiffSummary {
            end: End { entries: 5, excluded: 1, unreadable: 0 },
            new: 5,
            deletions: Deletions { new: 5, ..Deletions::default() },
            tree: Some(Have { entries: 5, files: 2, bytes: 1 }),
            ..DiffSummary::default()
        }
    );
}

#[test]
fn what_is_equal_is_not_recorded() {
    let tree = [
        ". dir",
        "./a file s1 d1 n1",
        "./b dir m700",
        "./b/c file n2 i9 x",
        "./b/d file n2 i9 h./b/c x",
        "./e link >x",
        "./f fifo",
        "./g char D4",
    ];
    assert_eq!(
        diff(&tree, &tree),
        DiffRun {
            records: vec![],
            left_out: vec![],
            summary: DiffSummary {
                end: End { entries: 8, excluded: 0, unreadable: 0 },
                deletions: Deletions { of: 8, ..Deletions::default() },
                tree: Some(Have { entries: 8, files: 3, bytes: 1 }),
                ..DiffSummary::default()
            }
        }
        .with_entries(0)
    );
    // Digest, link count and inode number say nothing.
    check(&[". dir", "./a file s1 d1 n3 i4"], &[". dir", "./a file s1 n2 i5"], &[]);
}

impl DiffRun {
    fn with_entries(mut self, entries: u64) -> DiffRun {
        self.summary.end.entries = entries;
        self
    }
}

#[test]
fn each_field_alone() {
    for (before, after, wanted) in [
        ("./a file s1", "./a file s2", "./a file s2"),
        ("./a file", "./a file t2", "./a file t2"),
        ("./a file", "./a file c2", "./a file c2"),
        ("./a file", "./a file noc", "./a file noc"),
        ("./a file noc", "./a file", "./a file"),
        ("./a file noc", "./a file noc", "./a file noc"),
        ("./a file", "./a file m600", "./a file m600"),
        ("./a file", "./a file u2", "./a file u2"),
        ("./a file", "./a file g2", "./a file g2"),
        ("./a file", "./a file x", "./a file x"),
        ("./a file x", "./a file", "./a file"),
        ("./a file", "./a fifo", "./a fifo"),
        ("./a file", "./a link >b", "./a link >b"),
        ("./a link >b", "./a file", "./a file"),
        ("./a link >b", "./a link >c", "./a link >c"),
        ("./a char D1", "./a char D2", "./a char D2"),
        ("./a char D1", "./a block D1", "./a block D1"),
        ("./a dir", "./a dir t2", "./a dir t2"),
        ("./a dir", "./a dir m700", "./a dir m700"),
        ("./a dir", "./a dir x", "./a dir x"),
        ("./a dir noc", "./a dir", "./a dir"),
        ("./a dir", "./a dir unread", "./a dir unread"),
        ("./a dir unread", "./a dir", "./a dir"),
        ("./a dir", "./a file", "./a file over"),
        ("./a file", "./a dir", "./a dir over"),
        ("./a dir", "./a link >b", "./a link >b over"),
        ("./a link >b", "./a dir unread", "./a dir over unread"),
        ("./a dir", "./a file n2 i9 h./0", "./a file n2 i9 h./0 over"),
    ] {
        check(&[". dir", "./0 file", before], &[". dir", "./0 file", after], &[". dir", wanted]);
    }
    check(&[". dir"], &[". dir t2"], &[". dir t2"]);
}

#[test]
fn directories_above_come_once_and_first() {
    let version = [
        ". dir",
        "./a dir",
        "./a/b dir",
        "./a/b/c file",
        "./a/d dir",
        "./a/d/e file",
        "./f dir",
        "./f/g file",
        "./h dir",
    ];
    let scan = |changed: &[&str]| -> Vec<String> {
        let change = |line: &str| {
            changed
                .iter()
                .find(|c| c.split(' ').next() == line.split(' ').next())
                .map_or(line, |c| *c)
                .to_owned()
        };
        version.iter().map(|line| change(line)).collect()
    };
    for (changed, wanted) in [
        (&["./a/b/c file s2"][..], &[". dir", "./a dir", "./a/b dir", "./a/b/c file s2"][..]),
        (
            &["./a/b/c file s2", "./a/d/e file s2"],
            &[". dir", "./a dir", "./a/b dir", "./a/b/c file s2", "./a/d dir", "./a/d/e file s2"],
        ),
        (
            &["./a/b dir t2", "./f/g file t2"],
            &[". dir", "./a dir", "./a/b dir t2", "./f dir", "./f/g file t2"],
        ),
        (&[". dir t2", "./h dir t2"], &[". dir t2", "./h dir t2"]),
    ] {
        let scan = scan(changed);
        let found = diff(&version, &scan.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(lines(&found), wanted);
        assert_eq!(found.summary.above + found.summary.changed, wanted.len() as u64);
    }
}

#[test]
fn of_what_is_gone_the_topmost_is_recorded() {
    let version =
        [". dir", "./a dir", "./a/b dir", "./a/b/c file", "./a/d file", "./a! file", "./e link >x"];
    for (scan, wanted) in [
        (
            &[". dir", "./a dir", "./a/b dir", "./a/b/c file", "./a/d file", "./a! file"][..],
            &[". dir", "./e link deleted"][..],
        ),
        (&[". dir", "./a! file", "./e link >x"], &[". dir", "./a dir deleted"]),
        (
            &[". dir", "./a dir", "./a/d file", "./a! file", "./e link >x"],
            &[". dir", "./a dir", "./a/b dir deleted"],
        ),
        (
            &[". dir", "./a dir t2", "./a/b dir", "./a! file", "./e link >x"],
            &[". dir", "./a dir t2", "./a/b dir", "./a/b/c file deleted", "./a/d file deleted"],
        ),
        (&[". dir"], &[". dir", "./a dir deleted", "./a! file deleted", "./e link deleted"]),
        // A directory moved: its new place comes before or after the old one.
        (
            &[". dir", "./0 dir", "./0/c file", "./a! file", "./e link >x"],
            &[". dir", "./0 dir", "./0/c file", "./a dir deleted"],
        ),
        // Below what is no directory any more nothing is left to tell.
        (&[". dir", "./a file", "./a! file", "./e link >x"], &[". dir", "./a file over"]),
    ] {
        check(&version, scan, wanted);
    }
    assert_eq!(diff(&version, &[". dir"]).summary.deleted, 3);
}

#[test]
fn what_was_not_looked_at_stays() {
    let version = [". dir", "./a dir", "./a/b dir", "./a/b/c file", "./d file"];
    for (scan, wanted) in [
        (&[". dir", "./a dir excluded", "./d file"][..], &[][..]),
        (&[". dir", "./a dir unreadable", "./d file"], &[]),
        (&[". dir", "./a dir", "./a/b dir", "./a/b/c file excluded", "./d file unreadable"], &[]),
        (&[". dir", "./a dir unread", "./d file"], &[". dir", "./a dir unread"]),
        (&[". dir", "./a dir t2 unread"], &[". dir", "./a dir t2 unread", "./d file deleted"]),
        (
            &[". dir", "./a dir", "./a/b dir excluded", "./a/n file", "./d file"],
            &[". dir", "./a dir", "./a/n file"],
        ),
        // New and excluded: the version does not get it.
        (
            &[". dir", "./0 dir excluded", "./a dir excluded", "./d file", "./z file unreadable"],
            &[],
        ),
        // It was a file, and could not be looked at when it was perhaps none any more.
        (&[". dir", "./a dir excluded", "./d dir unreadable"], &[]),
        (&[". dir", "./a file excluded", "./d file"], &[]),
    ] {
        check(&version, scan, wanted);
    }
    // What an unread directory was is not asked again while it stays unread.
    check(&[". dir", "./a dir unread", "./a/b file"], &[". dir", "./a dir unread"], &[]);
    let end = diff(&version, &[". dir", "./a dir excluded", "./d file unreadable"]).summary.end;
    assert_eq!(end, End { entries: 0, excluded: 1, unreadable: 1 });
}

#[test]
fn a_mask_says_nothing_of_what_it_leaves_out() {
    let version = [
        ". dir",
        "./a dir",
        "./a/b dir",
        "./a/b/c file",
        "./a/d file",
        "./e file",
        "./f dir",
        "./f/g file",
    ];
    let scan =
        [". dir", "./a dir", "./a/b dir t2", "./a/b/n file", "./e dir", "./e/n file", "./f file"];
    let found = run(on(1), true, &entries(&scan), &[tier(&version)]);
    assert_eq!(
        lines(&found),
        [
            ". dir",
            "./a dir",
            "./a/b dir t2",
            "./a/b/n file",
            "./e dir over",
            "./e/n file",
            "./f file over"
        ]
    );
}

#[test]
fn content_that_may_be_unchanged() {
    for (before, after, wanted) in [
        ("7: ./a file s5 d1", "./a file s5 t2 c2", "./a file s5 t2 c2 d1 in0/7"),
        ("7: ./a file s5 d1", "./a file s5 c2 m600", "./a file s5 c2 m600 d1 in0/7"),
        ("7: ./a file s5 d1", "./a file s5 c2 u2 g3", "./a file s5 c2 u2 g3 d1 in0/7"),
        ("7: ./a file s5 d1", "./a file s5 c2", "./a file s5 c2 d1 in0/7"),
        ("7: ./a file s5 d1 noc", "./a file s5", "./a file s5 d1 in0/7"),
        ("7: ./a file s5 d1 n2 i3", "./a file s5 c2 n2 i3", "./a file s5 c2 d1 n2 i3 in0/7"),
        // It was the first of several names, and may be another file now; the size differs; it is
        // or was a link; there is or was an xattr; no digest is known; it is no file.
        ("7: ./a file s5 d1 n2 i3", "./a file s5 c2", "./a file s5 c2"),
        ("7: ./a file s5 d1 n2 i3", "./a file s5 c2 n2 i4", "./a file s5 c2 n2 i4"),
        ("7: ./a file s5 d1", "./a file s6 t2", "./a file s6 t2"),
        ("7: ./a file s5 d1 h./0", "./a file s5 t2", "./a file s5 t2"),
        ("7: ./a file s5 d1", "./a file s5 t2 h./0", "./a file s5 t2 h./0"),
        ("7: ./a file s5 d1 x", "./a file s5 t2 x", "./a file s5 t2 x"),
        ("7: ./a file s5 d1 x", "./a file s5 t2", "./a file s5 t2"),
        ("7: ./a file s5 d1", "./a file s5 t2 x", "./a file s5 t2 x"),
        ("7: ./a file s5", "./a file s5 t2", "./a file s5 t2"),
        ("7: ./a link >b", "./a link t2 >b", "./a link t2 >b"),
        ("7: ./a fifo", "./a file d1", "./a file d1"),
    ] {
        let found = diff(&[". dir", "./0 file", before], &[". dir", "./0 file", after]);
        assert_eq!(lines(&found), [". dir", wanted]);
        assert_eq!(found.summary.touched, u64::from(wanted.contains(" in")));
    }
    // Where the data lies, not where the line stands.
    let tiers =
        [tier(&[". dir", "3: ./a file s5 d1"]), tier(&[". dir", "7: ./a file s5 t2 d1 in0/3"])];
    let found = run(on(2), false, &entries(&[". dir", "./a file s5 t3"]), &tiers);
    assert_eq!(lines(&found), [". dir", "./a file s5 t3 d1 in0/3"]);
}

#[test]
fn hard_links() {
    let pair = ["./a file s1 d1 n2 i9", "./b file s1 n2 i9 h./a"];
    let three = ["./a file s1 d1 n3 i9", "./b file s1 n3 i9 h./a", "./c file s1 n3 i9 h./a"];
    for (version, scan, wanted) in [
        // Gains a name, behind or before the others.
        (
            &pair[..],
            &["./a file s1 c2 n3 i9", "./b file s1 c2 n3 i9 h./a", "./c file s1 c2 n3 i9 h./a"][..],
            &[
                "./a file s1 c2 d1 n3 i9 in0/0",
                "./b file s1 c2 n3 i9 h./a",
                "./c file s1 c2 n3 i9 h./a",
            ][..],
        ),
        (
            &pair,
            &["./0 file s1 c2 n3 i9", "./a file s1 c2 n3 i9 h./0", "./b file s1 c2 n3 i9 h./0"],
            &["./0 file s1 c2 n3 i9", "./a file s1 c2 n3 i9 h./0", "./b file s1 c2 n3 i9 h./0"],
        ),
        // Loses one: the last, the first, one in the middle.
        (
            &three,
            &["./a file s1 c2 n2 i9", "./b file s1 c2 n2 i9 h./a"],
            &["./a file s1 c2 d1 n2 i9 in0/0", "./b file s1 c2 n2 i9 h./a", "./c file deleted"],
        ),
        (
            &three,
            &["./b file s1 c2 n2 i9", "./c file s1 c2 n2 i9 h./b"],
            &["./a file deleted", "./b file s1 c2 n2 i9", "./c file s1 c2 n2 i9 h./b"],
        ),
        (&pair, &["./b file s1 c2 n1"], &["./a file deleted", "./b file s1 c2 n1"]),
        // The first name becomes a file of its own.
        (
            &three,
            &["./a file s1 c2 n1", "./b file s1 c3 n2 i9", "./c file s1 c3 n2 i9 h./b"],
            &["./a file s1 c2 n1", "./b file s1 c3 n2 i9", "./c file s1 c3 n2 i9 h./b"],
        ),
        // A later one does, with the same content.
        (
            &pair,
            &["./a file s1 c2 n1", "./b file s1 c2 n1"],
            &["./a file s1 c2 n1", "./b file s1 c2 n1"],
        ),
        // The first is another file, and nobody looks at the later one.
        (&pair, &["./a file s1 c2 n1", "./b file excluded"], &["./a file s1 c2 n1"]),
        // Their content changes.
        (
            &pair,
            &["./a file s2 c2 n2 i9", "./b file s2 c2 n2 i9 h./a"],
            &["./a file s2 c2 n2 i9", "./b file s2 c2 n2 i9 h./a"],
        ),
        // Two pairs swap a name.
        (
            &[
                "./a file d1 n2 i1",
                "./b file d2 n2 i2",
                "./c file n2 i1 h./a",
                "./d file n2 i2 h./b",
            ],
            &["./a file n2 i1", "./b file n2 i2", "./c file n2 i2 h./b", "./d file n2 i1 h./a"],
            &["./c file n2 i2 h./b", "./d file n2 i1 h./a"],
        ),
        // Names swap their inodes, so that the first name of each is another one.
        (
            &[
                "./a file d1 n2 i1",
                "./b file d2 n2 i2",
                "./c file n2 i1 h./a",
                "./d file n2 i2 h./b",
            ],
            &[
                "./a file c3 n2 i2",
                "./b file c3 n2 i1",
                "./c file c3 n2 i1 h./b",
                "./d file c3 n2 i2 h./a",
            ],
            &[
                "./a file c3 n2 i2",
                "./b file c3 n2 i1",
                "./c file c3 n2 i1 h./b",
                "./d file c3 n2 i2 h./a",
            ],
        ),
        // The first name is recorded, for whatever reason, and the others do not differ.
        (
            &["./a file noc n3 i9", "./b file n3 i9 h./a", "./c file n3 i9 h./a"],
            &["./a file n3 i9", "./b file n3 i9 h./a", "./c file n3 i9 h./a"],
            &["./a file n3 i9", "./b file n3 i9 h./a", "./c file n3 i9 h./a"],
        ),
        (
            &["./b file n3 i9 h./a", "./c file n3 i9 h./a"],
            &["./a file n3 i9", "./b file n3 i9 h./a", "./c file n3 i9 h./a"],
            &["./a file n3 i9", "./b file n3 i9 h./a", "./c file n3 i9 h./a"],
        ),
        // Links to other things than files.
        (
            &["./a link n2 i9 >x", "./b link n2 i9 h./a >x"],
            &["./a link n2 i9 >y", "./b link n2 i9 h./a >y"],
            &["./a link n2 i9 >y", "./b link n2 i9 h./a >y"],
        ),
        (
            &["./a fifo noc n2", "./b fifo n2 h./a"],
            &["./a fifo n2", "./b fifo n2 h./a"],
            &["./a fifo n2", "./b fifo n2 h./a"],
        ),
        // A name that was not seen stays what it was, and the first one that was seen is stored.
        (
            &three,
            &["./a file excluded", "./b file s1 n3 i9", "./c file s1 n3 i9 h./b"],
            &["./b file s1 n3 i9", "./c file s1 n3 i9 h./b"],
        ),
    ] {
        let with_root = |lines: &[&'static str]| [&[". dir"], lines].concat();
        check(&with_root(version), &with_root(scan), &with_root(wanted));
    }
}

#[test]
fn names_that_lost_their_first_name() {
    let full =
        tier(&[". dir", "4: ./a file d1 n3 i9", "./b file n3 i9 h./a", "./c file n3 i9 h./a"]);
    let second = tier(&[". dir", "./a file deleted"]);
    // They were not seen when it went. Once seen they are stored, though their lines say the same,
    // and the others linked to that.
    for (scan, wanted) in [
        (&["./b file excluded", "./c file excluded"][..], &[][..]),
        (
            &["./b file n3 i9", "./c file n3 i9 h./b"],
            &[". dir", "./b file n3 i9", "./c file n3 i9 h./b"],
        ),
        (&["./b file excluded", "./c file n3 i9"], &[". dir", "./c file n3 i9"]),
        (
            &["./b file n3 i9", "./c file excluded", "./d file n3 i9 h./b"],
            &[". dir", "./b file n3 i9", "./d file n3 i9 h./b"],
        ),
        (&["./b file t2 n1", "./c file excluded"], &[". dir", "./b file t2 n1"]),
    ] {
        let scan = entries(&[&[". dir"], scan].concat());
        let found = run(on(2), false, &scan, &[full.clone(), second.clone()]);
        assert_eq!(lines(&found), wanted);
    }
}

#[test]
fn a_full_band_tells_what_it_drops() {
    let version = [
        ". dir",
        "./a dir",
        "./a/b file",
        "./c dir",
        "./c/d file",
        "./e file",
        "./f file",
        "./g dir",
        "./g/h file",
    ];
    let scan = [
        ". dir",
        "./a dir excluded",
        "./c dir unread",
        "./e file unreadable",
        "./f file t2",
        "./new file excluded",
    ];
    let found = run(DiffConfig { full: true, ..on(0) }, false, &entries(&scan), &[tier(&version)]);
    assert_eq!(lines(&found), [". dir", "./c dir unread", "./f file t2"]);
    // ./a and ./a/b, ./c/d, ./e; but ./g is gone.
    assert_eq!((found.summary.dropped, found.summary.deleted, found.summary.new), (4, 0, 3));
    assert_eq!(found.summary.end, End { entries: 3, excluded: 2, unreadable: 1 });
}

#[test]
fn leftovers_do_not_come_back_with_their_directory() {
    // An index with ./d is lost, that with its content is not.
    let version =
        [". dir", "./d/a file s1 d1", "./d/b dir", "./d/b/c file", "./d/e file", "./f file"];
    check(
        &version,
        &[". dir", "./d dir", "./d/a file s1 t2", "./d/e dir", "./f file"],
        &[". dir", "./d dir", "./d/a file s1 t2 d1 in0/0", "./d/b dir deleted", "./d/e dir over"],
    );
    // What is as it was is recorded too, but not stored again.
    let lost = [". dir", "4: ./d/a file s1 d1", "./d/b dir", "./d/b/c file d2 x"];
    check(
        &lost,
        &[". dir", "./d dir", "./d/a file s1", "./d/b dir", "./d/b/c file x"],
        &[". dir", "./d dir", "./d/a file s1 d1 in0/4", "./d/b dir", "./d/b/c file x"],
    );
    // As long as the directory is not there, there is nothing to tell.
    check(&version, &[". dir", "./f file"], &[]);
    check(&version, &[". dir", "./d file", "./f file"], &[". dir", "./d file"]);
    check(&version, &[". dir", "./d dir excluded", "./f file"], &[]);
}

#[test]
fn behind_a_mask_the_version_is_not_read() {
    let mut diff = Diff::new(on(1));
    diff.handle_header(&Header::Partial);
    diff.handle_scan_end(End::default());
    assert_eq!(diff.poll(), None);
    assert_eq!(diff.finish(), Ok(DiffSummary::default()));
}

#[test]
fn what_a_band_has_is_counted_as_in_tail() {
    let mut have = Default::default();
    for line in [
        ". dir",
        "./a file s5",
        "./b file s5 h./a",
        "./c file s7 in0/1",
        "./d file deleted",
        "./e link >x",
        "./f fifo",
    ] {
        count(&mut have, &entry(line));
    }
    assert_eq!((have.entries, have.files, have.bytes), (7, 3, 12));
}

#[test]
fn a_cut_scan_is_no_end() {
    let mut diff = Diff::new(on(0));
    diff.handle_scan(entry(". dir"));
    diff.handle_version_end();
    assert_eq!(diff.poll(), Some(Effect::Record(entry(". dir"))));
    assert_eq!(diff.poll(), Some(Effect::WantScan));
    assert_eq!(diff.finish(), Err(Unfinished));
}
