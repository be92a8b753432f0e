//! Tables of bands that were cut off, and how they go on.

use super::*;

/// Continues a band that holds `stored` on top of a full band; what is recorded, and what was left
/// out as ` - PATH`.
fn go_on(parent: &[&str], stored: &[&str], scan: &[&str]) -> Vec<String> {
    let own = tier(stored);
    let after = own.last().map(|(_, entry)| entry.path.clone());
    let found = run(
        DiffConfig { tier: 1, full: false, pass_over: None, after },
        false,
        &entries(scan),
        &[tier(parent), own],
    );
    let told = found.left_out.iter().map(|path| format!("- {path}"));
    let count = found.summary.left_out;
    assert_eq!(count > 0, !found.left_out.is_empty());
    assert!(found.summary.behind >= count, "what is left out lacks, too");
    lines(&found).into_iter().chain(told).collect()
}

#[track_caller]
fn check(parent: &[&str], stored: &[&str], scan: &[&str], wanted: &[&str]) {
    assert_eq!(go_on(parent, stored, scan), wanted);
}

#[test]
fn every_cut_of_a_band_goes_on_where_it_ended() {
    let parent = [
        ". dir",
        "./a dir",
        "./a/b file",
        "./a/c file",
        "./d file",
        "./e dir",
        "./e/f file",
        "./g file",
    ];
    let scan = [
        ". dir",
        "./a dir",
        "./a/b file t2",
        "./a/n file",
        "./e dir t2",
        "./e/f dir",
        "./e/f/x file",
        "./g file t2",
    ];
    let clean = lines(&diff(&parent, &scan));
    let clean: Vec<&str> = clean.iter().map(String::as_str).collect();
    assert_eq!(
        clean,
        [
            ". dir",
            "./a dir",
            "./a/b file t2",
            "./a/c file deleted",
            "./a/n file",
            "./d file deleted",
            "./e dir t2",
            "./e/f dir over",
            "./e/f/x file",
            "./g file t2",
        ]
    );
    for cut in 0..=clean.len() {
        check(&parent, &clean[..cut], &scan, &clean[cut..]);
    }
    // The same of a full band.
    for cut in 0..=scan.len() {
        let own = tier(&scan[..cut]);
        let after = own.last().map(|(_, entry)| entry.path.clone());
        let found = run(
            DiffConfig { tier: 0, full: false, pass_over: None, after },
            false,
            &entries(&scan),
            &[own],
        );
        assert_eq!(lines(&found), scan[cut..]);
    }
}

#[test]
fn what_lies_behind_waits_for_the_next_band() {
    let parent =
        [". dir", "./a file", "./b file", "./m dir", "./m/n file", "./m/z file", "./y file"];
    let stored = [". dir", "./b file t2", "./m dir", "./m/o file"];
    for (scan, wanted) in [
        // Nothing happened.
        (
            &[
                ". dir",
                "./a file",
                "./b file t2",
                "./m dir",
                "./m/n file",
                "./m/o file",
                "./m/z file",
                "./y file",
            ][..],
            &[][..],
        ),
        // Before the cut, whatever happens is too late.
        (
            &[
                ". dir t9",
                "./a file t9",
                "./ab file",
                "./m dir t9",
                "./m/o file t9",
                "./m/z file",
                "./y file",
            ],
            &[],
        ),
        // Behind it, nothing is.
        (
            &[". dir", "./a file", "./m dir", "./m/p file", "./m/z file t2", "./x file"],
            &["./m/p file", "./m/z file t2", "./x file", "./y file deleted"],
        ),
        // The open directory is gone, or is none any more: what was behind the cut in it goes, the
        // rest stays for now.
        (&[". dir", "./a file", "./y file"], &["./m/z file deleted"]),
        (&[". dir", "./a file", "./m file", "./y file"], &["./m/z file deleted"]),
        (&[". dir", "./a file", "./m dir excluded", "./y file"], &[]),
        (&[". dir", "./a file", "./m dir unread", "./y file"], &[]),
    ] {
        check(&parent, &stored, scan, wanted);
    }
    // A mask means nothing by what it leaves out.
    let own = tier(&stored);
    let config = DiffConfig {
        tier: 1,
        full: false,
        pass_over: None,
        after: own.last().map(|(_, entry)| entry.path.clone()),
    };
    let found = run(config, true, &entries(&[". dir", "./z file"]), &[tier(&parent), own]);
    assert_eq!(lines(&found), ["./z file"]);
}

#[test]
fn below_what_is_no_directory_nothing_is_recorded() {
    let parent = [". dir", "./m dir", "./m/a file", "./m/z file", "./y file"];
    // The band has ./m as a file, or as gone; since then it is a directory again.
    for stored in [[". dir", "./m file over"], [". dir", "./m dir deleted"]] {
        check(
            &parent,
            &stored,
            &[
                ". dir",
                "./m dir",
                "./m/a file",
                "./m/b dir",
                "./m/b/c file",
                "./n file",
                "./y file",
            ],
            &["./n file", "- ./m"],
        );
        // An excluded path below it is nothing that was left out.
        check(&parent, &stored, &[". dir", "./m dir", "./m/a file excluded", "./y file"], &[]);
        check(&parent, &stored, &[". dir", "./y file"], &[]);
    }
    // The directory above the one that the band ended in is new since then: only what is behind the
    // cut counts as left out.
    let stored = [". dir", "./m dir", "./m/z file over"];
    check(
        &parent,
        &stored,
        &[
            ". dir",
            "./m dir",
            "./m/z dir",
            "./m/z/1 file",
            "./m/z/2 dir",
            "./m/z/2/3 file",
            "./y file t2",
        ],
        &["./y file t2", "- ./m/z"],
    );
    let own = tier(&stored);
    let config = DiffConfig {
        tier: 1,
        full: false,
        pass_over: None,
        after: own.last().map(|(_, entry)| entry.path.clone()),
    };
    let scan = entries(&[
        ". dir",
        "./m dir",
        "./m/z dir",
        "./m/z/1 file",
        "./m/z/2 dir",
        "./m/z/2/3 file excluded",
        "./y file",
    ]);
    assert_eq!(run(config, false, &scan, &[tier(&parent), own]).summary.left_out, 2);
}

