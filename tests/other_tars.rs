//! What other tars than GNU tar bring back, and what each of them cannot.

use crate::util::backup::{How, backup, by_hand, by_script, destination, plain, source};
use crate::util::run::{busybox_only, need};
use crate::util::snapshot::{Compare, EXACT, Entry, Snapshot, Times, assert_same, excuse, take};
use crate::util::tree::only_root;

/// bsdtar brings back everything but: times before 1970 with a fraction, which it gets wrong by up
/// to two seconds; attributes with `%` or `=` in their names, which get other names; ACLs with ids
/// over 2^31, which it cuts; the time of the top directory.
#[test]
fn with_bsdtar() {
    let source = source();
    need("bsdtar");
    let dest = destination(false);
    let done = by_hand(plain(), "cat", "gzip -dc", "bsdtar -xpf -", &dest).stages();
    assert_eq!(done.stages[1..], [0, 0], "recovery\n{}", done.report());
    let is = excuse(&source.was, take(&dest), |name, was, is| {
        bsdtar_cannot(name, was, is);
        if name == b"." {
            is.mtime = was.mtime;
        }
    });
    assert_same("bsdtar", &source.was, &is, EXACT);
}

/// The band's script does with bsdtar what bsdtar can do.
#[test]
fn script_with_bsdtar() {
    let source = source();
    let dest = destination(false);
    let done = by_script(plain(), "dash", &dest).var("TAR", "bsdtar").run();
    assert!([0, 1].contains(&done.code), "{}", done.report());
    assert_same(
        "recover.sh with bsdtar",
        &source.was,
        &excuse(&source.was, take(&dest), bsdtar_cannot),
        EXACT,
    );
}

fn bsdtar_cannot(name: &[u8], was: &Entry, is: &mut Entry) {
    if was.mtime.0 < 0 && was.mtime.1 != 0 && (is.mtime.0 - was.mtime.0).abs() <= 2 {
        is.mtime = was.mtime;
    }
    if name == b"xattrs/names" {
        let odd = |key: &[u8]| key.contains(&b'%') || key.contains(&b'=');
        is.xattrs.retain(|key, _| !odd(key));
        is.xattrs.extend(
            was.xattrs
                .iter()
                .filter(|(key, _)| odd(key))
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    if name == b"acls/big-ids" || name == b"acls/both" {
        for (key, value) in was.xattrs.iter().filter(|(key, _)| key.starts_with(b"system.")) {
            if is.xattrs.get(key).is_some_and(|is| is.len() == value.len()) {
                is.xattrs.insert(key.clone(), value.clone());
            }
        }
    }
}

/// What busybox tar stops at: hard links to names of over 100 bytes, and to sparse files, which it
/// does not know.
const BUSYBOX_STOPS: &str = "--exclude /deep --exclude /deep.hard --exclude /a-top-hard --exclude '/sizes/s*' --exclude /sizes/another-name-of-an-island";

/// Times to the second, no attributes; and as `busybox_cannot` says.
const BUSYBOX: Compare = Compare {
    times: Times::Seconds,
    xattrs: false,
    privileged_xattrs: false,
    acls: false,
    sparse: false,
    ..EXACT
};

/// busybox tar brings back types, names, contents, modes, links, owners and times, but: no
/// attributes and ACLs; times to the second, and none before 1970, after 2242, of directories and
/// of symlinks; no owner over 2^31; symlink targets only up to 100 bytes; no sparse files.
#[test]
fn with_busybox_tar() {
    if !only_root() {
        return; // It stops at the first read-only directory that it has made.
    }
    let source = source();
    let archive =
        backup(&source.tree.dir, How { scan: BUSYBOX_STOPS, seal: Some(""), ..How::default() });
    let was = without_what_busybox_stops_at(&source.was);
    let dest = destination(false);
    let done = by_hand(&archive, "cat", "busybox gzip -dc", "busybox tar -xpf -", &dest).stages();
    assert_eq!(done.stages[1..], [0, 0], "recovery\n{}", done.report());
    assert_same("busybox tar", &was, &excuse(&was, take(&dest), busybox_cannot), BUSYBOX);
}

/// A rescue system that has busybox and nothing else recovers the same by the band's script.
#[test]
fn script_with_busybox_alone() {
    let source = source();
    let archive =
        backup(&source.tree.dir, How { scan: BUSYBOX_STOPS, seal: Some(""), ..How::default() });
    let was = without_what_busybox_stops_at(&source.was);
    let dest = destination(false);
    let line = "cd \"$BAND\" && sh recover.sh \"$DEST\"";
    let done = busybox_only(line).var("BAND", &archive.band).var("DEST", &dest).run();
    assert!([0, 1].contains(&done.code), "{}", done.report());
    assert_same(
        "recover.sh in busybox alone",
        &was,
        &excuse(&was, take(&dest), busybox_cannot),
        BUSYBOX,
    );
}

fn without_what_busybox_stops_at(was: &Snapshot) -> Snapshot {
    was.clone().only(|name, _| {
        !(name == b"deep"
            || name.starts_with(b"deep/")
            || name == b"deep.hard"
            || name == b"a-top-hard"
            || name.starts_with(b"sizes/s")
            || name == b"sizes/another-name-of-an-island")
    })
}

fn busybox_cannot(_: &[u8], was: &Entry, is: &mut Entry) {
    if matches!(was.kind, 'd' | 'l') || !(0..1 << 33).contains(&was.mtime.0) {
        is.mtime = was.mtime;
    }
    if was.uid > 1 << 31 || was.gid > 1 << 31 {
        (is.uid, is.gid) = (was.uid, was.gid);
    }
    if was
        .link
        .as_ref()
        .is_some_and(|link| link.len() > 100 && is.link.as_deref() == Some(&link[..100]))
    {
        is.link.clone_from(&was.link);
    }
}
