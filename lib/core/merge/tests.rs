//! Tables of chains and the versions that they give.

pub(crate) mod sample;

use self::sample::{entry, overlay, short};
use super::*;

/// `N: line`, or just the line for index 0.
fn numbered(text: &str) -> (u32, Entry) {
    match text.split_once(": ") {
        Some((number, line)) => (number.parse().unwrap(), entry(line)),
        None => (0, entry(text)),
    }
}

/// The version, each line with ` @TIER/NUMBER` of where it stands, if that is not 0/0; and what was
/// refused.
fn version(tiers: &[&[&str]]) -> Vec<String> {
    let tiers: Vec<Vec<(u32, Entry)>> =
        tiers.iter().map(|tier| tier.iter().map(|line| numbered(line)).collect()).collect();
    let (version, refused) = overlay(&tiers);
    let place = |placed: &Placed| {
        let at = match placed.at {
            Within { tier: 0, block: 0 } => String::new(),
            Within { tier, block } => format!(" @{tier}/{block}"),
        };
        let under = placed.under.as_ref().map(|path| format!(" as {path}")).unwrap_or_default();
        let spare = placed.spare.map(|it| format!(" or {}/{}", it.tier, it.block));
        format!("{}{at}{under}{}", short(&placed.entry), spare.unwrap_or_default())
    };
    let refused = refused.iter().map(|event| match event {
        MergeEvent::Orphan(placed) => format!("orphan {}", place(placed)),
        MergeEvent::OutOfOrder(placed) => format!("order {}", place(placed)),
        other => panic!("{other:?}"),
    });
    version.iter().map(place).chain(refused).collect()
}

#[track_caller]
fn check(tiers: &[&[&str]], wanted: &[&str]) {
    assert_eq!(version(tiers), wanted);
}

#[test]
fn one_band_is_its_own_version() {
    check(&[], &[]);
    check(&[&[]], &[]);
    check(
        &[&[". dir", "./a file s1 d1", "3: ./b dir", "3: ./b/c link >x"]],
        &[". dir", "./a file s1 d1", "./b dir @0/3", "./b/c link >x @0/3"],
    );
}

/// Where a lost block need not cost a file.
#[test]
fn an_older_block_with_the_same_content() {
    check(
        &[
            &[
                ". dir",
                "2: ./a file s1 d1",
                "2: ./b file s1 d1",
                "2: ./c file s1 d1",
                "2: ./d file s1",
            ],
            &[
                "4: ./a file s1 d1 t2",
                "4: ./b file s1 d2",
                "4: ./c file s1 d1 in0/2",
                "4: ./d file s1",
            ],
            &["6: ./a file s1 d1 t3", "6: ./b file s1 d1", "6: ./c file s1 d1 h./a"],
        ],
        &[
            ". dir",
            "./a file s1 t3 d1 @2/6 or 1/4",
            "./b file s1 d1 @2/6 or 0/2",
            "./c file s1 d1 h./a @2/6",
            "./d file s1 @1/4",
        ],
    );
    check(
        &[&[". dir", "2: ./c file s1 d1"], &["4: ./c file s1 d1 in0/2 t2"]],
        &[". dir", "./c file s1 t2 d1 in0/2 @1/4"],
    );
}

#[test]
fn the_newest_line_wins() {
    check(
        &[
            &[". dir", "./a file s1", "./b file"],
            &[". dir t2", "7: ./a file s2"],
            &[". dir t3", "9: ./a file s3"],
        ],
        &[". dir t3 @2/0", "./a file s3 @2/9", "./b file"],
    );
    // New paths fall into their place, whichever tier they come from.
    check(
        &[
            &[". dir", "./b dir", "./b/m file", "./d file"],
            &[". dir", "./b dir", "./b/a file", "./c file"],
            &[". dir", "./a file", "./b dir", "./b/z file"],
        ],
        &[
            ". dir @2/0",
            "./a file @2/0",
            "./b dir @2/0",
            "./b/a file @1/0",
            "./b/m file",
            "./b/z file @2/0",
            "./c file @1/0",
            "./d file",
        ],
    );
}

