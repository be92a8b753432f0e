//! Reading files of the source: opened below its root only, never through a symbolic link.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path as FsPath;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::attributes::{self, At, Attributes, UnreadAttribute};
use super::near::near;
use crate::format::entry::{Inode, Meta};
use crate::format::path::Path;
use crate::format::tarball::Segment;
use crate::format::time::Time;

/// A map of more segments is cut short: what follows counts as data. Bounds the memory for hostile
/// files.
const MAX_SEGMENTS: usize = 20_000;

/// Holes that are smaller together are stored as zeros: a map costs more than they do.
const MIN_HOLES: u64 = 16 << 10;

/// A file whose size says nothing is copied up to this size before it is stored: the header of
/// its tar entry, which comes first, says how long it is.
const MAX_SPOOL: u64 = 1 << 30;

/// What the size that `stat` gives is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeTrust {
    /// A file is as long as that, unless it is written to.
    True,
    /// A file may be longer or shorter: network file systems, and those of other programs (FUSE),
    /// which may make files up as they are read.
    Doubtful,
    /// The kernel makes the file up as it is read: `/proc`, `/sys`.
    Meaningless,
}

/// Bytes of a path that are looked up at once: the system's limit is 4096, with the NUL.
const MAX_PATH: usize = 4000;

/// Opens a directory only to get to what is in it.
const PASS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The root of the tree that is read.
#[derive(Debug)]
pub struct SourceRoot {
    root: OwnedFd,
    /// False once the kernel has shown that it has no `openat2`.
    openat2: AtomicBool,
    /// By device: only a few, since each is a file system.
    sizes: Mutex<HashMap<u64, SizeTrust>>,
}

/// What `fstat` says of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// False if it is no regular file.
    pub is_file: bool,
    /// Mode, owner, time.
    pub meta: Meta,
    /// Size in bytes.
    pub size: u64,
    /// Change time.
    pub ctime: Time,
    /// Device and inode.
    pub inode: Inode,
    /// Count of links.
    pub nlink: u64,
    /// Bytes that it takes on disk.
    pub on_disk: u64,
}

/// A file that is open for reading.
#[derive(Debug)]
pub struct SourceFile(File);

impl SourceRoot {
    /// Opens the root.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_root(dir: &FsPath) -> io::Result<SourceRoot> {
        let root = rustix::fs::open(
            dir,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(SourceRoot { root, openat2: AtomicBool::new(true), sizes: Mutex::default() })
    }

