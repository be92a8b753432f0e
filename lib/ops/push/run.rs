//! What all parts of a run share: its terms, its archives, and what happens to the lane of each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::core::chain::kept_up::Waived;
use crate::core::schedule::Limits;
use crate::core::schedule::rate::Rate;
use crate::edge::signals::StopFlag;
use crate::ops::push::held::Held;
use crate::ops::push::progress::Share;
use crate::report::message::Report;
use crate::store::journal::Journal;
use crate::store::{LookAhead, Store, StoreError};

/// How often a loop looks whether it is asked to end.
pub(super) const GLANCE: Duration = Duration::from_millis(200);

/// How an object came to be in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredHow {
    Written,
    /// It was there, with the same bytes.
    Same,
    /// It was there, with others.
    Conflict,
}

/// What happens to a lane.
pub(super) enum LaneEvent {
    /// An object has come.
    Object(Arc<Held>),
    /// Nothing more comes.
    End(Ending),
    /// A look ahead of the write with this ticket has ended.
    Looked(u64),
    /// A write has ended.
    Done(u64, Result<StoredHow, StoreError>),
}

/// How the objects ended.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// The stream is whole.
    Whole,
    /// There is no more for now; TAIL may be among it or not.
    SoFar,
    /// The stream is cut off or damaged. What has come is stored, and a continuation can build on
    /// it.
    Broken(String),
    /// The stream ends at this byte, before its end.
    Cut(u64),
}

/// What all lanes of a run have in common.
#[derive(Clone)]
pub(super) struct UploadRun {
    pub report: Arc<Report>,
    /// Where is noted which archives were used.
    pub journal: Option<Journal>,
    pub stop: StopFlag,
    pub limits: Limits,
    pub dry_run: bool,
    /// Whether each archive must hold a band already.
    pub must_exist: bool,
    /// What the band below has, and this run need not have.
    pub waived: Waived,
    /// An archive may be made where other things lie.
    pub beside_others: bool,
    pub began: Instant,
}

/// An archive that objects go to.
#[derive(Clone)]
pub(super) struct UploadTarget {
    pub store: Arc<dyn Store>,
    /// The same store, if it may have to look before it writes.
    pub ahead: Option<Arc<dyn LookAhead>>,
    /// The archive as it was named.
    pub shown: String,
    /// Its name in the journal.
    pub address: String,
    /// What messages begin with: the archive if there are several, or nothing.
    pub label: String,
    pub jobs: usize,
    /// What was sent to it, band by band, as far as it counts for `--limit-rate`.
    pub rate: Arc<Mutex<Option<Rate>>>,
    pub share: Arc<Share>,
}

impl UploadTarget {
    /// Waits until so many bytes may be sent, or the run is to end.
    pub(super) fn pace(&self, run: &UploadRun, bytes: u64) {
        loop {
            let now = run.began.elapsed();
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(rate) = rate.as_mut() else { return };
            let wait = rate.free().saturating_sub(now);
            if wait.is_zero() || run.stop.is_set() {
                return rate.handle_start(bytes, now);
            }
            std::thread::sleep(wait.min(GLANCE));
        }
    }
}