#[test]
fn deleted_takes_all_below() {
    let full: &[&str] =
        &[". dir", "./a dir", "./a/x dir", "./a/x/y file", "./a!z file", "./b file"];
    check(&[full, &[". dir", "./a dir deleted"]], &[". dir @1/0", "./a!z file", "./b file"]);
    check(
        &[full, &[". dir", "./a dir", "./a/x dir deleted"]],
        &[". dir @1/0", "./a dir @1/0", "./a!z file", "./b file"],
    );
    // What comes again is not what was there.
    check(
        &[full, &[". dir", "./a dir deleted"], &[". dir", "./a dir", "./a/n file"]],
        &[". dir @2/0", "./a dir @2/0", "./a/n file @2/0", "./a!z file", "./b file"],
    );
    // A deletion within a deletion, in any order of tiers.
    for tiers in [
        [&[". dir", "./a dir deleted"][..], &[". dir"]],
        [&[". dir", "./a dir", "./a/x dir deleted"], &[". dir", "./a dir deleted"]],
    ] {
        let found = version(&[full, tiers[0], tiers[1]]);
        assert_eq!(found.len(), 3, "{found:?}");
    }
    // A deletion hides older tiers only.
    check(
        &[
            full,
            &[". dir", "./a dir", "./a/x dir", "./a/x/y file s2"],
            &[". dir", "./a dir", "./a/x dir", "./a/x/w file"],
        ],
        &[
            ". dir @2/0",
            "./a dir @2/0",
            "./a/x dir @2/0",
            "./a/x/w file @2/0",
            "./a/x/y file s2 @1/0",
            "./a!z file",
            "./b file",
        ],
    );
    check(&[&[". dir"], &[". dir", "./none file deleted"]], &[". dir @1/0"]);
}

#[test]
fn types_that_change() {
    let full: &[&str] = &[". dir", "./a dir", "./a/x dir", "./a/x/y file", "./b file"];
    for kind in ["file", "file over", "link >t over", "fifo", "char D1 over"] {
        let line = format!("./a {kind}");
        check(&[full, &[". dir", &line]], &[". dir @1/0", &format!("{line} @1/0"), "./b file"]);
        // And back again: nothing of the first directory is left.
        check(
            &[full, &[". dir", &line], &[". dir", "./a dir over", "./a/n file"]],
            &[". dir @2/0", "./a dir over @2/0", "./a/n file @2/0", "./b file"],
        );
        // Even if the band that made it a directory again did not say `over`.
        check(
            &[full, &[". dir", &line], &[". dir", "./a dir", "./a/n file"]],
            &[". dir @2/0", "./a dir @2/0", "./a/n file @2/0", "./b file"],
        );
    }
    check(
        &[full, &[". dir", "./b dir over", "./b/n file"]],
        &[
            ". dir @1/0",
            "./a dir",
            "./a/x dir",
            "./a/x/y file",
            "./b dir over @1/0",
            "./b/n file @1/0",
        ],
    );
}

#[test]
fn over_counts_by_itself() {
    // The line in between, by which the directory was none for a while, is lost with its index.
    check(
        &[&[". dir", "./a dir", "./a/x file"], &[], &[". dir", "./a dir over", "./a/n file"]],
        &[". dir @2/0", "./a dir over @2/0", "./a/n file @2/0"],
    );
}

#[test]
fn what_was_not_looked_at_stays() {
    let full: &[&str] = &[". dir", "./a dir", "./a/x file", "./b file"];
    check(
        &[full, &[". dir", "./a dir m0 unread"]],
        &[". dir @1/0", "./a dir m0 unread @1/0", "./a/x file", "./b file"],
    );
    // No band writes these, but if one does, they say nothing.
    check(
        &[full, &[". dir", "./a dir excluded", "./b file unreadable"]],
        &[". dir @1/0", "./a dir", "./a/x file", "./b file"],
    );
    check(&[&[". dir excluded"]], &[]);
}

