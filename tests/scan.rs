//! What scan lists and leaves out: masks, caches, archives in the source, long paths.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::run::{Done, dura, scratch};
use crate::util::tree::root;

fn tree(script: &str) -> PathBuf {
    let dir = scratch("scan");
    dura(&format!("set -e; mkdir src; {script}")).dir(&dir).ok();
    dir
}

#[track_caller]
fn run(dir: &Path, code: i32, script: &str) -> Done {
    dura(script).dir(dir).code(code)
}

/// Entries as `./path` or `./path tag`.
const SHORT: &str = r"sed -n 's/^\(\.[^ ]*\) .*tags=.*\(unread\|excluded\|unreadable\).*/\1 \2/p; t; s/^\(\.[^ ]*\) .*/\1/p'";

#[test]
fn a_mask_may_come_from_find_and_hold_what_people_write() {
    let dir = tree(
        "mkdir -p src/d/e src/f; touch src/d/e/x src/d/y src/f/x src/z; ln -s src link; ln -s . up",
    );
    let masks = [
        ("(cd src; find . -name 'x')", ". ./d ./d/e ./d/e/x ./f ./f/x"),
        ("(cd src; find . -mindepth 1 -type d)", ". ./d ./d/e ./d/e/x ./d/y ./f ./f/x"),
        ("(cd src; find .)", ". ./d ./d/e ./d/e/x ./d/y ./f ./f/x ./z"),
        ("find \"$PWD/src\" -name z", ". ./z"),
        ("echo \"$PWD/src/d/e//\"", ". ./d ./d/e ./d/e/x"),
        ("find link/ -name z | sed \"s,^,$PWD/,\"", ". ./z"),
        ("echo \"$PWD/up/src/z\"; echo \"$PWD//src//f/\"", ". ./f ./f/x ./z"),
        ("echo \"$PWD/link/\"", ". ./d ./d/e ./d/e/x ./d/y ./f ./f/x ./z"),
        (r"printf '\357\273\277./z\r\n'", ". ./z"),
        ("printf '../no\\n/elsewhere/z\\n./f//x\\n'", ". ./f ./f/x"),
    ];
    for (mask, listed) in masks {
        let done = run(&dir, 0, &format!("{{ {mask}; }} | dura-scan --only-from - src | {SHORT}"));
        assert_eq!(done.text().split_whitespace().collect::<Vec<_>>().join(" "), listed, "{mask}");
        assert_eq!(done.stderr, "", "{mask}");
    }
}

#[test]
fn a_mask_that_matches_nothing_is_no_backup() {
    let dir = tree("mkdir src/d; touch src/d/x src/y");
    let none = run(&dir, 2, "echo /nothing | dura-scan -v --only-from - src");
    none.tells("none of its patterns matches").tells("pattern /nothing: matched nothing");
    assert!(!none.text().contains("#end"), "{}", none.report());
    run(&dir, 2, "echo x | dura-scan --exclude d --only-from - src").tells("none of its patterns");
    // Of a part of the source nobody knows.
    run(&dir, 0, "echo x | dura-scan --after ./d/x --only-from - src");
    let empty = run(&dir, 0, "dura-scan --only-from /dev/null src | grep -v '#'");
    assert!(empty.text().starts_with(". type=dir") && empty.text().lines().count() == 1);
    empty.tells("contains no patterns");
    let some = run(&dir, 0, "printf 'x\\nno\\n' | dura-scan -v --exclude never --only-from - src");
    some.tells("pattern no: matched nothing").tells("pattern never: matched nothing");
    assert!(!some.stderr.contains("pattern x:"), "{}", some.report());
}

