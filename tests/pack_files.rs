//! Files that change, vanish or turn into something else under pack's hands: all of it is told, and
//! the archive is good.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::util::backup::{Archive, GNU_TAR, by_hand, destination, index_line, only_band, value};
use crate::util::run::{Done, bare, dura, finish, give, scratch};
use crate::util::snapshot::{EXACT, Snapshot, assert_same, diff, take};
use crate::util::tree::{append, noise, set_mode};

const LARGE: u64 = 96 << 20;

/// A tree that was scanned and is to be packed after something has happened to it.
struct Scanned {
    dir: PathBuf,
    src: PathBuf,
    was: Snapshot,
}

impl Scanned {
    /// Makes a tree with `make`, and lists it.
    fn new(make: impl Fn(&Path)) -> Scanned {
        let dir = scratch("packed");
        let src = dir.join("src");
        fs::create_dir(&src).unwrap();
        fs::write(src.join("a-before"), "before").unwrap();
        fs::write(src.join("z-after"), "after").unwrap();
        make(&src);
        dura("dura-scan \"$SRC\" > listing").dir(&dir).var("SRC", &src).ok();
        let was = take(&src);
        Scanned { dir, src, was }
    }

    /// The tree as it is now, with the root directory as it was scanned.
    fn now(&self) -> Snapshot {
        let mut now = take(&self.src);
        now.0.insert(b".".to_vec(), self.was.0[&b"."[..]].clone());
        now
    }

    /// Packs it to the end, and stores what comes of it with tar alone.
    #[track_caller]
    fn pack(&self) -> (Archive, Done) {
        let done = dura("dura-pack < listing").dir(&self.dir).seconds(60).run();
        (self.store(&done.stdout), done)
    }

    #[track_caller]
    fn store(&self, stream: &[u8]) -> Archive {
        let dir = scratch("store");
        bare("tar xf -").dir(&dir).input(stream).ok();
        let band = only_band(&dir);
        assert!(band.join("TAIL").exists(), "no TAIL");
        Archive { band, done: dura("dura-push pushed").dir(&scratch("pushed")).input(stream).run() }
    }

    /// Packs a tree with a large file that is being read when `meanwhile` happens: nobody takes
    /// pack's output until it has.
    #[track_caller]
    fn pack_meanwhile(&self, meanwhile: impl Fn()) -> (Archive, Done) {
        let line = "exec dura-pack --compress none --part-size 1M < listing";
        let mut child = dura(line).dir(&self.dir).seconds(60).start();
        let mut stream = vec![0; 4 << 20];
        child.stdout.as_mut().unwrap().read_exact(&mut stream).unwrap();
        meanwhile();
        let done = finish(child, line);
        stream.extend_from_slice(&done.stdout);
        (self.store(&stream), done)
    }
}

/// Recovers by hand; fails unless tar finds everything in order.
#[track_caller]
fn recover(archive: &Archive, unpack: &str) -> (PathBuf, Snapshot) {
    let dest = destination(false);
    let done = by_hand(archive, "cat", unpack, GNU_TAR, &dest).stages();
    assert_eq!(done.stages[1..], [0, 0], "recovery\n{}", done.report());
    let is = take(&dest);
    (dest, is)
}

/// Something was skipped or is not as it should be: exit 1, told by name, and TAIL counts what was
/// skipped; push says 1 too.
#[track_caller]
fn told(archive: &Archive, done: &Done, path: &str, skipped: u32) {
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells(&format!("dura-pack: {path}: "));
    assert_eq!(
        value(&archive.band.join("TAIL"), "skipped"),
        skipped.to_string(),
        "{}",
        done.report()
    );
    assert_eq!(archive.done.code, i32::from(skipped > 0), "{}", archive.done.report());
}

/// Every file's digest in the index is that of what comes back.
#[track_caller]
fn digests_agree(archive: &Archive, dest: &Path, names: &[&str]) {
    for name in names {
        let line = index_line(&archive.band, &format!("./{name}"))
            .unwrap_or_else(|| panic!("{name} is not in the index"));
        let sum = bare("sha256sum \"$F\"").var("F", dest.join(name)).ok().text();
        assert!(
            line.split(' ').any(|word| word == format!("sha256digest={}", &sum[..64])),
            "{line}\n{sum}"
        );
    }
}