#[test]
fn unchanged_content_is_where_it_was() {
    let tiers = [
        vec![(0, entry(". dir")), (4, entry("./a file s5 d1"))],
        vec![(0, entry(". dir")), (0, entry("./a file s5 t2 d1 in0/4"))],
        vec![(0, entry(". dir")), (2, entry("./a file s5 t3 d1 in0/4"))],
    ];
    let (version, _) = overlay(&tiers);
    assert_eq!(
        (version[1].at, version[1].data()),
        (Within { tier: 2, block: 2 }, Within { tier: 0, block: 4 })
    );
    let (version, _) = overlay(&tiers[..1]);
    assert_eq!(version[1].data(), Within { tier: 0, block: 4 });
    // Only older tiers can hold it.
    for forged in ["in1/0", "in2/0", "in9/0"] {
        let line = format!("3: ./a file s5 {forged}");
        check(
            &[&[". dir", "4: ./a file s5"], &[". dir", &line]],
            &[". dir @1/0", "./a file s5 @1/3"],
        );
    }
}

#[test]
fn orphans_are_told() {
    check(&[&[". dir", "./b file", "./a/x file"]], &[". dir", "./b file", "order ./a/x file"]);
    check(
        &[&[". dir", "./a/x file", "./a/y dir", "./a/y/z file", "./b file"]],
        &[". dir", "./b file", "orphan ./a/x file", "orphan ./a/y dir", "orphan ./a/y/z file"],
    );
    check(&[&["./a file"]], &["orphan ./a file"]);
    // Below what is no directory in the version, in the same tier or in a newer one.
    check(&[&[". dir", "./a file", "./a/x file"]], &[". dir", "./a file", "orphan ./a/x file"]);
    check(
        &[&[". dir", "./a file"], &[". dir", "./a/x file"]],
        &[". dir @1/0", "./a file", "orphan ./a/x file @1/0"],
    );
    check(
        &[&[". dir", "./a dir", "./a/x file"], &[". dir", "./a dir deleted", "./a/y file"]],
        &[". dir @1/0", "orphan ./a/y file @1/0"],
    );
}

#[test]
fn lines_out_of_order_are_passed_over() {
    check(
        &[
            &[". dir", "./b file", "5: ./b file s2", "5: ./a file", "6: ./c file"],
            &[". dir", "./b file s3"],
        ],
        &[
            ". dir @1/0",
            "./b file s3 @1/0",
            "./c file @0/6",
            "order ./b file s2 @0/5",
            "order ./a file @0/5",
        ],
    );
    // Only a tier's own order counts, and it is noticed before the version goes back.
    check(
        &[&[". dir", "./c file"], &[". dir", "./d file", "./a file", "./e file"]],
        &[". dir @1/0", "./c file", "./d file @1/0", "./e file @1/0", "order ./a file @1/0"],
    );
}

