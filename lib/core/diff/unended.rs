//! The file that two runs began to store and did not come to the end of.

use super::change::{EntryChange, compare};
use super::{Diff, Effect, VersionBelow, VersionNext};
use crate::format::entry::{Entry, EntryState, Kind};

impl Diff {
    /// Whether the entry is the file that two runs did not come to the end of, or another name of
    /// it.
    pub(super) fn is_passed_over(&self, scan: &Entry) -> bool {
        match &self.passed_over {
            Some(path) => scan.hard.as_ref() == Some(path),
            None => {
                let is_large = |least| scan.size.unwrap_or(0) >= least;
                scan.kind == Kind::File
                    && scan.hard.is_none()
                    && self.config.pass_over.is_some_and(is_large)
            }
        }
    }

    /// Gives the line of a file that is passed over. What the version has there stays.
    pub(super) fn pass_over(&mut self, scan: Entry, known: Option<&VersionNext>) {
        self.keep(known);
        self.below = Some((scan.path.clone(), VersionBelow::Kept));
        self.links.lost(&scan);
        self.summary.passed_over += 1;
        if self.passed_over.is_none() {
            self.passed_over = Some(scan.path.clone());
            self.out.push_back(Effect::PassedOver(scan.path.clone()));
        }
        self.record(Entry::new(scan.path, scan.kind, EntryState::Unreadable));
        // `#end` counts such lines as unreadable, not as entries.
        self.summary.end.entries -= 1;
    }
}

/// Whether nothing needs to be read to record the entry.
pub(super) fn is_unchanged(scan: &Entry, known: &VersionNext) -> bool {
    !known.orphan && compare(scan, &known.placed.entry) == EntryChange::Nothing
}
