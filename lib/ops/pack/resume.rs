//! What is noted of large files, so that a run goes on in one in which an earlier run was cut.

use crate::core::cut::CutFiles;
use crate::format::band::BandId;
use crate::format::cut::{BegunBlock, CutNote};
use crate::report::message::{Report, why};
use crate::store::cache::Cache;
use crate::store::cut::CutNotes;

/// The notes of the band with this id, for this run alone, and the files that it may go on with;
/// `parts` says what is there of blocks, and is left with those of these files.
pub(super) fn open(
    cache: Option<&Cache>,
    id: BandId,
    parts: &mut Vec<BegunBlock>,
    report: &Report,
) -> (Option<CutNotes>, CutFiles) {
    let mut notes = match cache.map(|cache| cache.cut(id)).transpose() {
        Ok(Some(None)) => {
            report.note("another run continues the same band");
            None
        }
        Ok(notes) => notes.flatten(),
        Err(error) => {
            report.note(format_args!(
                "cannot record parts of large files: {}: if this run is interrupted in one, the next run stores it from its beginning",
                why(&error)
            ));
            None
        }
    };
    let begun = notes.as_mut().and_then(|notes| notes.read().ok()).unwrap_or_default();
    let files = CutFiles::new(parts, begun);
    *parts = files.blocks();
    (notes, files)
}

/// Notes something before what it is about leaves.
pub(super) fn note(notes: &mut Option<CutNotes>, note: &CutNote, report: &Report) {
    let Some(open) = notes else { return };
    if let Err(error) = open.append(note) {
        report.verbose(format_args!("cannot record a part: {}", why(&error)));
        *notes = None;
    }
}
