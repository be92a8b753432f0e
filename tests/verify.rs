//! Damage of every kind in every kind of object: found, told by name, and repaired byte for byte
//! where there is parity.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::util::gpg::{KEY, home};
use crate::util::run::{Done, Share, dura, scratch};
use crate::util::tree::noise;

/// The bands of the archives.
pub(crate) const BANDS: [&str; 2] = ["20200102T030405Z", "20200103T030405Z"];

/// An archive with two full bands, of small blocks in groups of 6 with 2 parity shards each.
pub(crate) struct Made {
    pub(crate) sealed: bool,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Every file below a directory, by its path.
pub(crate) fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    _ = found.insert(
                        path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(),
                        fs::read(&path).unwrap(),
                    )
                }
            }
        }
    }
    found
}

pub(crate) fn source() -> &'static Path {
    static SOURCE: OnceLock<PathBuf> = OnceLock::new();
    SOURCE.shared(|| {
        let dir = scratch("verify").join("src");
        fs::create_dir_all(dir.join("sub")).unwrap();
        // A block is closed behind a member of about 1 MiB.
        for n in 0..8 {
            fs::write(dir.join(format!("sub/{n}")), noise(n, 360_000)).unwrap();
        }
        fs::write(dir.join("large"), noise(99, 2_300_000)).unwrap();
        fs::write(dir.join("text"), "text\n".repeat(1000)).unwrap();
        dir
    })
}

pub(crate) fn make(sealed: bool, seal: &str) -> Made {
    let dir = scratch("verify").join("archive");
    for band in BANDS {
        let line = format!(
            "dura-scan \"$SRC\" | dura-pack --band {band} --block-size 80k --part-size 1200k | dura-seal {seal} | dura-push \"$ARCHIVE\""
        );
        home().with(dura(&line)).var("SRC", source()).var("ARCHIVE", &dir).ok();
    }
    Made { files: files(&dir), sealed }
}

pub(crate) fn plain() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.shared(|| make(false, "--group 6 --parity 2"))
}

pub(crate) fn sealed() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.shared(|| make(true, &format!("--group 6 --parity 2 -r {KEY} --sign {KEY}")))
}

impl Made {
    /// A copy that may be damaged.
    pub(crate) fn copy(&self) -> PathBuf {
        let dir = scratch("damaged").join("archive");
        for (name, bytes) in &self.files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    /// The name of an object as this archive has it.
    pub(crate) fn name(&self, object: &str) -> String {
        let secret = [".tar", ".mtree", ".toc"].iter().any(|part| object.contains(part));
        let end = if self.sealed && secret { ".gpg" } else { "" };
        let mut lists = self.files.keys().filter_map(|name| {
            name.strip_prefix(BANDS[0])?.strip_prefix('/')?.strip_suffix(".sha256")
        });
        let second = lists.nth(1).expect("a second list");
        format!("{}/{}{end}", BANDS[0], object.replace("SECOND", second))
    }
}

/// Runs dura-verify over an archive.
pub(crate) fn verify(dir: &Path, options: &str) -> Done {
    home().with(dura(&format!("dura-verify {options} \"$ARCHIVE\""))).var("ARCHIVE", dir).run()
}

/// Repairs an archive as the man page says; its code is that of dura-verify.
pub(crate) fn repair(dir: &Path) -> Done {
    let line = "dura-verify --repair \"$ARCHIVE\" | dura-push --replace \"$ARCHIVE\"";
    let mut done = home().with(dura(line)).var("ARCHIVE", dir).stages();
    assert_eq!(done.stages[1], 0, "dura-push\n{}", done.report());
    done.code = done.stages[0];
    done
}

/// The kinds of objects, one of each, SECOND for the second group; what else of the same kind its
/// content may be taken for.
pub(crate) const OBJECTS: [(&str, &str, &str); 10] = [
    ("HEAD", "HEAD", "recover.sh"),
    ("notes", "recover.sh", "RECOVER.txt"),
    ("block", "00000/000000003.tar.gz", "00000/000000002.tar.gz"),
    ("part", "00000/000000001.tar.gz.000000", "00000/000000001.tar.gz.000001"),
    ("index", "00000/000000002.mtree.gz", "00000/000000003.mtree.gz"),
    ("list", "SECOND.sha256", "00000/000000000-0.sha256"),
    ("parity", "SECOND.rs0", "SECOND.rs1"),
    ("TOC", "00000/000000004.toc.gz", "00000/000000002.mtree.gz"),
    ("TAIL", "TAIL", "recover.sh"),
    ("signature", "SECOND.sha256.sig", "00000/000000000-0.sha256.sig"),
];

/// What happens to them.
pub(crate) const DAMAGE: [&str; 8] =
    ["gone", "empty", "cut", "longer", "bit", "zeroed", "swapped", "foreign"];

/// The table of dura-verify(1): whether `--quick` finds damage of the kinds of DAMAGE, the last of
/// which share a column.
fn table() -> BTreeMap<&'static str, Vec<bool>> {
    let page = include_str!("../man/dura-verify.1");
    let table = page.split(".Ss What is detected").nth(1).unwrap().split(".El").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in table
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .filter(|line| !line.contains("damage"))
    {
        let (objects, cells) = line.split_once(" Ta ").unwrap();
        let mut cells: Vec<bool> = cells
            .split(" Ta ")
            .map(|cell| [("q", true), ("d", false)].iter().find(|it| it.0 == cell).unwrap().1)
            .collect();
        cells.extend(cells.last().copied());
        assert_eq!(cells.len(), DAMAGE.len(), "{line}");
        rows.extend(objects.split(", ").map(|object| (object, cells.clone())));
    }
    rows
}

