//! Bands that somebody forged, with checksums that are right: what comes out of dura-restore is
//! what the index lists, whatever the tar, and nothing else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::util::forge::{
    FULL, Header, band, dir, dir_line, file, file_line, link_line, pax, sha256, symlink,
};
use crate::util::run::{Done, dura, give, scratch};

/// How each tar is told to extract everything.
const TARS: [&str; 3] =
    ["tar --xattrs --xattrs-include='*' --acls -xpf -", "bsdtar -xpf -", "busybox tar -xpf -"];

/// A forged band: what it is, its lines but the root's, and its tar behind the root.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) lines: Vec<String>,
    pub(crate) tar: Vec<u8>,
    /// What comes out: path, content of a file, and nothing but that.
    comes: &'static [(&'static str, &'static str)],
    code: i32,
}

pub(crate) fn cases() -> Vec<Case> {
    let evil = Header::new(b'0', b"./evil", 3).mode(0o4755).with(b"pwn");
    let hidden = evil.len();
    let whole = sha256(&evil);
    let mut cases = Vec::new();
    let mut add = |what, lines: &[String], tar: &[&[u8]], comes, code| {
        cases.push(Case { what, lines: lines.to_vec(), tar: tar.concat(), comes, code });
    };
    let x = || [file_line("./x", b"abc", "")];
    let plain = |change: fn(&mut Header)| {
        let mut header = Header::new(b'0', b"./x", 3);
        change(&mut header);
        header.with(b"abc")
    };
    const X: &[(&str, &str)] = &[("x", "abc")];
    add("a setuid bit", &x(), &[&plain(|header| _ = header.mode(0o6755))], X, 0);
    add("another owner", &x(), &[&plain(|header| _ = header.put(108, b"0001750\0"))], X, 0);
    add(
        "a name of an owner",
        &[x()[0].replace("uid=0", "uid=1000")],
        &[&plain(|header| _ = header.put(265, b"root"))],
        X,
        0,
    );
    add(
        "version 99 and a prefix",
        &x(),
        &[&plain(|header| _ = header.put(263, b"99").put(345, b"sub"))],
        &[],
        1,
    );
    add(
        "GNU's magic and a prefix",
        &x(),
        &[&plain(|header| _ = header.put(257, b"ustar  \0").put(345, b"sub"))],
        &[],
        1,
    );
    add("a name that ends in a slash", &x(), &[&plain(|header| _ = header.put(0, b"./x/"))], X, 0);
    add(
        "a capability",
        &x(),
        &[&pax(&[("SCHILY.xattr.user.evil", "1")]), &file("./x", b"abc")],
        X,
        1,
    );
    add(
        "an ACL of another mode",
        &[file_line("./x", b"abc", " tags=x")],
        &[&pax(&[("SCHILY.acl.access", "user::rwx,group::rwx,other::rwx")]), &file("./x", b"abc")],
        X,
        1,
    );
    let size = hidden.to_string();
    let inner = || {
        [format!(
            "./x type=file mode=0644 uid=0 gid=0 time=1500000000.000000000 nlink=1 size={hidden} sha256digest={whole}"
        )]
    };
    const INNER: &[(&str, &str)] = &[("x", "*")];
    add(
        "GNU.sparse.size of nothing",
        &inner(),
        &[&pax(&[("GNU.sparse.realsize", &size), ("GNU.sparse.size", "0")]), &file("./x", &evil)],
        INNER,
        0,
    );
    add(
        "a size with a sign",
        &inner(),
        &[&pax(&[("size", &format!("+{size}"))]), &Header::new(b'0', b"./x", 0).with(&evil)],
        &[],
        1,
    );
    add(
        "a size in a record alone",
        &inner(),
        &[&pax(&[("size", &size)]), &Header::new(b'0', b"./x", 0).with(&evil)],
        INNER,
        0,
    );
    add("a map that promises more", &x(), &[&sparse("./x", b"1\n0\n600\n", b"abc", 3)], &[], 1);
    add("a map in other words", &x(), &[&sparse("./x", b"01\n0\n3\n", b"abc", 3)], &[], 1);
    add("a map that leads back", &x(), &[&sparse("./x", b"2\n2\n1\n0\n2\n", b"cab", 3)], &[], 1);
    add("a map without an end", &x(), &[&sparse("./x", b"9999\n", b"abc", 3)], &[], 1);
    add("a good map", &x(), &[&sparse("./x", b"1\n0\n3\n", b"abc", 3)], X, 0);
    add("a member between", &x(), &[&evil, &file("./x", b"abc")], X, 0);
    add("a member behind", &x(), &[&file("./x", b"abc"), &evil], X, 0);
    add(
        "a symlink for a file",
        &x(),
        &[&symlink("./x", "/etc/passwd"), &file("./x", b"abc")],
        &[],
        1,
    );
    add(
        "what lies below a symlink",
        &[link_line("./s", "/tmp", ""), file_line("./s/x", b"abc", "")],
        &[&symlink("./s", "/tmp"), &file("./s/x", b"abc")],
        &[("s", "@")],
        1,
    );
    add(
        "numbers of a device",
        &["./n type=fifo mode=0600 uid=0 gid=0 time=1500000000.000000000".to_owned()],
        &[&Header::new(b'6', b"./n", 0).put(329, b"0000010\x000000001\0").with(b"")],
        &[("n", "|")],
        0,
    );
    cases
}

