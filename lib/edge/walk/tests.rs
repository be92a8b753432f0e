//! Tests of the descent: its order, deep trees, and directories that are moved under it.

use super::*;

/// Makes `depth` directories one below the other, each with a file before and one behind it. Gives
/// the open deepest.
fn deep(root: &FsPath, depth: usize) -> OwnedFd {
    let mut dir = rustix::fs::open(root, ONLY_PASS, Mode::empty()).unwrap();
    for _ in 0..depth {
        for file in ["a", "z"] {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(&dir, file, flags, Mode::from(0o644)).unwrap();
        }
        rustix::fs::mkdirat(&dir, "directory-with-a-name", Mode::from(0o755)).unwrap();
        dir = rustix::fs::openat(&dir, "directory-with-a-name", ONLY_PASS, Mode::empty()).unwrap();
    }
    dir
}

/// Walks all of a tree; calls `at` before each step with the path that comes.
fn paths(root: &FsPath, mut at: impl FnMut(&Path)) -> (Vec<Path>, Vec<Path>, usize) {
    let (mut walk, mut found, mut lost, mut most) = (TreeWalk::default(), vec![], vec![], 0);
    let place = TreeWalk::open_root(root, true).unwrap();
    let (names, failed) = walk.read(&place);
    assert!(failed.is_none());
    walk.enter(place, Arc::new(names));
    loop {
        match walk.step() {
            WalkStep::Entry(at_name) => {
                let (place, names) = walk.here().unwrap();
                let path = place.path.child(names.raw(at_name));
                at(&path);
                let inside = (names.kind(at_name) == FileType::Directory)
                    .then(|| place.open(names.name(at_name), true).unwrap());
                found.push(path);
                if let Some(inside) = inside {
                    let (names, failed) = walk.read(&inside);
                    assert!(failed.is_none());
                    walk.enter(inside, Arc::new(names));
                }
            }
            WalkStep::Lost(dir, names, from) => {
                lost.extend((from..names.len()).map(|at| dir.child(names.raw(at))));
            }
            WalkStep::End => return (found, lost, most),
        }
        most = most.max(walk.levels.iter().filter(|level| level.place.is_some()).count());
    }
}

#[test]
fn names_come_in_canonical_order() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b", "a b", "a-b", "a", "\u{e9}", "B", "a.txt", "~"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    std::fs::create_dir_all(dir.path().join("a!/x")).unwrap();
    let (found, lost, _) = paths(dir.path(), |_| {});
    assert!(found.is_sorted() && found.len() == 10 && lost.is_empty(), "{found:?}");
}

/// Five hundred levels, whose paths are longer than the system takes, with few of them open.
#[test]
fn deep_trees_are_walked_whole() {
    let dir = tempfile::tempdir().unwrap();
    deep(dir.path(), 500);
    let (found, lost, most) = paths(dir.path(), |_| {});
    assert!(found.is_sorted() && lost.is_empty());
    assert_eq!(found.len(), 1500);
    assert!(found.iter().any(|path| path.as_bytes().len() > 10_000));
    assert!(most <= OPEN_LEVELS + 2, "{most} directories were open");
    remove(dir);
}

/// The shell's rm knows such paths; the standard library's removal is recursive.
fn remove(dir: tempfile::TempDir) {
    let removed = std::process::Command::new("rm").arg("-r").arg(dir.keep()).status();
    assert!(removed.unwrap().success());
}

/// A directory far above that is moved away while the walk is deep below it costs what it had left.
#[test]
fn what_is_moved_away_is_lost_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    std::fs::create_dir(&top).unwrap();
    std::fs::write(dir.path().join("zz"), "").unwrap();
    deep(&top, OPEN_LEVELS + 20);
    let mut moved = false;
    let (found, lost, _) = paths(dir.path(), |path| {
        if path.depth() == OPEN_LEVELS + 15 && !moved {
            moved = true;
            let outer = top.join("directory-with-a-name");
            std::fs::rename(outer.join("directory-with-a-name"), dir.path().join("m1")).unwrap();
            std::fs::rename(outer, dir.path().join("m2")).unwrap();
        }
    });
    // The inner one is what it was, wherever it is; of the outer one nothing says where it is.
    assert_eq!(lost, [Path::from_raw(b"top/directory-with-a-name/z")]);
    assert!(moved && found.is_sorted());
    assert_eq!(found.len(), 3 * (OPEN_LEVELS + 20) + 2 - 1);
    assert!(found.contains(&Path::from_raw(b"top/z")) && found.ends_with(&[Path::from_raw(b"zz")]));
}
