//! The one place that writes files so that they last: whole or not at all, never over another, and
//! on disk before it says so.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags};
use rustix::io::Errno;
use tempfile::TempPath;

/// Prefix of temporary names, where the file system cannot do without a name.
const TEMPORARY: &str = ".dura-";

/// How a new file comes to its name, the best way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// It has none until it is whole, and is linked: a run that is killed leaves nothing behind.
    Unnamed,
    /// It has a temporary name until it is whole, and is renamed over nothing, or linked.
    Renamed,
    /// It is written under its name, and read back: a run that is killed can leave a piece.
    InPlace,
}

/// What is known of a file system: what it cannot do is asked of it once.
#[derive(Debug)]
pub(super) struct FileSystem {
    way: Mutex<Way>,
    news: Mutex<Vec<&'static str>>,
    told: AtomicBool,
}

/// Said once, of file systems that can do no better.
const IN_PLACE: &str = "this file system has neither hard links nor a rename that never replaces: writing each object under its own name and reading it back; a run that is killed can leave a part of one, which the next run replaces";
const NO_SYNC: &str =
    "this file system cannot flush folders: the last objects can be lost in a power failure";

impl FileSystem {
    /// One of which it is known that it can do no better than `way`.
    pub(super) fn knows(way: Way) -> FileSystem {
        FileSystem { way: Mutex::new(way), news: Mutex::default(), told: AtomicBool::new(false) }
    }

    /// What has to be said of it, each once.
    pub(super) fn news(&self) -> Vec<&'static str> {
        std::mem::take(&mut *lock(&self.news))
    }

    /// Writes a new file. `Err(AlreadyExists)` if there is one, whatever it holds, but for an empty
    /// one, which is replaced.
    pub(super) fn create_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let known = *lock(&self.way);
        let ways = [Way::Unnamed, Way::Renamed, Way::InPlace];
        let mut lacking = io::ErrorKind::Unsupported.into();
        for way in ways.into_iter().filter(|way| *way >= known) {
            let written = match way {
                Way::Unnamed => link_unnamed(dir, path, bytes),
                Way::Renamed => rename_new(dir, path, bytes, known < way),
                Way::InPlace => write_in_place(path, bytes),
            };
            match written {
                // Of what the better ways said, this is not the reason: it is why they are better.
                Err(error) if way < Way::InPlace && is_lacking(&error) => lacking = error,
                // Nothing can be written here at all, and the first to say so knows best.
                Err(error) if way > known && is_lacking(&error) => return Err(lacking),
                Err(error) => return Err(error),
                // A file of 0 bytes that gives way is written by another way without that being
                // the file system's.
                Ok(WriteResult::GaveWay) => return self.sync_dir(dir),
                Ok(WriteResult::New) => {
                    self.learn(way);
                    return self.sync_dir(dir);
                }
            }
        }
        Err(lacking)
    }

    fn learn(&self, way: Way) {
        let mut known = lock(&self.way);
        if way == Way::InPlace && *known < way {
            lock(&self.news).push(IN_PLACE);
        }
        *known = way.max(*known);
    }

    /// Puts a file in place of another or none: afterwards there is the old one or the new, whole.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let named = write_named(dir, bytes)?;
        named.persist(path).map_err(|failed| failed.error)?;
        self.sync_dir(dir)
    }

    /// Removes a file, durably.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)?;
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }

    /// Makes a directory and those above it, durably.
    pub(super) fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(0o777).create(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dirs(dir.parent().ok_or(error)?)?;
                // Some file systems say the same where nothing can be made at all.
                std::fs::DirBuilder::new().mode(0o777).create(dir)?;
            }
            Err(error) => return Err(error),
        }
        match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => self.sync_dir(Path::new(".")),
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    /// Moves a directory to where none is, durably.
    pub(super) fn move_dir(&self, from: &Path, to: &Path) -> io::Result<()> {
        let parent = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
        self.create_dirs(&parent(to))?;
        std::fs::rename(from, to)?;
        self.sync_dir(&parent(to))?;
        self.sync_dir(&parent(from))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match File::open(dir).and_then(|dir| dir.sync_all()) {
            // Many file systems of networks and in user space cannot, and some need not.
            Err(error) if is_lacking(&error) || is_unsyncable(&error) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    lock(&self.news).push(NO_SYNC);
                }
                Ok(())
            }
            other => other,
        }
    }
}

/// Whether a file system says so of what it cannot do at all. EACCES and EPERM say it on some, and
/// that this user may not on others: where nothing can be written, every way ends with them.
fn is_lacking(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(
            Errno::from_io_error(error),
            Some(
                Errno::PERM
                    | Errno::ACCESS
                    | Errno::NOSYS
                    | Errno::OPNOTSUPP
                    | Errno::MLINK
                    | Errno::INVAL
                    | Errno::XDEV
                    | Errno::NOTTY
            )
        )
}

