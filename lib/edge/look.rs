//! What the system says of an entry of an open directory.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FsPath, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{self, At};
use super::near::before;
use super::source::SourceRoot;
use super::walk::OpenDirectory;
use crate::format::entry::{Entry, EntryState, Inode, Kind, Meta};
use crate::format::path::Path;
use crate::format::time::Time;

/// Neither a symbolic link is followed nor a file system mounted by a look.
const STILL: AtFlags = AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::NO_AUTOMOUNT);

/// An entry as it was found.
#[derive(Debug)]
pub struct Looked {
    /// What is listed of it, without `hard`.
    pub entry: Entry,
    /// Why its attributes could not be listed. The entry then has no ctime, so that pack asks once
    /// more, and a later scan does not take it for unchanged.
    pub unlisted: Option<io::Error>,
}

/// Looks at entries of one directory.
#[derive(Debug)]
pub struct Looker<'a> {
    place: &'a OpenDirectory,
    /// What stands before a name in a path to it; nothing if the directory is the thread's own.
    before: Option<PathBuf>,
}

/// The kind of a file; none for a socket.
pub fn kind(file_type: FileType) -> Option<Kind> {
    match file_type {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Dir),
        FileType::Symlink => Some(Kind::Link),
        FileType::Fifo => Some(Kind::Fifo),
        FileType::CharacterDevice => Some(Kind::Char),
        FileType::BlockDevice => Some(Kind::Block),
        FileType::Socket | FileType::Unknown => None,
    }
}

/// What `lstat` says of an entry.
///
/// # Errors
/// What the system says.
pub fn stat(place: &OpenDirectory, name: &CStr) -> io::Result<Stat> {
    Ok(rustix::fs::statat(place, name, STILL)?)
}

impl<'a> Looker<'a> {
    /// Looks at entries of `place` from here on.
    pub fn new(place: &'a OpenDirectory) -> Looker<'a> {
        Looker { place, before: before(place.as_fd()) }
    }

    /// Looks at an entry; none for a socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn look(&self, name: &CStr) -> io::Result<Option<Looked>> {
        let stat = stat(self.place, name)?;
        let Some(kind) = kind(FileType::from_raw_mode(stat.st_mode)) else { return Ok(None) };
        let mut entry = describe(self.place.path.child(name.to_bytes()), kind, &stat);
        if kind == Kind::Link {
            let target = rustix::fs::readlinkat(self.place, name, Vec::new())?;
            entry.link = Some(target.into_bytes());
        }
        let name = FsPath::new(OsStr::from_bytes(name.to_bytes()));
        let attributes = match &self.before {
            None => attributes::any(At::Path(name)),
            Some(before) => attributes::any(At::Path(&before.join(name))),
        };
        Looked::new(entry, attributes).map(Some)
    }
}

/// Looks at the directory itself.
///
/// # Errors
/// What the system says.
pub fn look_at_open(place: &OpenDirectory) -> io::Result<Looked> {
    let stat = rustix::fs::fstat(place)?;
    let entry = describe(place.path.clone(), Kind::Dir, &stat);
    Looked::new(entry, attributes::any(At::File(place.as_fd())))
}

/// What an entry is now that was seen before, but for its attributes; none if it cannot be looked
/// at.
pub fn look_again(source: &SourceRoot, path: &Path) -> Option<Entry> {
    let stat = source.stat(path).ok()?;
    let mut entry = describe(path.clone(), kind(FileType::from_raw_mode(stat.st_mode))?, &stat);
    if entry.kind == Kind::Link {
        entry.link = Some(source.read_link(path).ok()?);
    }
    Some(entry)
}

impl Looked {
    fn new(mut entry: Entry, attributes: io::Result<bool>) -> io::Result<Looked> {
        let unlisted = match attributes {
            Ok(any) => {
                entry.x = any;
                None
            }
            // The entry itself would not be found either.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                entry.ctime = None;
                Some(error)
            }
        };
        Ok(Looked { entry, unlisted })
    }
}

fn describe(path: Path, kind: Kind, stat: &Stat) -> Entry {
    let meta = Meta {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        time: Time { sec: stat.st_mtime, nsec: stat.st_mtime_nsec as u32 },
    };
    let mut entry = Entry::new(path, kind, EntryState::Present(meta));
    entry.ctime = Some(Time { sec: stat.st_ctime, nsec: stat.st_ctime_nsec as u32 });
    let several = kind != Kind::Dir && stat.st_nlink > 1;
    entry.nlink = (kind == Kind::File || several).then_some(stat.st_nlink);
    entry.inode = several.then_some(Inode { dev: stat.st_dev, ino: stat.st_ino });
    match kind {
        Kind::File => entry.size = Some(stat.st_size as u64),
        Kind::Char | Kind::Block => {
            let rdev = stat.st_rdev;
            entry.device = Some((rustix::fs::major(rdev), rustix::fs::minor(rdev)));
        }
        Kind::Dir | Kind::Link | Kind::Fifo => {}
    }
    entry
}

/// The name of the file that tags a cache.
pub const CACHE_TAG: &CStr = c"CACHEDIR.TAG";

/// True if the directory says by a CACHEDIR.TAG that its content need not be kept.
///
/// Source: the Cache Directory Tagging Specification, <https://bford.info/cachedir/>.
pub fn is_tagged_cache(place: &OpenDirectory) -> bool {
    const SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";
    const FLAGS: OFlags =
        OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
    let is_file = |file: &OwnedFd| {
        rustix::fs::fstat(file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    };
    let Ok(file) = rustix::fs::openat(place, CACHE_TAG, FLAGS, Mode::empty()) else { return false };
    let mut start = [0; SIGNATURE.len()];
    let mut filled = 0;
    while is_file(&file) && filled < start.len() {
        match rustix::io::read(&file, &mut start[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    start == *SIGNATURE
}
