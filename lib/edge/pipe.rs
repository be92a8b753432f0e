//! The program's own stdin and stdout.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use super::ahead::Ahead;

/// How much a pipe should hold: fewer switches between the programs of a pipe. The kernel gives
/// less where it must.
const PIPE: usize = 1 << 20;

/// Buffers of the programs' ends, and what is written at once.
pub(super) const BUFFER: usize = 256 << 10;

/// What a pipe holds less than its size when pages of it are not full.
const MARGIN: usize = BUFFER / 4;

fn own(stream: impl AsFd) -> io::Result<File> {
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    widen(&file);
    Ok(file)
}

/// Lets a pipe hold more, if the system allows it, and if it is one.
pub(super) fn widen(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE);
}

/// How long a pipe is left alone, so that more can come or go at once: who waits for a few
/// kilobytes is woken for each, which takes longer than to read or write them.
pub(super) const PAUSE: Duration = Duration::from_micros(300);

/// Writes all to what may be a pipe. Fills it only when it has room for much, unless that does not
/// come soon.
pub(super) fn write_all(mut file: impl Write + AsFd, bytes: &[u8]) -> io::Result<()> {
    const PAUSES: usize = 10;
    let size = rustix::pipe::fcntl_getpipe_size(&file).unwrap_or(0);
    for piece in bytes.chunks(BUFFER) {
        let full = |file: &_| {
            rustix::io::ioctl_fionread(file)
                .is_ok_and(|held| held as usize + BUFFER + MARGIN > size)
        };
        for _ in 0..PAUSES {
            if size < 2 * BUFFER || !full(&file) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        file.write_all(piece)?;
    }
    Ok(())
}

/// Stdin with a buffer.
pub fn stdin() -> io::Result<BufReader<impl Read>> {
    Ok(BufReader::with_capacity(BUFFER, own(io::stdin())?))
}

/// Stdout with a buffer that says so when it cannot be emptied.
pub struct Out(BufWriter<File>);

/// Stdout with a buffer.
pub fn stdout() -> io::Result<Out> {
    Ok(Out::to(own(io::stdout())?))
}

impl Out {
    /// Any file with a buffer, in the place of stdout.
    pub fn to(file: File) -> Out {
        Out(BufWriter::with_capacity(BUFFER, file))
    }

    /// The same, written by another thread, with so many bytes between them at most.
    pub fn ahead(self, most: usize) -> io::Result<Ahead> {
        Ok(Ahead::to(self.0.into_inner().map_err(io::IntoInnerError::into_error)?, most))
    }

    /// Writes out what is buffered. Must end every program that writes: a dropped buffer would
    /// swallow "no space left".
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// True if stdout is a terminal.
pub fn stdout_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdout())
}

/// True if stdin is a terminal.
pub fn stdin_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}
