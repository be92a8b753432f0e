//! scripts/backup and scripts/restore, with programs that are built already.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::util::run::{Shell, dura, give, programs, scratch};

/// A directory with a tree, and with the programs where a build puts them.
fn place() -> PathBuf {
    let dir = scratch("scripts");
    fs::create_dir_all(dir.join("src/below")).unwrap();
    fs::create_dir(dir.join("target")).unwrap();
    fs::write(dir.join("src/below/file"), "content").unwrap();
    symlink(programs(), dir.join("target/release")).unwrap();
    dir
}

/// A script, by one host. There is no cargo on its path, so it takes the programs as they are.
fn run(dir: &Path, line: &str) -> Shell {
    let line = line.replace("scripts/", concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/"));
    dura(&line)
        .dir(dir)
        .var("HOME", dir)
        .var("XDG_CACHE_HOME", dir.join("cache"))
        .var("XDG_STATE_HOME", dir.join("state"))
        .var("CARGO_TARGET_DIR", dir.join("target"))
}

#[test]
fn there_and_back() {
    let dir = place();
    for n in ["one", "two"] {
        fs::write(dir.join("src").join(n), n).unwrap();
        run(&dir, "scripts/backup src archive").ok();
    }
    assert_eq!(fs::read_dir(dir.join("archive")).unwrap().count(), 2);
    run(
        &dir,
        "scripts/restore archive out && cmp src/below/file out/below/file && cmp src/two out/two",
    )
    .ok();
    run(&dir, "scripts/restore archive ./below part && cmp src/below/file part/below/file && [ ! -e part/two ]").ok();
    // Why nothing comes is the last thing that is read.
    let done = run(&dir, "scripts/restore archive ./nothing part").code(2);
    assert!(
        done.stderr.ends_with("none of the requested paths is in this version\n"),
        "{}",
        done.report()
    );
}

/// What names a host or another kind of store is refused before anything is made.
#[test]
fn names_that_are_no_directories() {
    let dir = place();
    let entries = || {
        let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> =
            entries.filter(|name| *name != "cache" && *name != "state").collect();
        names.sort();
        names
    };
    let before = entries();
    for name in [
        "me@nas:/b",
        "nas:b",
        "sftp:nas/b",
        "sftp://nas/b",
        "s3:host/b",
        "S3://b",
        "b2:b",
        "rclone:r:p",
        "gdrive:x",
        "~/b",
        "",
    ] {
        let done = run(&dir, "scripts/backup src \"$NAME\"").var("NAME", name).code(2);
        done.tells("dura-index: hint: ").tells("dura-push: hint: ");
        assert_eq!(entries(), before, "{name}");
    }
    run(&dir, "scripts/backup src ./nas:b && [ -e nas:b/*/TAIL ]").ok();
}

/// The disk with the archive is not mounted, also after the first band alone, and with a cache of
/// one's own.
#[test]
fn an_archive_that_is_away() {
    for option in ["", "--cache own"] {
        let dir = place();
        let backup = format!("scripts/backup {option} src disk/archive");
        run(&dir, &backup).ok();
        for left in ["mkdir disk/archive", "true", "rm -r disk"] {
            run(&dir, &format!("[ ! -d disk/archive ] || rm -r disk/archive; {left}")).ok();
            let done = run(&dir, &backup).code(2);
            done.tells("holds no band, but this host has stored bands there").tells("--full");
            run(&dir, "[ -z \"$(find disk -type f)\" ]").ok();
        }
        run(&dir, &format!("{backup} --full")).ok();
        run(&dir, &backup).ok();
    }
}

/// The disk with the source is not mounted: nothing of the archive is changed.
#[test]
fn a_source_that_is_away() {
    let dir = place();
    let many = "for n in {1..200}; do echo $n > src/$n; done";
    run(&dir, &format!("{many}; scripts/backup src archive")).ok();
    let list = || run(&dir, "find archive -type f | sort").ok().text();
    let before = list();
    run(&dir, "mv src away && mkdir src").ok();
    let done = run(&dir, "scripts/backup src archive").code(2);
    done.tells("202 of 203 entries are deleted").tells("--max-deleted");
    assert!(!list().replace(&before, "").contains("TAIL"), "{}", list());
    run(&dir, "rmdir src && mv away src && scripts/backup src archive").ok();
}

/// A file that may never be read, and changes behind the point where a run was cut: the band that
/// goes on, and one more.
#[test]
fn a_file_that_may_not_be_read() {
    let dir = place();
    let cut = "for n in 1 2 3 4 5 6 7 8; do head -c 300000 /dev/urandom > src/$n; done; touch -d 2020-01-01 src/*; sleep 2.1
         dura-scan -q src | dura-pack -q --block-size 100k | dura-seal -q | head -c 1600000 | dura-push -q archive || true";
    give(&dir);
    run(&dir, "chown -R --reference=. .").ok();
    run(&dir, cut).user(true).ok();
    let change = "echo new > src/1; echo closed > src/closed; chmod 0 src/closed";
    run(&dir, change).user(true).ok();
    for wanted in ["2", "3"] {
        let done = run(&dir, "scripts/backup src archive").user(true).code(1);
        done.tells("./closed: ");
        let bands = run(&dir, "ls archive | wc -l; ls archive/*/TAIL | wc -l").ok().text();
        assert_eq!(bands, format!("{wanted}\n{wanted}\n"), "{}", done.report());
    }
}

/// What earlier bands have and this one would lack is refused, unless it is said to be meant; then
/// the next runs go on from there.
#[test]
fn a_band_that_has_less_than_the_earlier_ones() {
    use crate::util::gpg::{KEY, home};
    let dir = place();
    let backup = |options: &str| {
        home().with(run(&dir, &format!("date +%N >src/new; scripts/backup {options} src archive")))
    };
    let bands = || fs::read_dir(dir.join("archive")).unwrap().count();
    backup(&format!("-r {KEY} --sign {KEY} --parity 1")).ok();
    assert_eq!(home().with(run(&dir, "ls archive/*/*/*.rs0 | wc -l")).ok().text().trim(), "1");
    for less in ["", "--plain", "--plain --unsigned", "--no-parity --unsigned"] {
        backup(less).code(2);
        assert_eq!(bands(), 1, "{less}");
    }
    for count in [2, 3] {
        backup("--plain --unsigned --no-parity").ok();
        assert_eq!(bands(), count);
    }
}
