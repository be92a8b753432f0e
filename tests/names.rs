//! One way of taking names, for all programs that take them.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::util::run::{Done, Share, dura, scratch};

/// An archive of a tree whose names can be meant in several ways, beside it.
fn dir() -> &'static PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.shared(|| {
        let dir = scratch("names");
        let make = r#"mkdir -p 'src/sub dir/deep'
            for f in '[x]' x 'c*' cc '\101' A 'sub dir/new
line' 'sub dir/deep/plain' $'\xff\xfe' '#note' '!no'; do echo 1 > "src/$f"; done
            dura-scan -q src | dura-pack -q | dura-seal | dura-push -q arc"#;
        dura(make).dir(&dir).ok();
        dir
    })
}

fn run(script: &str) -> Done {
    dura(script).dir(dir()).run()
}

/// What each program makes of one name.
const READERS: [&str; 3] = [
    "dura-restore -q arc NAME | tar -tf - --quoting-style=literal | grep -v '/$' | sed 's/^..//'",
    "dura-index ls -q arc NAME | grep -v ^d | sed 's/[^.]*[.].//'",
    "dura-index find -q arc NAME | grep -v ' - ' | cut -d' ' -f1 | sed 's/^..//'",
];

#[test]
fn every_reader_takes_every_spelling() {
    for (names, raw, encoded) in [
        (&["'[x]'", "./'[x]'", "'./\\133x]'", "$PWD/src/'[x]'"][..], "[x]", "\\133x]"),
        (&["'c*'", "'c\\052'", "./c'*'//"], "c*", "c\\052"),
        (&["'\\101'", "'\\134101'"], "\\101", "\\134101"),
        (&["$'\\xff\\xfe'", "'./\\377\\376'", "$PWD/src//$'\\xff\\xfe'"], "", "\\377\\376"),
        (&["'#note'", "'\\043note'"], "#note", "\\043note"),
        (&["./'!no'", "'!no'"], "!no", "!no"),
        (
            &["'sub dir/deep/plain'", "'sub\\040dir/deep//plain/'"],
            "sub dir/deep/plain",
            "sub\\040dir/deep/plain",
        ),
        (&["'sub?dir/deep/pl*'"], "sub dir/deep/plain", "sub\\040dir/deep/plain"),
        (&["'[xy]'"], "x", "x"),
    ] {
        for name in names {
            for (at, reader) in READERS.iter().enumerate() {
                let done = run(&reader.replace("NAME", name));
                let wanted = if at == 0 { raw } else { encoded };
                assert_eq!(done.code, 0, "{}", done.report());
                if !wanted.is_empty() {
                    assert_eq!(done.text().trim_end(), wanted, "{}", done.report());
                }
            }
        }
    }
}

/// The same for the hand and for the walk.
#[test]
fn where_and_scan_take_every_spelling() {
    for (script, wanted) in [
        ("dura-index where -q arc NAME | tail -n 1", "000000000.tar.gz"),
        ("dura-scan -q --after NAME src | grep -v '^#' | cut -d' ' -f1 | tail -n 1", "./x"),
    ] {
        for name in [
            "'sub dir/deep/plain'",
            "./'sub dir'//deep/./plain/",
            "'./sub\\040dir/deep/plain'",
            "\"$PWD/src/sub dir/deep/plain\"",
            "$PWD/'src/sub\\040dir/deep/plain'",
        ] {
            let done = run(&script.replace("NAME", name));
            assert_eq!(done.code, 0, "{}", done.report());
            assert!(done.text().trim_end().ends_with(wanted), "{}", done.report());
        }
    }
    for (name, says) in [("/etc", "/etc: not a path below"), ("../x", "../x: not a path below")] {
        run(&format!("dura-scan -q --after {name} src; [ $? = 2 ]")).tells(says);
        run(&format!("dura-index where -q arc {name}; [ $? = 2 ]")).tells(says);
    }
}

#[test]
fn what_is_not_there_is_said() {
    for (script, code, says) in [
        ("dura-index find arc nothing", 1, "nothing: in no version"),
        ("dura-index find arc nothing x", 1, "nothing: in no version"),
        ("dura-index find arc '../x'", 1, "in no version"),
        ("dura-restore arc x nothing | cat", 1, "nothing: not in this version"),
        ("dura-restore arc nothing | cat", 2, "none of the requested paths"),
        ("dura-index ls arc 'z*'", 2, "none of the requested paths"),
        ("dura-restore arc /etc | cat", 2, "/etc: not a path below the source"),
        ("dura-index ls arc ../x", 2, "not a path below the source"),
        ("dura-restore arc '' | cat", 2, "the path is empty"),
        ("dura-index where arc", 2, "PATH"),
        ("dura-restore --files-from /dev/null arc | cat", 2, "contains no names"),
        ("dura-restore --files-from /no/file arc | cat", 2, "/no/file: no such file"),
    ] {
        let done = run(&format!("set -o pipefail; {script}"));
        assert_eq!(done.code, code, "{}", done.report());
        done.tells(says);
    }
}

/// Names from a file: lines, or with NUL; from `find`, from a listing, from `ls`.
#[test]
fn names_from_a_file() {
    let list = "(cd src && find . -name '*x*' -print0) | dura-restore -q --files-from - arc";
    assert_eq!(run(&format!("{list} | tar -tf -")).text(), "./[x]\n./x\n");
    let newline = "(cd src && find . -type f -path '*new*' -print0) > nul
        dura-index ls --files-from nul arc | wc -l; dura-index where --files-from nul arc | wc -l";
    assert_eq!(run(newline).text(), "1\n5\n");
    let lines = r"(printf '\357\273\277'; printf '%s\r\n' ./x '\101' '[x]') > lines
        dura-index find -q --files-from lines arc | cut -d' ' -f1";
    assert_eq!(run(lines).text(), "./\\133x]\n./\\134101\n./x\n");
    let all = "dura-index list -q arc | grep -v '^#' | cut -d' ' -f1 > all
        dura-restore -q --files-from all arc | tar -tf - | wc -l; wc -l < all";
    let text = run(all).text();
    let (a, b) = text.trim_end().split_once('\n').unwrap();
    assert_eq!(a, b);
}

/// `-1` counts from each name that was given.
#[test]
fn one_level_below_each_name() {
    let done = run("dura-index ls -1 arc 'sub dir' | sed 's/[^.]*[.]/./'");
    assert_eq!(done.text(), "./sub\\040dir\n./sub\\040dir/deep\n./sub\\040dir/new\\012line\n");
}
