//! The torture tree: every kind of name, type, mode, owner, time, size, attribute and link that a backup must bring back.
//!
//! Everything is created first and gets its owner, attributes, mode and time afterwards, children before their
//! directories, so that directory times and read-only directories come out as asked.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev, mknodat, utimensat};

use super::run::{USER, need};

/// Who the tree belongs to, and so what can be in it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Whose {
    /// Everything: devices, foreign owners, privileged attributes. Without root this is the same as `User`.
    Root,
    /// What an ordinary user can have. Made by root, it is given to that user.
    User,
}

/// The tree in its place, and what a backup of it has to tell.
pub(crate) struct Torture {
    /// Its root directory.
    pub(crate) dir: PathBuf,
    /// Sockets, relative to the root: not archived, but told.
    pub(crate) sockets: Vec<Vec<u8>>,
    /// Files that their owner cannot read without being root; empty when all can be read.
    pub(crate) unreadable: Vec<Vec<u8>>,
    /// Directories that their owner cannot list without being root; they come back empty.
    pub(crate) unread: Vec<Vec<u8>>,
}

/// The 300 MiB file that holds a few kilobytes.
pub(crate) const SPARSE: &str = "sizes/sparse-300M";

/// True when this process may do everything.
pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A path of bytes below another.
pub(crate) fn at(dir: &Path, name: impl AsRef<[u8]>) -> PathBuf {
    dir.join(OsStr::from_bytes(name.as_ref()))
}

/// `size` bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    out.truncate(size);
    out
}

/// Sets the modification time; symlinks are not followed.
pub(crate) fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let both = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &both, AtFlags::SYMLINK_NOFOLLOW).unwrap_or_else(|e| panic!("{path:?}: {e}"));
}

/// Sets permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap_or_else(|e| panic!("{path:?}: {e}"));
}

/// One entry's attributes, to be set at the end.
struct Late {
    path: PathBuf,
    link: bool,
    mode: u32,
    owner: Option<(u32, u32)>,
    time: (i64, i64),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    acl: Vec<&'static str>,
}

impl Late {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }
    fn owner(&mut self, uid: u32, gid: u32) -> &mut Self {
        self.owner = Some((uid, gid));
        self
    }
    fn time(&mut self, seconds: i64, nanoseconds: i64) -> &mut Self {
        self.time = (seconds, nanoseconds);
        self
    }
    fn xattr(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.xattrs.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }
    fn acl(&mut self, arguments: &[&'static str]) -> &mut Self {
        self.acl.extend_from_slice(arguments);
        self
    }
}

struct Builder {
    root: PathBuf,
    privileged: bool,
    late: Vec<Late>,
}

impl Builder {
    fn late(&mut self, path: PathBuf, link: bool, mode: u32) -> &mut Late {
        // Distinct times with nanoseconds for all that ask for none of their own.
        let n = i64::try_from(self.late.len()).unwrap();
        let time = (1_500_000_000 + n * 8_641, (n * 1_234_567 + 5) % 1_000_000_000);
        self.late.push(Late { path, link, mode, owner: None, time, xattrs: vec![], acl: vec![] });
        self.late.last_mut().unwrap()
    }