fn sparse(name: &str, map: &[u8], data: &[u8], size: u64) -> Vec<u8> {
    let mut content = map.to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content.extend(data);
    let records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", name),
        ("GNU.sparse.realsize", &size.to_string()),
    ];
    [pax(&records), file("./GNUSparseFile.0/x", &content)].concat()
}

fn found(dest: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut names: Vec<_> = fs::read_dir(dest).unwrap().map(|entry| entry.unwrap()).collect();
    names.sort_by_key(|entry| entry.file_name());
    for entry in names {
        let stat = fs::symlink_metadata(entry.path()).unwrap();
        assert_eq!((stat.permissions().mode() & 0o7000, stat.rdev()), (0, 0), "{entry:?}");
        let content = match stat.file_type() {
            kind if kind.is_symlink() => "@".to_owned(),
            kind if kind.is_dir() => "/".to_owned(),
            kind if kind.is_file() && stat.len() == 3 => fs::read_to_string(entry.path()).unwrap(),
            kind if kind.is_file() => "*".to_owned(),
            _ => "|".to_owned(),
        };
        found.push((entry.file_name().to_string_lossy().into_owned(), content));
    }
    found
}

fn restored(top: &Path, tar: &str, user: bool) -> Done {
    let line = format!("rm -rf out; mkdir out && dura-restore a | {tar} -C out");
    dura(&line).dir(top).user(user).stages()
}

/// Each trick, through each tar, as root and as a user: exactly what the index lists, with its mode
/// and owner.
#[test]
fn what_leaves_dura_restore_is_what_the_index_lists() {
    for (case, user) in cases().into_iter().flat_map(|case| [(case.clone(), false), (case, true)]) {
        let Case { what, lines, tar, comes, code } = case;
        let top = scratch("forged");
        let lines = [&[dir_line(".", "")], &lines[..]].concat();
        band(&top.join("a"), FULL, &lines, &[dir("./"), tar].concat());
        if user {
            give(&top);
        }
        for tar in TARS {
            let done = restored(&top, tar, user);
            let what = format!("{what}, user {user}");
            assert_eq!(done.stages, [code, 0], "{what}, {tar}\n{}", done.report());
            // busybox knows no sparse files.
            if what.starts_with("a good map") && tar.starts_with("busybox") {
                continue;
            }
            let wanted: Vec<(String, String)> =
                comes.iter().map(|(path, how)| (path.to_string(), how.to_string())).collect();
            assert_eq!(found(&top.join("out")), wanted, "{what}, {tar}\n{}", done.report());
            if let Ok(stat) = fs::symlink_metadata(top.join("out/x"))
                && nix::unistd::geteuid().is_root()
                && !user
            {
                let uid = if what.starts_with("a name of an owner") { 1000 } else { 0 };
                assert_eq!((stat.uid(), stat.mode() & 0o7777), (uid, 0o644), "{what}, {tar}");
            }
        }
    }
}
