//! The program's own stdin and stdout.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;

use super::ahead::Ahead;

/// How much a pipe should hold: fewer switches between the programs of a pipe. The kernel gives less where it must.
const PIPE: usize = 1 << 20;

/// Buffers of the programs' ends.
const BUFFER: usize = 256 << 10;

fn own(stream: impl AsFd) -> io::Result<File> {
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    widen(&file);
    Ok(file)
}

/// Lets a pipe hold more, if the system allows it, and if it is one.
pub(super) fn widen(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE);
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

    /// Writes out what is buffered. Must end every program that writes: a dropped buffer would swallow "no space left".
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