#[test]
fn names_keep_what_they_were_linked_to() {
    let full: &[&str] =
        &[". dir", "4: ./a file s1 d1 n3 i9", "./b file s1 n3 i9 h./a", "./c file s1 n3 i9 h./a"];
    // As long as the first name is what it was, they are links to it, also if it was touched.
    check(
        &[full, &[". dir t2"]],
        &[
            ". dir t2 @1/0",
            "./a file s1 d1 n3 i9 @0/4",
            "./b file s1 n3 i9 h./a",
            "./c file s1 n3 i9 h./a",
        ],
    );
    check(
        &[full, &[". dir t2", "./a file s1 t2 d1 n3 i9 in0/4", "./c file s1 t2 n3 i9 h./a"]],
        &[
            ". dir t2 @1/0",
            "./a file s1 t2 d1 n3 i9 in0/4 @1/0",
            "./b file s1 n3 i9 h./a",
            "./c file s1 t2 n3 i9 h./a @1/0",
        ],
    );
    // A name that the newer band did not see keeps its content when the first name is replaced or
    // removed, and the others with it.
    for gone in [
        "./a file s2 d2",
        "./a file s2 d2 n2 i7",
        "./a link >b",
        "./a dir over",
        "./a file deleted",
        "./a file n2 i7 h./0",
    ] {
        let tier: &[&str] = &[". dir t2", "./0 file n2 i7", gone];
        let found = version(&[full, tier]);
        let names = &found[found.len() - 2..];
        assert_eq!(
            names,
            ["./b file s1 d1 n3 i9 in0/4 as ./a", "./c file s1 n3 i9 h./b"],
            "{gone}"
        );
    }
    // A name recorded with the new first name is linked to that.
    check(
        &[full, &[". dir t2", "./a file s2 d2 n3 i9", "./c file s2 n3 i9 h./a"]],
        &[
            ". dir t2 @1/0",
            "./a file s2 d2 n3 i9 @1/0",
            "./b file s1 d1 n3 i9 in0/4 as ./a",
            "./c file s2 n3 i9 h./a @1/0",
        ],
    );
    // In the version of each tier, the content is that of the tier in which the name was recorded.
    let second: &[&str] = &[". dir t2", "6: ./a file s2 d2 n3 i9", "./c file s2 n3 i9 h./a"];
    check(
        &[full, second, &[". dir t3", "./a file s3 d3"]],
        &[
            ". dir t3 @2/0",
            "./a file s3 d3 @2/0",
            "./b file s1 d1 n3 i9 in0/4 as ./a",
            "./c file s2 d2 n3 i9 in1/6 @1/0 as ./a",
        ],
    );
    // The content of a touched first name is where it always was.
    check(
        &[full, &[". dir", "./a file s1 t2 d1 n3 i9 in0/4"], &[". dir t3", "./a file deleted"]],
        &[". dir t3 @2/0", "./b file s1 d1 n3 i9 in0/4 as ./a", "./c file s1 n3 i9 h./b"],
    );
    // Names recorded before and after it was touched are still one inode.
    check(
        &[
            full,
            &[". dir", "./a file s1 t2 d1 n3 i9 in0/4", "./b file s1 t2 n3 i9 h./a"],
            &[". dir t3", "./a file deleted"],
        ],
        &[". dir t3 @2/0", "./b file s1 t2 d1 n3 i9 in0/4 @1/0 as ./a", "./c file s1 n3 i9 h./b"],
    );
    // The same when it goes with its directory.
    check(
        &[
            &[". dir", "./a dir", "4: ./a/a file d1 n2 i9", "./d file n2 i9 h./a/a"],
            &[". dir", "./a dir", "./a/a file t2 d1 n2 i9 in0/4"],
            &[". dir", "./a file over"],
        ],
        &[". dir @2/0", "./a file over @2/0", "./d file d1 n2 i9 in0/4 as ./a/a"],
    );
    // A first name in a directory that is gone.
    check(
        &[
            &[". dir", "./d dir", "4: ./d/a file d1 n2 i9", "./e file n2 i9 h./d/a"],
            &[". dir", "./d dir deleted"],
        ],
        &[". dir @1/0", "./e file d1 n2 i9 in0/4 as ./d/a"],
    );
    // Links to what never was are given as they are.
    check(&[&[". dir", "./b file n2 i9 h./none"]], &[". dir", "./b file n2 i9 h./none"]);
}

#[test]
fn ends_are_final() {
    let mut merge = Merge::new(2);
    assert_eq!(merge.poll(), Some(MergeEvent::Want(1)));
    merge.handle_end();
    assert_eq!(merge.poll(), Some(MergeEvent::Want(0)));
    merge.handle_end();
    assert_eq!((merge.poll(), merge.poll()), (None, None));
    merge.handle_entry(0, entry(". dir"));
    merge.handle_end();
    assert_eq!(merge.poll(), None);
}
