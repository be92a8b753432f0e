//! Taking a mount away again.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::statvfs;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount as system_unmount};

/// The helper that lets an ordinary user mount and unmount.
pub const HELPER: &str = "fusermount3";

/// Whether a mount is there whose program has ended.
pub fn is_stale(dir: &Path) -> bool {
    statvfs(dir).is_err_and(|error| error == Errno::NOTCONN)
}

/// Unmounts a directory, `lazily` also if somebody uses it: then it goes when nobody does any more.
///
/// # Errors
/// What the system says: of a directory that is in use, [`io::ErrorKind::ResourceBusy`].
pub fn unmount(dir: &Path, lazily: bool) -> io::Result<()> {
    let flags = if lazily { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match system_unmount(dir, flags) {
        Err(Errno::PERM) => {}
        done => return Ok(done?),
    }
    let mut helper = Command::new(HELPER);
    helper.arg(if lazily { "-uzq" } else { "-uq" }).arg("--").arg(dir).stdin(Stdio::null());
    match helper.output()?.status.success() {
        true => Ok(()),
        // It says little else.
        false => Err(io::ErrorKind::ResourceBusy.into()),
    }
}