#[test]
fn links_over_a_cut() {
    let parent = [
        ". dir",
        "./a file s1 d1 n3 i9",
        "./m file",
        "./y file s1 n3 i9 h./a",
        "./z file s1 n3 i9 h./a",
    ];
    for (stored, scan, wanted) in [
        // The first name was recorded before the cut: the others are passed, though they do not
        // differ.
        (
            &[". dir", "./a file s1 d1 n3 i9", "./m file t2"][..],
            &[
                "./a file s1 n3 i9",
                "./m file t2",
                "./y file s1 n3 i9 h./a",
                "./z file s1 n3 i9 h./a",
            ][..],
            &["./y file s1 n3 i9 h./a", "./z file s1 n3 i9 h./a"][..],
        ),
        // It was stored just after it was written, so there is no ctime; the inode shows that it is
        // the same.
        (
            &[". dir", "./a file s2 d2 noc n3 i9", "./m file t2"],
            &[
                "./a file s2 n3 i9",
                "./m file t2",
                "./y file s2 n3 i9 h./a",
                "./z file s2 n3 i9 h./a",
            ],
            &["./y file s2 n3 i9 h./a", "./z file s2 n3 i9 h./a"],
        ),
        // It was not recorded, and did not change.
        (
            &[". dir", "./m file t2"],
            &[
                "./a file s1 n3 i9",
                "./m file t2",
                "./y file s1 n3 i9 h./a",
                "./z file s1 n3 i9 h./a",
            ],
            &[],
        ),
        (
            &[". dir", "./m file t2"],
            &[
                "./a file s1 n3 i9",
                "./m file t2",
                "./x file s1 n3 i9 h./a",
                "./y file s1 n3 i9 h./a",
            ],
            &["./x file s1 n3 i9 h./a", "./z file deleted"],
        ),
        // It became another one behind our back: a link to it would be a link to what it was. The
        // next name stands in.
        (
            &[". dir", "./m file t2"],
            &[
                "./a file s1 c5 n3 i8",
                "./m file t2",
                "./y file s1 c5 n3 i8 h./a",
                "./z file s1 c5 n3 i8 h./a",
            ],
            &["./y file s1 c5 n3 i8", "./z file s1 c5 n3 i8 h./y"],
        ),
        (
            &[". dir", "./a file s2 d2 noc n1", "./m file t2"],
            &[
                "./a file s2 n3 i8",
                "./m file t2",
                "./y file s2 n3 i8 h./a",
                "./z file s2 n3 i8 h./a",
            ],
            &["./y file s2 n3 i8", "./z file s2 n3 i8 h./y"],
        ),
        // It is new behind our back.
        (
            &[". dir", "./m file t2"],
            &[
                "./0 file c5 n2 i7",
                "./a file s1 n3 i9",
                "./m file t2",
                "./x file c5 n2 i7 h./0",
                "./y file s1 n3 i9 h./a",
                "./z file s1 n3 i9 h./a",
            ],
            &["./x file c5 n2 i7"],
        ),
        // Where a name stands in already before the next cut, the others are linked to that.
        (
            &[". dir", "./m file t2", "./y file s1 c5 d1 n3 i8"],
            &[
                "./a file s1 c5 n3 i8",
                "./m file t2",
                "./y file s1 c5 n3 i8 h./a",
                "./z file s1 c5 n3 i8 h./a",
            ],
            &["./z file s1 c5 n3 i8 h./y"],
        ),
        // But not to one that changed since.
        (
            &[". dir", "./m file t2", "./y file s1 c4 d1 n3 i8"],
            &[
                "./a file s1 c5 n3 i8",
                "./m file t2",
                "./y file s1 c5 n3 i8 h./a",
                "./z file s1 c5 n3 i8 h./a",
            ],
            &["./z file s1 c5 n3 i8"],
        ),
    ] {
        let scan = [&[". dir"], scan].concat();
        check(&parent, stored, &scan, wanted);
    }
    // The first name is left out.
    check(
        &[". dir", "./y file n2 i9"],
        &[". dir", "./m file"],
        &[
            ". dir",
            "./m dir",
            "./m/a file n3 i9",
            "./m/b file n3 i9 h./m/a",
            "./y file n3 i9 h./m/a",
        ],
        &["- ./m"],
    );
    check(
        &[". dir", "./y file s1 n2 i9"],
        &[". dir", "./m file"],
        &[
            ". dir",
            "./m dir",
            "./m/a file s2 n3 i9",
            "./y file s2 n3 i9 h./m/a",
            "./z file s2 n3 i9 h./m/a",
        ],
        &["./y file s2 n3 i9", "./z file s2 n3 i9 h./y", "- ./m"],
    );
}

#[test]
fn content_in_the_band_itself_is_no_older_content() {
    // A path behind the cut can not stand in the band; if an index is forged so, nothing refers to
    // it.
    let (full, own) = (tier(&[". dir"]), tier(&[". dir", "./b file s1 d1"]));
    let config = DiffConfig { tier: 1, full: false, pass_over: None, after: Some(Path::root()) };
    let found = run(config, false, &entries(&[". dir", "./b file s1 t2"]), &[full, own]);
    assert_eq!(lines(&found), ["./b file s1 t2"]);
}
