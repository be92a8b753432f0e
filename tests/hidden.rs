//! What somebody hid in a block whose checksums are right: `dura-verify --files` finds it, whatever
//! tars make of it.

use crate::util::forge::{
    FULL, Header, band, dir, dir_line, file, file_line, gzip, link_line, pax, symlink,
};
use crate::util::run::{dura, scratch};

/// The member with its header's checksum as pack writes it: seven digits and a NUL.
fn own(member: &[u8]) -> Vec<u8> {
    let mut member = member.to_vec();
    if member.get(257..262) == Some(b"ustar") {
        let sum: u32 = member[..512].iter().map(|byte| u32::from(*byte)).sum();
        let field: u32 = member[148..156].iter().map(|byte| u32::from(*byte)).sum();
        member[148..156].copy_from_slice(format!("{:07o}\0", sum - field + 256).as_bytes());
    }
    member
}

#[test]
fn a_block_holds_what_its_index_lists_and_nothing_else() {
    let root = || dir("./");
    let lines = || vec![dir_line(".", ""), file_line("./x", b"abc", "")];
    let x = || file("./x", b"abc");
    let other = |change: &dyn Fn(&mut Header)| {
        let mut header = Header::new(b'0', b"./x", 3);
        change(&mut header);
        header.with(b"abc")
    };
    let evil = file("./evil", b"pwn");
    let mut dirty = x();
    dirty[515] = b'x';
    let two = || [lines(), vec![file_line("./y", b"abc", "")]].concat();
    let zeros = || vec![0; 1024];
    let cases = vec![
        ("all as it should be", lines(), vec![root(), x()], 0),
        (
            "a symbolic link",
            vec![dir_line(".", ""), link_line("./l", "x", "")],
            vec![root(), symlink("./l", "x")],
            0,
        ),
        ("a setuid bit", lines(), vec![root(), other(&|it| _ = it.mode(0o4644))], 1),
        ("another owner", lines(), vec![root(), other(&|it| _ = it.put(108, b"0001750\0"))], 1),
        ("another time", lines(), vec![root(), other(&|it| _ = it.put(136, b"13132027401\0"))], 1),
        ("a magic of GNU", lines(), vec![root(), other(&|it| _ = it.put(257, b"ustar  \0"))], 1),
        ("version 99", lines(), vec![root(), other(&|it| _ = it.put(263, b"99"))], 1),
        ("a prefix", lines(), vec![root(), other(&|it| _ = it.put(345, b"."))], 1),
        ("bytes in the padding", lines(), vec![root(), other(&|it| _ = it.put(500, b"x"))], 1),
        ("bytes behind a content", lines(), vec![root(), dirty.clone()], 1),
        ("the same in the middle", two(), vec![root(), dirty, file("./y", b"abc")], 1),
        ("an old kind of file", lines(), vec![root(), other(&|it| _ = it.put(156, b"\0"))], 1),
        ("size in blanks", lines(), vec![root(), other(&|it| _ = it.put(124, b"          3 "))], 1),
        ("a member in front", lines(), vec![evil.clone(), root(), x()], 1),
        ("a member between", lines(), vec![root(), evil.clone(), x()], 1),
        ("a member behind", lines(), vec![root(), x(), file("./y", b"pwn")], 1),
        ("the same again", lines(), vec![root(), x(), x()], 1),
        ("an end", lines(), vec![root(), x(), zeros()], 1),
        ("a member behind the end", lines(), vec![root(), x(), zeros(), file("./y", b"p")], 1),
        ("an end before all", lines(), vec![zeros(), root(), x()], 1),
        ("bytes behind", lines(), vec![root(), x(), vec![b'x'; 512]], 1),
        ("a record of size", lines(), vec![root(), pax(&[("size", "3")]), x()], 1),
        ("a comment", lines(), vec![root(), pax(&[("comment", "x")]), x()], 1),
        (
            "a capability",
            lines(),
            vec![root(), pax(&[("SCHILY.xattr.security.capability", "x")]), x()],
            1,
        ),
        (
            "GNU's record of the content's length",
            lines(),
            vec![root(), pax(&[("GNU.sparse.size", "0"), ("GNU.sparse.realsize", "3")]), x()],
            1,
        ),
        ("a file for a link", lines(), vec![root(), symlink("./x", "y")], 1),
        ("an own name", lines(), vec![root(), file("./y", b"abc")], 1),
    ];
    let scratch = scratch("hidden");
    for (at, (what, lines, tar, code)) in cases.iter().enumerate() {
        let archive = scratch.join(at.to_string());
        let folder =
            band(&archive, FULL, lines, &tar.iter().map(|it| own(it)).collect::<Vec<_>>().concat());
        let done = dura("dura-verify \"$A\"").var("A", &archive).run();
        assert_eq!(done.code, 0, "{what}\n{}", done.report());
        let done = dura("dura-verify --files \"$A\"").var("A", &archive).run();
        assert_eq!(done.code, *code, "{what}\n{}", done.report());
        assert!(folder.join("TAIL").exists());
    }
    assert_ne!(gzip(b""), b"");
}
