//! What all that read the source share.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use crate::core::cut::CutFiles;
use crate::edge::source::SourceRoot;
use crate::edge::users::Users;
use crate::ops::pack::compress::Buffers;
use crate::ops::pack::origins::Origins;
use crate::report::message::Report;

/// What all readers share.
pub(super) struct FileReading {
    /// The tree.
    pub source: SourceRoot,
    /// Names of owners.
    pub users: Users,
    /// Where trouble is told.
    pub report: Arc<Report>,
    /// Entries that could not be stored.
    pub skipped: AtomicU64,
    /// Entries that were stored without their attributes, or without some of them.
    pub unattributed: AtomicU64,
    /// Whether the band has a parent, in whose blocks content may stay.
    pub layered: bool,
    /// Buffers to be used again.
    pub buffers: Arc<Buffers>,
    /// What the version below has, if references to it may be made.
    pub origins: Option<Arc<Mutex<Origins>>>,
    /// Of large files that this run has stored, what is seen at a glance; none if no references may
    /// be made.
    pub large: Option<Mutex<HashSet<u64>>>,
    /// Content over this size has a block of its own, in parts.
    pub part_size: u64,
    /// Files of this size or larger have sums, and change by deltas; none if there are no deltas.
    pub delta_over: Option<u64>,
    /// Large files in which earlier runs were cut.
    pub cut: Mutex<CutFiles>,
}
