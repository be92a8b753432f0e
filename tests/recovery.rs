//! What was backed up comes back exactly, by tools that every system has, with no program of Dura.

use std::fs;
use std::path::Path;

use crate::util::backup::{
    Archive, GNU_TAR, How, at_home, backup, backup_telling, by_hand, by_script, destination,
    index_line, indexes, only_band, plain, source, user_source, value,
};
use crate::util::gpg::{self, KEY, OTHER};
use crate::util::run::{Done, bare, dura, need, scratch};
use crate::util::snapshot::{Compare, EXACT, Entry, Snapshot, Times, assert_same, excuse, take};
use crate::util::tree::{at, only_root, set_time};

/// Options that make many blocks of small parts.
const SMALL: &str = "--part-size 1M --block-size 1M";

/// Recovers with GNU tar as typed, and compares everything.
#[track_caller]
fn exact_by_hand(archive: &Archive, read: &str, unpack: &str, was: &Snapshot) {
    let dest = destination(false);
    let done = at_home(by_hand(archive, read, unpack, GNU_TAR, &dest), Some(gpg::home())).stages();
    // The loop's own status is that of its last test, which says nothing.
    assert_eq!(done.stages[1..], [0, 0], "recovery\n{}", done.report());
    assert_same("by hand", was, &take(&dest), EXACT);
}

/// Recovers with the band's own script, and compares everything.
#[track_caller]
fn exact_by_script(archive: &Archive, sh: &str, was: &Snapshot) {
    let dest = destination(false);
    at_home(by_script(archive, sh, &dest), Some(gpg::home())).ok();
    assert_same(&format!("recover.sh under {sh}"), was, &take(&dest), EXACT);
}