    fn file(&mut self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> &mut Late {
        let path = at(&self.root, name);
        fs::write(&path, content).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        self.late(path, false, 0o644)
    }

    fn dir(&mut self, name: impl AsRef<[u8]>) -> &mut Late {
        let path = at(&self.root, name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        self.late(path, false, 0o755)
    }

    fn link(&mut self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> &mut Late {
        let path = at(&self.root, name);
        symlink(OsStr::from_bytes(target.as_ref()), &path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        self.late(path, true, 0o777)
    }

    fn node(&mut self, name: impl AsRef<[u8]>, kind: FileType, major: u32, minor: u32) -> &mut Late {
        let path = at(&self.root, name);
        mknodat(CWD, &path, kind, Mode::from_raw_mode(0o644), makedev(major, minor)).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        self.late(path, false, 0o640)
    }

    /// A further name for something that is there; the attributes are the first name's.
    fn hard(&mut self, existing: impl AsRef<[u8]>, name: impl AsRef<[u8]>) {
        let (from, to) = (at(&self.root, existing), at(&self.root, name));
        // link(2) as it is: std follows no symlink either, on this system.
        fs::hard_link(&from, &to).unwrap_or_else(|e| panic!("{from:?} -> {to:?}: {e}"));
    }

    /// A file of `size` bytes with data only at the given places.
    fn sparse(&mut self, name: impl AsRef<[u8]>, size: u64, islands: &[(u64, usize)]) -> &mut Late {
        let path = at(&self.root, name);
        let file = File::create_new(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        file.set_len(size).unwrap();
        for &(offset, length) in islands {
            file.write_all_at(&noise(offset ^ size, length), offset).unwrap();
        }
        self.late(path, false, 0o644)
    }

    fn finish(self, everything_to: Option<(u32, u32)>) {
        for late in self.late.iter().rev() {
            let path = &late.path;
            if let Some((uid, gid)) = late.owner.filter(|_| self.privileged).or(everything_to) {
                lchown(path, Some(uid), Some(gid)).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            }
            for (name, value) in &late.xattrs {
                let name = OsStr::from_bytes(name);
                rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap_or_else(|e| panic!("{path:?}: {name:?}: {e}"));
            }
            if !late.link {
                set_mode(path, late.mode);
            }
            if !late.acl.is_empty() {
                need("setfacl");
                let done = Command::new("setfacl").args(&late.acl).arg("--").arg(path).status().unwrap();
                assert!(done.success(), "setfacl {:?} {path:?}", late.acl);
            }
            set_time(path, late.time.0, late.time.1);
        }
    }
}

/// The names that go wrong somewhere.
pub(crate) fn names() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "plain", "sp ace", " lead", "trail ", "  ", "new\nline", "trail\n", "\n", "\n\n", "tab\t", "\r", "cr\r\nlf", "\u{1}\u{2}\u{1b}[31m", "\u{7f}",
        "café", "cafe\u{301}", "st*ar", "*", "q?m", "?", "br[a]ck", "[", "ha#sh", "#lead", "#mtree", "#end entries=1", "e=q", "=", "=lead", "back\\slash", "\\040",
        "\\", "\\\n", "ends\\", "com,ma", "co:lon", ":", ",", "-dash", "-", "--", "--help", "-C", "--to-command=false", "'", "it's", "\"double\"", "`bt`",
        "$(id)", "$HOME", "a;b", "a|b", "a&b", "<>", "(p)", "~", "~root", "!bang", "%", "%41", "%s", "^", "...", "..x", ".hidden", ".. ", "@at", "@-", "{a,b}",
        "a type=dir", "type=file", "link -> there", "PaxHeaders", "x\\012y", "/".repeat(0).as_str(), "HEAD", "TAIL", "optional", "über\u{2028}sep",
    ]
    .iter()
    .filter(|name| !name.is_empty())
    .map(|name| name.as_bytes().to_vec())
    .collect();
    all.push(b"\xff\xfe\x80".to_vec());
    all.push(b"latin-\xe9".to_vec());
    all.push(b"half-\xc3".to_vec());
    all.push(b"surrogate-\xed\xa0\x80".to_vec());
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

/// Builds the tree in `dir`, which must not be there yet.
pub(crate) fn torture(dir: &Path, whose: Whose) -> Torture {
    let privileged = whose == Whose::Root && root();
    fs::create_dir(dir).unwrap();
    let mut b = Builder { root: dir.to_path_buf(), privileged, late: vec![] };
    b.late(dir.to_path_buf(), false, 0o755).time(1_400_000_000, 123_456_789);
    build_names(&mut b);
    build_lengths(&mut b);
    build_types(&mut b);
    let (unreadable, unread) = build_modes(&mut b);
    build_owners(&mut b);
    build_times(&mut b);
    build_sizes(&mut b);
    build_tiny(&mut b);
    build_attributes(&mut b);
    build_links(&mut b);
    build_order(&mut b);
    b.finish((root() && whose == Whose::User).then_some((USER, USER)));
    Torture { dir: dir.to_path_buf(), sockets: vec![b"types/socket".to_vec(), b"types/so\ncket \xff".to_vec()], unreadable, unread }
}

fn build_names(b: &mut Builder) {
    for top in ["names-f", "names-d", "names-l"] {
        b.dir(top);
    }
    for name in names() {
        b.file([b"names-f/", &name[..]].concat(), &name);
        b.dir([b"names-d/", &name[..]].concat());
        b.file([b"names-d/", &name[..], b"/", &name[..]].concat(), [&name[..], b"\n"].concat());
        b.link([b"names-l/", &name[..]].concat(), [b"../names-f/", &name[..]].concat());
    }
}

/// Paths around the limits of the tar header, and one of about 2000 bytes.
fn build_lengths(b: &mut Builder) {
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

fn build_types(b: &mut Builder) {
    b.dir("types");
    b.file("types/file", "file");
    b.dir("types/empty");
    b.dir("types/dir");
    b.file("types/dir/in", "in");
    for (name, target) in [
        ("to-file", &b"file"[..]), ("to-dir", b"dir"), ("to-dir-slash", b"dir/"), ("dangling", b"no/such"), ("absolute", b"/no/such/place"), ("self", b"self"),
        ("up", b".."), ("odd", b"o\xffdd\n# =\\040*?[,:'\" "), ("trailing-newline", b"x\n"), ("target-100", &[b't'; 100]), ("target-101", &[b't'; 101]),
    ] {
        b.link(format!("types/{name}"), target);
    }
    b.link("types/target-4000", noise(7, 4000).iter().map(|b| if *b == 0 { 1 } else { *b }).collect::<Vec<u8>>());
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

fn build_modes(b: &mut Builder) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut unreadable, mut unread) = (vec![], vec![]);
    b.dir("modes");
    for mode in [0o000, 0o001, 0o200, 0o400, 0o444, 0o555, 0o600, 0o640, 0o666, 0o755, 0o777, 0o1644, 0o2755, 0o4000, 0o4755, 0o6755, 0o7777u32] {
        let name = format!("modes/f{mode:04o}");
        b.file(&name, format!("{mode:04o}")).mode(mode);
        if !b.privileged && mode & 0o400 == 0 {
            unreadable.push(name.into_bytes());
        }
    }
    for mode in [0o000, 0o111, 0o333, 0o400, 0o500, 0o555, 0o700, 0o711, 0o777, 0o1777, 0o2555, 0o2775, 0o3777, 0o4755, 0o7777u32] {
        if mode == 0o400 && !b.privileged {
            continue; // can be listed, but nothing in it can be looked at: a test of its own
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

fn build_owners(b: &mut Builder) {
    b.dir("owners");
    let nobody = 65_534;
    for (uid, gid) in [
        (0, 0), (1, 2), (1000, 1000), (nobody, nobody), (12_345, 54_321), (2_097_151, 2_097_151), (2_097_152, 2_097_152), (3_000_000, 3_000_001),
        (4_000_000_000, 4_000_000_000), (4_000_000_000, 0), (0, 4_000_000_000), (4_294_967_294, 4_294_967_294),
    ] {
        b.file(format!("owners/{uid}.{gid}"), "owned").owner(uid, gid).mode(0o640);
    }
    b.file("owners/setuid", "owned").owner(12_345, 3_000_000).mode(0o6755);
    b.dir("owners/dir").owner(4_000_000_000, 3_000_000).mode(0o2770);
    b.file("owners/dir/in", "owned").owner(3_000_000, 4_000_000_000);
    b.link("owners/link", "dir/in").owner(4_000_000_000, 3_000_000);
    b.node("owners/fifo", FileType::Fifo, 0, 0).owner(4_000_000_000, 3_000_000);
}

fn build_times(b: &mut Builder) {
    b.dir("times");
    let times: &[(i64, i64)] = &[
        (-2_147_483_648, 0), (-2_147_483_647, 1), (-2_000_000_000, 999_999_999), (-86_400, 0), (-6, 750_000_000), (-2, 1), (-1, 0), (-1, 750_000_000),
        (-1, 999_999_999), (0, 0), (0, 1), (0, 999_999_999), (1, 0), (999_999_999, 1), (1_234_567_890, 123_456_789), (1_500_000_000, 5), (1_500_000_001, 500_000_000),
        (1_500_000_002, 100_000_000), (1_500_000_003, 120), (2_147_483_647, 999_999_999), (2_147_483_648, 0), (4_102_444_800, 0), (4_102_444_800, 250_000_000),
        (8_589_934_591, 7), (8_589_934_592, 0), (8_589_934_593, 1), (15_032_385_534, 999_999_999),
    ];
    for &(s, n) in times {
        b.file(format!("times/f{s}.{n:09}"), "then").time(s, n);
        b.link(format!("times/l{s}.{n:09}"), "then").time(s, n);
        b.dir(format!("times/d{s}.{n:09}")).time(s, n);
        b.file(format!("times/d{s}.{n:09}/in"), "then").time(s, n);
    }
    b.node("times/fifo", FileType::Fifo, 0, 0).time(-6, 750_000_000);
}

fn build_sizes(b: &mut Builder) {
    const M: u64 = 1 << 20;
    b.dir("sizes");
    let around = |n: usize| [n - 1, n, n + 1];
    for n in [0, 1].into_iter().chain(around(512)).chain(around(1024)).chain(around(10_240)).chain(around(65_536)).chain(around(1 << 20)).chain(around(1 << 21)) {
        b.file(format!("sizes/noise-{n}"), noise(n as u64, n));
    }
    b.file("sizes/text-5M", "the same line again, and again, and again\n".repeat(125_000));
    b.file("sizes/zeros-3M", vec![0; 3 << 20]);
    b.file("sizes/random-25M", noise(25, 25 << 20));
    b.sparse(SPARSE, 300 * M, &[(0, 5000), (M + 4096, 1), (100 * M - 3, 70_000), (200 * M, 4096), (300 * M - 1, 1)]);
    b.sparse("sizes/sparse-only-hole", 7 * M + 13, &[]);
    b.sparse("sizes/sparse-ends-in-hole", 4 * M + 1, &[(0, 4096), (M, 100)]);
    b.sparse("sizes/sparse-begins-in-hole", 4 * M + 1, &[(4 * M - 100_000, 100_001)]);
    b.sparse("sizes/sparse-one-island", M, &[(512 * 1024, 512)]);
    // A map that does not fit one tar block.
    b.sparse("sizes/sparse-archipelago", 32 * M, &(0..300).map(|n| (n * 65_536 + 8192, 700)).collect::<Vec<_>>());
    b.sparse(b"sizes/sp\xff\narse \x01=%".to_vec(), 2 * M, &[(M, 3)]).xattr("user.on", "sparse").acl(&["-m", "u:1234:r"]).time(-6, 750_000_000);
    b.sparse(format!("sizes/{}", "s".repeat(240)), 2 * M, &[(M, 3)]).mode(0o4755);
    b.hard("sizes/sparse-one-island", "sizes/another-name-of-an-island");
}

/// 3,000 files of a few bytes.
fn build_tiny(b: &mut Builder) {
    b.dir("tiny");
    for d in 0..30 {
        b.dir(format!("tiny/{d:02}"));
        for f in 0..100 {
            b.file(format!("tiny/{d:02}/{f:03}.txt"), format!("{d} {f}\n").repeat(f % 7));
        }
    }
}

fn build_attributes(b: &mut Builder) {
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
    b.file("xattrs/read-only", "x").xattr("user.on", "read-only").mode(0o444);
    b.file("xattrs/big", noise(11, 2_500_000)).xattr("user.on", "big");
    b.dir("xattrs/dir").xattr("user.on", "a directory\0").mode(0o555);
    b.file("xattrs/dir/in", "x").xattr("user.in", "a directory");
    b.file("xattrs/linked", "x").xattr("user.on", "linked");
    b.hard("xattrs/linked", "xattrs/linked-too");
    if b.privileged {
        b.file("xattrs/trusted", "x").xattr("trusted.dura", "\0\n").xattr("user.too", "too");
        b.link("xattrs/trusted-link", "simple").xattr("trusted.link", "on a symlink");
        b.node("xattrs/trusted-fifo", FileType::Fifo, 0, 0).xattr("trusted.fifo", "on a fifo");
        // cap_net_raw=ep
        b.file("xattrs/capability", "x").mode(0o755).xattr("security.capability", [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    b.dir("acls").acl(&["-m", "u:1234:rx"]);
    b.file("acls/user", "a").acl(&["-m", "u:1234:rw"]);
    b.file("acls/group", "a").acl(&["-m", "g:4321:r", "-m", "m::rwx"]).mode(0o600);
    b.file("acls/big-ids", "a").acl(&["-m", "u:3000000:r,u:4000000000:rw,g:4000000000:-"]);
    b.file("acls/many", "a").acl(&["-m", "u:1:r,u:2:w,u:3:x,u:4:rw,u:5:rx,u:6:wx,u:7:rwx,u:8:-,g:1:r,g:2:w,g:3:x,g:4:rw"]);
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

fn build_links(b: &mut Builder) {
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
    b.hard("links/z/large", b"links/a/l\xffarge\n, :=".to_vec());
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
fn build_order(b: &mut Builder) {
    b.dir("order");
    b.dir("order/files");
    b.dir("order/files/a").mode(0o555);
    for name in ["a/b", "a/f", "a-b", "a.txt", "a!", "a b", "a\n", "a\u{7f}", "a0"] {
        b.file(format!("order/files/{name}"), name);
    }
    b.dir("order/dirs");
    for name in ["a", "a-b", "a.txt", "a!", "a b", "a\n", "a\u{7f}", "a0", "a/a", "a/a-b", "a/a b", "a-b/a"] {
        let name = format!("order/dirs/{name}");
        b.dir(&name).mode(0o555);
        b.file(format!("{name}/x"), name.clone());
    }
    b.dir("order/empty");
    for name in ["x", "x-", "x/x", "x ", "x/x-"] {
        b.dir(format!("order/empty/{name}"));
    }
}

/// Appends to a file.
pub(crate) fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}