    /// Opens a file for reading, without waiting on a fifo, and without marking it as read where
    /// that is allowed.
    ///
    /// # Errors
    /// What the system says, also where a directory on the way is a symbolic link.
    pub fn open(&self, path: &Path) -> io::Result<SourceFile> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let raw = path.raw();
        let opened = match self.open_with(&raw, flags | OFlags::NOATIME) {
            // Only the owner and root may ask for that.
            Err(Errno::PERM) => self.open_with(&raw, flags),
            other => other,
        };
        Ok(SourceFile(opened?.into()))
    }

    /// What is known of sizes on the file system of an open file.
    pub fn sizes(&self, file: &SourceFile, facts: &FileStat) -> SizeTrust {
        // What has a disk of its own has sizes of its own, FUSE too.
        if rustix::fs::major(facts.inode.dev) != 0 {
            return SizeTrust::True;
        }
        let known = |known: &HashMap<u64, SizeTrust>| known.get(&facts.inode.dev).copied();
        if let Some(sizes) = self.sizes.lock().ok().and_then(|sizes| known(&sizes)) {
            return sizes;
        }
        let sizes = rustix::fs::fstatfs(&file.0)
            .map_or(SizeTrust::Doubtful, |stat| sizes_of(stat.f_type as u64));
        if let Ok(mut known) = self.sizes.lock() {
            known.insert(facts.inode.dev, sizes);
        }
        sizes
    }

    /// Whether two paths are names of one file now: all that `stat` says of them agrees.
    pub fn is_one_file(&self, one: &Path, other: &Path) -> bool {
        let stat = |path: &Path| {
            let stat = self.stat(path).ok()?;
            let time = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
            let owner = (stat.st_mode, stat.st_uid, stat.st_gid);
            Some((stat.st_dev, stat.st_ino, stat.st_nlink, stat.st_size, owner, time))
        };
        stat(one).is_some_and(|one| Some(one) == stat(other))
    }

    /// What `lstat` says of an entry.
    ///
    /// # Errors
    /// What the system says.
    pub fn stat(&self, path: &Path) -> io::Result<Stat> {
        let (dir, name) = self.above(path)?;
        Ok(rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The target of a symbolic link, raw.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_link(&self, path: &Path) -> io::Result<Vec<u8>> {
        let (dir, name) = self.above(path)?;
        Ok(rustix::fs::readlinkat(&dir, &name, Vec::new())?.into_bytes())
    }

    /// The attributes of an entry, which need not be a file, and those that could not be read.
    ///
    /// # Errors
    /// If the entry cannot be reached.
    pub fn attributes(&self, path: &Path) -> io::Result<(Attributes, Vec<UnreadAttribute>)> {
        let (dir, name) = self.above(path)?;
        Ok(near(&dir, &name, |path| attributes::read(At::Path(path))))
    }

    /// The directory that holds an entry, and its name there; the root is `.` in itself.
    fn above(&self, path: &Path) -> io::Result<(OwnedFd, CString)> {
        let raw = path.raw();
        let (dir, name) = match raw.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&raw[..slash], &raw[slash + 1..]),
            None if raw.is_empty() => (&b"."[..], &b"."[..]),
            None => (&b"."[..], &raw[..]),
        };
        Ok((self.open_with(dir, PASS)?, CString::new(name)?))
    }

    fn open_with(&self, raw: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut dir: Option<OwnedFd> = None;
        let mut rest = raw;
        // The system takes paths of so many bytes, and trees have longer ones.
        while rest.len() > MAX_PATH {
            let slash = rest[..MAX_PATH].iter().rposition(|byte| *byte == b'/');
            let Some(slash) = slash else { return Err(Errno::NAMETOOLONG) };
            let near = dir.as_ref().unwrap_or(&self.root);
            dir = Some(self.open_at(near, &rest[..slash], PASS)?);
            rest = &rest[slash + 1..];
        }
        self.open_at(dir.as_ref().unwrap_or(&self.root), rest, flags)
    }

    /// Opens what lies below a directory. A directory that was exchanged for a symbolic link since
    /// the scan must not lead elsewhere.
    fn open_at(&self, dir: &OwnedFd, raw: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.openat2.load(Ordering::Relaxed) {
            let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match rustix::fs::openat2(dir, raw, flags, Mode::empty(), inside) {
                Err(Errno::NOSYS | Errno::PERM) if !self.probe() => {}
                other => return other,
            }
        }
        // Name by name, which is slower.
        let mut names = raw.split(|byte| *byte == b'/').peekable();
        let mut found: Option<OwnedFd> = None;
        while let Some(name) = names.next() {
            let flags = if names.peek().is_some() { PASS } else { flags };
            let near = found.as_ref().unwrap_or(dir);
            found = Some(rustix::fs::openat(near, name, flags, Mode::empty())?);
        }
        found.ok_or(Errno::NOENT)
    }

    /// Asks whether `openat2` works at all: Linux before 5.6 and some sandboxes refuse it.
    fn probe(&self) -> bool {
        let works = rustix::fs::openat2(
            &self.root,
            ".",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH,
        )
        .is_ok();
        self.openat2.store(works, Ordering::Relaxed);
        works
    }
}

