//! The first afternoon: what a person who does not know Dura yet types, and what the programs
//! answer.

use std::fs;
use std::path::{Path, PathBuf};

use super::util::gpg::{KEY, public};
use super::util::run::{Done, dura, need, scratch};

fn place() -> PathBuf {
    let dir = scratch("first");
    fs::create_dir_all(dir.join("src/Documents")).unwrap();
    fs::write(dir.join("src/Documents/report.txt"), "all is well\n").unwrap();
    fs::write(dir.join("src/picture.jpg"), "moving\n").unwrap();
    dir
}

fn run(dir: &Path, line: &str) -> Done {
    let home = dir.join("home");
    fs::create_dir_all(&home).unwrap();
    dura(line).dir(dir).var("HOME", &home).run()
}

/// On a terminal, and with `-v`, the end says what was made; else nothing does.
#[test]
fn success_says_what_was_made() {
    need("script");
    let dir = place();
    let quiet = run(&dir, "dura-scan src | dura-pack -q | dura-seal | dura-push A");
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{}", quiet.report());
    let said = ": OK: 4 entries, 2 files, ";
    let verbose = run(&dir, "dura-scan src | dura-pack -q | dura-seal | dura-push -v B");
    verbose.tells(said).tells(" stored, not encrypted");
    let sealed = "dura-scan src | dura-pack -q | dura-seal -v -r KEY | dura-push -v D";
    let sealed = public().with(dura(&sealed.replace("KEY", KEY)).dir(&dir)).ok();
    sealed.tells("dura-seal: encrypting to ").tells(KEY).tells(" stored, encrypted\n");
    let terminal = "script -qec 'dura-scan src | dura-pack | dura-seal | dura-push C' /dev/null";
    let terminal = run(&dir, terminal);
    assert!(terminal.text().contains(said), "{}", terminal.report());
    let bands = run(&dir, "script -qec 'dura-index bands A' /dev/null");
    assert!(bands.text().starts_with("band state started entries bytes"), "{}", bands.report());
    assert_eq!(run(&dir, "dura-index bands A").text().lines().count(), 1);
}

/// Only the program that failed says why, and the last one that there is no backup.
#[test]
fn what_failed_is_said_once() {
    let dir = place();
    let said = |line: &str, wanted: &[&str]| {
        let done = run(&dir, line);
        let lines: Vec<&str> = done.stderr.lines().collect();
        assert_eq!(done.code, 2, "{}", done.report());
        assert_eq!(lines.len(), wanted.len(), "{}", done.report());
        wanted.iter().for_each(|wanted| _ = done.tells(wanted));
    };
    let push = "dura-push: the input is empty: the previous program failed";
    said(
        "dura-scan nowhere | dura-index diff A | dura-pack | dura-seal | dura-push A",
        &["dura-scan: nowhere: no such file or directory", push],
    );
    said(
        "dura-scan src | dura-index diff src/picture.jpg | dura-pack | dura-seal | dura-push A",
        &["src/picture.jpg/: not a directory", push],
    );
    said(
        "dura-scan src | grep -v report | dura-pack -q | dura-seal | dura-push A",
        &[
            "dura-pack: the #end line counts 4 entries, but the listing has 3: lines were lost",
            "dura-pack: hint: if they were left out on purpose, use dura-index filter COMMAND",
            push,
        ],
    );
    said("true | dura-seal | dura-push A", &[push]);
    // Who stands at the end says it, whatever its name.
    said("true | dura-pack >stream", &["dura-pack: the input is empty"]);
    said("true | dura-seal -v | cat; exit ${PIPESTATUS[1]}", &["dura-seal: the input is empty"]);
    assert!(!dir.join("A").exists());
}

