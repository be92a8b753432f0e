//! An archive inside of the source, which would grow by a copy of itself with each band.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as FsPath;

use anyhow::bail;

use super::super::common::resolve;
use super::super::message::Report;
use crate::format::entry::{Entry, Kind, State};
use crate::format::listing::{End, Header};
use crate::format::path::Path;

/// The archive's place below the source, if it has one, and whether the scan came upon it.
#[derive(Debug)]
pub(super) struct OwnArchive {
    path: Option<Path>,
    met: bool,
}

impl OwnArchive {
    /// Finds out where a local archive lies, which need not be there yet, by the source that the
    /// scan's header lines name.
    pub(super) fn find(archive: &str, headers: &[Header]) -> anyhow::Result<OwnArchive> {
        let dir = archive.strip_prefix("file://").unwrap_or(archive);
        let source = headers.iter().find_map(|header| match header {
            Header::Source(_, dir) => Some(FsPath::new(OsStr::from_bytes(dir))),
            _ => None,
        });
        let local = !dir.contains("://");
        let places = source
            .filter(|_| local)
            .and_then(|source| Some((resolve(FsPath::new(dir))?, source.canonicalize().ok()?)));
        let Some((archive, source)) = places else {
            return Ok(OwnArchive { path: None, met: false });
        };
        let path = match archive.strip_prefix(&source) {
            Ok(below) if below.as_os_str().is_empty() => {
                bail!("{dir}: is the source itself: an archive needs a directory of its own")
            }
            Ok(below) => Some(Path::from_raw(below.as_os_str().as_bytes())),
            Err(_) => None,
        };
        Ok(OwnArchive { path, met: false })
    }

    /// An entry of the scan as the band sees it: the archive is left out, and nothing below it is
    /// there.
    pub(super) fn leave_out(&mut self, entry: Entry, report: &Report) -> Option<Entry> {
        let Some(own) = &self.path else { return Some(entry) };
        if own.holds(&entry.path) {
            return None;
        }
        if *own != entry.path || entry.kind != Kind::Dir || entry.meta().is_none() {
            return Some(entry);
        }
        self.met = true;
        report.note(format_args!("{own}: left out: it is the archive"));
        Some(Entry::new(entry.path, Kind::Dir, State::Excluded))
    }

    /// The counts of the scan, with what was left out here.
    pub(super) fn count(&self, end: End) -> End {
        End { excluded: end.excluded + u64::from(self.met), ..end }
    }
}