/// Whether a line has the ctime by which a later diff would take the file for unchanged.
fn has_ctime(line: &str) -> bool {
    line.split("tags=").nth(1).is_some_and(|tags| tags.split(',').any(|tag| tag.starts_with("c:")))
}

fn large(src: &Path) {
    let file = File::create_new(src.join("large")).unwrap();
    let piece = noise(5, 4 << 20);
    (0..LARGE).step_by(piece.len()).for_each(|at| file.write_all_at(&piece, at).unwrap());
}

/// A file that shrinks while it is read is padded with zeros, and told.
#[test]
fn shrinks_while_read() {
    let tree = Scanned::new(large);
    let left = LARGE / 2 + 1000;
    let (archive, done) = tree.pack_meanwhile(|| {
        OpenOptions::new().write(true).open(tree.src.join("large")).unwrap().set_len(left).unwrap()
    });
    told(&archive, &done, "./large", 0);
    let (dest, is) = recover(&archive, "cat");
    assert_eq!(is.0[&b"large"[..]].size, LARGE);
    digests_agree(&archive, &dest, &["large", "a-before", "z-after"]);
    let (now, back) =
        (fs::read(tree.src.join("large")).unwrap(), fs::read(dest.join("large")).unwrap());
    let (data, padding) = back.split_at(now.len());
    assert!(data == now && padding.iter().all(|b| *b == 0), "not what was read, and zeros");
    assert!(!has_ctime(&index_line(&archive.band, "./large").unwrap()), "would pass for unchanged");
}

/// One that grows is cut at the size that it had when it was opened, and told.
#[test]
fn grows_while_read() {
    let tree = Scanned::new(large);
    let before = tree.now();
    let (archive, done) =
        tree.pack_meanwhile(|| append(&tree.src.join("large"), &noise(6, 3_000_000)));
    told(&archive, &done, "./large", 0);
    let (dest, is) = recover(&archive, "cat");
    assert_same("grown", &before, &is, EXACT);
    digests_agree(&archive, &dest, &["large", "z-after"]);
    assert!(!has_ctime(&index_line(&archive.band, "./large").unwrap()), "would pass for unchanged");
}

/// One that is written to without changing its size is stored as it was read, and no later diff
/// takes it for unchanged.
#[test]
fn changes_while_read() {
    let tree = Scanned::new(large);
    let (archive, _) = tree.pack_meanwhile(|| {
        OpenOptions::new()
            .write(true)
            .open(tree.src.join("large"))
            .unwrap()
            .write_all_at(b"changed", LARGE - 7)
            .unwrap()
    });
    let (dest, _) = recover(&archive, "cat");
    assert!(fs::read(dest.join("large")).unwrap().ends_with(b"changed"));
    digests_agree(&archive, &dest, &["large"]);
    assert!(!has_ctime(&index_line(&archive.band, "./large").unwrap()), "would pass for unchanged");
}

/// A file, and a directory with what was in it, that vanished since the scan are told and left out.
#[test]
fn vanished() {
    let tree = Scanned::new(|src| {
        fs::write(src.join("gone"), "gone").unwrap();
        fs::write(src.join("large-gone"), noise(1, 3_000_000)).unwrap();
        symlink("there", src.join("link-gone")).unwrap();
        fs::create_dir(src.join("dir-gone")).unwrap();
        fs::write(src.join("dir-gone/in"), "in").unwrap();
    });
    fs::remove_file(tree.src.join("gone")).unwrap();
    let (archive, done) = tree.pack();
    told(&archive, &done, "./gone", 1);
    assert_same("without it", &tree.now(), &recover(&archive, "gzip -dc").1, EXACT);

    fs::remove_file(tree.src.join("large-gone")).unwrap();
    fs::remove_file(tree.src.join("link-gone")).unwrap();
    fs::remove_dir_all(tree.src.join("dir-gone")).unwrap();
    let (archive, done) = tree.pack();
    told(&archive, &done, "./gone", 3);
    for name in ["./large-gone", "./dir-gone/in"] {
        done.tells(&format!("dura-pack: {name}: "));
        assert_eq!(index_line(&archive.band, name), None);
    }
    // What has no content may be stored as it was scanned.
    let without = |tree: Snapshot| tree.only(|name, _| name != b"link-gone" && name != b"dir-gone");
    assert_same(
        "without them",
        &without(tree.now()),
        &without(recover(&archive, "gzip -dc").1),
        EXACT,
    );
    assert_eq!(value(&archive.band.join("TAIL"), "files"), "2");
}

