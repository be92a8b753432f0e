//! A host's copies of indexes: where they are, whose they are, and that a wrong one is none.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::util::gpg::{KEY, public};
use crate::util::run::{Done, Shell, dura, scratch};
use crate::util::tree::root;

/// A directory with a tree of some files.
fn tree() -> PathBuf {
    let dir = scratch("caches");
    for source in ["src", "src2"] {
        fs::create_dir(dir.join(source)).unwrap();
        for name in ["a", "b", "c", "d"] {
            let text = format!("{source} {name}\n").repeat(160_000);
            fs::write(dir.join(source).join(name), text).unwrap();
        }
    }
    dir
}

/// A shell with a home in the directory, where the usual caches are.
fn at_home(dir: &Path, line: &str) -> Shell {
    dura(line)
        .dir(dir)
        .var("XDG_CACHE_HOME", dir.join("home/cache"))
        .var("XDG_STATE_HOME", dir.join("home/state"))
}

fn backup(dir: &Path, number: &str, options: &str, seal: &str) -> Done {
    let line = format!(
        "dura-scan src{number} | dura-index diff {options} archive{number} | dura-pack --level 1 --block-size 1k {options} | dura-seal {seal} | dura-push archive{number}"
    );
    at_home(dir, &line).var("GNUPGHOME", &public().dir).stages()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

/// With the public key alone, layers go on from the second run on, without an option.
#[test]
fn there_is_one_in_the_usual_place() {
    let dir = tree();
    for _ in 0..3 {
        let done = backup(&dir, "", "", &format!("-r {KEY}"));
        assert_eq!(done.stages, [0; 5], "{}", done.report());
    }
    assert_eq!(fs::read_dir(dir.join("archive")).unwrap().count(), 3);
    assert_eq!(mode(&dir.join("home/cache/dura")), 0o700);
    let done = backup(&dir, "", "--no-cache", &format!("-r {KEY}"));
    assert_eq!(done.stages[1], 2, "{}", done.report());
    // Without cache and key a full band is what is left.
    fs::remove_dir_all(dir.join("home")).unwrap();
    done.tells("--cache");
    let done = backup(&dir, "", "--no-cache", "");
    assert_eq!(done.stages[1], 2, "{}", done.report());
}

/// Two archives whose bands have the same name.
#[test]
fn one_cache_for_two_archives() {
    let dir = tree();
    for (number, name) in [("", "20200101T000000Z"), ("2", "20200101T000000Z")] {
        let line = format!(
            "dura-scan src{number} | dura-pack --band {name} | dura-seal -r {KEY} | dura-push archive{number}"
        );
        at_home(&dir, &line).var("GNUPGHOME", &public().dir).ok();
    }
    for _ in 0..2 {
        for number in ["", "2"] {
            let done = backup(&dir, number, "", &format!("-r {KEY}"));
            assert_eq!(done.stages, [0; 5], "{}", done.report());
        }
    }
}

/// The folder of the band's copies.
fn copies(cache: &Path) -> PathBuf {
    let list = |dir: &Path| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_id = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 32);
    list(&list(cache).find(is_id).unwrap()).next().unwrap()
}

/// A copy that is whole, but another index's, or cut, or garbage.
#[test]
fn a_copy_that_is_not_what_it_should_be_is_none() {
    let dir = tree();
    assert_eq!(backup(&dir, "", "--cache c", "").stages, [0; 5]);
    let band = copies(&dir.join("c")).join("00000");
    let file = |number: u32| band.join(format!("{number:09}.mtree.gz"));
    fs::remove_file(dir.join("src/a")).unwrap();
    let other = fs::read(file(1)).unwrap();
    for bad in [other.clone(), other[..other.len() / 2].to_vec(), b"garbage".to_vec()] {
        fs::write(file(0), bad).unwrap();
        let line = "dura-scan src | dura-index diff --cache c archive";
        let done = dura(line).dir(&dir).ok();
        assert!(done.text().contains("./a type=file optional tags=deleted"), "{}", done.report());
        assert_eq!(dura("dura-index ls --cache c archive").dir(&dir).ok().stderr, "");
        // The store's own has taken its place.
        assert_ne!(fs::read(file(0)).unwrap(), other);
    }
}

