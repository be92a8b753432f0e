//! That an archive was used from this host: dura-index diff asks, when the archive is empty all of
//! a sudden, and whether an unfinished band is in this archive alone.

use std::path::Path;

use crate::archive::vouching;
use crate::format::band::BandId;
use crate::format::journal::JournalEntry;
use crate::ops::push::run::{UploadRun, UploadTarget};
use crate::report::message::{Report, why};
use crate::store::journal::Journal;

/// The journal. Nothing that is stored goes by it, so the run goes on without one that cannot be
/// used.
pub(super) fn journal(cache: Option<&Path>, no_cache: bool, report: &Report) -> Option<Journal> {
    vouching::journal(cache, no_cache, report).unwrap_or_else(|error| {
        report.note(format_args!("{error:#}: continuing without a journal"));
        None
    })
}

/// Notes that a band has its HEAD in an archive.
pub(super) fn note(run: &UploadRun, place: &UploadTarget) {
    let Some(journal) = run.journal.as_ref().filter(|_| !run.dry_run) else { return };
    if let Err(error) = journal.note_stored(&place.address) {
        run.report.note(format_args!(
            "cannot write the journal: {}: a later run may not notice if {} is missing",
            why(&error),
            place.shown
        ));
    }
}

/// Notes into which archive a band goes, before the first object of it does. Without that a run that
/// is cut in a large file stores it from its beginning again.
pub(super) fn note_band(run: &UploadRun, place: &UploadTarget, id: BandId) {
    let Some(journal) = run.journal.as_ref().filter(|_| !run.dry_run) else { return };
    let known = journal.band(id).ok().flatten();
    if known.is_some_and(|known| known.stored.contains(&place.address)) {
        return;
    }
    if let Err(error) = journal.append(id, &[JournalEntry::Stored(place.address.clone())]) {
        run.report.verbose(format_args!("cannot write the journal: {}", why(&error)));
    }
}
