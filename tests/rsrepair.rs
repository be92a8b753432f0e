//! `rsrepair.py`, as it lies in each band: what it rebuilds, what it leaves alone, and the lists
//! that it refuses.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::util::run::{Done, Share, bare, dura, scratch};
use super::util::small::{BAND, CONTENTS, ID, packed};
use super::util::snapshot::{Snapshot, assert_same, take};

/// A stored band in a place of its own, with what it was.
struct Band {
    dir: PathBuf,
    was: Snapshot,
}

impl Band {
    fn new(stream: &[u8]) -> Band {
        let top = scratch("rsrepair");
        dura("dura-push archive").dir(&top).input(stream).ok();
        let dir = top.join("archive").join(BAND);
        Band { was: take(&dir), dir }
    }

    fn repair(&self, list: &str) -> Done {
        bare("python3 rsrepair.py \"$LIST\"").var("LIST", list).dir(&self.dir).run()
    }

    /// The names that a list lists, parity last.
    fn members(&self, list: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join(list)).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("#object ")?.split(' ').nth(1))
            .map(str::to_owned)
            .collect()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.dir.join(name);
        let mut bytes = fs::read(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn lists(&self) -> Vec<String> {
        let dir = fs::read_dir(self.dir.join("00000")).unwrap();
        let mut names: Vec<String> = dir
            .map(|item| format!("00000/{}", item.unwrap().file_name().to_str().unwrap()))
            .collect();
        names.retain(|name| name.ends_with(".sha256"));
        names.sort();
        names
    }

    #[track_caller]
    fn assert_whole(&self, what: &str) {
        assert_same(what, &self.was, &take(&self.dir), CONTENTS);
    }
}

/// The small band: objects of several MiB.
fn large() -> Band {
    static STREAM: OnceLock<Vec<u8>> = OnceLock::new();
    let stream =
        STREAM.shared(|| dura("dura-seal --parity 2 --group 16").input(packed()).ok().stdout);
    Band::new(stream)
}

/// A band of a few small objects.
fn tiny() -> Band {
    static STREAM: OnceLock<Vec<u8>> = OnceLock::new();
    let stream = STREAM.shared(|| {
        let src = scratch("tiny");
        for n in 0..3 {
            fs::write(src.join(format!("file{n}")), format!("{n}").repeat(1000 * n)).unwrap();
        }
        let line = format!(
            "dura-scan \"$SRC\" | dura-pack --compress none --block-size 1k --band {BAND} --id {ID} | dura-seal --parity 2 --group 5"
        );
        dura(&line).var("SRC", &src).ok().stdout
    });
    Band::new(stream)
}

#[test]
fn any_two_objects_of_each_group_come_back() {
    let band = tiny();
    let lists = band.lists();
    assert!(lists.len() >= 2, "{lists:?}");
    let script = fs::read(band.dir.join("rsrepair.py")).unwrap();
    let mut tried = 0;
    for list in &lists {
        let members = band.members(list);
        for first in 0..members.len() {
            for second in first..members.len() {
                for lost in [first, second] {
                    // The script itself may be what is lost: it lies in every band.
                    let _ = fs::remove_file(band.dir.join(&members[lost]));
                }
                let elsewhere = scratch("script").join("rsrepair.py");
                fs::write(&elsewhere, &script).unwrap();
                let line = "python3 \"$SCRIPT\" \"$LIST\"";
                let shell = bare(line).var("SCRIPT", &elsewhere).var("LIST", list);
                let done = shell.dir(&band.dir).ok();
                assert_eq!(
                    done.text().lines().count(),
                    if first == second { 1 } else { 2 },
                    "{}",
                    done.report()
                );
                band.assert_whole(&format!("{list}: {first} and {second}"));
                tried += 1;
            }
        }
    }
    assert!(tried >= 35, "only {tried} losses were tried");
    // What is whole is not touched, nor told.
    let done = band.repair(&lists[0]);
    assert_eq!((done.code, done.text().as_str(), done.stderr.as_str()), (0, "", ""));
}

#[test]
fn damage_spread_over_many_objects_is_repaired() {
    let band = large();
    let mib = 1 << 20;
    let list = "00000/000000000-0.sha256";
    let members = band.members(list);
    let large: Vec<&String> = members
        .iter()
        .filter(|name| fs::metadata(band.dir.join(name)).unwrap().len() > mib as u64)
        .collect();
    assert!(large.len() >= 3, "the group has too few large objects: {members:?}");
    // Two bad pieces in the first row, two others in the second: four objects of which none is
    // whole.
    band.change(&members[0], |bytes| bytes[0] ^= 1);
    band.change(large[0], |bytes| bytes[7..mib].fill(0));
    band.change(large[1], |bytes| bytes.truncate(mib));
    band.change(large[2], |bytes| bytes[mib + 3] ^= 0x80);
    band.change(&members[1], |bytes| bytes.extend(b"longer than it was"));
    let done = band.repair(list);
    assert_eq!((done.code, done.text().lines().count()), (0, 5), "{}", done.report());
    band.assert_whole("scattered damage");

    // One more in the second row: those that are hit there are named and left alone, the others
    // come back.
    band.change(large[0], |bytes| bytes[mib] ^= 1);
    band.change(large[1], |bytes| bytes[mib] ^= 1);
    band.change(large[2], |bytes| bytes[mib] ^= 1);
    band.change(&members[0], |bytes| bytes[0] ^= 1);
    let done = band.repair(list);
    assert_eq!(
        (done.code, done.text()),
        (2, format!("{}: rebuilt\n", members[0])),
        "{}",
        done.report()
    );
    large[..3].iter().for_each(|name| _ = done.tells(name));
    large[..3].iter().for_each(|name| band.change(name, |bytes| bytes[mib] ^= 1));
    band.assert_whole("what cannot be rebuilt is left as it was");
}

