//! What is in files, what is attached to entries, and how names share inodes and follow each other.

use rustix::fs::FileType;

use super::{Builder, SPARSE, at, noise};

/// Builds them all.
pub(super) fn build(b: &mut Builder) {
    sizes(b);
    tiny(b);
    attributes(b);
    links(b);
    order(b);
}

fn sizes(b: &mut Builder) {
    const M: u64 = 1 << 20;
    b.dir("sizes");
    let around = |n: usize| [n - 1, n, n + 1];
    for n in [0, 1]
        .into_iter()
        .chain(around(512))
        .chain(around(1024))
        .chain(around(10_240))
        .chain(around(65_536))
        .chain(around(1 << 20))
        .chain(around(1 << 21))
    {
        b.file(format!("sizes/noise-{n}"), noise(n as u64, n));
    }
    b.file("sizes/text-5M", "the same line again, and again, and again\n".repeat(125_000));
    b.file("sizes/zeros-3M", vec![0; 3 << 20]);
    b.file("sizes/random-25M", noise(25, 25 << 20));
    b.sparse(
        SPARSE,
        300 * M,
        &[(0, 5000), (M + 4096, 1), (100 * M - 3, 70_000), (200 * M, 4096), (300 * M - 1, 1)],
    );
    b.sparse("sizes/sparse-only-hole", 7 * M + 13, &[]);
    b.sparse("sizes/sparse-ends-in-hole", 4 * M + 1, &[(0, 4096), (M, 100)]);
    b.sparse("sizes/sparse-begins-in-hole", 4 * M + 1, &[(4 * M - 100_000, 100_001)]);
    b.sparse("sizes/sparse-one-island", M, &[(512 * 1024, 512)]);
    // A map that does not fit one tar block.
    b.sparse(
        "sizes/sparse-archipelago",
        32 * M,
        &(0..300).map(|n| (n * 65_536 + 8192, 700)).collect::<Vec<_>>(),
    );
    b.sparse(b"sizes/sp\xff\narse \x01=%", 2 * M, &[(M, 3)])
        .xattr("user.on", "sparse")
        .acl(&["-m", "u:1234:r"])
        .time(-6, 750_000_000);
    b.sparse(format!("sizes/{}", "s".repeat(240)), 2 * M, &[(M, 3)]).mode(0o4755);
    b.hard("sizes/sparse-one-island", "sizes/another-name-of-an-island");
}

/// 3,000 files of a few bytes.
fn tiny(b: &mut Builder) {
    b.dir("tiny");
    for d in 0..30 {
        b.dir(format!("tiny/{d:02}"));
        for f in 0..100 {
            b.file(format!("tiny/{d:02}/{f:03}.txt"), format!("{d} {f}\n").repeat(f % 7));
        }
    }
}

