//! Paths to the entries of an open directory, for what the system takes by path alone.

use std::cell::OnceCell;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;

thread_local! {
    /// Whether this thread has a working directory of its own.
    static OWN: OnceCell<bool> = const { OnceCell::new() };
}

/// What stands before a name in a path to an entry of a directory; nothing if the directory becomes
/// this thread's own.
///
/// Attributes can only be listed by a path. A thread whose working directory is the entry's has the
/// shortest one; where the system gives threads no directory of their own, the path leads through
/// `/proc`.
pub(super) fn before(dir: BorrowedFd<'_>) -> Option<PathBuf> {
    let unshare = || nix::sched::unshare(CloneFlags::CLONE_FS).is_ok();
    let own = OWN.with(|own| *own.get_or_init(unshare));
    let is_here = own && rustix::process::fchdir(dir).is_ok();
    (!is_here).then(|| format!("/proc/self/fd/{}", dir.as_raw_fd()).into())
}

/// Calls `ask` with a path to an entry of a directory, whatever its length is from the root. The
/// path is good in this thread, for this call.
pub(super) fn near<T>(dir: impl AsFd, name: &CStr, ask: impl FnOnce(&Path) -> T) -> T {
    let name = Path::new(OsStr::from_bytes(name.to_bytes()));
    match before(dir.as_fd()) {
        None => ask(name),
        Some(before) => ask(&before.join(name)),
    }
}
