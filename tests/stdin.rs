//! What a program writes, as a file of a band: of unknown length, in memory that does not grow, and
//! none at all if the program fails.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::gpg::{self, KEY};
use crate::util::run::{Shell, bare, dura, scratch};
use crate::util::stream::split;
use crate::util::tree::noise;

/// A member of noise is a part.
const PACK: &str = "dura-pack -q --part-size 1200k";

fn with(line: &str, dir: &Path) -> Shell {
    let home = &gpg::home().dir;
    let caches = ["DURA_CACHE", "XDG_STATE_HOME", "TMPDIR"];
    let shell = dura(line).dir(dir).var("GNUPGHOME", home);
    caches.into_iter().fold(shell, |shell, name| shell.var(name, dir.join("tmp")))
}

/// A directory with a file of so many bytes that do not compress.
fn host(len: usize) -> PathBuf {
    let dir = scratch("stdin");
    fs::create_dir(dir.join("tmp")).unwrap();
    fs::write(dir.join("data"), noise(1, len)).unwrap();
    dir
}

fn backup(producer: &str, seal: &str) -> String {
    format!(
        "dura-scan -q --stdin db.sql --stdin-command '{producer}' | dura-index diff arc | {PACK} | \
         dura-seal -q {seal} | dura-push -q arc"
    )
}

/// Nothing is left in TMPDIR but caches.
fn is_clean(dir: &Path) {
    let left = bare("find tmp -name 'dura-*'").dir(dir).ok().text();
    assert_eq!(left, "");
}

/// By every program, and by hand, with and without keys; a lost list is found again.
#[test]
fn a_dump_comes_back_as_a_file() {
    for seal in [format!("-r {KEY} --group 4 --parity 1"), "--group 3 --parity 1".to_owned()] {
        let dir = host(5_300_001);
        let done = with(&backup("cat data", &seal), &dir).stages();
        assert_eq!(done.stages, [0; 5], "{}", done.report());
        let band = with("ls arc", &dir).ok().text().trim().to_owned();
        let folder = dir.join("arc").join(&band).join("00000");
        let mut names: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".tar.gz.00"))
            .collect();
        names.sort();
        assert_eq!(names.len(), 6, "{names:?}");
        let header = fs::metadata(folder.join(&names[0])).unwrap().len();
        assert!(header < 2000, "part 0 is the header alone: {header}");

        let is_back = |how: &str| {
            with(how, &dir).ok();
            assert!(fs::read(dir.join("data")).unwrap() == fs::read(dir.join("back")).unwrap());
        };
        is_back("dura-restore -q --no-cache arc | tar -xOf - ./db.sql > back");
        let open = if seal.starts_with("-r") { "gpg -qd $r > ../k; " } else { "" };
        let each = match open {
            "" => "cat $b",
            _ => "gpg -q --batch --pinentry-mode loopback --passphrase-file ../k -d $b",
        };
        is_back(&format!(
            "cd arc/{band}; r=00000/000000000-0.key.gpg; {open}for b in 00000/000000001.tar*; do {each}; \
             done | gzip -dc | tar -xOf - ./db.sql > ../../back"
        ));
        is_back(&format!(
            "mkdir out; cd arc/{band}; sh recover.sh ../../out; cd ../..; mv out/db.sql back"
        ));
        with("dura-verify -q arc; dura-verify -q --files arc", &dir).ok();
        let lists = bare(&format!("cd arc/{band}; echo 00000/*-[0-9].sha256")).dir(&dir).ok();
        for list in lists.text().split_whitespace() {
            let line = format!(
                "cp arc/{band}/{list} was; rm arc/{band}/{list}; dura-verify -q --repair arc | \
                 dura-push -q --replace arc; cmp was arc/{band}/{list} && dura-verify -q arc"
            );
            with(&line, &dir).ok();
        }
        is_clean(&dir);
    }
}

