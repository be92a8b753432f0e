//! What of a version is wanted.

use crate::format::entry::Entry;
use crate::format::path::Path;

/// Takes a line of the listing that says what is wanted, and whether its entry comes next.
pub(crate) type TakeLine<'a> = &'a mut dyn FnMut(Entry, bool) -> anyhow::Result<()>;

/// Says which entries of a version are wanted, in its order.
pub(crate) trait Wanted: Send + 'static {
    /// Paths, if only they and what is below them are; none for all.
    fn paths(&self) -> Option<Vec<Path>>;

    /// Whether an entry is. Lines up to it go to `lines` first.
    fn wants(&mut self, entry: &Entry, lines: TakeLine<'_>) -> anyhow::Result<bool>;

    /// The same, or that it may be, for a look ahead that changes nothing.
    fn wants_ahead(&self) -> Box<dyn FnMut(&Entry) -> bool>;

    /// Whether a directory above what is wanted comes too.
    fn wants_above(&self, path: &Path) -> bool;

    /// The version is at its end.
    fn finish(&mut self, lines: TakeLine<'_>) -> anyhow::Result<()>;
}