#[test]
fn more_than_parity_is_told_and_nothing_is_written() {
    let band = tiny();
    let list = &band.lists()[0];
    let lost: Vec<String> = band.members(list).into_iter().take(3).collect();
    lost.iter().for_each(|name| fs::remove_file(band.dir.join(name)).unwrap());
    let before = take(&band.dir);
    let done = band.repair(list);
    assert_eq!(done.code, 2, "{}", done.report());
    lost.iter().for_each(|name| _ = done.tells(name));
    assert_same("after a repair that failed", &before, &take(&band.dir), CONTENTS);
}

#[test]
fn lists_that_lie_are_refused() {
    let band = tiny();
    let list = &band.lists()[1];
    let text = fs::read_to_string(band.dir.join(list)).unwrap();
    let members = band.members(list);
    fs::remove_file(band.dir.join(&members[0])).unwrap();
    let before = take(band.dir.parent().unwrap().parent().unwrap());
    let (first, parity) = (&members[0], &members[members.len() - 1]);
    let longer = format!("#object 2147483649 {first}");
    let object = text.lines().find(|line| line.starts_with("#object ")).unwrap();
    let size = object.split(' ').nth(1).unwrap();
    for (from, to) in [
        ("#dura group 1", "#dura group 2"),
        ("slots=5", "slots=0"),
        ("slots=5", "slots=255"),
        ("slots=5", "slots=999999999999999"),
        ("slots=5", "slots=1"),
        ("parity=2", "parity=0"),
        ("parity=2", "parity=3"),
        ("parity=2", "parity=-1"),
        (first.as_str(), "../../../x"),
        (first, "/tmp/x"),
        (first, "00000/../../x"),
        (first, "TAIL"),
        (first, list),
        (first, members[1].as_str()),
        (parity, "00000/000000000-9.rs1"),
        (&format!("#object {size} {first}"), &longer),
        (&format!("#object {size} {first}"), &format!("#object 99999999999999999999999 {first}")),
        (&format!("#object {size} {first}"), &format!("#object -1 {first}")),
        ("\n#object", "\nrm -rf\n#object"),
        (&text[text.len() - 30..], ""),
    ] {
        let bad = text.replace(from, to);
        assert_ne!(bad, text, "{from}");
        fs::write(band.dir.join(list), &bad).unwrap();
        let done = band.repair(list);
        assert_eq!(done.code, 2, "{from} -> {to}: {}", done.report());
        assert!(!done.stderr.contains("Traceback"), "{from} -> {to}: {}", done.report());
        fs::write(band.dir.join(list), &text).unwrap();
        assert_same(to, &before, &take(band.dir.parent().unwrap().parent().unwrap()), CONTENTS);
    }
    // A list whose checksum of an object is wrong: what is rebuilt does not have it, and is not put
    // in place.
    let sum = text.lines().find(|line| line.ends_with(&format!("  {first}"))).unwrap();
    fs::write(band.dir.join(list), text.replace(sum, &format!("{}  {first}", "0".repeat(64))))
        .unwrap();
    assert_eq!(band.repair(list).tells("is not what was listed").code, 2);
    // Nothing is written through a folder that leads elsewhere.
    fs::write(band.dir.join(list), &text).unwrap();
    fs::rename(band.dir.join("00000"), band.dir.join("../away")).unwrap();
    std::os::unix::fs::symlink("../away", band.dir.join("00000")).unwrap();
    assert_eq!(band.repair(list).tells("a symbolic link").code, 2);
    fs::remove_file(band.dir.join("00000")).unwrap();
    fs::rename(band.dir.join("../away"), band.dir.join("00000")).unwrap();
    assert_same(
        "after all",
        &before,
        &take(band.dir.parent().unwrap().parent().unwrap()),
        CONTENTS,
    );
    assert_eq!(band.repair(list).code, 0);
    band.assert_whole("after all");
}

/// What is wrong is said in a line: no list, a place that cannot be written to.
#[test]
fn mistakes_are_said_in_a_line() {
    let band = tiny();
    let run = |line: &str| bare(line).dir(&band.dir).run();
    let help = run("python3 rsrepair.py --help");
    assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{}", help.report());
    assert!(help.text().contains("python3 rsrepair.py 00000/000000000-0.sha256"));
    fs::remove_file(band.dir.join("RECOVER.txt")).unwrap();
    for (asked, said) in [
        ("", "usage: cd BAND"),
        ("00000/000000999-0.sha256", "00000/000000999-0.sha256: No such file or directory"),
        ("00000", "00000: Is a directory"),
        ("HEAD", "HEAD: damaged, or no list"),
        // What is lost cannot be written.
        ("00000/000000000-0.sha256", "File too large"),
    ] {
        let done = run(&format!("ulimit -f 0; python3 rsrepair.py {asked}"));
        assert_eq!((done.code, done.stderr.lines().count()), (2, 1), "{}", done.report());
        done.tells("rsrepair.py: ").tells(said);
    }
}