/// Earlier releases kept copies under the names of bands, or in a folder for each archive.
#[test]
fn folders_of_earlier_releases() {
    for at in ["cache/20200101T000000Z", "cache/0123456789abcdef0123456789abcdef/20200101T000000Z"]
    {
        let dir = tree();
        let line = format!(
            "dura-scan src | dura-pack --cache new --band 20200101T000000Z | dura-seal -r {KEY} | dura-push archive"
        );
        dura(&line).dir(&dir).var("GNUPGHOME", &public().dir).ok();
        let place = dir.join(at);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(copies(&dir.join("new")), &place).unwrap();
        fs::set_permissions(dir.join("cache"), fs::Permissions::from_mode(0o700)).unwrap();
        let done = backup(&dir, "", "--cache cache", &format!("-r {KEY}"));
        assert_eq!(done.stages, [0; 5], "{at}\n{}", done.report());
    }
}

/// What others can write to ends a run that writes; readers tell of it and go on.
#[test]
fn a_cache_of_others() {
    let dir = tree();
    assert_eq!(backup(&dir, "", "--no-cache", "").stages, [0; 5]);
    let cache = dir.join("c");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = |says: &str| {
        let done = backup(&dir, "", "--cache c", "");
        assert_eq!((done.stages[1], done.stages[2]), (2, 2), "{}", done.report());
        done.tells(says).tells("hint: you must own the cache");
        for line in [
            "dura-index ls -v --cache c archive",
            "dura-restore --cache c archive",
            "dura-verify --cache c archive",
        ] {
            let done = dura(line).dir(&dir).ok();
            done.tells(says).tells("continuing without a cache");
            assert_eq!(done.stderr.matches("continuing").count(), 1, "{}", done.report());
        }
    };
    refused("others may write to it (mode 0777)");
    if root() {
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&cache, Some(65_534), None).unwrap();
        refused("belongs to another user (uid 65534)");
    }
}

/// A cache or a file for events that cannot be made is told of once, and no run ends for it.
#[test]
fn what_cannot_be_made_is_told() {
    let dir = tree();
    fs::write(dir.join("file"), "").unwrap();
    let done = backup(&dir, "", "--cache file/cache", "");
    assert_eq!(done.stages, [0; 5], "{}", done.report());
    done.tells("dura-pack: file/cache: not a directory: continuing without a cache");
    for line in [
        "dura-restore --cache file/c archive",
        "dura-index bands --cache file/c archive",
        "dura-verify --cache file/c archive",
    ] {
        dura(line).dir(&dir).ok().tells("file/c: not a directory: continuing without a cache");
        let line = format!("{line} --events file/events");
        dura(&line).dir(&dir).ok().tells("cannot write events: file/events: not a directory");
    }
    // A link that was planted is not followed.
    std::os::unix::fs::symlink(dir.join("src/a"), dir.join("events")).unwrap();
    let before = fs::read(dir.join("src/a")).unwrap();
    dura("dura-index bands --events events archive")
        .dir(&dir)
        .ok()
        .tells("cannot write events: events: ");
    assert_eq!(fs::read(dir.join("src/a")).unwrap(), before);
    dura("dura-index bands --events new archive").dir(&dir).ok();
    assert_eq!(mode(&dir.join("new")), 0o600);
}

/// What was read is kept only if it agreed with its checksum list then: a false index that was in
/// the store for a while does not outlive its repair.
#[test]
fn a_false_index_is_not_kept() {
    let dir = tree();
    assert_eq!(backup(&dir, "", "--no-cache", "").stages, [0; 5]);
    let band = fs::read_dir(dir.join("archive")).unwrap().next().unwrap().unwrap().path();
    let index = band.join("00000/000000000.mtree.gz");
    let list = |cache: &str| dura(&format!("dura-index list --cache {cache} archive")).dir(&dir);
    let right = list("right").ok().text();
    let copied =
        "find right -name '*.mtree.gz' | grep -q . && find right -name '*.toc.gz' | grep -q .";
    dura(copied).dir(&dir).ok();
    let kept = fs::read(&index).unwrap();
    let forge = "gzip -dc \"$I\" | sed 's/mode=0644/mode=4755/' > t && gzip < t > \"$I\"";
    dura(forge).dir(&dir).var("I", &index).ok();
    let forged = list("c").ok().text();
    assert!(forged != right && forged.contains("mode=4755"), "{forged}");
    fs::write(&index, &kept).unwrap();
    assert_eq!(list("c").ok().text(), right);
    // Nor what no list has, which who reads a part does not look for.
    let copies = "! find c2 -name '*.mtree.gz' | grep -q .";
    dura("dura-restore --cache c2 archive ./a > t").dir(&dir).ok();
    dura(copies).dir(&dir).ok();
    fs::remove_file(band.join("00000/000000000-0.sha256")).unwrap();
    list("c2").ok();
    dura(copies).dir(&dir).ok();
}