/// When a program of the pipe has said why it failed, those before it, whose output nobody reads any
/// more, end with 2 and add nothing to it.
#[test]
fn the_programs_before_say_nothing() {
    let dir = place();
    run(&dir, "head -c 4000000 /dev/urandom > src/large");
    // What fails has ended when the first program begins.
    let before = |programs: &str, n: usize| {
        let failed = "(echo the cause >&2; exit 3)";
        run(&dir, &format!("{{ sleep 0.3; {programs} | {failed}; exit ${{PIPESTATUS[{n}]}}"))
    };
    let programs = ["dura-scan src; }", "dura-index diff A", "dura-pack -q", "dura-seal"];
    for last in 0..programs.len() {
        let done = before(&programs[..=last].join(" | "), last);
        assert_eq!((done.code, done.stderr.as_str()), (2, "the cause\n"), "{}", done.report());
    }
    run(&dir, "dura-scan src | dura-pack -q | dura-seal | dura-push A");
    for reader in ["dura-restore A", "dura-index ls A", "dura-index changes A", "dura-push --help"]
    {
        let done = before(&format!("{reader}; }}"), 0);
        assert_eq!((done.code, done.stderr.as_str()), (2, "the cause\n"), "{}", done.report());
    }
    let verbose = before("dura-index -v ls A; }", 0);
    assert_eq!(verbose.code, 2, "{}", verbose.report());
    verbose.tells("dura-index: cannot write the output: the next program has ended");
}

/// A band is no archive, whoever is given one.
#[test]
fn a_band_in_place_of_an_archive() {
    let dir = place();
    let push = "dura-scan src | dura-pack -q --band 20260101T000000Z | dura-push";
    assert_eq!(run(&dir, &format!("{push} A")).code, 0);
    for command in ["dura-restore", "dura-verify", "dura-index ls", "dura-index bands"] {
        let done = run(&dir, &format!("{command} A/20260101T000000Z/"));
        assert_eq!((done.code, done.text().as_str()), (2, ""), "{}", done.report());
        done.tells("A/20260101T000000Z/: is a band, not an archive");
        done.tells("hint: use the archive above it, A, with --band 20260101T000000Z");
    }
    let done = run(&dir, &format!("{push} A/20260101T000000Z"));
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells("this is a band, not an archive").tells("name the archive");
}

/// The words of other programs get a tip; none is sent to `--`.
#[test]
fn words_of_other_programs() {
    let dir = place();
    for (line, tip) in [
        ("dura-index snapshots A", "dura-index bands ARCHIVE"),
        ("dura-index init A", "needs no preparation"),
        ("dura-index check A", "dura-verify ARCHIVE"),
        ("dura-scan -e '*.o' src", "--exclude PATTERN"),
        ("dura-restore --target out A", "dura-restore ARCHIVE | tar "),
        ("dura-restore -r A latest", "name the archive as an argument"),
        ("dura-push --repo A", "name the archive as an argument"),
        ("dura-restore --include x A", "dura-restore ARCHIVE PATH"),
        ("dura-index repair A", "dura-verify --repair ARCHIVE"),
        ("dura-index forget A", "dura-index expire --keep-daily N ARCHIVE | dura-prune ARCHIVE"),
        ("dura-prune --keep-weekly 4 A", "dura-index expire --keep-daily N ARCHIVE"),
        ("dura-pack --nonsense", "unexpected argument '--nonsense'"),
    ] {
        let done = run(&dir, line);
        assert_eq!((done.code, done.text().as_str()), (2, ""), "{}", done.report());
        done.tells(tip);
        assert!(!done.stderr.contains("as a value"), "{}", done.report());
        assert!(!done.stderr.contains("a similar "), "{}", done.report());
    }
}

