//! A version for people.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use crate::archive::named::ArchiveName;
use crate::archive::reading::{Chosen, Reading};
use crate::archive::version::Version;
use crate::edge::pipe;
use crate::format::entry::{Entry, Kind, Meta, push_number};
use crate::format::path;
use crate::format::time::Stamp;
use crate::ops::CANNOT_WRITE;
use crate::ops::asked;
use crate::report::message::Report;

/// What is listed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// These paths, and what lies below them [default: all].
    pub paths: Vec<OsString>,
    /// Files with more of them.
    pub files_from: Vec<PathBuf>,
    /// Only what lies directly in a path.
    pub one_level: bool,
}

/// Writes a line an entry: mode, owner, size, time in UTC, path; with the target of a link.
///
/// # Errors
/// What keeps the listing from its end.
pub fn run(options: &Options, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<()> {
    let Chosen { archive, chain } = reading.version(&options.archive, report)?;
    let typed = asked::typed(&options.paths, &options.files_from)?;
    let mut selection = asked::select(&archive, &chain, typed, &[], report)?;
    let paths = selection.paths();
    let mut version = Version::open_part(&archive, &chain, paths.as_deref(), report)?;
    let mut out = pipe::stdout()?;
    let mut line = Vec::new();
    while let Some(placed) = version.next_entry()? {
        let Entry { path, kind, .. } = &placed.entry;
        let Some(meta) = placed.entry.meta() else { continue };
        if !selection.wants(path, *kind == Kind::Dir) {
            continue;
        }
        let top = selection.innermost().map_or(0, path::Path::depth);
        if options.one_level && path.depth() > top + 1 {
            continue;
        }
        line.clear();
        write_line(&mut line, &placed.entry, meta);
        out.write_all(&line).context(CANNOT_WRITE)?;
    }
    asked::tell_of_missing(&selection, report)?;
    out.finish().context(CANNOT_WRITE)
}

fn write_line(out: &mut Vec<u8>, entry: &Entry, meta: &Meta) {
    const WIDTH: usize = 12;
    out.extend(mode_text(entry.kind, meta.mode));
    out.push(b' ');
    push_number(out, meta.uid.into());
    out.push(b'/');
    push_number(out, meta.gid.into());
    out.push(b' ');
    let start = out.len();
    match entry.device {
        Some((major, minor)) => {
            push_number(out, major.into());
            out.push(b',');
            push_number(out, minor.into());
        }
        None => push_number(out, entry.size.unwrap_or(0)),
    }
    let digits = out.len() - start;
    out.splice(start..start, std::iter::repeat_n(b' ', WIDTH.saturating_sub(digits)));
    out.push(b' ');
    match Stamp::from_unix(meta.time.sec) {
        Some(stamp) => stamp.push_plain(out),
        None => out.extend(meta.time.to_string().into_bytes()),
    }
    out.push(b' ');
    out.extend(entry.path.as_bytes());
    if let Some(target) = &entry.link {
        out.extend(b" -> ");
        path::encode(target, out);
    }
    if let Some(first) = &entry.hard {
        out.extend(b" link to ");
        out.extend(first.as_bytes());
    }
    out.push(b'\n');
}

/// The mode as ls(1) writes it.
fn mode_text(kind: Kind, mode: u32) -> [u8; 10] {
    let first = match kind {
        Kind::File => b'-',
        Kind::Dir => b'd',
        Kind::Link => b'l',
        Kind::Fifo => b'p',
        Kind::Char => b'c',
        Kind::Block => b'b',
    };
    let mut text = [first; 10];
    let classes = [(6, 0o4000, b's', b'S'), (3, 0o2000, b's', b'S'), (0, 0o1000, b't', b'T')];
    for (at, (shift, special, set, unset)) in [1, 4, 7].into_iter().zip(classes) {
        let bits = mode >> shift;
        text[at] = if bits & 4 == 0 { b'-' } else { b'r' };
        text[at + 1] = if bits & 2 == 0 { b'-' } else { b'w' };
        text[at + 2] = match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => b'x',
            (false, false) => b'-',
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_as_in_ls() {
        for (kind, mode, text) in [
            (Kind::File, 0o644, "-rw-r--r--"),
            (Kind::Dir, 0o1777, "drwxrwxrwt"),
            (Kind::Dir, 0o1776, "drwxrwxrwT"),
            (Kind::File, 0o6755, "-rwsr-sr-x"),
            (Kind::File, 0o6644, "-rwSr-Sr--"),
            (Kind::Link, 0o777, "lrwxrwxrwx"),
            (Kind::Fifo, 0, "p---------"),
        ] {
            assert_eq!(mode_text(kind, mode), *text.as_bytes());
        }
    }
}