/// All lists of the band agree with its objects, and name every one of them but TAIL and
/// themselves.
#[track_caller]
fn lists_are_good(archive: &Archive) {
    let line = "cat */*.sha256 | grep -v '^#' > \"$T\" && sha256sum --quiet -c \"$T\" &&
                comm -3 <(sed 's/^[^ ]*  //' \"$T\" | sort) <(find * -type f | grep -v -e '^TAIL$' -e '\\.sha256$' | sort)";
    let done = bare(line).dir(&archive.band).var("T", scratch("lists").join("all")).ok();
    assert!(done.stdout.is_empty(), "not in both:\n{}", done.report());
}

/// The default pipeline: gzip, encrypted to a key; by hand, and by the script under dash.
#[test]
fn gzip_to_a_key() {
    let source = source();
    let seal = format!("-r {KEY}");
    let archive = backup(
        &source.tree.dir,
        How { seal: Some(&seal), home: Some(gpg::home()), ..How::default() },
    );
    lists_are_good(&archive);
    let plain = bare("find . -type f ! -name '*.gpg' | sort").dir(&archive.band).ok().text();
    for line in plain.lines() {
        let open =
            ["./HEAD", "./TAIL", "./RECOVER.txt", "./recover.sh", "./rsrepair.py", "./rdpatch.py"]
                .contains(&line)
                || line.ends_with(".sha256");
        assert!(open, "not encrypted: {line}");
    }
    exact_by_hand(&archive, "gpg -d", "gzip -dc", &source.was);
    exact_by_script(&archive, "dash", &source.was);
}

/// Many blocks and parts, encrypted to two keys; by the script under busybox sh, and by hand with
/// the second key alone.
#[test]
fn gzip_in_parts_to_two_keys() {
    let source = source();
    let seal = format!("-r {KEY} -r {OTHER} -j 3");
    let archive = backup(
        &source.tree.dir,
        How { pack: SMALL, seal: Some(&seal), home: Some(gpg::home()), ..How::default() },
    );
    lists_are_good(&archive);
    let parts = bare("ls */*.tar.gz.000024.gpg").dir(&archive.band).ok().text();
    assert_eq!(parts.lines().count(), 1, "only the file of 25 MiB has so many parts: {parts}");
    exact_by_hand(&archive, &format!("gpg --try-secret-key {OTHER} -d"), "gzip -dc", &source.was);
    exact_by_script(&archive, "busybox sh", &source.was);
}

/// zstd, in parts and many blocks, with a passphrase.
#[test]
fn zstd_in_parts_with_a_passphrase() {
    let source = source();
    let seal = format!("--symmetric --passphrase-file '{}'", gpg::home().passphrase.display());
    let pack = format!("--compress zstd {SMALL}");
    let archive = backup(
        &source.tree.dir,
        How { pack: &pack, seal: Some(&seal), home: Some(gpg::home()), ..How::default() },
    );
    lists_are_good(&archive);
    exact_by_hand(&archive, "gpg -d", "zstd -dcq", &source.was);
    exact_by_script(&archive, "busybox sh", &source.was);
}

/// Neither compressed nor encrypted, in parts and many blocks.
#[test]
fn plain_in_parts() {
    let source = source();
    let pack = format!("--compress none {SMALL}");
    let archive = backup(&source.tree.dir, How { pack: &pack, seal: Some(""), ..How::default() });
    lists_are_good(&archive);
    exact_by_hand(&archive, "cat", "cat", &source.was);
    exact_by_script(&archive, "dash", &source.was);
}

/// zstd in blocks of the usual size, not encrypted, and no seal in the pipeline.
#[test]
fn zstd_without_seal() {
    let source = source();
    let archive = backup(&source.tree.dir, How { pack: "--compress zstd", ..How::default() });
    exact_by_hand(&archive, "cat", "zstd -dcq", &source.was);
    exact_by_script(&archive, "dash", &source.was);
}

/// One tar per block, as RECOVER.txt has it for a band with a damaged block, gives the same tree;
/// but for the times of directories whose content lies in several blocks.
#[test]
fn block_by_block() {
    let source = source();
    let archive = plain();
    let dest = destination(false);
    let line = format!(
        "cd \"$BAND\" && for i in */[0-9]*.mtree.*; do for b in ${{i%%.*}}.tar.gz; do [ ! -e \"$b\" ] || gzip -dc \"$b\" | {GNU_TAR} -C \"$DEST\" || exit; done; done"
    );
    bare(&line).var("BAND", &archive.band).var("DEST", &dest).ok();
    let is = excuse(&source.was, take(&dest), |_, was, is| {
        if was.kind == 'd' {
            is.mtime = was.mtime;
        }
    });
    assert_same("block by block", &source.was, &is, EXACT);
}

/// Sockets are told, and are not in the band.
#[test]
fn sockets_are_told() {
    let source = source();
    let listing = dura("dura-scan \"$SRC\"").var("SRC", &source.tree.dir).ok().text();
    for line in ["#socket ./types/socket", "#socket ./types/so\\012cket\\040\\377"] {
        assert!(listing.lines().any(|have| have == line), "not in the listing: {line}");
    }
    assert_eq!(index_line(&plain().band, "./types/socket"), None);
}

/// TAIL's figures are those of the tree, and its last line is the digest of the others.
#[test]
fn tail_tells_the_truth() {
    let source = source();
    let tail = plain().band.join("TAIL");
    let files = source.was.0.values().filter(|entry| entry.kind == '-').count();
    let again: u64 = source
        .was
        .groups()
        .iter()
        .map(|names| source.was.0[&names[0]].size * (names.len() as u64 - 1))
        .sum();
    let bytes: u64 = source.was.0.values().map(|entry| entry.size).sum::<u64>() - again;
    assert_eq!(value(&tail, "entries"), source.was.0.len().to_string());
    assert_eq!(value(&tail, "files"), files.to_string());
    assert_eq!(value(&tail, "bytes"), bytes.to_string());
    assert_eq!(value(&tail, "skipped"), "0");
    let digest = bare("sed '/^sha256:/,$d' TAIL | sha256sum").dir(&plain().band).ok().text();
    assert_eq!(value(&tail, "sha256"), digest.split(' ').next().unwrap());
    assert_eq!(value(&tail, "id"), value(&plain().band.join("HEAD"), "id"));
    assert_eq!(value(&tail, "band"), plain().band.file_name().unwrap().to_str().unwrap());
}

/// What an ordinary user owns comes back to that user with everything that may be set: by hand and
/// by the script. What the user cannot read is told, and costs nothing else.
#[test]
fn as_an_ordinary_user() {
    let source = user_source();
    let (tree, home) = (&source.tree, gpg::user_home());
    let seal = format!("-r {KEY}");
    let archive = backup_telling(
        &tree.dir,
        How { seal: Some(&seal), home: Some(home), user: true, ..How::default() },
        &[0, 1],
    );
    assert_eq!(archive.done.stages, [1, 1, 0, 1], "{}", archive.done.report());
    for told in tree.unreadable.iter().chain(&tree.unread) {
        archive.done.tells(&format!("./{}", std::str::from_utf8(told).unwrap()));
    }
    assert_eq!(
        value(&archive.band.join("TAIL"), "skipped"),
        (tree.unreadable.len() + tree.unread.len()).to_string()
    );

    let was = source.was.clone().without(&tree.unreadable).emptied(&tree.unread);
    let dest = destination(true);
    let done = home.with(by_hand(&archive, "gpg -q -d", "gzip -dc", GNU_TAR, &dest)).stages();
    assert_eq!(done.stages[1], 0, "{}", done.report());
    // GNU tar sets attributes before contents, and without root cannot then write what is
    // read-only; it says so.
    for name in GNU_TAR_LOSES {
        cannot(&done, name);
    }
    let loses: Vec<Vec<u8>> = GNU_TAR_LOSES.iter().map(|name| name.as_bytes().to_vec()).collect();
    let shown = |tree: Snapshot| tree.only(|name, _| !loses.iter().any(|lost| lost == name));
    assert_same("by hand, as a user", &shown(was.clone()), &shown(take(&dest)), EXACT);

    for sh in ["dash", "busybox sh"] {
        let dest = destination(true);
        let done = home.with(by_script(&archive, sh, &dest)).code(1);
        for name in GNU_TAR_LOSES {
            cannot(&done, name);
        }
        // The script goes on to write the contents; the attributes of what is read-only stay lost,
        // and told.
        let is = excuse(&was, take(&dest), gnu_tar_cannot);
        assert_same(&format!("recover.sh under {sh}, as a user"), &was, &is, EXACT);
    }
}

fn gnu_tar_cannot(name: &[u8], was: &Entry, is: &mut Entry) {
    if GNU_TAR_LOSES.iter().any(|lost| lost.as_bytes() == name) {
        is.xattrs.clone_from(&was.xattrs);
    }
}

/// Fails unless GNU tar says that something cannot be done for this path.
#[track_caller]
fn cannot(done: &Done, name: &str) {
    let named = |line: &str| {
        line.contains(&format!("./{name}: Cannot"))
            || (line.contains("Cannot") && line.contains(&format!("'./{name}'")))
    };
    assert!(done.stderr.lines().any(named), "not told: {name}\n{}", done.report());
}

/// Read-only entries with attributes: see above.
const GNU_TAR_LOSES: [&str; 2] = ["xattrs/dir", "xattrs/read-only"];

/// An ordinary user who recovers what belonged to many gets everything but owners, devices and
/// privileged attributes; what is lacking is told.
#[test]
fn of_everybody_by_an_ordinary_user() {
    if !only_root() {
        return; // Only root has a tree of everybody's; the test above is all there is to show.
    }
    let source = source();
    let dest = destination(true);
    let done = by_hand(plain(), "cat", "gzip -dc", GNU_TAR, &dest).user(true).stages();
    assert_eq!(done.stages[1..], [0, 2], "{}", done.report());
    let devices = [
        "types/char",
        "types/char-big",
        "types/block",
        "types/block-big",
        "links/z/char",
        "links/b/char",
    ];
    for name in devices.iter().chain(&["xattrs/trusted", "xattrs/capability"]).chain(&GNU_TAR_LOSES)
    {
        cannot(&done, name);
    }
    let compare = Compare { owners: false, privileged_xattrs: false, ..EXACT };
    let lost: Vec<Vec<u8>> =
        devices.iter().chain(&GNU_TAR_LOSES).map(|name| name.as_bytes().to_vec()).collect();
    let shown = |tree: Snapshot| tree.only(|name, _| !lost.iter().any(|lost| lost == name));
    assert_same("by hand", &shown(source.was.clone()), &shown(take(&dest)), compare);

    let dest = destination(true);
    let done = by_script(plain(), "dash", &dest).user(true).code(1);
    for name in devices {
        done.tells(name);
    }
    let lost = devices.map(|name| name.as_bytes().to_vec());
    let shown = |tree: Snapshot| tree.only(|name, _| !lost.iter().any(|lost| lost == name));
    let is = excuse(&source.was, take(&dest), gnu_tar_cannot);
    assert_same("recover.sh", &shown(source.was.clone()), &shown(is), compare);
}

/// The indexes, one behind the other, are an mtree specification: bsdtar lists as many entries, and
/// NetBSD mtree finds nothing wrong with the recovered tree, contents by sha256 included.
///
/// Names with `* ? [` are patterns to mtree, also when escaped. Where several of them lie in one
/// directory, and where a name does not match itself, it reports what is not so; so these names are
/// left out of the judgement, and nothing else.
#[test]
fn indexes_are_mtree() {
    let source = source();
    let archive = plain();
    let dir = scratch("mtree");
    let index = indexes(&archive.band);
    fs::write(dir.join("index"), &index).unwrap();
    assert!(
        bare("ls */[0-9]*.mtree.gz").dir(&archive.band).ok().text().lines().count() > 5,
        "one index is not enough for this"
    );

    let entries = index
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .count();
    assert_eq!(entries, source.was.0.len());
    need("bsdtar");
    let listed = bare("bsdtar -tf index").dir(&dir).ok();
    assert!(listed.stderr.is_empty(), "{}", listed.report());
    assert_eq!(listed.text().lines().count(), entries);

    need("mtree");
    let dest = destination(false);
    let done = by_hand(archive, "cat", "gzip -dc", GNU_TAR, &dest).stages();
    assert_eq!(done.stages[1..], [0, 0], "{}", done.report());
    // All names with a pattern character stand in names-f, names-d and names-l.
    let verify = "G='^[^ ]*\\\\\\(052\\|077\\|133\\)'
        (grep -v \"$G\" index; grep \"$G\" index) | sed 's/ [ug]name=[^ ]*//g' | mtree -p \"$DEST\"";
    let done = bare(verify).dir(&dir).var("DEST", &dest).run();
    let wrong: Vec<&str> = std::str::from_utf8(&done.stdout)
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with(['\t', ' ']))
        .collect();
    let excused = |line: &&str| line.contains("names-") && line.contains(['*', '?', '[']);
    assert!(!done.stdout.is_empty() || done.code == 0, "{}", done.report());
    assert!(done.stderr.is_empty() && wrong.iter().all(excused), "{}", done.report());

    // It does look: one wrong byte, one missing file.
    let file = dest.join("tiny/07/003.txt");
    let time = fs::metadata(&file)
        .map(|meta| {
            (
                std::os::unix::fs::MetadataExt::mtime(&meta),
                std::os::unix::fs::MetadataExt::mtime_nsec(&meta),
            )
        })
        .unwrap();
    let mut text = fs::read(&file).unwrap();
    text[0] ^= 1;
    fs::write(&file, text).unwrap();
    set_time(&file, time.0, time.1);
    fs::remove_file(dest.join("tiny/07/004.txt")).unwrap();
    let done = bare(verify).dir(&dir).var("DEST", &dest).run().text();
    assert!(
        done.contains("tiny/07/003.txt") && done.contains("missing: ./tiny/07/004.txt"),
        "{done}"
    );
}

/// `scan | pack | tar x` is an archive, byte for byte the one that push writes; and so is a second
/// run of the same.
#[test]
fn the_same_bytes_every_time() {
    let source = source().settled();
    let dir = scratch("same");
    fs::create_dir(dir.join("tar")).unwrap();
    let pack = "dura-pack --block-size 1M --part-size 2M --band 20200102T030405Z --id 00112233445566778899aabbccddeeff";
    let line = format!(
        "dura-scan \"$SRC\" | {pack} | tar x -C tar && dura-scan \"$SRC\" | {pack} -j 1 | dura-push pushed && dura-scan \"$SRC\" | {pack} -j 3 | dura-push again"
    );
    dura(&line).dir(&dir).var("SRC", &source.tree.dir).var("SOURCE_DATE_EPOCH", "1577934245").ok();
    for name in ["pushed", "again"] {
        let contents = Compare { times: Times::Ignored, modes: false, owners: false, ..EXACT };
        assert_same(name, &take(&dir.join("tar")), &take(&dir.join(name)), contents);
    }
    let band = only_band(&dir.join("tar"));
    assert!(band.join("TAIL").exists() && band.join("HEAD").exists());
    let archive = Archive { band, done: bare("true").ok() };
    exact_by_hand(&archive, "cat", "gzip -dc", &source.was);
}

/// A file that has another name outside the tree is stored whole, and alone.
#[test]
fn a_name_outside_the_tree() {
    let dir = scratch("outside");
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("outside"), "two names").unwrap();
    fs::hard_link(dir.join("outside"), dir.join("src/inside")).unwrap();
    let archive = backup(&dir.join("src"), How::default());
    exact_by_hand(&archive, "cat", "gzip -dc", &take(&dir.join("src")));
    let line = index_line(&archive.band, "./inside").unwrap();
    assert!(line.contains(" nlink=2 ") && !line.contains("hard:"), "{line}");
}