/// The listing says which mask was used, whatever the order of its lines, and how it was spelled.
#[test]
fn a_mask_is_known_by_its_patterns() {
    let dir = tree("touch src/a src/b");
    let header = |mask: &str| {
        let scan = format!("printf '{mask}' | dura-scan --only-from - src | grep '^#[mp]a'");
        run(&dir, 0, &scan).text()
    };
    let one = header("/a\\n/b\\n");
    assert!(one.starts_with("#partial\n#mask ") && one.len() == 10 + 6 + 64, "{one}");
    assert_eq!(header("# note\\n./b\\n\\n./a\\n"), one);
    assert_ne!(header("/a\\n"), one);
    run(
        &dir,
        0,
        "echo a | dura-scan -q --only-from - src | dura-index diff arc | dura-pack -q | dura-seal | dura-push -q arc",
    );
    assert_eq!(run(&dir, 0, "gzip -dc arc/*/*/0*.mtree.gz | grep -c '^#mask '").text(), "1\n");
}

#[test]
fn a_tagged_cache_keeps_its_tag_and_the_source_is_none() {
    const TAG: &str = "echo 'Signature: 8a477f597d28d172789f06886806bc55'";
    let dir = tree(&format!(
        "mkdir -p src/c/d; {TAG} > src/c/CACHEDIR.TAG; touch src/c/A src/c/d/x src/y"
    ));
    let backup = "dura-scan -q OPTIONS src | dura-index diff -q arc | dura-pack -q | dura-seal | dura-push -q arc; sleep 1.1;";
    run(
        &dir,
        0,
        &format!(
            "{} touch src/c/new; {}",
            backup.replace("OPTIONS", ""),
            backup.replace("OPTIONS", "--exclude-caches")
        ),
    );
    let kept =
        run(&dir, 0, "dura-restore -q arc | tar -tf - | tr '\\n' ' '; dura-verify -q arc").text();
    assert_eq!(kept, "./ ./c/ ./c/A ./c/CACHEDIR.TAG ./c/d/ ./c/d/x ./y ");
    let own = run(
        &dir,
        0,
        &format!("{TAG} > src/CACHEDIR.TAG; dura-scan --exclude-caches src | {SHORT}"),
    );
    own.tells("the source itself is tagged as a cache");
    assert_eq!(own.text(), ".\n./CACHEDIR.TAG\n./c unread\n./c/CACHEDIR.TAG\n./y\n");
}

/// The cache is left out by what it is, not by its name; other folders of that name stay.
#[test]
fn the_cache_in_the_source_is_left_out() {
    let dir = tree(
        "mkdir -p src/a/cache src/b/cache src/.cache/dura; touch src/{a,b}/cache/x src/.cache/dura/y; ln -s src/a/cache link",
    );
    let scan = |with: &str| {
        let done = run(&dir, 0, &format!("{with} src | {SHORT} | grep cache"));
        (done.text().replace('\n', " "), done)
    };
    let (listed, done) = scan("dura-scan -v --cache link");
    assert_eq!(
        listed,
        "./.cache ./.cache/dura ./.cache/dura/y ./a/cache excluded ./b/cache ./b/cache/x "
    );
    done.tells("./a/cache: left out: it is the cache of this host");
    let (listed, listed_quietly) =
        scan("XDG_CACHE_HOME= HOME=$PWD/src DURA_CACHE=src/b/cache dura-scan");
    assert_eq!(listed, "./.cache ./.cache/dura excluded ./a/cache ./a/cache/x ./b/cache excluded ");
    // A cron job would mail it every day.
    assert_eq!(listed_quietly.stderr, "", "{}", listed_quietly.report());
    // One that is made while the scan runs.
    let (listed, _) = scan(
        "rm -r src/b; touch src/b; XDG_CACHE_HOME=$PWD/src/.cache dura-scan --cache src/a/none",
    );
    assert_eq!(listed, "./.cache ./.cache/dura excluded ./a/cache ./a/cache/x ");
}

