//! A version for people.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::named::ArchiveName;
use crate::archive::reading::{Chosen, ReadOptions};
use crate::archive::version::Version;
use crate::core::sums::{DirectorySum, DirectorySums};
use crate::format::entry::{Entry, Kind, Meta, push_number};
use crate::format::path;
use crate::format::time::Stamp;
use crate::ops::asked;
use crate::ops::records::{Fields, Records, time_fields};
use crate::report::message::Report;

/// What the columns of sums are, for people: scripts get lines alone.
const SUMS_HEADING: &str = "bytes files directory";

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
    /// Directories with the sums of what is below them instead, the largest first.
    pub sums: bool,
}

/// Writes a line an entry: mode, owner, size, time in UTC, path; with the target of a link. Gives
/// how many lines there are.
///
/// # Errors
/// What keeps the listing from its end.
pub fn run(
    options: &Options,
    reading: &ReadOptions,
    records: &mut Records<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    let Chosen { archive, chain } = reading.version(&options.archive, report)?;
    let typed = asked::typed(&options.paths, &options.files_from)?;
    let mut selection = asked::select(&archive, &chain, typed, &[], report)?;
    let paths = selection.paths();
    let mut version = Version::open_part(&archive, &chain, paths.as_deref(), report)?;
    if options.sums {
        records.title(SUMS_HEADING)?;
    }
    let mut sums = DirectorySums::default();
    while let Some(placed) = version.next_entry()? {
        let Entry { path, kind, .. } = &placed.entry;
        let Some(meta) = placed.entry.meta() else { continue };
        if !selection.wants(path, *kind == Kind::Dir) {
            continue;
        }
        let top = selection.innermost().map_or(0, path::Path::depth);
        if options.one_level && path.depth() > top + 1 {
            // What lies deeper counts in the sums of what is listed.
            if options.sums {
                sums.handle_below(&placed.entry);
            }
            continue;
        }
        match options.sums {
            true => sums.handle(&placed.entry),
            false => records.write(
                |line| push_line(line, &placed.entry, meta),
                || fields(&placed.entry, meta),
            )?,
        }
    }
    asked::tell_of_missing(&selection, report)?;
    for DirectorySum { path, files, bytes } in sums.finish() {
        records.write(
            |line| line.extend(format!("{bytes} {files} {path}").bytes()),
            || {
                vec![
                    ("path", path.to_string().into()),
                    ("size", bytes.into()),
                    ("files", files.into()),
                ]
            },
        )?;
    }
    Ok(records.count())
}

fn push_line(out: &mut Vec<u8>, entry: &Entry, meta: &Meta) {
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
}

/// The same by name.
fn fields(entry: &Entry, meta: &Meta) -> Fields {
    let encoded = |raw: &Vec<u8>| {
        let mut text = Vec::new();
        path::encode(raw, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut fields: Fields = vec![
        ("path", entry.path.to_string().into()),
        ("type", entry.kind.word().into()),
        ("mode", format!("{:04o}", meta.mode).into()),
        ("uid", meta.uid.into()),
        ("gid", meta.gid.into()),
        ("size", entry.size.into()),
    ];
    fields.extend(time_fields(Some(meta.time)));
    fields.push(("target", entry.link.as_ref().map(encoded).into()));
    fields.push(("link_to", entry.hard.as_ref().map(ToString::to_string).into()));
    let device = entry.device.map(|(major, minor)| vec![major, minor]);
    fields.push(("device", device.into()));
    fields.push(("sha256", entry.sha256.map(hex::encode).into()));
    fields
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
