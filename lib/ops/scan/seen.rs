//! What the walk decides about an entry, and what was found of it.

use std::io;

use crate::edge::look::Looked;
use crate::format::entry::Kind;
use crate::format::path::Path;

/// How an entry is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanVerdict {
    /// In any case.
    List,
    /// A directory that is listed if anything below it is.
    IfBelow,
}

/// Why the content of a directory is not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UnlistedReason {
    /// It is.
    No,
    /// An option says so.
    ByWish,
    /// It could not be read, for this reason.
    Failed(String),
}

/// An entry that the walk came upon.
#[derive(Debug)]
pub(super) struct WalkedEntry {
    /// How it is listed.
    pub verdict: ScanVerdict,
    /// What was found.
    pub what: WalkedKind,
}

/// What was found of an entry.
#[derive(Debug)]
// Nearly all are entries: a box for each would only cost.
#[allow(clippy::large_enum_variant)]
pub(super) enum WalkedKind {
    /// It is there.
    Entry(Looked, UnlistedReason),
    /// It is a socket.
    Socket(Path),
    /// It was left out, and is not looked at.
    Excluded(Path, Kind),
    /// It could not be looked at.
    Failed(Path, Kind, io::Error),
}
