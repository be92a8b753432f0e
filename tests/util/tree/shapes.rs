//! Names, lengths of paths, types, modes, owners and times.

use rustix::fs::FileType;

use super::{Builder, noise};

/// Builds them all, and says which files and directories their owner cannot read without being
/// root.
pub(super) fn build(b: &mut Builder) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    names(b);
    lengths(b);
    types(b);
    let unreadable = modes(b);
    owners(b);
    times(b);
    unreadable
}

/// The names that go wrong somewhere.
fn hard_names() -> Vec<Vec<u8>> {
    // Separated by NUL, the one byte besides the slash that no name has.
    let text = "plain\0sp ace\0 lead\0trail \0  \0new\nline\0trail\n\0\n\0\n\n\0tab\t\0\r\0cr\r\nlf\0\
        \u{1}\u{2}\u{1b}[31m\0\u{7f}\0café\0cafe\u{301}\0st*ar\0*\0q?m\0?\0br[a]ck\0[\0ha#sh\0#lead\0\
        #mtree\0#end entries=1\0e=q\0=\0=lead\0back\\slash\0\\040\0\\\0\\\n\0ends\\\0com,ma\0co:lon\0:\0\
        ,\0-dash\0-\0--\0--help\0-C\0--to-command=false\0'\0it's\0\"double\"\0`bt`\0$(id)\0$HOME\0a;b\0\
        a|b\0a&b\0<>\0(p)\0~\0~root\0!bang\0%\0%41\0%s\0^\0...\0..x\0.hidden\0.. \0@at\0@-\0{a,b}\0\
        a type=dir\0type=file\0link -> there\0PaxHeaders\0x\\012y\0HEAD\0TAIL\0optional\0\
        über\u{2028}sep";
    let mut all: Vec<Vec<u8>> = text.split('\0').map(|name| name.as_bytes().to_vec()).collect();
    all.push(b"\xff\xfe\x80".to_vec());
    all.push(b"latin-\xe9".to_vec());
    all.push(b"half-\xc3".to_vec());
    all.push(b"surrogate-\xed\xa0\x80".to_vec());
    // The same letters composed and not, too long for the tar header proper.
    all.push("\u{e9}".repeat(60).into_bytes());
    all.push("e\u{301}".repeat(60).into_bytes());
    all.push(vec![b'x'; 255]);
    all.push(vec![0xfe; 255]);
    all.push([vec![b'n'; 254], b"\n".to_vec()].concat());
    all.push([vec![b' '; 254], b"s".to_vec()].concat());
    // Every single byte that a name can be.
    all.extend((1..=255u8).filter(|b| !matches!(b, b'/' | b'.')).map(|b| vec![b]));
    all.sort();
    all.dedup();
    all
}

fn names(b: &mut Builder) {
    for top in ["names-f", "names-d", "names-l"] {
        b.dir(top);
    }
    for name in hard_names() {
        b.file([b"names-f/", &name[..]].concat(), &name);
        b.dir([b"names-d/", &name[..]].concat());
        b.file([b"names-d/", &name[..], b"/", &name[..]].concat(), [&name[..], b"\n"].concat());
        b.link([b"names-l/", &name[..]].concat(), [b"../names-f/", &name[..]].concat());
    }
}

/// Paths around the limits of the tar header, and one of about 2000 bytes.
fn lengths(b: &mut Builder) {
    b.dir("len");
    for n in (88..=104).chain(145..=160).chain(244..=255) {
        b.file(format!("len/{}", "f".repeat(n)), n.to_string());
    }
    for n in 140..=156 {
        let dir = format!("len/d{}", "d".repeat(n));
        b.dir(&dir);
        for m in [80, 97, 98, 99, 100, 101] {
            b.file(format!("{dir}/{}", "g".repeat(m)), format!("{n} {m}"));
        }
        b.dir(format!("{dir}/{}", "e".repeat(99)));
    }
    let mut deep = "deep".to_string();
    b.dir(&deep);
    while deep.len() < 1900 {
        deep = format!("{deep}/{:03}{}", deep.len(), "-deeper".repeat(14));
        b.dir(&deep);
    }
    let rest = 2000 - deep.len() - 3;
    b.file(format!("{deep}/{}", "z".repeat(rest)), "at the bottom");
    b.link(format!("{deep}/link"), "../".repeat(20));
    b.dir(format!("{deep}/empty"));
    b.file(format!("{deep}/hard"), "one name far down, one on top");
    b.hard(format!("{deep}/hard"), "deep.hard");
    b.file("a-top-hard", "one name on top, one far down");
    b.hard("a-top-hard", format!("{deep}/lower"));
}

