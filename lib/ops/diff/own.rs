//! An archive inside of the source, which would grow by a copy of itself with each band.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as FsPath;

use anyhow::bail;

use crate::archive::named::ArchiveName;
use crate::edge::mounts;
use crate::edge::resolve::resolve;
use crate::format::entry::{Entry, EntryState, Kind};
use crate::format::listing::{End, Header};
use crate::format::path::Path;
use crate::report::message::Report;

/// The archive's places below the source, and how many of them the scan came upon. By way of other
/// mounts it can have several.
#[derive(Debug)]
pub(super) struct OwnArchive {
    paths: Vec<Path>,
    met: u64,
}

impl OwnArchive {
    /// Finds out where a local archive lies, which need not be there yet, by the source that the
    /// scan's header lines name.
    pub(super) fn find(archive: &ArchiveName, headers: &[Header]) -> anyhow::Result<OwnArchive> {
        let source = headers.iter().find_map(|header| match header {
            Header::Source(_, dir) => Some(FsPath::new(OsStr::from_bytes(dir))),
            _ => None,
        });
        let places = (archive.local()?.zip(source))
            .and_then(|(dir, source)| Some((resolve(dir)?, source.canonicalize().ok()?)));
        let Some((dir, source)) = places else {
            return Ok(OwnArchive { paths: Vec::new(), met: 0 });
        };
        let mut paths = Vec::new();
        for name in mounts::names(dir) {
            match name.strip_prefix(&source) {
                Ok(below) if below.as_os_str().is_empty() => {
                    bail!("{archive}: is the source itself: an archive needs a separate directory")
                }
                Ok(below) => paths.push(Path::from_raw(below.as_os_str().as_bytes())),
                Err(_) => {}
            }
        }
        Ok(OwnArchive { paths, met: 0 })
    }

    /// An entry of the scan as the band sees it: the archive is left out, and nothing below it is
    /// there.
    pub(super) fn leave_out(&mut self, entry: Entry, report: &Report) -> Option<Entry> {
        if self.paths.iter().any(|own| own.holds(&entry.path)) {
            return None;
        }
        let is_own = self.paths.contains(&entry.path);
        if !is_own || entry.kind != Kind::Dir || entry.meta().is_none() {
            return Some(entry);
        }
        self.met += 1;
        report.note(format_args!("{}: left out: it is the archive", entry.path));
        Some(Entry::new(entry.path, Kind::Dir, EntryState::Excluded))
    }

    /// The counts of the scan, with what was left out here.
    pub(super) fn count(&self, end: End) -> End {
        End { excluded: end.excluded + self.met, ..end }
    }
}
