//! Removing what was hidden long enough.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::archive::Archive;
use crate::archive::named::ArchiveName;
use crate::archive::reading::Reach;
use crate::archive::stores::open_store_to_remove;
use crate::format::band::BandName;
use crate::ops::prune::hidden::{EXPIRED, Hiding};
use crate::ops::prune::removal::Remover;
use crate::report::message::Report;
use crate::report::units;

/// Removes what was hidden so long ago that it goes; what cannot be removed is reported.
pub(super) fn remove_overdue(hiding: &Hiding, jobs: usize, reach: &Reach, report: &Arc<Report>) {
    let (expired, over) = hiding.overdue();
    for stamp in over {
        let dir = expired.join(stamp.to_string());
        if let Err(error) = remove_all(&dir, jobs, reach, report) {
            report.fail("", error.context(format!("{EXPIRED}/{stamp}: cannot be removed")));
        }
        // What holds anything else stays.
        _ = std::fs::remove_dir(&dir);
    }
    _ = std::fs::remove_dir(&expired);
}

/// Removes the bands in a folder of hidden ones.
fn remove_all(dir: &Path, jobs: usize, reach: &Reach, report: &Arc<Report>) -> anyhow::Result<()> {
    let name = ArchiveName::from(dir.as_os_str().to_owned());
    let (store, from) = open_store_to_remove(&name, reach, report)?;
    let names = Archive::over(store.clone(), None).names()?;
    let going: BTreeSet<&BandName> = names.iter().collect();
    let remover = Remover { store, from, jobs, hiding: None };
    for band in names.iter().rev() {
        let removed = remover.remove(band, &going)?;
        let objects = units::count(removed.objects, "object");
        report.verbose(format_args!("{band}: hidden long enough: removed {objects}"));
        for stray in &removed.strays {
            report.note(format_args!("{stray}: not written by Dura: left where it is"));
        }
    }
    Ok(())
}