fn types(b: &mut Builder) {
    b.dir("types");
    b.file("types/file", "file");
    b.dir("types/empty");
    b.dir("types/dir");
    b.file("types/dir/in", "in");
    for (name, target) in [
        ("to-file", &b"file"[..]),
        ("to-dir", b"dir"),
        ("to-dir-slash", b"dir/"),
        ("dangling", b"no/such"),
        ("absolute", b"/no/such/place"),
        ("self", b"self"),
        ("up", b".."),
        ("odd", b"o\xffdd\n# =\\040*?[,:'\" "),
        ("trailing-newline", b"x\n"),
        ("target-100", &[b't'; 100]),
        ("target-101", &[b't'; 101]),
    ] {
        b.link(format!("types/{name}"), target);
    }
    b.link(
        "types/target-4000",
        noise(7, 4000).iter().map(|b| if *b == 0 { 1 } else { *b }).collect::<Vec<u8>>(),
    );
    b.node("types/fifo", FileType::Fifo, 0, 0);
    b.node("types/fi\nfo \u{e9}", FileType::Fifo, 0, 0).mode(0o600);
    b.node("types/socket", FileType::Socket, 0, 0);
    b.node(b"types/so\ncket \xff", FileType::Socket, 0, 0);
    if b.privileged {
        b.node("types/char", FileType::CharacterDevice, 1, 3).mode(0o666);
        b.node("types/char-big", FileType::CharacterDevice, 511, 1_000_000);
        b.node("types/block", FileType::BlockDevice, 7, 0).mode(0o660);
        b.node("types/block-big", FileType::BlockDevice, 259, 1000);
    }
}

fn modes(b: &mut Builder) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut unreadable, mut unread) = (vec![], vec![]);
    b.dir("modes");
    for mode in [
        0o000, 0o001, 0o200, 0o400, 0o444, 0o555, 0o600, 0o640, 0o666, 0o755, 0o777, 0o1644,
        0o2755, 0o4000, 0o4755, 0o6755, 0o7777u32,
    ] {
        if mode & 0o400 == 0 && !b.trouble {
            continue;
        }
        let name = format!("modes/f{mode:04o}");
        b.file(&name, format!("{mode:04o}")).mode(mode);
        if !b.privileged && mode & 0o400 == 0 {
            unreadable.push(name.into_bytes());
        }
    }
    for mode in [
        0o000, 0o111, 0o333, 0o400, 0o500, 0o555, 0o700, 0o711, 0o777, 0o1777, 0o2555, 0o2775,
        0o3777, 0o4755, 0o7777u32,
    ] {
        // 0400: can be listed, but nothing in it can be looked at; a test of its own.
        if (mode == 0o400 && !b.privileged) || (mode & 0o400 == 0 && !b.trouble) {
            continue;
        }
        let name = format!("modes/d{mode:04o}");
        b.dir(&name).mode(mode);
        b.file(format!("{name}/file"), "in it");
        b.dir(format!("{name}/sub")).mode(mode);
        b.file(format!("{name}/sub/file"), "below it");
        if !b.privileged && mode & 0o400 == 0 {
            unread.push(name.into_bytes());
        }
    }
    (unreadable, unread)
}

fn owners(b: &mut Builder) {
    b.dir("owners");
    let nobody = 65_534;
    for (uid, gid) in [
        (0, 0),
        (1, 2),
        (1000, 1000),
        (nobody, nobody),
        (12_345, 54_321),
        (2_097_151, 2_097_151),
        (2_097_152, 2_097_152),
        (3_000_000, 3_000_001),
        (4_000_000_000, 4_000_000_000),
        (4_000_000_000, 0),
        (0, 4_000_000_000),
        (4_294_967_294, 4_294_967_294),
    ] {
        b.file(format!("owners/{uid}.{gid}"), "owned").owner(uid, gid).mode(0o640);
    }
    b.file("owners/setuid", "owned").owner(12_345, 3_000_000).mode(0o6755);
    b.dir("owners/dir").owner(4_000_000_000, 3_000_000).mode(0o2770);
    b.file("owners/dir/in", "owned").owner(3_000_000, 4_000_000_000);
    b.link("owners/link", "dir/in").owner(4_000_000_000, 3_000_000);
    b.node("owners/fifo", FileType::Fifo, 0, 0).owner(4_000_000_000, 3_000_000);
}

fn times(b: &mut Builder) {
    b.dir("times");
    let times: &[(i64, i64)] = &[
        (-2_147_483_648, 0),
        (-2_147_483_647, 1),
        (-2_000_000_000, 999_999_999),
        (-86_400, 0),
        (-6, 750_000_000),
        (-2, 1),
        (-1, 0),
        (-1, 750_000_000),
        (-1, 999_999_999),
        (0, 0),
        (0, 1),
        (0, 999_999_999),
        (1, 0),
        (999_999_999, 1),
        (1_234_567_890, 123_456_789),
        (1_500_000_000, 5),
        (1_500_000_001, 500_000_000),
        (1_500_000_002, 100_000_000),
        (1_500_000_003, 120),
        (2_147_483_647, 999_999_999),
        (2_147_483_648, 0),
        (4_102_444_800, 0),
        (4_102_444_800, 250_000_000),
        (8_589_934_591, 7),
        (8_589_934_592, 0),
        (8_589_934_593, 1),
        (15_032_385_534, 999_999_999),
    ];
    for &(s, n) in times {
        b.file(format!("times/f{s}.{n:09}"), "then").time(s, n);
        b.link(format!("times/l{s}.{n:09}"), "then").time(s, n);
        b.dir(format!("times/d{s}.{n:09}")).time(s, n);
        b.file(format!("times/d{s}.{n:09}/in"), "then").time(s, n);
    }
    b.node("times/fifo", FileType::Fifo, 0, 0).time(-6, 750_000_000);
}
