//! What of a version was named.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::entries::wanted::{TakeLine, Wanted};
use crate::core::selection::Selection;
use crate::format::entry::{Entry, Kind};
use crate::format::path::Path;
use crate::ops::asked;
use crate::report::message::Report;

/// What was named.
pub(super) struct Selected {
    selection: Selection,
    /// Where the tar will be extracted, if that is known.
    into: Option<PathBuf>,
    report: Arc<Report>,
}

impl Selected {
    pub(super) fn new(
        selection: Selection,
        into: Option<PathBuf>,
        report: &Arc<Report>,
    ) -> Selected {
        Selected { selection, into, report: Arc::clone(report) }
    }
}

impl Wanted for Selected {
    fn paths(&self) -> Option<Vec<Path>> {
        self.selection.paths()
    }

    fn wants(&mut self, entry: &Entry, _: TakeLine<'_>) -> anyhow::Result<bool> {
        Ok(self.selection.wants(&entry.path, entry.kind == Kind::Dir))
    }

    fn wants_ahead(&self) -> Box<dyn FnMut(&Entry) -> bool> {
        // It remembers what has come.
        let mut selection = self.selection.clone();
        Box::new(move |entry| selection.wants(&entry.path, entry.kind == Kind::Dir))
    }

    fn wants_above(&self, path: &Path) -> bool {
        let exists = |into: &PathBuf| into.join(OsStr::from_bytes(&path.raw())).is_dir();
        !self.into.as_ref().is_some_and(exists)
    }

    fn finish(&mut self, _: TakeLine<'_>) -> anyhow::Result<()> {
        asked::tell_of_missing(&self.selection, &self.report)
    }
}
