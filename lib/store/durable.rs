//! The one place that writes files so that they last: whole or not at all, never over another, and
//! on disk before it says so.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, OFlags};
use rustix::io::Errno;

/// Prefix of temporary names, where the file system cannot do without a name.
const TEMPORARY: &str = ".dura-";

/// Writes a new file. `Err(AlreadyExists)` if there is one, whatever it holds, but for an empty
/// one, which is replaced.
///
/// `unnamed` is false where files must have names from the start.
pub(super) fn create_new(path: &Path, bytes: &[u8], unnamed: bool) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    match link_unnamed(dir, path, bytes, unnamed) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => link_named(dir, path, bytes)?,
        other => other?,
    }
    sync_dir(dir)
}

/// Writes a file without a name and links it into place: a run that is killed leaves nothing
/// behind.
fn link_unnamed(dir: &Path, path: &Path, bytes: &[u8], unnamed: bool) -> io::Result<()> {
    if !unnamed {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flags = OFlags::TMPFILE.bits() as i32;
    let mut file = match OpenOptions::new().write(true).mode(0o666).custom_flags(flags).open(dir) {
        Ok(file) => file,
        // Kernels and file systems without O_TMPFILE take it for an attempt to open the directory
        // itself.
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL)
            ) =>
        {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Err(error) => return Err(error),
    };
    file.write_all(bytes)?;
    file.sync_all()?;
    let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    match rustix::fs::linkat(CWD, &own, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) if is_empty(path)? => Err(io::ErrorKind::Unsupported.into()),
        // Without /proc, or without hard links.
        Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::XDEV) if dir.exists() => {
            Err(io::ErrorKind::Unsupported.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The same by a temporary name in the same directory.
fn link_named(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file =
        tempfile::Builder::new().prefix(TEMPORARY).permissions(permissions).tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists && is_empty(path)? => {
            failed.file.persist(path).map(|_| ()).map_err(|failed| failed.error)
        }
        Err(failed) => Err(failed.error),
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    std::fs::symlink_metadata(path).map(|stat| stat.is_file() && stat.len() == 0)
}

/// Puts a file in place of another or none: afterwards there is the old one or the new, whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file =
        tempfile::Builder::new().prefix(TEMPORARY).permissions(permissions).tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    sync_dir(dir)
}

/// Removes a file, durably.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Puts a file in place of another, whole or not at all, but not made to last: for what can be had
/// again.
pub(super) fn replace_lightly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path).map(|_| ()).map_err(|failed| failed.error)
}

/// Makes a directory that only its owner may look into, and those above it.
pub(super) fn create_private_dirs(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(dir)
}

/// Makes a directory and those above it, durably.
pub(super) fn create_dirs(dir: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o777).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dirs(dir.parent().ok_or(error)?)?;
            return create_dirs(dir);
        }
        Err(error) => return Err(error),
    }
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        // Some network file systems cannot sync a directory, and need not.
        Err(error)
            if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::OPNOTSUPP)) =>
        {
            Ok(())
        }
        other => other,
    }
}
