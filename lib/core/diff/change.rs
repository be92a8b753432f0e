//! What differs between a scan's line and the version's line of the same path.

use crate::core::merge::is_first_name;
use crate::format::entry::{Entry, Kind};

/// How much of an entry is not as its version has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryChange {
    /// Nothing that a band records.
    Nothing,
    /// Only time, mode, owner or ctime; or the version's line has no ctime, so that nobody knows.
    Touched,
    /// More than these.
    More,
}

/// Compares a line of a scan with the version's. Link count and inode say nothing of a change. Only
/// the listing of a version has digests.
pub fn compare(scan: &Entry, version: &Entry) -> EntryChange {
    let more = scan.kind != version.kind
        || (scan.kind == Kind::File && scan.size != version.size)
        || scan.link != version.link
        || scan.hard != version.hard
        || scan.device != version.device
        || scan.x != version.x
        || scan.unread != version.unread
        || scan.digest().is_some_and(|digest| Some(digest) != version.digest());
    if more {
        EntryChange::More
    } else if scan.state != version.state || scan.ctime != version.ctime || version.ctime.is_none()
    {
        EntryChange::Touched
    } else {
        EntryChange::Nothing
    }
}

/// Whether the version's content may be kept if pack finds the same digest. Call it for a
/// [`EntryChange::Touched`] entry.
pub(super) fn may_keep_content(scan: &Entry, version: &Entry) -> bool {
    // Extended attributes stand in the tar header only.
    let plain = |entry: &Entry| entry.kind == Kind::File && entry.hard.is_none() && !entry.x;
    // Whoever lays bands over each other by hand gives the new attributes to all names of the
    // version's inode: also to those that the scan does not see, so they must be the scan's
    // inode's.
    let is_same = !is_first_name(version) || (scan.inode.is_some() && scan.inode == version.inode);
    plain(scan) && plain(version) && version.digest().is_some() && is_same
}

/// Whether the version's line was written from the inode that the scan sees, as the scan sees it,
/// so that a hard link to the one is a hard link to the other.
pub(super) fn is_same_file(scan: &Entry, version: &Entry) -> bool {
    match compare(scan, version) {
        EntryChange::Nothing => true,
        // A file written just before it was read has no ctime: size, time and inode number must do.
        EntryChange::Touched => {
            version.ctime.is_none()
                && scan.state == version.state
                && scan.inode.is_some()
                && scan.inode == version.inode
        }
        EntryChange::More => false,
    }
}

/// Whether a band that recorded the version's line has the entry as the scan sees it now. A line
/// without ctime was written just after the file was: size and time must do.
pub(super) fn is_as_recorded(scan: &Entry, version: &Entry) -> bool {
    match compare(scan, version) {
        EntryChange::Nothing => true,
        EntryChange::Touched => version.ctime.is_none() && scan.state == version.state,
        EntryChange::More => false,
    }
}
