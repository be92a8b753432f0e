//! The program's own stdin, stdout and stderr.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

/// How much a pipe should hold: fewer switches between the programs of a pipe. The kernel gives
/// less where it must.
const PIPE: usize = 1 << 20;

/// Buffers of the programs' ends, and what is written at once.
pub(super) const BUFFER: usize = 256 << 10;

/// What a pipe holds less than its size when pages of it are not full.
const MARGIN: usize = BUFFER / 4;

/// A standard stream. Where another program has set O_NONBLOCK on it (forwarders of logs, ssh and
/// node do), it waits until the stream is ready.
pub struct Standard(File);

impl Standard {
    fn own(stream: impl AsFd) -> io::Result<Standard> {
        let file = File::from(stream.as_fd().try_clone_to_owned()?);
        widen(&file);
        Ok(Standard(file))
    }
}

/// Whoever read this program's output has ended.
#[derive(Debug, thiserror::Error)]
#[error("the next program has ended")]
struct ReaderGone;

/// Whether an error says that the program which reads stdout has ended.
pub fn is_reader_gone(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ReaderGone>())
}

/// The error that says so.
pub fn reader_gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, ReaderGone)
}

impl From<File> for Standard {
    fn from(file: File) -> Standard {
        Standard(file)
    }
}

impl AsFd for Standard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Standard {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        when_ready(self.0.as_fd(), PollFlags::IN, || (&self.0).read(bytes))
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        when_ready(self.0.as_fd(), PollFlags::OUT, || (&self.0).write(bytes)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe => reader_gone(),
                _ => error,
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Does `attempt`; waits and does it again as long as the stream is not ready.
fn when_ready<T>(
    stream: BorrowedFd<'_>,
    ready: PollFlags,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::from_borrowed_fd(stream, ready)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            outcome => return outcome,
        }
    }
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
///
/// # Errors
/// If it is closed, or not open for reading.
pub fn stdin() -> io::Result<BufReader<Standard>> {
    if let Some(why) = stdin_refuses() {
        return Err(io::Error::other(why));
    }
    Ok(BufReader::with_capacity(BUFFER, Standard::own(io::stdin())?))
}

/// A file that somebody names to a program: `-` is stdin.
///
/// # Errors
/// If it cannot be opened, or as of [`stdin`].
pub fn file_or_stdin(file: &Path) -> io::Result<Box<dyn Read>> {
    match file.as_os_str() == "-" {
        true => Ok(Box::new(stdin()?)),
        false => Ok(Box::new(File::open(file)?)),
    }
}

/// Stdin of a program that may wait long for what comes: ends with an error when nobody reads its
/// stdout any more.
struct Attended(Standard);

impl Read for Attended {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let stdout = io::stdout();
        let mut ends = [
            PollFd::new(&self.0, PollFlags::IN),
            PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty()),
        ];
        // What cannot be polled can be read.
        if poll(&mut ends, None).is_ok() && ends[1].revents().contains(PollFlags::ERR) {
            return Err(reader_gone());
        }
        self.0.read(bytes)
    }
}

/// Stdin with a buffer; an error when nobody reads stdout any more, also if nothing comes.
///
/// # Errors
/// As of [`stdin`].
pub fn attended_stdin() -> io::Result<BufReader<impl Read>> {
    let input = stdin()?;
    Ok(BufReader::with_capacity(BUFFER, Attended(input.into_inner())))
}

/// Stdout with a buffer that says so when it cannot be emptied.
pub struct Output(BufWriter<Standard>);

/// Stdout with a buffer.
///
/// # Errors
/// If it is closed, or not open for writing.
pub fn stdout() -> io::Result<Output> {
    Ok(Output(buffered(Standard::own(io::stdout())?)))
}

/// Writes a message to stderr at once.
///
/// # Errors
/// What the system says.
pub fn tell(text: &str) -> io::Result<()> {
    let stderr = io::stderr();
    let mut lock = stderr.lock();
    let mut bytes = text.as_bytes();
    while !bytes.is_empty() {
        match when_ready(stderr.as_fd(), PollFlags::OUT, || lock.write(bytes)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn buffered(stream: Standard) -> BufWriter<Standard> {
    BufWriter::with_capacity(BUFFER, stream)
}

impl Output {
    /// Any file with a buffer, in the place of stdout.
    #[cfg(test)]
    pub(crate) fn to(file: File) -> Output {
        Output(buffered(file.into()))
    }

    /// The stream without its buffer, which is written out.
    pub(super) fn into_stream(self) -> io::Result<Standard> {
        self.0.into_inner().map_err(io::IntoInnerError::into_error)
    }

    /// Writes out what is buffered. Must end every program that writes: a dropped buffer would
    /// swallow "no space left".
    ///
    /// # Errors
    /// If anything could not be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Output {
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

/// Why nothing can be written to stdout, if that can be seen beforehand.
///
/// A stream that was closed when the program began is now `/dev/null`, opened the wrong way round:
/// `bin/startup.c` does that before Rust's library would put a `/dev/null` there that takes all.
pub fn stdout_refuses() -> Option<&'static str> {
    match opened_as(io::stdout(), OFlags::RDONLY) {
        Some(Wrong::Closed) => Some("standard output is closed"),
        Some(Wrong::Way) => Some("standard output is not open for writing"),
        None => None,
    }
}

fn stdin_refuses() -> Option<&'static str> {
    match opened_as(io::stdin(), OFlags::WRONLY) {
        Some(Wrong::Closed) => Some("standard input is closed"),
        Some(Wrong::Way) => Some("standard input is not open for reading"),
        None => None,
    }
}

/// How a standard stream cannot be used.
enum Wrong {
    Closed,
    Way,
}

/// Whether the stream is open in this way alone, which is of no use.
fn opened_as(stream: impl AsFd, way: OFlags) -> Option<Wrong> {
    let flags = rustix::fs::fcntl_getfl(&stream).ok()?;
    let stat = rustix::fs::fstat(&stream).ok()?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    (flags & OFlags::RWMODE == way).then_some(if is_null { Wrong::Closed } else { Wrong::Way })
}

/// True if stdout is a terminal.
pub fn stdout_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdout())
}

/// True if stdout is a file, which nobody reads before it is whole.
pub fn stdout_is_file() -> bool {
    rustix::fs::fstat(io::stdout())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// True if stdin and stdout are pipes: this program stands between two others.
pub fn is_between() -> bool {
    let is_pipe = |stream: BorrowedFd<'_>| {
        rustix::fs::fstat(stream)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
    };
    is_pipe(io::stdin().as_fd()) && is_pipe(io::stdout().as_fd())
}

/// True if stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// How many columns the terminal at stderr says that it has.
pub fn stderr_columns() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// True if stdin is a terminal.
pub fn stdin_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}