#[test]
fn an_archive_in_the_source_is_left_out() {
    let dir = tree("mkdir src/d; head -c 9000 /dev/urandom > src/d/x; ln -s src/d link");
    let backup = "dura-scan src | dura-index diff link/arc | dura-pack -q | dura-seal | dura-push -q src/d/arc; sleep 1.1;";
    let done = run(
        &dir,
        0,
        &format!("{backup} {backup} {backup} dura-index ls src/d/arc | sed 's/.* //'"),
    );
    assert_eq!(done.text(), ".\n./d\n./d/x\n");
    done.tells("./d/arc: holds bands of an archive").tells("./d/arc: left out: it is the archive");
    run(&dir, 2, "dura-scan src | dura-index diff src").tells("is the source itself");
    // Another archive is none of this run's business, but is told of.
    let other = run(&dir, 0, "dura-scan src | dura-index diff other | grep -c arc/");
    assert!(other.text().trim().parse::<u32>().unwrap() > 3, "{}", other.report());
}

/// By way of other mounts archive and cache have other paths: they are known there, too.
#[test]
fn archive_and_cache_in_the_source_by_other_mounts() {
    let dir = tree("mkdir -p src/{d,here,kept,whole} top/{arc,kept}; touch src/d/x top/kept/y");
    let script = "set -eu; mount --bind top/arc src/here; mount --bind top/kept src/kept; mount --bind top src/whole
        backup() { dura-scan -v --cache top/kept src | dura-index diff --cache top/kept top/arc |
            dura-pack -q --cache top/kept | dura-push -q --cache top/kept top/arc; }
        backup; sleep 1.1; backup; dura-index ls --no-cache top/arc | sed 's/.* //'
        mkdir other; mount --bind top/arc other
        ! dura-scan other | dura-index diff --full top/arc > /dev/null";
    let namespace = if root() { "-m" } else { "-rm" };
    fs::write(dir.join("script"), script).unwrap();
    let done = run(&dir, 0, &format!("unshare {namespace} bash -o pipefail script"));
    assert_eq!(done.text(), ".\n./d\n./d/x\n./whole\n", "{}", done.report());
    for (place, what) in [
        ("here", "it is the archive"),
        ("whole/arc", "it is the archive"),
        ("kept", "it is the cache of this host"),
        ("whole/kept", "it is the cache of this host"),
    ] {
        done.tells(&format!("./{place}: left out: {what}"));
    }
    done.tells("is the source itself");
}

#[test]
fn the_host_is_what_one_says() {
    let dir = tree("touch src/x");
    let source = run(&dir, 0, "dura-scan --host 'my laptop' src | grep '^#source' | cut -d' ' -f2");
    assert_eq!(source.text(), "my\\040laptop\n");
    run(&dir, 2, "dura-scan --host '' src").tells("--host");
    // A host whose name changes is told what helps, another directory is not.
    let next = |scan: &str| {
        let line = format!("{scan} | dura-index diff arc > /dev/null");
        run(&dir, 2, &line).stderr
    };
    run(&dir, 0, "dura-scan --host a src | dura-pack -q | dura-push -q arc; mkdir other");
    assert!(next("dura-scan --host b src").contains("hint: if it is the same host"));
    assert!(!next("dura-scan --host a other").contains("the same host"));
    run(&dir, 0, "dura-scan --host a src | dura-index diff arc");
}

/// Paths that no system call takes at once are listed, stored, compared, and named again.
#[test]
fn paths_of_any_length() {
    let deep = "cd src; name=$(printf %0200d 0); for i in {1..25}; do mkdir $name; cd $name; done
        echo content > file; ln -s target link; setfacl -m u:1:rwx .";
    let dir = tree(deep);
    let script = "set -e; dura-scan src > list; grep -c . list; awk 'length($1) > 5000' list | wc -l; grep -c ',x$' list
        dura-pack -q < list | dura-seal | dura-push -q arc; dura-index ls arc | wc -l
        dura-verify -q --source src arc; dura-restore -q arc $(grep /file list | cut -d' ' -f1) | tar -xOf - | cat";
    let done = run(&dir, 0, script);
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("32\n3\n1\n28\ncontent\n", ""));
}
