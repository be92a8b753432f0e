//! What runs that were cut, removals, other programs and stores leave: no finding unless something
//! that counts is lost, and then it is named, and mended where that can be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::util::run::{Done, dura, give, scratch};
use crate::util::tree::noise;
use crate::verify::{BANDS, files, plain, repair, verify};

fn lines(done: &Done) -> Vec<String> {
    done.text().lines().map(|line| line.split(": ").next().unwrap().to_owned()).collect()
}

/// A tree of six files, each a block of its own.
fn source(dir: &Path) -> PathBuf {
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    for n in 0..6 {
        fs::write(src.join(format!("f{n}")), noise(n, 1_100_000)).unwrap();
    }
    src
}

/// One run, whose stream is kept.
fn run(dir: &Path, seal: &str) -> BTreeMap<String, Vec<u8>> {
    let line = format!(
        "mkdir -p archive; rm -rf x; mkdir x; dura-scan src | dura-index diff archive | dura-pack -q --block-size 200k | dura-seal -q {seal} > stream && tar xf stream -C x"
    );
    dura(&line).dir(dir).ok();
    files(&dir.join("x"))
}

/// Stores those objects of a run whose names have one of these.
fn store(dir: &Path, run: &BTreeMap<String, Vec<u8>>, parts: &[&str]) {
    for (name, bytes) in run.iter().filter(|(name, _)| parts.iter().any(|it| name.contains(it))) {
        let path = dir.join("archive").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Cut before the first index, and continued: nothing of it is missing.
#[test]
fn cut_before_the_first_index() {
    let dir = scratch("cut");
    source(&dir);
    let first = run(&dir, "");
    store(&dir, &first, &["HEAD", "RECOVER", "recover", "rsrepair", "rdpatch"]);
    run(&dir, "");
    dura("dura-push -q archive < stream").dir(&dir).ok();
    let archive = dir.join("archive");
    for options in ["", "--quick"] {
        let done = verify(&archive, options);
        assert!(!done.text().contains("missing"), "{}", done.report());
        assert!(
            !done.text().contains("unlisted") || done.text().contains("HEAD"),
            "{}",
            done.report()
        );
    }
    let done = repair(&archive);
    assert!(done.code < 2, "{}", done.report());
    assert_eq!(verify(&archive, "").code, 0);
}

/// Parity that arrived before its list, of a group that was never whole.
#[test]
fn parity_before_its_list() {
    let dir = scratch("parity");
    source(&dir);
    let seal = "--parity 1 --group 10";
    let first = run(&dir, seal);
    store(
        &dir,
        &first,
        &[
            "HEAD",
            "RECOVER",
            "recover",
            "rsrepair",
            "rdpatch",
            "/000000000.tar",
            "/000000000.mtree",
        ],
    );
    let second = run(&dir, seal);
    store(&dir, &second, &["/000000032.", "/000000033.", "/000000034.", "/000000032-0.rs0"]);
    run(&dir, seal);
    dura("dura-push -q archive < stream").dir(&dir).ok();
    let archive = dir.join("archive");
    assert!(files(&archive).keys().any(|name| name.contains("32-0.rs0")));
    let done = repair(&archive);
    assert!(done.code < 2, "{}", done.report());
    let done = verify(&archive, "");
    assert_eq!(done.code, 0, "{}", done.report());
    let done = verify(&archive, "-v");
    assert!(done.text().is_empty(), "{}", done.report());
    done.tells("superseded").tells("32-0.rs0");
}

/// A list is lost, and what else of its group: any shards, or the list of the next group, too.
#[test]
fn lists_and_parity_that_are_lost() {
    let made = plain();
    let mut lists: Vec<&String> = made
        .files
        .keys()
        .filter(|name| name.starts_with(BANDS[0]) && name.ends_with(".sha256"))
        .collect();
    lists.sort();
    let of = |list: &str, end: &str| list.replace(".sha256", end);
    let mut cases: Vec<(Vec<String>, bool)> = Vec::new();
    for list in &lists {
        for ends in [&[".rs0"][..], &[".rs1"], &[]] {
            let mut gone = vec![(*list).clone()];
            gone.extend(ends.iter().map(|end| of(list, end)));
            cases.push((gone, true));
        }
        let both = vec![(*list).clone(), of(list, ".rs0"), of(list, ".rs1")];
        cases.push((both, false));
    }
    for pair in lists.windows(2) {
        cases.push((vec![pair[0].clone(), pair[1].clone()], true));
        cases.push((
            vec![pair[0].clone(), of(pair[0], ".rs0"), pair[1].clone(), of(pair[1], ".rs1")],
            true,
        ));
    }
    // All lists, so that nothing says how many objects a group has.
    cases.push((lists.iter().map(|list| (*list).clone()).collect(), true));
    let dir = made.copy();
    for (gone, same) in &cases {
        gone.iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap());
        let done = repair(&dir);
        assert_eq!(
            done.code,
            if *same { 1 } else { done.code.min(1) },
            "{gone:?}\n{}",
            done.report()
        );
        if *same {
            assert!(files(&dir) == made.files, "{gone:?}\n{}", done.report());
        } else {
            done.tells("with 0 parity shards, where others have 2");
            assert_eq!(verify(&dir, "").code, 0, "{gone:?}");
            for (name, bytes) in &made.files {
                fs::write(dir.join(name), bytes).unwrap();
            }
            for name in files(&dir).keys().filter(|name| !made.files.contains_key(*name)) {
                fs::remove_file(dir.join(name)).unwrap();
            }
        }
    }
    assert!(cases.len() > 12, "{}", cases.len());
}

/// A parent that lost TAIL and its last group with its list, and a band on top of it that says how
/// far it reached.
#[test]
fn a_parent_that_lost_its_end() {
    let dir = scratch("end");
    source(&dir);
    let line = "dura-scan src | dura-index diff archive | dura-pack -q --block-size 200k | dura-seal -q --group 5 | dura-push -q archive";
    dura(line).dir(&dir).ok();
    fs::write(dir.join("src/new"), "new").unwrap();
    dura(&format!("sleep 1; {line}")).dir(&dir).ok();
    let archive = dir.join("archive");
    let whole = files(&archive);
    let full = whole.keys().map(|name| name.split('/').next().unwrap()).min_by_key(|it| it.len());
    let full = full.unwrap().to_owned();
    assert_eq!(verify(&archive, "").code, 0);
    let mut lists: Vec<&String> = whole
        .keys()
        .filter(|name| name.starts_with(&format!("{full}/")) && name.ends_with(".sha256"))
        .collect();
    lists.sort();
    let list = lists.pop().unwrap();
    let text = String::from_utf8(whole[list].clone()).unwrap();
    for member in text.lines().filter(|line| !line.starts_with('#')) {
        fs::remove_file(archive.join(&full).join(&member[66..])).unwrap();
    }
    fs::remove_file(archive.join(list)).unwrap();
    fs::remove_file(archive.join(&full).join("TAIL")).unwrap();
    for options in ["", "--quick", "--files"] {
        let done = verify(&archive, options);
        assert_eq!(done.code, 1, "{options}\n{}", done.report());
        assert!(done.text().contains(&format!("missing {full}/00000/")), "{}", done.report());
        done.tells(&format!("without TAIL, so unfinished: {full}"));
    }
    assert_eq!(repair(&archive).code, 2);
}

/// Folders that are no band, and bands that lost HEAD, TAIL or both.
#[test]
fn what_is_a_band() {
    let made = plain();
    let dir = made.copy();
    let empty = dir.join("20210101T000000Z");
    fs::create_dir(&empty).unwrap();
    let quiet = |what: &str| {
        let done = verify(&dir, "-v");
        assert!(done.code == 0 && done.text().is_empty(), "{what}\n{}", done.report());
        done.tells("20210101T000000Z: not a band");
        assert_eq!(repair(&dir).code, 0, "{what}");
    };
    quiet("empty");
    fs::create_dir(empty.join("00000")).unwrap();
    fs::write(empty.join("RECOVER.txt"), "x").unwrap();
    fs::write(empty.join("00000/000000000.tar.gz"), "x").unwrap();
    quiet("blocks alone");
    fs::write(empty.join("00000/000000000.mtree.gz"), "x").unwrap();
    let done = verify(&dir, "");
    let both = ["HEAD", "TAIL"].map(|end| format!("missing 20210101T000000Z/{end}"));
    assert_eq!((done.code, lines(&done)), (1, both.to_vec()), "{}", done.report());
    fs::remove_dir_all(&empty).unwrap();

    // HEAD comes back from parity, and where there is none from TAIL.
    let [head, tail] = ["HEAD", "TAIL"].map(|end| format!("{}/{end}", BANDS[0]));
    for gone in [&head, &tail] {
        fs::remove_file(dir.join(gone)).unwrap();
    }
    let done = repair(&dir);
    assert_eq!(done.code, 2, "{}", done.report());
    assert!(fs::read(dir.join(&head)).unwrap() == made.files[&head], "{}", done.report());
    fs::write(dir.join(&tail), &made.files[&tail]).unwrap();
    for name in files(&dir).keys().filter(|name| name.contains(".rs") || name.contains("0-0.sha")) {
        if !name.ends_with(".py") {
            fs::remove_file(dir.join(name)).unwrap();
        }
    }
    for damage in [None, Some("garbage")] {
        fs::remove_file(dir.join(&head)).unwrap();
        if let Some(text) = damage {
            fs::write(dir.join(&head), text).unwrap();
        }
        let _ = repair(&dir);
        assert!(fs::read(dir.join(&head)).unwrap() == made.files[&head], "{damage:?}");
    }
}

/// What desktops and file servers leave is no finding; what somebody else leaves is.
#[test]
fn litter() {
    let made = plain();
    let dir = made.copy();
    let band = dir.join(BANDS[0]);
    fs::create_dir(band.join("@eaDir")).unwrap();
    fs::create_dir(band.join("00000/@eaDir")).unwrap();
    for name in ["00000/.DS_Store", "._HEAD", "00000/.000000001.tar.gz.a1B2c3", "Thumbs.db"] {
        fs::write(band.join(name), "x").unwrap();
    }
    let done = verify(&dir, "");
    assert!(done.code == 0 && done.text().is_empty(), "{}", done.report());
    verify(&dir, "-v").tells("._HEAD: other programs leave it").tells("00000/@eaDir/");
    fs::write(band.join("note.txt"), "x").unwrap();
    assert_eq!(lines(&verify(&dir, "")), [format!("unexpected {}/note.txt", BANDS[0])]);
}

/// An object that the store does not give out now is neither damaged nor rebuilt.
#[test]
fn what_cannot_be_read_now() {
    use std::os::unix::fs::PermissionsExt;
    let made = plain();
    let dir = made.copy();
    give(&dir);
    let objects =
        ["00000/000000002.tar.gz", "00000/000000001.mtree.gz", "SECOND.sha256", "SECOND.rs0"];
    for object in objects {
        let name = made.name(object);
        fs::set_permissions(dir.join(&name), fs::Permissions::from_mode(0o000)).unwrap();
        let user = |line: &str| dura(line).user(true).var("ARCHIVE", &dir).dir(&dir).run();
        let done = user("dura-verify \"$ARCHIVE\"");
        let found = lines(&done);
        assert!(
            done.code == 1 && found.contains(&format!("unavailable {name}")),
            "{}",
            done.report()
        );
        assert!(!done.text().contains("damaged"), "{}", done.report());
        let done = user("dura-verify --repair \"$ARCHIVE\" | tar tf -");
        assert!(done.text().is_empty(), "{}", done.report());
        done.tells(&format!("unavailable {name}: cannot be read now: permission denied"));
        fs::set_permissions(dir.join(&name), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

/// Of a folder that cannot be listed now nothing is called missing or unlisted, and nothing is
/// rebuilt.
#[test]
fn what_cannot_be_listed_now() {
    use std::os::unix::fs::PermissionsExt;
    let made = plain();
    let dir = made.copy();
    give(&dir);
    let user = |line: &str| dura(line).user(true).var("ARCHIVE", &dir).dir(&dir).run();
    for (folder, modes) in [("00000/", [0o000, 0o311]), ("", [0o000, 0o311])] {
        for mode in modes {
            let path = dir.join(BANDS[0]).join(folder);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let done = user("dura-verify \"$ARCHIVE\"");
            let found = lines(&done);
            let own: Vec<&String> = found.iter().filter(|line| line.contains(BANDS[0])).collect();
            assert_eq!(own, [&format!("unavailable {}/{folder}", BANDS[0])], "{}", done.report());
            assert!(!done.stderr.contains("unfinished"), "{}", done.report());
            assert!(!done.text().contains("missing"), "{}", done.report());
            let done = user("dura-verify --repair \"$ARCHIVE\" | tar tf -");
            assert!(done.text().is_empty(), "{}", done.report());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// A limit that keeps every object from being read is said, and so is what is never read.
#[test]
fn a_limit_smaller_than_any_object() {
    let made = plain();
    let dir = made.copy();
    let other: usize = made
        .files
        .iter()
        .filter(|(name, _)| name.ends_with("TAIL") || name.contains(".sha256"))
        .map(|(_, bytes)| bytes.len())
        .sum();
    let done = verify(&dir, &format!("--limit {}", other + 10));
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells("no object can ever be read");
    let done = verify(&dir, &format!("--limit {}", other + 600_000));
    assert_eq!(done.code, 0, "{}", done.report());
    done.tells("and are never read");
    let sample = || {
        let done = verify(&dir, "--sample 30");
        done.stderr.split("read, ").nth(1).unwrap_or_default().to_owned()
    };
    let samples: std::collections::BTreeSet<String> = (0..4).map(|_| sample()).collect();
    assert!(samples.len() > 1, "{samples:?}");
}

/// HEAD comes back from TAIL where there is no parity. A parent without TAIL and its last group
/// lacks that, as its child says.
#[test]
fn what_tail_and_children_say() {
    let script = r#"set -eu
mkdir src; for i in 1 2 3 4 5 6 7; do head -c 400000 /dev/urandom >src/$i; done
run() { dura-scan -q src | dura-index diff -q arc | dura-pack -q --block-size 100k | dura-seal -q --group 3 | dura-push -q arc; }
run; sleep 2.1; echo x >src/new; run; parent=$(ls arc | head -n 1); cp -r arc was
rm arc/$parent/HEAD; dura-verify -q --repair arc 2>said | dura-push -q --replace arc; diff -r arc was
last=$(ls arc/$parent/00000/*.sha256 | tail -n 1); for name in $(grep -v '^#' $last | cut -c67-); do rm arc/$parent/$name; done
rm $last arc/$parent/TAIL
for how in "" --quick --files; do
    if dura-verify -q $how arc >said; then exit 1; fi
    grep "^missing $parent/.*is on top of it up to index" said
done"#;
    crate::continued::bash(&scratch("ends"), script, &[]);
}

/// A folder that was made before HEAD came is no band, for `--files` either; and an archive of such
/// folders alone, as a removal of all files leaves it, is not in order.
#[test]
fn folders_without_a_band() {
    let dir = scratch("folders");
    dura("mkdir -p src alone/20261130T130252Z/00000; echo a >src/a; dura-scan src | dura-pack | dura-seal | dura-push arc")
        .dir(&dir)
        .ok();
    dura("mkdir arc/20261201T000000Z; dura-verify arc; dura-verify --files arc").dir(&dir).ok();
    for how in ["", "--quick", "--files", "--repair"] {
        dura(&format!("dura-verify {how} alone"))
            .dir(&dir)
            .code(2)
            .tells("alone: the archive has no band");
    }
}
