//! Bytes that gpg reads as a file, beside its standard input.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A line that a child reads from a pipe, under the number of the descriptor here; none for one
/// that a pipe might not take at once. What other children take over with it they do not read.
pub(super) fn through_pipe(line: &[u8]) -> io::Result<Option<OwnedFd>> {
    if line.len() > PIPE_BUF {
        return Ok(None);
    }
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::empty())?;
    File::from(write).write_all(line)?;
    Ok(Some(read))
}

/// What any pipe takes at once.
const PIPE_BUF: usize = 512;

/// Bytes under a path that gpg can open. In memory where the system allows it, since a full disk
/// must not look like a bad signature; else in a private file.
pub(super) struct Handed {
    path: PathBuf,
    _kept: PathGuard,
}

/// What has to live as long as the path.
enum PathGuard {
    Memory { _file: File },
    Disk { _file: tempfile::NamedTempFile },
}

impl Handed {
    pub(super) fn new(bytes: &[u8]) -> io::Result<Handed> {
        #[cfg(target_os = "linux")]
        if Path::new("/proc/self/fd").is_dir() {
            // Children take it over, under the same number.
            let flags = rustix::fs::MemfdFlags::empty();
            if let Ok(memory) = rustix::fs::memfd_create("dura", flags) {
                let mut file = File::from(memory);
                file.write_all(bytes)?;
                let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
                return Ok(Handed { path, _kept: PathGuard::Memory { _file: file } });
            }
        }
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        file.flush()?;
        Ok(Handed { path: file.path().to_owned(), _kept: PathGuard::Disk { _file: file } })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