/// A file that an ordinary user may not read is told and left out.
#[test]
fn unreadable() {
    let tree = Scanned::new(|src| {
        fs::write(src.join("secret"), "secret").unwrap();
        set_mode(&src.join("secret"), 0o000);
        give(&src.join("secret"));
    });
    let done = dura("dura-pack < listing").dir(&tree.dir).user(true).run();
    let archive = tree.store(&done.stdout);
    told(&archive, &done, "./secret", 1);
    let was = tree.now().without(&[b"secret".to_vec()]);
    assert_same("without it", &was, &recover(&archive, "gzip -dc").1, EXACT);
}

/// In a directory that an ordinary user may list but not enter, nothing can be looked at: each
/// entry is told, and the directory comes back.
#[test]
fn listed_but_not_entered() {
    let dir = scratch("list-only");
    let src = dir.join("src");
    fs::create_dir_all(src.join("dir/sub")).unwrap();
    fs::write(src.join("dir/file"), "out of reach").unwrap();
    fs::write(src.join("other"), "within").unwrap();
    set_mode(&src.join("dir"), 0o400);
    give(&src.join("dir"));
    let line = "dura-scan \"$SRC\" | dura-pack | dura-push archive";
    give(&dir);
    let done = dura(line).dir(&dir).var("SRC", &src).user(true).stages();
    assert_eq!(done.stages, [1, 0, 1], "{}", done.report());
    done.tells("dura-scan: ./dir/file: ").tells("dura-scan: ./dir/sub: ");
    let archive = Archive { band: only_band(&dir.join("archive")), done };
    assert_ne!(value(&archive.band.join("TAIL"), "skipped"), "0");
    assert_same(
        "without what is in it",
        &take(&src).emptied(&[b"dir".to_vec()]),
        &recover(&archive, "gzip -dc").1,
        EXACT,
    );
}

/// A file that has become something else since the scan is told; nothing is followed, nothing
/// blocks, and nothing but the tree itself gets into the archive.
#[test]
fn replaced_by_something_else() {
    let outside = scratch("outside");
    fs::write(outside.join("in"), "not of this tree").unwrap();
    type Replace = fn(&Path, &Path);
    let kinds: [(&str, Replace); 3] = [
        ("symlink", |path, outside| symlink(outside.join("in"), path).unwrap()),
        ("dir", |path, _| fs::create_dir(path).unwrap()),
        ("fifo", |path, _| mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap()),
    ];
    for (kind, replace) in kinds {
        let tree = Scanned::new(|src| {
            fs::write(src.join("file"), "sixteen bytes ok").unwrap();
            fs::write(src.join("file-large"), noise(1, 2_000_000)).unwrap();
        });
        for name in ["file", "file-large"] {
            fs::remove_file(tree.src.join(name)).unwrap();
            replace(&tree.src.join(name), &outside);
        }
        let (archive, done) = tree.pack();
        told(&archive, &done, "./file", 2);
        done.tells("dura-pack: ./file-large: ");
        let without = [b"file".to_vec(), b"file-large".to_vec()];
        assert_same(kind, &tree.now().without(&without), &recover(&archive, "gzip -dc").1, EXACT);
    }
}

/// A directory that has become a symlink since the scan is not followed to files of the same names.
#[test]
fn directory_replaced_by_a_symlink() {
    let outside = scratch("outside");
    fs::write(outside.join("in"), "not of this tree").unwrap();
    fs::write(outside.join("large"), noise(9, 2_000_000)).unwrap();
    let tree = Scanned::new(|src| {
        fs::create_dir(src.join("dir")).unwrap();
        fs::write(src.join("dir/in"), "of this tree").unwrap();
        fs::write(src.join("dir/large"), noise(1, 2_000_000)).unwrap();
    });
    fs::remove_dir_all(tree.src.join("dir")).unwrap();
    symlink(&outside, tree.src.join("dir")).unwrap();
    let (archive, done) = tree.pack();
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells("dura-pack: ./dir/in: ");
    done.tells("dura-pack: ./dir/large: ");
    // The directory itself may be stored as it was.
    let (_, is) = recover(&archive, "gzip -dc");
    let without = |tree: Snapshot| tree.only(|name, _| name != b"dir");
    assert_same("without it", &without(tree.now()), &without(is.clone()), EXACT);
    assert!(is.0.get(&b"dir"[..]).is_none_or(|dir| dir.kind == 'd'));
}