/// What an open or fsync of a directory says where that cannot be done.
fn is_unsyncable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::ISDIR))
}

enum WriteResult {
    New,
    /// An empty file was there, and is replaced.
    GaveWay,
}

/// Writes a file without a name and links it into place.
fn link_unnamed(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<WriteResult> {
    let flags = OFlags::TMPFILE.bits() as i32;
    let mut file = match OpenOptions::new().write(true).mode(0o666).custom_flags(flags).open(dir) {
        Ok(file) => file,
        // Kernels and file systems without O_TMPFILE take it for an attempt to open the directory
        // itself.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ISDIR) => {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Err(error) => return Err(error),
    };
    file.write_all(bytes)?;
    file.sync_all()?;
    let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    match rustix::fs::linkat(CWD, &own, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(WriteResult::New),
        Err(Errno::EXIST) if is_empty(path)? => {
            drop(file);
            write_named(dir, bytes)?.persist(path).map_err(|failed| failed.error)?;
            Ok(WriteResult::GaveWay)
        }
        // Without /proc.
        Err(Errno::NOENT) if dir.exists() => Err(io::ErrorKind::Unsupported.into()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file under a temporary name in the same directory, to be renamed.
fn write_named(dir: &Path, bytes: &[u8]) -> io::Result<TempPath> {
    let open = |path: &Path| new_file(path, 0o666);
    let (mut file, path) =
        tempfile::Builder::new().prefix(TEMPORARY).make_in(dir, open)?.into_parts();
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(path)
}

fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// The same, renamed over nothing, or linked where that is not to be had. With `probe`, first looks
/// whether the file system refuses to rename over something.
fn rename_new(dir: &Path, path: &Path, bytes: &[u8], probe: bool) -> io::Result<WriteResult> {
    if probe {
        refuses_to_replace(dir)?;
    }
    let named = write_named(dir, bytes)?;
    match named.persist_noclobber(path) {
        Ok(()) => Ok(WriteResult::New),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists && is_empty(path)? => {
            failed.path.persist(path).map_err(|failed| failed.error)?;
            Ok(WriteResult::GaveWay)
        }
        Err(failed) => Err(failed.error),
    }
}

/// Fails with `Unsupported` on a file system that takes no notice of the condition of a rename.
fn refuses_to_replace(dir: &Path) -> io::Result<()> {
    // Not empty: rclone stores an empty file some time after it was closed, and then it would be
    // there again after it was removed.
    let (from, to) = (write_named(dir, b".")?, write_named(dir, b".")?);
    match from.persist_noclobber(&to) {
        Ok(()) => Err(io::ErrorKind::Unsupported.into()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

/// Writes a file under its own name, and reads it back. What a failed write leaves is taken away.
///
/// An empty file gives way; but it may be one that another has made a moment ago and is about to
/// write. So whoever has the lock of it writes, and only as long as it is empty.
fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<WriteResult> {
    let (mut file, written) = match new_file(path, 0o666) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_empty(path)? => {
            (OpenOptions::new().write(true).open(path)?, WriteResult::GaveWay)
        }
        file => (file?, WriteResult::New),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(io::ErrorKind::AlreadyExists.into()),
        // Where there are no locks, only the name is one.
        _ if file.metadata()?.len() > 0 => return Err(io::ErrorKind::AlreadyExists.into()),
        _ => {}
    }
    let stored = file.write_all(bytes).and_then(|()| file.sync_all());
    // Some file systems store a file when it is closed: it is read back after that.
    drop(file);
    let stored = stored.and_then(|()| match std::fs::read(path)? == bytes {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "differs from what was written when read back",
        )),
    });
    stored.inspect_err(|_| drop(std::fs::remove_file(path))).map(|()| written)
}

fn is_empty(path: &Path) -> io::Result<bool> {
    std::fs::symlink_metadata(path).map(|stat| stat.is_file() && stat.len() == 0)
}

/// Puts a file in place of another, whole or not at all, but not made to last: for what can be had
/// again.
pub(super) fn replace_lightly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fill_lightly(path, |mut file| file.write_all(bytes))
}

/// The same for what is written bit by bit; gives what `fill` gives.
pub(super) fn fill_lightly<T>(
    path: &Path,
    fill: impl FnOnce(&File) -> io::Result<T>,
) -> io::Result<T> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir)?;
    let filled = fill(file.as_file())?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(filled)
}

/// Gives a file another name, for what can be had again.
pub(super) fn rename_lightly(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Makes a directory that only its owner may look into, and those above it.
pub(super) fn create_private_dirs(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(dir)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
