//! Content that one program hands over to another beside the pipe between them: by a socket in a
//! folder that nobody else may enter. Either end sees at once when the other one has gone, which
//! the ends of a FIFO do not before they are open.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use tempfile::TempDir;

use super::pipe;

/// How often it is told that nobody has come yet.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Content that waits for its reader.
#[derive(Debug)]
pub struct Offer {
    listener: UnixListener,
    path: PathBuf,
    /// Goes, with the socket, as soon as somebody has come.
    _dir: TempDir,
}

impl Offer {
    /// Makes the socket, in `TMPDIR`.
    ///
    /// # Errors
    /// What the system says; a path of 108 bytes or more is too long for a socket.
    pub fn open() -> io::Result<Offer> {
        let dir = tempfile::Builder::new().prefix("dura-").tempdir()?;
        let path = dir.path().join("stdin");
        Ok(Offer { listener: UnixListener::bind(&path)?, path, _dir: dir })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the reader; `waiting` is called now and then until it comes.
    ///
    /// # Errors
    /// If nobody reads stdout any more, so that nobody will come.
    pub fn taken(self, mut waiting: impl FnMut()) -> io::Result<UnixStream> {
        let stdout = io::stdout();
        loop {
            let mut ends = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty()),
            ];
            match poll(&mut ends, Some(&PATIENCE)) {
                Ok(0) => waiting(),
                Ok(_) if ends[1].revents().contains(PollFlags::ERR) => {
                    return Err(pipe::reader_gone());
                }
                Ok(_) => return Ok(self.listener.accept()?.0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The content that waits at a socket.
///
/// # Errors
/// What the system says: above all, that whoever offered it has ended.
pub fn take(socket: &Path) -> io::Result<impl Read + use<>> {
    UnixStream::connect(socket)
}

/// Starts a shell command whose output is to be read.
///
/// # Errors
/// What the system says.
pub fn start(command: &OsStr) -> io::Result<Child> {
    Command::new("sh").arg("-c").arg(command).stdout(Stdio::piped()).spawn()
}

/// Copies the output of a command to the reader; the command's status, and how many bytes came.
///
/// # Errors
/// If the reader has gone, or the content cannot be read.
pub fn copy(mut child: Child, mut to: UnixStream) -> io::Result<(ExitStatus, u64)> {
    let copied = child.stdout.take().map(|mut output| io::copy(&mut output, &mut to));
    // Its output is closed now, so it ends if it has not.
    let status = child.wait()?;
    Ok((status, copied.transpose()?.unwrap_or(0)))
}

/// Who makes files here: user and group.
pub fn user() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// The permissions that a shell gives to what it makes by `>` and by `mkdir`.
pub fn modes() -> (u32, u32) {
    let mask = rustix::process::umask(Mode::from(0o077));
    rustix::process::umask(mask);
    (0o666 & !mask.bits(), 0o777 & !mask.bits())
}
