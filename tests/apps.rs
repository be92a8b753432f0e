//! `dura-scan --exclude-apps`: what programs make again is left out, and nothing else. The lists
//! themselves have their examples tested in `core/apps`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::util::run::{dura, programs, scratch};

const FILES: [&str; 10] = [
    "ada/.cache/pages/1",
    "ada/.config/chromium/Default/Bookmarks",
    "ada/.config/chromium/Default/Cache/Cache_Data/f_1",
    "ada/.local/share/Trash/files/old",
    "ada/.cargo/registry/src/a.rs",
    "ada/.cargo/bin/mine",
    "ada/notes.txt",
    "ada/tmp/kept",
    "proc/kept",
    "tmp/kept",
];

fn tree(name: &str) -> PathBuf {
    let dir = scratch(name);
    for file in FILES {
        let file = dir.join("src").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }
    dir
}

/// The files that are listed as being there.
fn listed(dir: &Path, options: &str) -> BTreeSet<String> {
    let line = format!("dura-scan {options} src | grep 'type=file mode' | cut -d' ' -f1");
    dura(&line).dir(dir).ok().text().lines().map(|path| path[2..].to_owned()).collect()
}

fn without(left_out: &[usize]) -> BTreeSet<String> {
    let kept = FILES.iter().enumerate().filter(|(number, _)| !left_out.contains(number));
    kept.map(|(_, file)| (*file).to_owned()).collect()
}

#[test]
fn what_programs_make_again_is_left_out() {
    let dir = tree("apps");
    for (options, left_out) in [
        ("", &[][..]),
        // The source lies in a temporary directory, and has folders that are called like those of
        // the system: they stay.
        ("--exclude-apps", &[0, 2, 3, 4]),
        ("--exclude-apps=caches,trash", &[0, 3]),
        ("--exclude-apps --exclude '!**/.cache/*' --exclude '*.txt'", &[2, 3, 4, 6]),
    ] {
        assert_eq!(listed(&dir, options), without(left_out), "{options}");
    }
    dura("dura-scan --exclude-apps=caches,games src")
        .dir(&dir)
        .code(2)
        .tells("games")
        .tells("trash");
    dura("dura-scan --exclude-apps").dir(&dir).code(2).tells("directory");
    let list = dura("dura-scan --exclude-apps=list").dir(&dir).ok().text();
    assert!(list.contains("### caches\n") && list.contains("\n**/.cache/*\n"), "{list}");
    assert!(list.contains("\n# https://") && !list.contains("#+"), "{list}");
}

#[test]
fn lists_beside_the_program_join_and_replace() {
    let dir = tree("apps-own");
    let (bin, lists) = (dir.join("p/bin"), dir.join("p/share/dura/exclude"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&lists).unwrap();
    fs::copy(programs().join("dura-scan"), bin.join("dura-scan")).unwrap();
    fs::write(lists.join("caches.list"), "# Nothing.\n").unwrap();
    fs::write(lists.join("notes.list"), "# Mine.\n# man me(1)\n*.txt\n").unwrap();
    fs::write(lists.join("other.txt"), "*\n").unwrap();
    let line = "p/bin/dura-scan --exclude-apps src | grep 'type=file mode' | cut -d' ' -f1";
    let text = dura(line).dir(&dir).ok().text();
    let found: BTreeSet<String> = text.lines().map(|path| path[2..].to_owned()).collect();
    assert_eq!(found, without(&[2, 3, 4, 6]));
    fs::set_permissions(&lists, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(lists.join("bad.list"), b"\xff\n").unwrap();
    dura("p/bin/dura-scan --exclude-apps src").dir(&dir).code(2).tells("bad.list");
}