/// What sizes are worth on a file system without a disk of its own, by its kind (Linux
/// `include/uapi/linux/magic.h`, and `statfs(2)`).
fn sizes_of(kind: u64) -> SizeTrust {
    match kind & 0xffff_ffff {
        // btrfs, zfs, bcachefs, tmpfs, ramfs, overlay, nfs.
        0x9123_683e | 0x2fc1_2fc1 | 0xca45_1a4e | 0x0102_1994 | 0x8584_58f6 | 0x794c_7630
        | 0x6969 => SizeTrust::True,
        // proc, sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2, configfs, efivarfs, pstore,
        // selinuxfs, bpf.
        0x9fa0 | 0x6265_6572 | 0x6462_6720 | 0x7472_6163 | 0x7363_6673 | 0x0027_e0eb
        | 0x6367_7270 | 0x6265_6570 | 0xde5e_81e4 | 0x6165_676c | 0xf97c_ff8c | 0xcafe_4a11 => {
            SizeTrust::Meaningless
        }
        _ => SizeTrust::Doubtful,
    }
}

impl SourceFile {
    /// What the file is now.
    ///
    /// # Errors
    /// What the system says.
    pub fn facts(&self) -> io::Result<FileStat> {
        let stat: Stat = rustix::fs::fstat(&self.0)?;
        Ok(FileStat {
            is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            meta: Meta {
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                time: Time { sec: stat.st_mtime, nsec: stat.st_mtime_nsec as u32 },
            },
            size: stat.st_size as u64,
            ctime: Time { sec: stat.st_ctime, nsec: stat.st_ctime_nsec as u32 },
            inode: Inode { dev: stat.st_dev, ino: stat.st_ino },
            nlink: stat.st_nlink,
            on_disk: stat.st_blocks as u64 * 512,
        })
    }

    /// Appends up to `len` bytes from `offset`; fewer only at the end of the file. Returns how many
    /// came.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_at(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let start = out.len();
        out.resize(start + len, 0);
        let mut filled = 0;
        while filled < len {
            match self.0.read_at(&mut out[start + filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => {
                    out.truncate(start + filled);
                    return Err(why);
                }
            }
        }
        out.truncate(start + filled);
        Ok(filled)
    }

    /// Where the file has data, if it has holes worth keeping; the last segment ends with the file,
    /// and may be empty.
    ///
    /// # Errors
    /// What the system says.
    pub fn segments(&self, facts: &FileStat) -> io::Result<Option<Vec<Segment>>> {
        let size = facts.size;
        if facts.on_disk + MIN_HOLES > size {
            return Ok(None);
        }
        let mut segments = Vec::new();
        let mut at = 0;
        while at < size {
            let data = match rustix::fs::seek(&self.0, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => break,
                // The file system cannot tell.
                Err(Errno::INVAL | Errno::NOTSUP) => return Ok(None),
                Err(why) => return Err(why.into()),
            };
            if data >= size {
                break;
            }
            let hole = if segments.len() < MAX_SEGMENTS {
                rustix::fs::seek(&self.0, SeekFrom::Hole(data))?
            } else {
                size
            };
            at = hole.clamp(data + 1, size);
            segments.push(Segment { offset: data, len: at - data });
        }
        if segments.last().is_none_or(|last| last.offset + last.len < size) {
            // GNU tar sets the size by this entry.
            segments.push(Segment { offset: size, len: 0 });
        }
        let data: u64 = segments.iter().map(|segment| segment.len).sum();
        Ok((data + MIN_HOLES <= size).then_some(segments))
    }

    /// A copy of a file that is read to its end, whatever `stat` says of its size, and how long it
    /// is; false if there is more than is kept, or than there is room for.
    ///
    /// # Errors
    /// What the system says.
    pub fn spool(&self) -> io::Result<(SourceFile, u64, bool)> {
        let mut copy = tempfile::tempfile()?;
        let (mut len, mut buffer) = (0, Vec::new());
        loop {
            buffer.clear();
            let came = self.read_at(len, 1 << 20, &mut buffer)? as u64;
            match copy.write_all(&buffer) {
                Ok(()) => len += came,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    return Ok((SourceFile(copy), len, false));
                }
                Err(error) => return Err(error),
            }
            if came == 0 || len > MAX_SPOOL {
                return Ok((SourceFile(copy), len, came == 0));
            }
        }
    }

    /// The open file itself, for its attributes.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
