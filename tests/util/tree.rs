//! The torture tree: every kind of name, type, mode, owner, time, size, attribute and link that a
//! backup must bring back.
//!
//! Everything is created first and gets its owner, attributes, mode and time afterwards, children
//! before their directories, so that directory times and read-only directories come out as asked.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev, mknodat, utimensat,
};

use super::run::{USER, need};

mod contents;
mod shapes;

/// Who the tree belongs to, and so what can be in it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Whose {
    /// Everything: devices, foreign owners, privileged attributes. Without root, all that can then
    /// be stored and recovered.
    Root,
    /// What an ordinary user can have, with what such a user can not read or recover. Made by root,
    /// it is given to that user.
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

/// Whether this is root, for a test that shows nothing for others: it fails for them, unless they
/// have said with `DURA_TESTS_WITHOUT_ROOT` that they leave it out.
pub(crate) fn only_root() -> bool {
    let told = std::env::var_os("DURA_TESTS_WITHOUT_ROOT").is_some();
    assert!(
        root() || told,
        "only root can run this test: set DURA_TESTS_WITHOUT_ROOT to do without"
    );
    root()
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
    utimensat(CWD, path, &both, AtFlags::SYMLINK_NOFOLLOW)
        .unwrap_or_else(|e| panic!("{path:?}: {e}"));
}

/// Sets permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|e| panic!("{path:?}: {e}"));
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
    /// May hold what only root can read, or recover with GNU tar.
    trouble: bool,
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
        symlink(OsStr::from_bytes(target.as_ref()), &path)
            .unwrap_or_else(|e| panic!("{path:?}: {e}"));
        self.late(path, true, 0o777)
    }

    fn node(
        &mut self,
        name: impl AsRef<[u8]>,
        kind: FileType,
        major: u32,
        minor: u32,
    ) -> &mut Late {
        let path = at(&self.root, name);
        mknodat(CWD, &path, kind, Mode::from_raw_mode(0o644), makedev(major, minor))
            .unwrap_or_else(|e| panic!("{path:?}: {e}"));
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
                rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
                    .unwrap_or_else(|e| panic!("{path:?}: {name:?}: {e}"));
            }
            if !late.link {
                set_mode(path, late.mode);
            }
            if !late.acl.is_empty() {
                need("setfacl");
                let done =
                    Command::new("setfacl").args(&late.acl).arg("--").arg(path).status().unwrap();
                assert!(done.success(), "setfacl {:?} {path:?}", late.acl);
            }
            set_time(path, late.time.0, late.time.1);
        }
    }
}

/// Builds the tree in `dir`, which must not be there yet.
pub(crate) fn torture(dir: &Path, whose: Whose) -> Torture {
    let privileged = whose == Whose::Root && root();
    fs::create_dir(dir).unwrap();
    let mut b = Builder {
        root: dir.to_path_buf(),
        privileged,
        trouble: privileged || whose == Whose::User,
        late: vec![],
    };
    b.late(dir.to_path_buf(), false, 0o755).time(1_400_000_000, 123_456_789);
    let (unreadable, unread) = shapes::build(&mut b);
    contents::build(&mut b);
    b.finish((root() && whose == Whose::User).then_some((USER, USER)));
    Torture {
        dir: dir.to_path_buf(),
        sockets: vec![b"types/socket".to_vec(), b"types/so\ncket \xff".to_vec()],
        unreadable,
        unread,
    }
}

/// Appends to a file.
pub(crate) fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}