/// Does the damage; false where that changes nothing.
pub(crate) fn damage(dir: &Path, made: &Made, kind: &str, object: &str, other: &str) -> bool {
    let (name, other) = (made.name(object), made.name(other));
    let path = dir.join(&name);
    let good = &made.files[&name];
    let mut bad = good.clone();
    match kind {
        "gone" => {
            fs::remove_file(&path).unwrap();
            return true;
        }
        "empty" => bad.clear(),
        "cut" => bad.truncate(good.len() * 2 / 3),
        "longer" => bad.extend(b"x\n"),
        "bit" => bad[good.len() / 2] ^= 4,
        "zeroed" => {
            let from = good.len() / 8;
            let end = (from + (1 << 20)).min(good.len() * 7 / 8);
            bad[from..end].fill(0);
        }
        "swapped" => {
            bad = made.files[&other].clone();
            fs::write(dir.join(&other), good).unwrap();
        }
        "foreign" => bad = made.files[&name.replace(BANDS[0], BANDS[1])].clone(),
        _ => unreachable!(),
    }
    fs::write(&path, &bad).unwrap();
    bad != *good
}

/// The matrix for one archive.
fn matrix(made: &Made) {
    let (mut seen, table) = (0, table());
    let dir = made.copy();
    for (what, object, other) in OBJECTS {
        if !made.files.contains_key(&made.name(object)) {
            assert!(what == "signature" && !made.sealed, "{what}: not in the archive");
            continue;
        }
        for kind in DAMAGE {
            let case =
                format!("{what} {kind}, {}", if made.sealed { "encrypted" } else { "plain" });
            if !damage(&dir, made, kind, object, other) {
                // The notes, and blocks of the same files, are the same in both bands.
                assert_eq!(kind, "foreign", "{case}");
                continue;
            }
            seen += 1;
            let quick = verify(&dir, "--quick");
            let column = DAMAGE.iter().position(|known| *known == kind).unwrap();
            let row = &table[if what == "list" { "checksum list" } else { what }];
            // Of content under a wrong name, only what says of itself whose it is is found when the
            // size is the same.
            let same_size = fs::metadata(dir.join(made.name(object)))
                .is_ok_and(|stat| stat.len() == made.files[&made.name(object)].len() as u64);
            let by_size =
                ["swapped", "foreign"].contains(&kind) && !["HEAD", "list", "TAIL"].contains(&what);
            let is_quick = row[column] && !(by_size && same_size);
            // A bit of HEAD may be of a key, which is seen at once, or of a value.
            let either = (what, kind) == ("HEAD", "bit");
            assert!(
                quick.code == i32::from(is_quick) || (either && quick.code == 1),
                "{case}: --quick\n{}",
                quick.report()
            );
            let found = verify(&dir, "");
            assert_eq!(found.code, 1, "{case}: found\n{}", found.report());
            let names = [made.name(object), made.name(object).replace(".sha256.sig", ".sha256")];
            let told = |done: &str| {
                names.iter().any(|name| {
                    done.lines().any(|line| line.split(' ').nth(1) == Some(&format!("{name}:")))
                })
            };
            let without_list = what == "list" && ["gone"].contains(&kind);
            assert!(told(&found.text()) || without_list, "{case}: not told\n{}", found.report());

            let repaired = repair(&dir);
            let beyond = match what {
                "TAIL" => !["longer", "bit"].contains(&kind),
                "signature" => true,
                "HEAD" => false,
                _ => false,
            };
            assert_eq!(
                repaired.code,
                if beyond { 2 } else { 1 },
                "{case}: repaired\n{}",
                repaired.report()
            );
            if beyond {
                // What cannot be rebuilt is left as it is, and all else is in order.
                repaired.tells("cannot be rebuilt");
                let mut is = files(&dir);
                let mut was = made.files.clone();
                [&mut is, &mut was]
                    .into_iter()
                    .for_each(|files| files.retain(|name, _| *name != made.name(object)));
                if kind == "swapped" && what == "signature" {
                    [&mut is, &mut was]
                        .into_iter()
                        .for_each(|files| files.retain(|name, _| *name != made.name(other)));
                }
                assert!(is == was, "{case}: something else is not as it was");
                for name in [made.name(object), made.name(other)] {
                    fs::write(dir.join(&name), &made.files[&name]).unwrap();
                }
            } else {
                assert!(files(&dir) == made.files, "{case}: not as it was\n{}", repaired.report());
                assert_eq!(verify(&dir, "").code, 0, "{case}: after repair");
            }
        }
    }
    assert!(seen > 65, "only {seen} cases");
}

#[test]
fn every_damage_of_a_plain_archive() {
    matrix(plain());
}

#[test]
fn every_damage_of_an_encrypted_archive() {
    matrix(sealed());
}
