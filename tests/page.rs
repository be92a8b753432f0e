//! RECOVER.txt, typed as it stands there: what it brings back is the tree, and what is not there is
//! seen not to be there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::backup::destination;
use crate::util::run::{bare, dura, scratch};
use crate::util::snapshot::{EXACT, Snapshot, assert_same, take};

/// What changes from band to band: odd names, times before 1970, read-only directories, hard links
/// into them, types in every direction.
const ROUNDS: [&str; 3] = [
    "mkdir -p a/sub b 'c d'; echo 1 > a/one; echo 2 > 'b/two words'; echo 3 > 'c d/three*'; echo 4 > a/sub/four
     ln a/one b/hard; ln -s ../b a/link; chmod 0555 b; touch -d @-5.25 a/one; touch -d @-7 a/sub/four; touch -d @1500000000.5 'c d'",
    "touch -d @-9.75 a/one; chmod 0600 'c d/three*'; rm -r a/sub; echo now > a/sub; rm a/link; mkdir a/link; echo y > a/link/y",
    "rm -r a/link; ln -s sub a/link; touch -d @-3.5 'c d/three*'; mv 'c d' e; echo \"$(printf 'new\\nline')\" > \"e/$(printf 'a\\nb\\\\c')\"",
];

/// The text of a section of the page, by its letter.
fn section(letter: char) -> String {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/RECOVER.txt"))
            .unwrap();
    let from = page.find(&format!("\n{letter}. ")).unwrap() + 1;
    let next = format!("\n{}. ", char::from(letter as u8 + 1));
    let to = page[from..].find(&next).map_or(page.len(), |at| from + at);
    page[from..to].to_owned()
}

/// What stands before the sections: how objects are opened.
fn by_hand() -> String {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/RECOVER.txt"))
            .unwrap();
    let (from, to) = (page.find("\nBY HAND").unwrap() + 1, page.find("\nA. ").unwrap());
    page[from..to].to_owned()
}

/// The commands of a section: the pieces of it that are set in.
fn commands(section: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in section.lines().skip(1) {
        match line.starts_with("    ") {
            true => *pieces.last_mut().unwrap() += &format!("{line}\n"),
            false if !pieces.last().unwrap().is_empty() => pieces.push(String::new()),
            false => {}
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// What a person types in the folder of a full band to recover it into `$DEST`.
pub(crate) fn opening() -> String {
    let a = commands(&section('A')).swap_remove(0).replace("DEST=/an/empty/directory;", "");
    let a = a.replace("--xattrs --xattrs-include='*' --acls", "");
    commands(&by_hand()).swap_remove(0) + "keys\n" + &a + "\nrm -r $K\n"
}

fn archive() -> (PathBuf, Vec<Snapshot>) {
    let dir = scratch("page");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    let mut versions = vec![];
    for round in ROUNDS {
        bare(&format!("set -e; umask 022; {round}")).dir(&src).ok();
        std::thread::sleep(std::time::Duration::from_millis(2100));
        dura("dura-scan src | dura-index diff archive | dura-pack | dura-seal | dura-push archive")
            .dir(&dir)
            .ok();
        versions.push(take(&src));
    }
    (dir, versions)
}

/// What a person types who recovers the chain by hand into `$DEST`, band by band.
fn typed(bands: &[PathBuf], options: &str) -> String {
    let a = commands(&section('A')).swap_remove(0);
    let a = a.replace("DEST=/an/empty/directory;", "");
    let a = a.replace("--xattrs --xattrs-include='*' --acls", options);
    let b = commands(&section('B'));
    let [list, helpers, mine, gone, within, dirs, ..] = &b[..] else { panic!("{b:?}") };
    let mine: String = mine
        .lines()
        .filter(|line| !line.contains("busybox tar only"))
        .fold(String::new(), |all, line| all + line + "\n");
    let mut script = commands(&by_hand()).swap_remove(0);
    for (tier, band) in bands.iter().enumerate() {
        script += &format!("cd '{}' || exit\nkeys\n", band.display());
        script += &match tier {
            0 => a.clone(),
            _ => format!("{list}{helpers}{mine}{gone}{a}{within}{dirs}"),
        };
    }
    script
}

fn bands(dir: &Path) -> Vec<PathBuf> {
    let mut bands: Vec<_> =
        fs::read_dir(dir.join("archive")).unwrap().map(|entry| entry.unwrap().path()).collect();
    bands.sort();
    bands
}

#[test]
fn the_page_as_it_stands() {
    let (dir, versions) = archive();
    let bands = bands(&dir);
    assert_eq!(bands.len(), 3);
    for (sh, user) in [("dash", false), ("bash", true), ("busybox sh", false), ("dash", true)] {
        for (tier, was) in versions.iter().enumerate() {
            let dest = destination(user);
            let options = if user { "" } else { "--xattrs --xattrs-include='*' --acls" };
            let script = typed(&bands[..=tier], options);
            let file = dest.parent().unwrap().join("typed");
            fs::write(&file, &script).unwrap();
            let run = format!("{sh} '{}'", file.display());
            let done = bare(&run).var("DEST", &dest).user(user).run();
            let what = format!("{sh}, user {user}, tier {tier}\n{}\n{script}", done.report());
            let compare = crate::util::snapshot::Compare { owners: !user, ..EXACT };
            assert_same(&what, was, &take(&dest), compare);
        }
    }
    // A lost block: what it held is not there, and no step makes an empty file of its name.
    fs::remove_file(bands[0].join("00000/000000000.tar.gz")).unwrap();
    let dest = destination(false);
    let script = typed(&bands[..2], "");
    bare(&script).var("DEST", &dest).run();
    assert!(!dest.join("c d/three*").exists());
    let sums = commands(&section('D')).pop().unwrap();
    let told = bare(&format!("{script}{sums}")).var("DEST", &dest).run();
    assert!(told.text().contains("not as listed: ./c d/three*"), "{}", told.report());
}
