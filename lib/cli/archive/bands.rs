//! The bands of an archive, and which of them are complete.

use anyhow::Context;

use super::{Archive, side_by_side};
use crate::core::chain::choice::{Known, band_after};
use crate::format::band::BandName;
use crate::format::time::Stamp;
use crate::store::as_folder;
use crate::store::cache::Cache;

impl Archive {
    /// The names of all bands, by their start; none for an archive that is not there.
    pub(in super::super) fn names(&self) -> anyhow::Result<Vec<BandName>> {
        let listed = self.store.list("").context("cannot list the archive")?;
        let mut names: Vec<BandName> =
            listed.iter().filter_map(|entry| as_folder(entry)?.parse().ok()).collect();
        names.sort_by_key(|name| (name.start(), name.to_string()));
        Ok(names)
    }

    /// The bands, and the start of the newest. They are asked whether they are complete from the
    /// newest back to the first that is; older ones are taken to be, since nothing depends on it. A
    /// band that was never begun, without HEAD, only counts for its name.
    ///
    /// With `chain`, the newest is to be read with its ancestors. So they are asked as well, side
    /// by side; and if the cache knows a newest band, at once, while the archive is listed: it most
    /// often is the newest there, too.
    pub(in super::super) fn known(
        &self,
        chain: bool,
    ) -> anyhow::Result<(Vec<Known>, Option<Stamp>)> {
        let names = std::thread::scope(|scope| {
            if let Some(likely) = self.cache.as_ref().filter(|_| chain).and_then(Cache::newest) {
                scope.spawn(move || self.ask_ahead(&likely));
            }
            self.names()
        })?;
        if let Some(newest) = names.last().filter(|_| chain) {
            self.ask_ahead(newest);
        }
        let mut known: Vec<Known> =
            names.into_iter().map(|name| Known { name, complete: true }).collect();
        let newest = band_after(&known);
        for at in (0..known.len()).rev() {
            known[at].complete = self.is_complete(&known[at].name)?;
            if known[at].complete {
                break;
            }
            if self.once(&known[at].name, "HEAD")?.is_none() {
                known.remove(at);
            }
        }
        Ok((known, newest))
    }

    /// Asks for TAIL of a band and its ancestors, once. What fails here fails again where it is
    /// needed.
    fn ask_ahead(&self, band: &BandName) {
        let _ = side_by_side(&band.chain(), |band| self.once(band, "TAIL"));
    }
}
