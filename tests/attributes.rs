//! Extended attributes that cannot be listed or read cost nothing but themselves: the content is
//! stored, the loss is reported, and the exit status of pack and push is 1.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use crate::util::backup::{GNU_TAR, by_hand, destination, index_line, only_band, value};
use crate::util::run::{Done, bare, dura, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::root;

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|e| panic!("{path:?} {name}: {e}"));
}

/// A tree in which a file, a directory and the root have attributes.
fn tree() -> (PathBuf, PathBuf) {
    let dir = scratch("attributes");
    let src = dir.join("src");
    fs::create_dir_all(src.join("dir")).unwrap();
    fs::write(src.join("file"), "content").unwrap();
    fs::write(src.join("dir/plain"), "no attributes").unwrap();
    for path in [src.join("file"), src.join("dir"), src.clone()] {
        set(&path, "user.one", b"1");
        set(&path, "user.two", b"2");
    }
    (dir, src)
}

fn has_tag(line: &str, tag: &str) -> bool {
    line.split_once(" tags=").is_some_and(|(_, tags)| tags.split(',').any(|it| it == tag))
}

/// The system calls of a program that are to fail, as strace has them.
fn failing(calls: &str, how: &str) -> String {
    format!("strace -f -qq -o /dev/null -e trace={calls} -e inject={calls}:{how}")
}

/// Backs the tree up under strace, and gives what came of it.
#[track_caller]
fn backup(dir: &Path, scan: &str, pack: &str) -> (PathBuf, Done) {
    let archive = scratch("archive").join("a");
    let line = format!("{scan} dura-scan src | {pack} dura-pack | dura-push \"$A\"");
    let done = dura(&line).dir(dir).var("A", &archive).stages();
    (only_band(&archive), done)
}

/// No list: in the scan and in pack, of files, of directories and of the source itself.
#[test]
fn attributes_that_cannot_be_listed() {
    let (dir, src) = tree();
    let list = "llistxattr,flistxattr";
    for error in ["EACCES", "EIO", "ENODATA", "EINVAL", "EPERM"] {
        let fails = failing(list, &format!("error={error}"));
        let (band, done) = backup(&dir, &fails, &fails);
        assert_eq!(done.stages, [1, 1, 1], "{error}\n{}", done.report());
        for path in [".", "./dir", "./file", "./dir/plain"] {
            done.tells(&format!("dura-scan: {path}: cannot list its extended attributes: "));
            done.tells(&format!("dura-pack: {path}: attributes not stored: "));
            let line = index_line(&band, path).unwrap();
            // So the next run tries again.
            assert!(!line.contains("c:") && !has_tag(&line, "x"), "{line}");
        }
        let tail = band.join("TAIL");
        assert_eq!(
            (value(&tail, "skipped"), value(&tail, "unattributed")),
            ("0".into(), "4".into())
        );
        done.tells("dura-push: the band has 4 entries without all attributes");
        if error != "EACCES" {
            continue;
        }
        // All else is there.
        let dest = destination(false);
        bare(&format!("cd \"$B\" && gzip -dc 00000/*.tar.gz | {GNU_TAR} -C \"$D\""))
            .var("B", &band)
            .var("D", &dest)
            .ok();
        assert_eq!(fs::read(dest.join("file")).unwrap(), b"content");
        // Once they can be listed, they are stored.
        let line = "dura-scan src | dura-index diff \"$A\" | dura-pack | dura-push \"$A\"";
        dura(line).dir(&dir).var("A", band.parent().unwrap()).ok();
        let restored = destination(false);
        dura(&format!("dura-restore \"$A\" | {GNU_TAR} -C \"$D\""))
            .var("A", band.parent().unwrap())
            .var("D", &restored)
            .ok();
        assert_same("restored", &take(&src), &take(&restored), EXACT);
    }
    // One value of two: the other is stored.
    let (band, done) = backup(&dir, "", &failing("lgetxattr", "error=EACCES:when=1"));
    assert_eq!(done.stages, [0, 1, 1], "{}", done.report());
    done.tells("dura-pack: .: attributes not stored: user.one: permission denied");
    assert_eq!(value(&band.join("TAIL"), "unattributed"), "1");
    // None of those that vanish meanwhile is missed.
    let (_, done) = backup(&dir, "", &failing("lgetxattr,fgetxattr", "error=ENODATA"));
    assert_eq!(done.stages, [0, 0, 0], "{}", done.report());
}

/// What a file system shows of something else is no attribute that is to be stored, and a file that
/// has nothing else has none.
#[test]
fn views_of_a_file_system_are_left_out() {
    let dir = scratch("views");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    // As XFS lists an ACL a second time, which only root may set; and what a mount from Windows
    // has.
    let (view, kept) = match root() {
        true => ("trusted.SGI_ACL_FILE", "trusted.overlay.opaque"),
        false => ("user.cifs.dosattrib", "user.overlay.opaque"),
    };
    for (file, names) in [("view", &[view][..]), ("both", &[view, "user.own"]), ("upper", &[kept])]
    {
        fs::write(src.join(file), "x").unwrap();
        names.iter().for_each(|name| set(&src.join(file), name, &[0; 28]));
    }
    let (band, done) = backup(&dir, "", "");
    assert_eq!(done.stages, [0, 0, 0], "{}", done.report());
    let has = |path: &str| has_tag(&index_line(&band, path).unwrap(), "x");
    assert_eq!([has("./view"), has("./both"), has("./upper")], [false, true, true]);
    let dest = destination(false);
    by_hand(&crate::util::backup::Archive { band, done }, "cat", "gzip -dc", GNU_TAR, &dest).ok();
    let names = |file: &str| {
        let mut names = vec![0; 1000];
        let len = rustix::fs::listxattr(dest.join(file), &mut names[..]).unwrap();
        String::from_utf8(names[..len].to_vec()).unwrap()
    };
    assert_eq!(names("both"), "user.own\0");
    assert_eq!(names("upper"), format!("{kept}\0"));
    assert_eq!(names("view"), "");
}

/// Root without CAP_SYS_ADMIN, or of a user namespace alone, is not shown `trusted.*` attributes:
/// said once, status 0.
#[test]
fn root_without_the_capability_is_told() {
    let (dir, _) = tree();
    let less = match root() {
        true => "setpriv --bounding-set -sys_admin --inh-caps -sys_admin",
        false => "unshare -r",
    };
    let line = format!("{less} dura-scan src");
    let done = dura(&line).dir(&dir).ok();
    let said = "dura-scan: without CAP_SYS_ADMIN the system shows no trusted.* attributes";
    assert_eq!(done.stderr.matches(said).count(), 1, "{}", done.report());
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.report());
    assert_eq!(dura("dura-scan src").dir(&dir).ok().stderr, "");
    assert_eq!(dura(&line.replace("src", "-q src")).dir(&dir).ok().stderr, "");
}
