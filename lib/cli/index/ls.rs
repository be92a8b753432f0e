//! `dura-index ls`: a version for people.

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::super::archive::version::Version;
use super::super::message::Report;
use super::{CANNOT_WRITE, Chosen, Reading, Wanted, open};
use crate::edge::pipe;
use crate::format::entry::{Entry, Kind, Meta};
use crate::format::path;
use crate::format::time::Stamp;

/// Arguments of `ls`.
#[derive(Debug, Clone, Args)]
pub(super) struct LsArgs {
    /// The archive: a directory
    #[arg(value_name = "ARCHIVE")]
    archive: String,
    /// List these, and what lies below them [default: all]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// List only what lies directly in PATH, not below that
    #[arg(short = '1', long)]
    one_level: bool,
}

/// Writes a line an entry: mode, owner, size, time in UTC, path; with the target of a link.
pub(super) fn run(args: &LsArgs, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<()> {
    let Chosen { archive, chain } = open(&args.archive, reading, report)?;
    let mut wanted = Wanted::new(&args.paths)?;
    let deepest = |path: &path::Path| {
        let tops = wanted_depths(&args.paths);
        !args.one_level || tops.iter().any(|top| path.depth() <= top + 1)
    };
    let mut version = Version::open(&archive, &chain, report)?;
    let mut out = pipe::stdout()?;
    let mut line = Vec::new();
    while let Some(placed) = version.next_entry() {
        let Some(meta) = placed.entry.meta() else { continue };
        if !wanted.has(&placed.entry.path) || !deepest(&placed.entry.path) {
            continue;
        }
        line.clear();
        write_line(&mut line, &placed.entry, meta)?;
        out.write_all(&line).context(CANNOT_WRITE)?;
    }
    wanted.finish(report)?;
    out.finish().context(CANNOT_WRITE)
}

/// How deep the named paths lie; the root when none is named.
fn wanted_depths(typed: &[OsString]) -> Vec<usize> {
    use std::os::unix::ffi::OsStrExt;
    let depth = |text: &OsString| path::Path::from_typed(text.as_bytes()).map_or(0, |path| path.depth());
    if typed.is_empty() { vec![0] } else { typed.iter().map(depth).collect() }
}

fn write_line(out: &mut Vec<u8>, entry: &Entry, meta: &Meta) -> anyhow::Result<()> {
    let size = match entry.device {
        Some((major, minor)) => format!("{major},{minor}"),
        None => entry.size.unwrap_or(0).to_string(),
    };
    let time = Stamp::from_unix(meta.time.sec).map_or_else(|| meta.time.to_string(), Stamp::to_rfc3339);
    let time = time.replace('T', " ").replace('Z', "");
    write!(out, "{} {}/{} {size:>12} {time} {}", mode_text(entry.kind, meta.mode), meta.uid, meta.gid, entry.path)?;
    if let Some(target) = &entry.link {
        out.extend(b" -> ");
        path::encode(target, out);
    }
    if let Some(first) = &entry.hard {
        write!(out, " link to {first}")?;
    }
    out.push(b'\n');
    Ok(())
}

/// The mode as ls(1) writes it.
fn mode_text(kind: Kind, mode: u32) -> String {
    let first = match kind {
        Kind::File => '-',
        Kind::Dir => 'd',
        Kind::Link => 'l',
        Kind::Fifo => 'p',
        Kind::Char => 'c',
        Kind::Block => 'b',
    };
    let mut text = String::from(first);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
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
            assert_eq!(mode_text(kind, mode), text);
        }
    }
}