/// A file that was replaced by another file is stored as it is now.
#[test]
fn replaced_by_another_file() {
    let tree = Scanned::new(|src| {
        fs::write(src.join("grown"), "short").unwrap();
        fs::write(src.join("shrunk"), noise(1, 3_000_000)).unwrap();
    });
    fs::remove_file(tree.src.join("grown")).unwrap();
    fs::write(tree.src.join("grown"), noise(2, 3_000_000)).unwrap();
    fs::write(tree.src.join("shrunk"), "shrunk").unwrap();
    let (archive, done) = tree.pack();
    assert!([0, 1].contains(&done.code), "{}", done.report());
    let (dest, is) = recover(&archive, "gzip -dc");
    assert_same("as it is now", &tree.now(), &is, EXACT);
    digests_agree(&archive, &dest, &["grown", "shrunk", "a-before"]);
}

/// A tree with one inode under four names.
fn linked() -> Scanned {
    Scanned::new(|src| {
        fs::write(src.join("b-first"), noise(4, 1_500_000)).unwrap();
        fs::create_dir(src.join("sub")).unwrap();
        for name in ["c-second", "d-third", "sub/fourth"] {
            fs::hard_link(src.join("b-first"), src.join(name)).unwrap();
        }
    })
}

/// The first name of an inode vanished: the next one is stored as the file, and the others link to
/// it.
#[test]
fn first_name_vanished() {
    let tree = linked();
    fs::remove_file(tree.src.join("b-first")).unwrap();
    let (archive, done) = tree.pack();
    told(&archive, &done, "./b-first", 1);
    let (dest, is) = recover(&archive, "gzip -dc");
    assert_same("without the first name", &tree.now(), &is, EXACT);
    digests_agree(&archive, &dest, &["c-second"]);
    let line = |name: &str| index_line(&archive.band, name).unwrap();
    assert!(!line("./c-second").contains("hard:"), "{}", line("./c-second"));
    for name in ["./d-third", "./sub/fourth"] {
        assert!(line(name).contains("hard:./c-second"), "{}", line(name));
    }
}

/// The first two names vanished.
#[test]
fn first_names_vanished() {
    let tree = linked();
    fs::remove_file(tree.src.join("b-first")).unwrap();
    fs::remove_file(tree.src.join("c-second")).unwrap();
    let (archive, done) = tree.pack();
    told(&archive, &done, "./b-first", 2);
    assert_same("without the first names", &tree.now(), &recover(&archive, "gzip -dc").1, EXACT);
}

/// The first name is another file now: the others are linked to each other, not to it.
#[test]
fn first_name_replaced() {
    let tree = linked();
    fs::remove_file(tree.src.join("b-first")).unwrap();
    fs::write(tree.src.join("b-first"), "another file").unwrap();
    let (archive, done) = tree.pack();
    assert!([0, 1].contains(&done.code), "{}", done.report());
    let (_, is) = recover(&archive, "gzip -dc");
    let mut was = tree.now();
    if !is.0.contains_key(&b"b-first"[..]) {
        // It may be left out, if that is told.
        told(&archive, &done, "./b-first", 1);
        was = was.without(&[b"b-first".to_vec()]);
    }
    assert_same("with another file in its place", &was, &is, EXACT);
    assert_eq!(was.groups().len(), 1);
    assert!(index_line(&archive.band, "./d-third").unwrap().contains("hard:./c-second"));
}

/// A link in the middle is another file now: it comes back as it was scanned, or as it is, and
/// nothing in between.
#[test]
fn later_name_replaced() {
    let tree = linked();
    fs::remove_file(tree.src.join("c-second")).unwrap();
    fs::write(tree.src.join("c-second"), "another file").unwrap();
    let (archive, done) = tree.pack();
    assert!([0, 1].contains(&done.code), "{}", done.report());
    let (_, is) = recover(&archive, "gzip -dc");
    let as_it_is = diff(&tree.now(), &is, EXACT);
    assert!(
        as_it_is.is_empty() || diff(&tree.was, &is, EXACT).is_empty(),
        "neither:\n  {}",
        as_it_is.join("\n  ")
    );
}
