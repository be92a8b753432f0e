//! Bands that are out of sight for a while before they go: in `.expired/STAMP/BAND` of an archive in
//! a directory, where STAMP says when they were hidden. No program takes that for a band.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::archive::named::ArchiveName;
use crate::edge::clock;
use crate::format::band::BandName;
use crate::format::path::shown;
use crate::format::time::Stamp;
use crate::report::message::{Hinted, Report};
use crate::store::local::Local;

/// The folder of all that is hidden.
pub(super) const EXPIRED: &str = ".expired";

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

    /// The folder of all that is hidden, and when what was hidden so long ago that it goes was.
    pub(super) fn overdue(&self) -> (PathBuf, BTreeSet<Stamp>) {
        let expired = self.root.join(EXPIRED);
        // No folder, nothing hidden.
        let found = std::fs::read_dir(&expired).into_iter().flatten().flatten();
        let stamps = found.filter_map(|entry| Stamp::parse(entry.file_name().to_str()?));
        let is_over =
            |stamp: &Stamp| self.now.unix() - stamp.unix() >= i64::from(self.days) * 86_400;
        let over = stamps.filter(is_over).collect();
        (expired, over)
    }
}
