//! How an archive is reached, opened and read: the options that all readers share.

use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::awaited::Awaited;
use crate::archive::caching;
use crate::archive::named::ArchiveName;
use crate::archive::unlock::Unlocking;
use crate::archive::version::{Version, choose, must_exist};
use crate::archive::{Archive, BandInChain};
use crate::format::band::BandName;
use crate::format::entry::Entry;
use crate::format::time::Stamp;
use crate::report::message::Report;

/// What a reader was asked for.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Where copies of indexes are; none: in the usual place.
    pub cache: Option<PathBuf>,
    /// Neither use nor keep copies.
    pub no_cache: bool,
    /// The band whose version is read, perhaps shortened; `latest` is the newest.
    pub band: Option<String>,
    /// Read the newest version that was started then or before.
    pub at: Option<Stamp>,
    /// Keys: only what one of them has signed counts.
    pub signed_by: Vec<String>,
    /// The newest band that the user knows of.
    pub expect: Option<String>,
    /// How sealed objects are opened.
    pub unlocking: Unlocking,
    /// How patient the store is asked.
    pub reach: Reach,
}

/// How patient a reader is, and how fast it may read.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// How often something is tried again that fails for a reason that may pass.
    pub retries: u32,
    /// Bytes a second, on average; none: no limit.
    pub limit_rate: Option<u64>,
}

/// Four minutes of waits: a laptop that wakes up has no network yet, and a server starts again.
pub const RETRIES: u32 = 10;

impl Default for Reach {
    fn default() -> Reach {
        Reach { retries: RETRIES, limit_rate: None }
    }
}

/// An archive and a version of it.
pub(crate) struct Chosen {
    /// The archive.
    pub archive: Arc<Archive>,
    /// The bands of the version, the full one first.
    pub chain: Vec<BandInChain>,
}

impl ReadOptions {
    /// What a listing of the archive should have.
    pub(crate) fn expected(&self, archive: &ArchiveName) -> Awaited {
        Awaited::of(archive, self.cache.as_deref(), self.no_cache)
    }

    /// Opens an archive to read its objects, whoever signed them.
    pub(crate) fn reach(
        &self,
        shown: &ArchiveName,
        report: &Arc<Report>,
    ) -> anyhow::Result<Archive> {
        let cache = caching::to_read(self.cache.as_deref(), self.no_cache, report);
        Archive::open(shown, cache, &self.reach, self.expected(shown), report)
    }

    /// Opens an archive to read what `--signed-by` lets through, with the band that `--expect`
    /// names.
    pub(crate) fn open(
        &self,
        shown: &ArchiveName,
        report: &Arc<Report>,
    ) -> anyhow::Result<Archive> {
        let archive = self.reach(shown, report)?.signed_by(&self.signed_by, report)?;
        let archive = archive.unlocked(&self.unlocking, report)?;
        archive.expect(self.expect.as_deref(), report)?;
        Ok(archive)
    }

    /// Opens an archive and finds the version that was asked for.
    pub(crate) fn version(
        &self,
        shown: &ArchiveName,
        report: &Arc<Report>,
    ) -> anyhow::Result<Chosen> {
        must_exist(shown)?;
        let archive = Arc::new(self.open(shown, report)?);
        Ok(self.choose(archive, shown, report)?.1)
    }

    /// The entries of the version that was asked for, in order. What is lost is reported.
    ///
    /// # Errors
    /// What keeps the archive from being opened; each entry, what keeps the rest from being read.
    pub fn entries(
        &self,
        shown: &ArchiveName,
        report: &Arc<Report>,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Entry>> + use<>> {
        let Chosen { archive, chain } = self.version(shown, report)?;
        let mut version = Version::open(&archive, &chain, report)?;
        let next = move || version.next_entry().transpose();
        Ok(std::iter::from_fn(next).map(|placed| Ok(placed?.entry)))
    }

    /// Finds the version that was asked for.
    pub(crate) fn choose(
        &self,
        archive: Arc<Archive>,
        shown: &ArchiveName,
        report: &Report,
    ) -> anyhow::Result<(BandName, Chosen)> {
        let band = choose(&archive, shown, self.band.as_deref(), self.at, report)?;
        let chain = archive.chain(&band)?;
        Ok((band, Chosen { archive, chain }))
    }
}
