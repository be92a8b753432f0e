//! `--signed-by`: readers take only what a key has signed, and tell what they leave out.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::forge::{band, dir, dir_line, file, file_line};
use crate::util::gpg::{KEY, OTHER, home};
use crate::util::run::{Done, dura, scratch};
use crate::util::tree::noise;

/// A signed archive of two files in two blocks.
fn archive() -> PathBuf {
    let top = scratch("signed");
    fs::create_dir(top.join("s")).unwrap();
    fs::write(top.join("s/one"), noise(1, 1_500_000)).unwrap();
    fs::write(top.join("s/two"), noise(2, 1_500_000)).unwrap();
    let run = format!(
        "dura-scan s | dura-pack --block-size 200k --band 20200101T000000Z | dura-seal --group 4 --sign {KEY} | dura-push a"
    );
    home().with(dura(&run)).dir(&top).ok();
    top
}

fn run(top: &Path, line: &str) -> Done {
    home().with(dura(line)).dir(top).run()
}

/// What a restore brings, and how it ends.
fn restored(top: &Path, key: &str) -> (i32, Vec<String>, String) {
    let line = format!(
        "rm -rf out; mkdir out; dura-restore --signed-by {key} a > t; c=$?; tar xf t -C out 2>/dev/null; exit $c"
    );
    let done = run(top, &line);
    let mut names: Vec<String> = fs::read_dir(top.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    (done.code, names, done.stderr)
}

#[test]
fn only_what_is_signed_is_read() {
    let top = archive();
    let folder = top.join("a/20200101T000000Z");
    let both = ["one", "two"];
    let (code, names, told) = restored(&top, KEY);
    assert_eq!((code, &names[..]), (0, &both.map(str::to_owned)[..]), "{told}");
    for reader in ["list a", "ls a", "find a one", "where a one", "bands a"] {
        let done = run(&top, &format!("dura-index --signed-by {KEY} {reader}"));
        assert_eq!(done.code, 0, "{reader}\n{}", done.report());
        let done = run(&top, &format!("dura-index --signed-by {OTHER} {reader}"));
        assert_ne!(done.code, 0, "{reader}\n{}", done.report());
    }
    assert_ne!(restored(&top, OTHER).0, 0);

    // A newer band that somebody has put there counts for nothing.
    let planted = [dir_line(".", ""), file_line("./evil", b"evil", "")];
    let tar = [dir("./"), file("./evil", b"evil")].concat();
    let plant = band(&top.join("a"), "20260101T000000Z", &planted, &tar);
    let (code, names, told) = restored(&top, KEY);
    assert_eq!((code, &names[..]), (1, &both.map(str::to_owned)[..]), "{told}");
    assert!(told.contains("20260101T000000Z"), "{told}");
    fs::remove_dir_all(plant).unwrap();

    // An object of another content, of which an unsigned list says so.
    let block = folder.join("00000/000000001.tar.gz");
    let kept = fs::read(&block).unwrap();
    fs::write(&block, &kept[..kept.len() - 1]).unwrap();
    let (code, names, told) = restored(&top, KEY);
    assert_eq!((code, names.len()), (1, 1), "{told}");
    assert!(told.contains("signed list"), "{told}");
    fs::write(&block, &kept).unwrap();

    // An object in no list.
    fs::write(folder.join("00000/000000900.tar.gz"), "x").unwrap();
    assert_eq!(restored(&top, KEY).0, 0);

    // A TAIL without a signature does not make the band complete.
    fs::remove_file(folder.join("TAIL.sig")).unwrap();
    let (code, names, told) = restored(&top, KEY);
    assert_eq!((code, &names[..]), (1, &both.map(str::to_owned)[..]), "{told}");
    assert!(told.contains("TAIL"), "{told}");

    // A list without a signature counts for nothing, nor does what only it names.
    for entry in fs::read_dir(folder.join("00000")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with("-1.sha256.sig") {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(restored(&top, KEY).0, 1);
}

/// A signed list of another band is none of this one, and that is told by the script, too.
#[test]
fn a_list_of_another_band() {
    let top = archive();
    let script = format!("sh recover.sh --signed-by {KEY} ../../out-$$");
    run_ok(&top, &format!("cd a/20200101T000000Z && {script}"));
    // Any of several keys is enough; another one is not.
    let several = script.replace(KEY, &format!("{KEY} --signed-by={OTHER}"));
    run_ok(&top, &format!("cd a/20200101T000000Z && {several}"));
    let done = run(&top, &format!("cd a/20200101T000000Z && {}", script.replace(KEY, OTHER)));
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells(&format!("no good signature by {OTHER}"));
    let none = script.replace(KEY, "''");
    run(&top, &format!("cd a/20200101T000000Z && {none}")).tells("usage: ");
    let other = format!(
        "dura-scan s | dura-pack --band 20200201T000000Z | dura-seal --group 4 --sign {KEY} | dura-push b
        for end in sha256 sha256.sig; do cp b/*/00000/000000000-0.$end a/20200101T000000Z/00000/000000064-0.$end; done"
    );
    run_ok(&top, &other);
    let done = run(&top, &format!("cd a/20200101T000000Z && {script}"));
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells("the list of another band: 20200101T000000Z/00000/000000064-0.sha256");
    assert_eq!(restored(&top, KEY).0, 1);
}

/// That the newest band was taken away is told by each reader that knows of it.
#[test]
fn a_band_that_is_expected() {
    let top = archive();
    let band = "20200101T000000Z";
    let readers = [
        "dura-restore a > t",
        "dura-index list a",
        "dura-index ls a",
        "dura-index find a one",
        "dura-index where a one",
        "dura-index bands a",
        "dura-scan s | dura-index diff a",
    ];
    for reader in readers {
        let with = |options: &str| run(&top, &reader.replacen(" a", &format!(" {options} a"), 1));
        for (name, code) in [(band, 0), ("2020", 0), ("20200102T000000Z", 1), ("2021", 1)] {
            let done = with(&format!("--expect {name}"));
            assert_eq!(done.code, code, "{reader} {name}\n{}", done.report());
            assert!(code == 0 || done.stderr.contains(name), "{}", done.report());
        }
    }
    // One that nobody has signed is not complete.
    fs::remove_file(top.join("a").join(band).join("TAIL.sig")).unwrap();
    let done = run(&top, &format!("dura-index bands --signed-by {KEY} --expect {band} a"));
    assert_eq!(done.code, 1);
    done.tells("expected, but not complete");
}

/// What cannot be read signs nothing, and ends nothing: neither a reader nor, for good, a backup.
#[test]
fn signatures_that_are_fifos_or_endless() {
    let top = archive();
    let band = "a/20200101T000000Z";
    run_ok(&top, "cp -a a whole");
    for name in ["TAIL", "TAIL.sig", "00000/000000000-0.sha256", "00000/000000000-0.sha256.sig"] {
        for how in ["mkfifo", "ln -s /dev/zero", "dd status=none if=/dev/null bs=1 seek=4G of="] {
            let line = format!(
                "rm -rf a && cp -a whole a && f={band}/{name} && rm $f && {how}{}$f",
                if how.ends_with('=') { "" } else { " " }
            );
            run_ok(&top, &line);
            for reader in ["dura-restore", "dura-index list"] {
                let line = format!(
                    "ulimit -v 524288; export MALLOC_ARENA_MAX=2; {reader} --signed-by {KEY} a > t"
                );
                let done = home().with(dura(&line)).dir(&top).seconds(60).run();
                assert_eq!(done.code, 1, "{name} {how} {reader}\n{}", done.report());
                done.tells(name.trim_end_matches(".sig"));
            }
            let line = format!(
                "ulimit -v 524288; export MALLOC_ARENA_MAX=2; dura-scan s | dura-index diff --no-cache --signed-by {KEY} a > t"
            );
            let done = home().with(dura(&line)).dir(&top).seconds(60).run();
            assert!([0, 1].contains(&done.code), "{name} {how}\n{}", done.report());
        }
    }
}

/// Nothing but its name binds a band to the others: one of another tree, signed by the same key and
/// copied in, is told by readers and verify.
#[test]
fn a_band_of_another_source() {
    let top = archive();
    let run = format!(
        "mkdir o && echo o > o/file && dura-scan o | dura-pack --band 20210101T000000Z | dura-seal --sign {KEY} | dura-push b && cp -a b/* a"
    );
    home().with(dura(&run)).dir(&top).ok();
    let told = "20210101T000000Z: has another source than 20200101T000000Z";
    let signed = format!("--signed-by {KEY} a");
    for reader in ["dura-restore", "dura-index list", "dura-index ls"] {
        let done = run_ok(&top, &format!("{reader} {signed} > t"));
        done.tells(told);
    }
    run_ok(&top, &format!("dura-verify {signed}"))
        .tells(told)
        .tells("20210101T000000Z is of #source");
    // The same id does not hide another tree.
    let line = "cd o && dura-scan . | dura-index diff --parent 20200101T000000Z ../a | dura-pack -C . | dura-push --unsigned ../a; cd ..; dura-index list a > t";
    let done = run_ok(&top, line);
    done.tells("20200101T000000Z is of #source ");
}

fn run_ok(top: &Path, line: &str) -> Done {
    let done = run(top, line);
    assert_eq!(done.code, 0, "{}", done.report());
    done
}