/// Its band has no TAIL and does not list the file; the next run makes one of its own, and both give
/// what they should.
#[test]
fn a_producer_that_fails_fails_the_backup() {
    let dir = host(3_000_000);
    with(&backup("cat data", ""), &dir).ok();
    // tar has written all that it could when it fails.
    for (producer, why) in [
        ("tar -cf - data missing", "exit status: 2"),
        ("head -c 2500000 data; kill -9 $$", "signal: 9"),
        ("head -c 100 data; exit 7", "exit status: 7"),
    ] {
        let done = with(&backup(producer, ""), &dir).stages();
        assert_eq!(done.stages, [2; 5], "{}", done.report());
        done.tells(&format!("dura-scan: --stdin-command: {why}",));
        let listed = with("dura-index list --band latest arc", &dir).ok().text();
        assert!(listed.contains("./db.sql") && listed.contains("size=3000000"), "{listed}");
    }
    let bands = with("dura-index bands arc", &dir).ok().text();
    assert_eq!(bands.matches(" unfinished ").count(), 3, "{bands}");
    with("dura-restore -q arc --band latest | tar -xOf - ./db.sql > b; cmp b data", &dir).ok();
    with(&backup("tail -c 2000000 data", ""), &dir).ok();
    with("dura-restore -q arc | tar -xOf - ./db.sql > b; tail -c 2000000 data | cmp - b", &dir)
        .ok();
    with("dura-verify -q arc", &dir).ok();
    let tail = with("cat $(ls -d arc/*Z | tail -n 1)/TAIL", &dir).ok().text();
    assert!(tail.contains("\ntree-bytes: 2000000\n"), "{tail}");
    is_clean(&dir);
}

/// Small content is one member, what comes through the pipe itself is taken, and where nobody can
/// read it the scan ends.
#[test]
fn standard_input_is_one_file() {
    let dir = host(0);
    let line = "echo hello | dura-scan --stdin 'a b' | dura-pack -q | dura-push arc";
    with(line, &dir).ok();
    let back = with("dura-restore -q arc | tar -xOf - './a b'; ls arc/*/00000", &dir).ok().text();
    assert!(back.starts_with("hello\n") && !back.contains(".000000"), "{back}");
    with("dura-index list arc | grep 'type=file mode=0640'", &dir).code(1);
    with(&format!("umask 027; {}", line.replace("arc", "arc2")), &dir).ok();
    with("dura-index list arc2 | grep 'type=file mode=0640'", &dir).ok();
    for (line, stages, why) in [
        (
            ": | dura-scan --stdin x | dura-pack -q",
            &[0, 2, 2][..],
            "nothing came on standard input",
        ),
        ("echo | dura-scan --stdin x > listing", &[0, 2], "nobody reads"),
        ("echo | dura-scan --stdin x | true", &[0, 2, 0], ""),
        ("echo | dura-scan --stdin x | dura-index diff new | true", &[0, 2, 2, 0], ""),
        ("echo | dura-scan --stdin x | dura-pack --level 99", &[0, 2, 2], "--level"),
        ("echo | dura-scan --stdin a/b", &[0, 2], "without slashes"),
        ("echo | dura-scan --stdin y | dura-index diff arc", &[0, 2, 2], "stdin:y"),
        // A command that fails although nobody reads all of it.
        ("dura-scan --stdin x --stdin-command 'exit 3' | dura-pack -q", &[2, 2], "exit status: 3"),
    ] {
        let done = with(line, &dir).seconds(20).stages();
        assert_eq!(done.stages, stages, "{}", done.report());
        done.tells(why);
    }
    is_clean(&dir);
}

/// A band with parts all have left before the first one: push and its archive see them in this
/// order.
#[test]
fn the_header_leaves_last() {
    let dir = host(2_500_000);
    let line = format!("dura-scan --stdin x < data | {PACK} > stream");
    with(&line, &dir).ok();
    let stream = fs::read(dir.join("stream")).unwrap();
    let parts = split(&stream).into_iter().map(|member| member.name());
    let parts: Vec<String> =
        parts.filter_map(|name| Some(name.split_once(".tar.gz.")?.1.to_owned())).collect();
    assert_eq!(parts, ["000001", "000002", "000003", "000000"]);
}