/// An archive is made in an empty or new place, or beside bands: swapped arguments write nothing.
#[test]
fn the_right_place() {
    let dir = place();
    let push = "dura-scan -q src | dura-pack -q | dura-push -q";
    let done = run(&dir, &format!("{push} src"));
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells("src: an archive would be made beside Documents, picture.jpg");
    done.tells("--beside-others");
    assert_eq!(fs::read_dir(dir.join("src")).unwrap().count(), 2);
    for litter in ["lost+found", "@eaDir", ".Trash-1000"] {
        let archive = format!("disk {litter}");
        fs::create_dir_all(dir.join(&archive).join(litter)).unwrap();
        let done = run(&dir, &format!("{push} '{archive}'"));
        assert_eq!(done.code, 0, "{}", done.report());
    }
    let done = run(&dir, &format!("cp -r src mixed; {push} --beside-others mixed"));
    assert_eq!(done.code, 0, "{}", done.report());
    fs::create_dir(dir.join("empty")).unwrap();
    for (archive, code, says) in [
        ("nowhere", 2, "nowhere: no such file or directory"),
        ("empty", 0, ""),
        ("src", 2, "src: the archive has no band, but Documents, picture.jpg"),
    ] {
        let done = run(&dir, &format!("dura-index bands {archive}"));
        assert_eq!((done.code, done.text().as_str()), (code, ""), "{}", done.report());
        done.tells(says);
    }
}

/// Times as people write them; local ones with their zone told.
#[test]
fn times_as_people_write_them() {
    let dir = place();
    let made = "for t in 20200101T000000Z 20200601T000000Z; do dura-scan -q src | SOURCE_DATE_EPOCH=$(date -d ${t%T*} +%s) dura-pack -q --band $t | dura-push -q A; done";
    assert_eq!(run(&dir, made).code, 0);
    let days = "echo $(( ($(date +%s) - $(date -d 2020-03-01 +%s)) / 86400 ))";
    let days = run(&dir, days).text();
    for (time, band) in [
        ("2020-05-31", "20200101T000000Z"),
        ("2020-06-01T02:30+02:00", "20200601T000000Z"),
        ("2020-06-01T01:30+02:00", "20200101T000000Z"),
        (&format!("{}d", days.trim()), "20200101T000000Z"),
        ("yesterday", "20200601T000000Z"),
    ] {
        let line = format!("TZ=Europe/Berlin dura-index ls -v --at '{time}' A");
        let done = run(&dir, &line);
        assert_eq!(done.code, 0, "{}", done.report());
        done.tells(band);
        if !time.contains('+') && !time.ends_with('d') {
            done.tells("as local time (Europe/Berlin, +");
        }
    }
    let done = run(&dir, "dura-index ls --at 2019-12-31 A");
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells("the archive has no band from 2019-12-31T23:59:59Z or earlier");
    done.tells("hint: list its bands with: dura-index bands A");
}

/// The line of the README with the public key alone: layers by the copies of indexes, and without
/// those a word that helps.
#[test]
fn with_the_public_key_alone() {
    let dir = place();
    let line = format!(
        "dura-scan src | dura-index diff A | dura-pack -q | dura-seal -r {KEY} | dura-push A"
    );
    let run = |line: &str| {
        let home = dir.join("home");
        fs::create_dir_all(&home).unwrap();
        let cache = dir.join("cache");
        public()
            .with(dura(line).dir(&dir).var("HOME", &home).var("XDG_CACHE_HOME", &cache))
            .stages()
    };
    for bands in 1..4 {
        fs::write(dir.join("src/picture.jpg"), format!("{bands}")).unwrap();
        let done = run(&line);
        assert_eq!(done.stages, [0; 5], "{}", done.report());
        assert_eq!(fs::read_dir(dir.join("A")).unwrap().count(), bands);
    }
    fs::remove_dir_all(dir.join("cache")).unwrap();
    let done = run(&line);
    assert_eq!(done.stages, [0, 2, 2, 2, 2], "{}", done.report());
    done.tells("no secret key that decrypts it").tells("--full");
    let done = run(&line.replace("diff", "diff --full"));
    assert_eq!(done.stages, [0; 5], "{}", done.report());
}
