//! What became of the first names of inodes, as far as their other names must know.

use std::collections::BTreeMap;

use crate::core::merge::is_first_name;
use crate::format::entry::Entry;
use crate::format::path::Path;

/// What became of a first name.
#[derive(Debug)]
enum FirstNameInDiff {
    /// This band records it. So many other names are still to come.
    Recorded(u64),
    /// The new version has something else there, or nothing; this name has taken its place, if one
    /// has come.
    Lost(Option<Path>),
}

/// First names whose other names have not all come: those that this band records, and those it
/// could not.
#[derive(Debug, Default)]
pub(super) struct OpenLinks(BTreeMap<Path, FirstNameInDiff>);

impl OpenLinks {
    /// This band records the entry.
    pub(super) fn recorded(&mut self, entry: &Entry) {
        if is_first_name(entry) {
            let others = entry.nlink.unwrap_or(2).saturating_sub(1);
            self.0.insert(entry.path.clone(), FirstNameInDiff::Recorded(others));
        }
    }

    /// What the scan sees there is not what the new version will have.
    pub(super) fn lost(&mut self, entry: &Entry) {
        if is_first_name(entry) {
            self.0.insert(entry.path.clone(), FirstNameInDiff::Lost(None));
        }
    }

    /// `name` takes the place of the lost name `first`.
    pub(super) fn stand_in(&mut self, first: Path, name: &Path) {
        self.0.insert(first, FirstNameInDiff::Lost(Some(name.clone())));
    }

    /// Lets a hard link name what the version will have. If the name it has is lost and nothing
    /// took its place, the entry becomes the file itself, and the lost name is returned.
    pub(super) fn redirect(&self, entry: &mut Entry) -> Option<Path> {
        match self.0.get(entry.hard.as_ref()?)? {
            FirstNameInDiff::Recorded(_) => None,
            FirstNameInDiff::Lost(Some(name)) => {
                entry.hard = Some(name.clone());
                None
            }
            FirstNameInDiff::Lost(None) => entry.hard.take(),
        }
    }

    /// Whether the entry is a hard link to a name that this band records.
    pub(super) fn follows_recorded(&mut self, entry: &Entry) -> bool {
        let Some(first) = &entry.hard else { return false };
        let Some(FirstNameInDiff::Recorded(others)) = self.0.get_mut(first) else { return false };
        *others = others.saturating_sub(1);
        // A name that is linked later has a new ctime and is passed for that, so it need not be
        // found here.
        if *others == 0 {
            self.0.remove(first);
        }
        true
    }
}
