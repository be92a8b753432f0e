//! Damage of every kind in every kind of object, before or beyond repair (readers do not look at
//! parity): every file that is not in the damaged object comes back exactly, by dura-restore and by
//! recover.sh, and what does not is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::util::backup::UNDER_KEY;
use crate::util::dice::variable;
use crate::util::gpg::home;
use crate::util::run::{Done, bare, dura, scratch};
use crate::verify::{BANDS, DAMAGE, Made, OBJECTS, damage, files, plain, sealed, source};

/// What comes back by dura-restore.
fn restore(archive: &Path) -> (Done, BTreeMap<String, Vec<u8>>) {
    let out = scratch("restored");
    let line = "dura-restore --band \"$BAND\" \"$ARCHIVE\" | tar -xpf - -C \"$OUT\"";
    let done = home()
        .with(dura(line))
        .var("BAND", BANDS[0])
        .var("ARCHIVE", archive)
        .var("OUT", &out)
        .stages();
    let found = files(&out);
    (done, found)
}

/// What comes back by the script, a copy of which was kept.
fn recover(archive: &Path) -> (Done, BTreeMap<String, Vec<u8>>) {
    let out = scratch("recovered");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/recover.sh");
    let line = "cd \"$ARCHIVE/$BAND\" && dash \"$SCRIPT\" \"$OUT/out\"";
    let shell = bare(line)
        .var("SCRIPT", script)
        .var("BAND", BANDS[0])
        .var("ARCHIVE", archive)
        .var("OUT", &out);
    let done = home().with(shell).run();
    let found = if out.join("out").exists() { files(&out.join("out")) } else { BTreeMap::new() };
    (done, found)
}

/// The paths that the indexes of these blocks list.
fn listed(made: &Made, blocks: &[u32]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for block in blocks {
        let index = &made.files[&made.name(&format!("00000/{block:09}.mtree.gz"))];
        let text = match made.sealed {
            false => bare("gzip -dc").input(index).ok().text(),
            true => {
                let dir = scratch("index");
                let key = &made.files[&made.name("00000/000000000-0.key.gpg")];
                fs::write(dir.join("key.gpg"), key).unwrap();
                let line = format!("K=$PWD/key; gpg -q -d key.gpg > $K; {UNDER_KEY} | gzip -dc");
                home().with(bare(&line)).dir(&dir).input(index).ok().text()
            }
        };
        let files = text.lines().filter(|line| line.contains(" type=file "));
        paths.extend(
            files.map(|line| line.split(' ').next().unwrap().trim_start_matches("./").to_owned()),
        );
    }
    assert!(!paths.is_empty() && paths.len() < files(source()).len());
    paths
}

fn matrix(made: &Made, kinds: &[&str]) {
    let dir = made.copy();
    let source = files(source());
    let (first, second, both) = (listed(made, &[2]), listed(made, &[3]), listed(made, &[2, 3]));
    let parts = listed(made, &[1]);
    let mut seen = 0;
    for (what, object, other) in
        OBJECTS.into_iter().filter(|(_, object, _)| made.files.contains_key(&made.name(object)))
    {
        for kind in kinds {
            if !damage(&dir, made, kind, object, other) {
                continue;
            }
            seen += 1;
            let none = BTreeSet::new();
            let may_be_lost = match (what, *kind) {
                ("block" | "index", "swapped") => &both,
                ("block", _) => &second,
                ("index", _) | ("TOC", "swapped") => &first,
                ("part", _) => &parts,
                _ => &none,
            };
            let (restored, recovered) = (restore(&dir), recover(&dir));
            let (object, other) = (made.name(object), made.name(other));
            for (by, (done, found)) in [("dura-restore", restored), ("recover.sh", recovered)] {
                let case = format!(
                    "{what} {kind}, {}, {by}",
                    if made.sealed { "encrypted" } else { "plain" }
                );
                let lost: Vec<&String> =
                    source.keys().filter(|name| found.get(*name) != source.get(*name)).collect();
                let others: Vec<&&String> =
                    lost.iter().filter(|name| !may_be_lost.contains(**name)).collect();
                assert!(
                    others.is_empty(),
                    "{case}: {others:?} is not in what was damaged\n{}",
                    done.report()
                );
                assert!(
                    found.keys().all(|name| source.contains_key(name)),
                    "{case}: {:?}",
                    found.keys()
                );
                let code = done.stages.first().copied().unwrap_or(done.code);
                assert!(
                    code == 1 || (code == 0 && lost.is_empty()),
                    "{case}: exit {code}\n{}",
                    done.report()
                );
                // By its own name, or by that of the object with what it is of.
                for name in lost {
                    let names = [format!("./{name}"), object.clone(), other.clone()];
                    let names = names.iter().map(|name| name.trim_end_matches(".gpg"));
                    assert!(
                        names.clone().any(|name| done.stderr.contains(name)),
                        "{case}: {name} is not told\n{}",
                        done.report()
                    );
                }
            }
            for name in [object, other] {
                fs::write(dir.join(&name), &made.files[&name]).unwrap();
            }
        }
    }
    assert!(seen >= 9 * kinds.len() - 4, "only {seen} cases");
}

/// All kinds of damage, or those for a quick run: the script and gpg take their time, and
/// `scripts/losses` has all.
fn kinds(few: &[&'static str]) -> Vec<&'static str> {
    if variable("DURA_LOSSES_CASES", 0) > 0 { DAMAGE.to_vec() } else { few.to_vec() }
}

#[test]
fn what_a_damaged_plain_archive_gives() {
    matrix(plain(), &kinds(&["gone", "bit", "foreign"]));
}

#[test]
fn what_a_damaged_encrypted_archive_gives() {
    matrix(sealed(), &kinds(&["zeroed"]));
}

/// A size says nothing: no memory is asked for in advance that no machine has.
#[test]
fn objects_of_four_terabytes_of_nothing() {
    let made = sealed();
    let source = files(source());
    for (object, lost) in [
        ("00000/000000002.tar.gz", listed(made, &[2])),
        ("00000/000000001.mtree.gz", listed(made, &[1])),
    ] {
        let dir = made.copy();
        fs::File::create(dir.join(made.name(object))).unwrap().set_len(1 << 42).unwrap();
        let (done, found) = restore(&dir);
        assert_eq!(done.stages, [1, 0], "{object}\n{}", done.report());
        assert!(done.stderr.contains(object), "{}", done.report());
        assert!(
            source
                .iter()
                .all(|(name, bytes)| lost.contains(name) || found.get(name) == Some(bytes)),
            "{}",
            done.report()
        );
    }
}
