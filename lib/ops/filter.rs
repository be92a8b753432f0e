//! Lets another program leave entries out of a listing.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, anyhow, bail};

use crate::core::filter::Filter;
use crate::format::listing::{End, Line, ListingError, ListingReader};
use crate::ops::CANNOT_WRITE;
use crate::report::message::Hinted;

/// Gives the command the entries of a listing, and writes the listing with those that the command
/// does not give back marked as excluded. Gives what its last line says.
///
/// # Errors
/// What keeps the listing from its end, and a command that fails.
pub fn run(
    command: &[OsString],
    listing: impl BufRead + Send + 'static,
    out: &mut dyn Write,
) -> anyhow::Result<End> {
    let [program, rest @ ..] = command else { bail!("no command") };
    let shown = program.to_string_lossy().into_owned();
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| shown.clone())?;
    let merged = merge(&mut child, &shown, listing, out);
    if merged.is_err() {
        // It may wait for more.
        let _ = child.kill();
    }
    let status = child.wait().with_context(|| shown.clone())?;
    let end = merged?;
    if !status.success() {
        let hint = "what it left out is not used: it must exit with status 0";
        return Err(Hinted::wrap(anyhow!("{shown}: {status}"), hint));
    }
    writeln!(out, "{end}").context(CANNOT_WRITE)?;
    Ok(end)
}

/// Writes all but the last line.
fn merge(
    child: &mut Child,
    shown: &str,
    listing: impl BufRead + Send + 'static,
    out: &mut dyn Write,
) -> anyhow::Result<End> {
    let given = child.stdin.take().context("no pipe to the command")?;
    let mut kept = BufReader::new(child.stdout.take().context("no pipe from the command")?);
    let lines = feed(listing, given);
    let mut filter = Filter::default();
    let (mut line, mut next) = (Vec::new(), Vec::new());
    let mut asked = false;
    for read in lines {
        let entry = match read? {
            Line::Header(header) => {
                writeln!(out, "{header}").context(CANNOT_WRITE)?;
                continue;
            }
            Line::Entry(entry) => entry,
            Line::End(said) => {
                if next.is_empty() {
                    kept.read_until(b'\n', &mut next).with_context(|| shown.to_owned())?;
                }
                if !next.is_empty() {
                    let line = String::from_utf8_lossy(next.trim_ascii_end());
                    let hint = "a filter may leave out lines, but not change, add or reorder them";
                    return Err(Hinted::wrap(
                        anyhow!(
                            "{shown} wrote a line that does not come next in the listing: {line}"
                        ),
                        hint,
                    ));
                }
                return Ok(filter.finish(said));
            }
        };
        line.clear();
        entry.write(&mut line);
        if Filter::is_asked(&entry) && next.is_empty() {
            kept.read_until(b'\n', &mut next).with_context(|| shown.to_owned())?;
        }
        let is_kept = Filter::is_asked(&entry) && next == line;
        if is_kept {
            next.clear();
        }
        if !is_kept && !std::mem::replace(&mut asked, true) {
            bail!("{shown} left out the source itself, the line that begins with a single dot");
        }
        asked = true;
        if let Some(entry) = filter.handle_entry(entry, is_kept) {
            line.clear();
            entry.write(&mut line);
            out.write_all(&line).context(CANNOT_WRITE)?;
        }
    }
    bail!("the listing stopped unexpectedly")
}

/// Reads the listing, and gives the command what it is asked about.
fn feed(
    listing: impl BufRead + Send + 'static,
    given: ChildStdin,
) -> Receiver<Result<Line, ListingError>> {
    let (send, lines) = channel();
    std::thread::spawn(move || read(ListingReader::new(listing), given, &send));
    lines
}

fn read(
    mut reader: ListingReader<impl BufRead>,
    given: ChildStdin,
    lines: &Sender<Result<Line, ListingError>>,
) {
    let mut given = Some(BufWriter::new(given));
    let mut text = Vec::new();
    loop {
        let line = match reader.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => return drop(lines.send(Err(error))),
        };
        if let Line::Entry(entry) = &line
            && Filter::is_asked(entry)
            && let Some(pipe) = &mut given
        {
            text.clear();
            entry.write(&mut text);
            let written = pipe.write_all(&text);
            if written.is_err() {
                given = None;
            }
            if let Err(error) = written.or_else(unless_unwanted) {
                return drop(lines.send(Err(error.into())));
            }
        }
        if matches!(line, Line::End(_)) {
            let flushed = given.take().map_or(Ok(()), |mut pipe| pipe.flush());
            if let Err(error) = flushed.or_else(unless_unwanted) {
                return drop(lines.send(Err(error.into())));
            }
        }
        if lines.send(Ok(line)).is_err() {
            return;
        }
    }
}

/// A command may want no more, as head does.
fn unless_unwanted(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