/// An empty directory, and a single file, are trees too.
#[test]
fn the_smallest_trees() {
    for names in [&[][..], &["one"]] {
        let dir = scratch("small").join("src");
        fs::create_dir(&dir).unwrap();
        for name in names {
            fs::write(at(&dir, name), "1").unwrap();
        }
        let was = take(&dir);
        let archive = backup(&dir, How { seal: Some(""), ..How::default() });
        exact_by_hand(&archive, "cat", "gzip -dc", &was);
        exact_by_script(&archive, "dash", &was);
        assert_unchanged(&dir, &was);
    }
}

/// A backup changes nothing in its source.
#[track_caller]
fn assert_unchanged(dir: &Path, was: &Snapshot) {
    assert_same("the source", was, &take(dir), EXACT);
}

/// The public key in a file is enough to encrypt to, with no keyring at all.
#[test]
fn to_a_key_in_a_file() {
    let dir = scratch("key");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    fs::write(src.join("file"), "content").unwrap();
    gpg::home().with(bare(&format!("gpg --export {KEY} > \"$F\""))).var("F", dir.join("key")).ok();
    let line = "mkdir -m 700 none; dura-scan src | dura-pack | GNUPGHOME=$PWD/none dura-seal --recipient-file key | dura-push archive";
    dura(line).dir(&dir).ok();
    let archive = Archive { band: only_band(&dir.join("archive")), done: bare("true").ok() };
    exact_by_hand(&archive, "gpg -d", "gzip -dc", &take(&src));
}

/// On a terminal recover.sh says which object and which block of how many it is at, and how much.
#[test]
fn where_the_script_is() {
    need("script");
    let dest = destination(false);
    let line = "cd \"$BAND\" && script -qec 'sh recover.sh \"$DEST\"' /dev/null";
    let said = bare(line).var("BAND", &plain().band).var("DEST", &dest).ok().text();
    let count = |what: &str| said.matches(what).count();
    let name = plain().band.file_name().unwrap().to_str().unwrap().to_owned();
    let blocks = bare("ls */[0-9]*.tar.gz | wc -l").dir(&plain().band).ok().text();
    let blocks = blocks.trim();
    assert!(blocks.parse::<u32>().unwrap() > 5);
    assert_eq!(count(&format!("\r{name}: block {blocks} of {blocks}, ")), 1, "{said}");
    assert_eq!(count(&format!("\r{name}: block 1 of {blocks}, ")), 1, "{said}");
    let last = said.rsplit('\r').find(|line| line.contains(" checked, ")).unwrap();
    let numbers: Vec<u32> =
        last.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [.., nth, of, mib, mibs] = numbers[..] else { panic!("{last}") };
    assert!(nth == of && mib == mibs && mib > 5, "{last}");
}