fn attributes(b: &mut Builder) {
    b.dir("xattrs").xattr("user.top", "dir");
    b.file("xattrs/simple", "x").xattr("user.simple", "value");
    b.file("xattrs/values", "x")
        .xattr("user.empty", "")
        .xattr("user.nul", "\0")
        .xattr("user.nuls", "a\0b\0\0")
        .xattr("user.newline", "a\nb\n")
        .xattr("user.only-newline", "\n")
        .xattr("user.binary", (0..=255u8).collect::<Vec<u8>>())
        .xattr("user.record", "\n15 path=../evil\n")
        .xattr("user.equals", "=a=b=");
    b.file("xattrs/names", "x")
        .xattr("user.e=q", "equals")
        .xattr("user.=", "only equals")
        .xattr("user.per%cent", "percent")
        .xattr("user.%3D", "looks escaped")
        .xattr("user.%25", "looks escaped")
        .xattr("user.sp ace", "space")
        .xattr("user.new\nline", "newline")
        .xattr("user.col:on,comma", "colon")
        .xattr("user.caf\u{e9}", "utf-8")
        .xattr("user.back\\slash", "backslash");
    b.file("xattrs/bytes", "x").xattr(b"user.\xff\xfe", b"\xff\xfe");
    b.file("xattrs/long-value", "x").xattr("user.long", noise(3, 3000));
    b.file("xattrs/long-name", "x").xattr(format!("user.{}", "n".repeat(250)), "long name");
    b.file(b"xattrs/in\xff\xa9 \n", "x").xattr("user.odd", "file name");
    b.file("xattrs/empty-file", "").xattr("user.on", "nothing");
    let read_only = if b.trouble { 0o222 } else { 0 };
    b.file("xattrs/read-only", "x").xattr("user.on", "read-only").mode(0o666 & !read_only);
    b.file("xattrs/big", noise(11, 2_500_000)).xattr("user.on", "big");
    b.dir("xattrs/dir").xattr("user.on", "a directory\0").mode(0o777 & !read_only);
    b.file("xattrs/dir/in", "x").xattr("user.in", "a directory");
    b.file("xattrs/linked", "x").xattr("user.on", "linked");
    b.hard("xattrs/linked", "xattrs/linked-too");
    if b.privileged {
        b.file("xattrs/trusted", "x").xattr("trusted.dura", "\0\n").xattr("user.too", "too");
        b.link("xattrs/trusted-link", "simple").xattr("trusted.link", "on a symlink");
        b.node("xattrs/trusted-fifo", FileType::Fifo, 0, 0).xattr("trusted.fifo", "on a fifo");
        // cap_net_raw=ep
        b.file("xattrs/capability", "x").mode(0o755).xattr(
            "security.capability",
            [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        );
    }

    b.dir("acls").acl(&["-m", "u:1234:rx"]);
    b.file("acls/user", "a").acl(&["-m", "u:1234:rw"]);
    b.file("acls/group", "a").acl(&["-m", "g:4321:r", "-m", "m::rwx"]).mode(0o600);
    b.file("acls/big-ids", "a").acl(&["-m", "u:3000000:r,u:4000000000:rw,g:4000000000:-"]);
    b.file("acls/many", "a").acl(&[
        "-m",
        "u:1:r,u:2:w,u:3:x,u:4:rw,u:5:rx,u:6:wx,u:7:rwx,u:8:-,g:1:r,g:2:w,g:3:x,g:4:rw",
    ]);
    b.file("acls/mask-only", "a").acl(&["-m", "m::r"]);
    b.file("acls/and-xattr", "a").acl(&["-m", "u:1234:rwx"]).xattr("user.and", "acl").mode(0o4711);
    b.dir("acls/default").acl(&["-d", "-m", "u:1234:rwx,g:4321:rx,o::-"]);
    b.file("acls/default/plain", "no list of its own").mode(0o664);
    b.dir("acls/default/plain-dir");
    b.file("acls/default/plain-dir/file", "no list of its own");
    b.link("acls/default/link", "plain");
    b.node("acls/default/fifo", FileType::Fifo, 0, 0).acl(&["-m", "u:1234:r"]);
    b.dir("acls/both").acl(&["-m", "u:1234:rwx,d:u:4000000000:rx,d:g:4321:rwx"]).mode(0o2750);
    b.dir("acls/both/sub").acl(&["-d", "-m", "u::rx,g::-,o::-"]).mode(0o555);
    b.file("acls/both/sub/in", "a");
}

fn links(b: &mut Builder) {
    b.dir("links");
    for dir in ["links/a", "links/b", "links/z", "links/a-b", "links/ro"] {
        b.dir(dir);
    }
    // The first name made is not the first in canonical order, nor in its directory.
    b.file("links/z/made-first", "several names");
    b.hard("links/z/made-first", "links/b/second");
    b.hard("links/z/made-first", "links/a/third");
    // 'a-b' sorts before 'a/' in a plain sort, and after it in canonical order.
    b.file("links/a-b/trap", "order");
    b.hard("links/a-b/trap", "links/a/trap");
    b.link("links/z/symlink", "made-first");
    b.hard("links/z/symlink", "links/a/symlink");
    b.hard("links/z/symlink", "links/b/symlink");
    b.link("links/z/dangling", vec![0xfe; 300]);
    b.hard("links/z/dangling", "links/b/dangling");
    b.node("links/z/fifo", FileType::Fifo, 0, 0);
    b.hard("links/z/fifo", "links/b/fifo");
    b.file("links/z/empty", "");
    b.hard("links/z/empty", "links/a/empty");
    b.file("links/z/large", noise(12, 3_000_000));
    b.hard("links/z/large", "links/a/large");
    b.hard("links/z/large", b"links/a/l\xffarge\n, :=");
    b.file("links/ro/read-only", "ro").mode(0o400);
    b.hard("links/ro/read-only", "links/ro/again");
    b.hard("links/ro/read-only", "links/z/and again");
    b.file("links/b/setuid", "suid").mode(0o4755).owner(12_345, 12_345);
    b.hard("links/b/setuid", "links/a/setuid");
    for n in 0..20 {
        b.hard("links/z/made-first", format!("links/b/many-{n}"));
    }
    if b.privileged {
        b.node("links/z/char", FileType::CharacterDevice, 1, 5);
        b.hard("links/z/char", "links/b/char");
    }
    let ro = at(&b.root, "links/ro");
    b.late.iter_mut().find(|l| l.path == ro).unwrap().mode(0o555);
}

/// Siblings that a plain sort of paths puts between a directory and what is in it.
fn order(b: &mut Builder) {
    b.dir("order");
    b.dir("order/files");
    b.dir("order/files/a").mode(0o555);
    for name in ["a/b", "a/f", "a-b", "a.txt", "a!", "a b", "a\n", "a\u{7f}", "a0"] {
        b.file(format!("order/files/{name}"), name);
    }
    b.dir("order/dirs");
    for name in
        ["a", "a-b", "a.txt", "a!", "a b", "a\n", "a\u{7f}", "a0", "a/a", "a/a-b", "a/a b", "a-b/a"]
    {
        let name = format!("order/dirs/{name}");
        b.dir(&name).mode(0o555);
        b.file(format!("{name}/x"), name.clone());
    }
    b.dir("order/empty");
    for name in ["x", "x-", "x/x", "x ", "x/x-"] {
        b.dir(format!("order/empty/{name}"));
    }
}
