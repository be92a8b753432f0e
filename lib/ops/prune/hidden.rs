//! Bands that are out of sight for a while before they go: in `.expired/STAMP/BAND` of an archive in
//! a directory, where STAMP says when they were hidden. No program takes that for a band.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::archive::Archive;
use crate::archive::named::ArchiveName;
use crate::archive::reading::Reach;
use crate::archive::stores::open_store_to_remove;
use crate::edge::clock;
use crate::format::band::BandName;
use crate::format::path::shown;
use crate::format::time::Stamp;
use crate::ops::prune::removal::Remover;
use crate::report::message::{Hinted, Report};
use crate::report::units;
use crate::store::local::Local;

/// The folder of all that is hidden.
const EXPIRED: &str = ".expired";

/// What hides bands.
pub(crate) struct Hiding {
    root: PathBuf,
    local: Local,
    /// So long they stay.
    days: u32,
    now: Stamp,
}

impl Hiding {
    /// For an archive, if bands can be hidden there.
    pub(crate) fn new(archive: &ArchiveName, days: u32) -> anyhow::Result<Hiding> {
        let Some(dir) = archive.local()? else {
            let hint =
                "a bucket with versioning keeps what is removed by itself, see dura-prune(1)";
            let error = anyhow!("{archive}: --hide works only where the archive is a directory");
            return Err(Hinted::wrap(error, hint));
        };
        let root = dir.canonicalize().with_context(|| archive.to_string())?;
        Ok(Hiding { local: Local::new(&root), root, days, now: clock::stamp()? })
    }

    fn place(&self, band: &BandName) -> String {
        format!("{EXPIRED}/{}/{band}", self.now)
    }

    /// Hides a band, all of it at once.
    pub(super) fn hide(&self, band: &BandName) -> anyhow::Result<()> {
        Ok(self.local.move_folder(&band.to_string(), &self.place(band))?)
    }

    /// Shows it again.
    pub(super) fn put_back(&self, band: &BandName) -> anyhow::Result<()> {
        Ok(self.local.move_folder(&self.place(band), &band.to_string())?)
    }

    /// Says until when what this run has hidden stays, and how it comes back.
    pub(super) fn tell(&self, report: &Report) {
        let until = Stamp::from_unix(self.now.unix() + i64::from(self.days) * 86_400);
        let until = until.map_or_else(String::new, |until| until.to_rfc3339());
        let path = |path: &Path| shown(path.as_os_str().as_encoded_bytes());
        report.note(format_args!(
            "hidden until {until}: mv {}/* {}/ brings them back",
            path(&self.root.join(EXPIRED).join(self.now.to_string())),
            path(&self.root)
        ));
    }

    /// Removes what was hidden so long ago; what cannot be removed is reported.
    pub(super) fn free(&self, jobs: usize, reach: &Reach, report: &Arc<Report>) {
        let expired = self.root.join(EXPIRED);
        // No folder, nothing hidden.
        let found = std::fs::read_dir(&expired).into_iter().flatten().flatten();
        let stamps = found.filter_map(|entry| Stamp::parse(entry.file_name().to_str()?));
        let is_over =
            |stamp: &Stamp| self.now.unix() - stamp.unix() >= i64::from(self.days) * 86_400;
        let over: BTreeSet<Stamp> = stamps.filter(is_over).collect();
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
