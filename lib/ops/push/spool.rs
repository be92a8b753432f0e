//! `dura-push --from`: sends what an archive lacks of a local one, a spool; can empty the spool,
//! and can follow one that is being filled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use crate::archive::catalogue::{self, BandFolder};
use crate::archive::named::ArchiveName;
use crate::core::spool::Loses;
use crate::format::band::BandName;
use crate::ops::push::run::{UploadRun, UploadTarget};
use crate::ops::push::shortfall::Shortfall;
use crate::report::message::Hinted;
use crate::store::local::Local;
use crate::store::{Remove, Store, StoreError, StoreErrorKind};

mod band;
mod feed;
mod pass;
pub(super) mod survey;

use band::Sent;
use pass::Pass;

/// How often a spool that is followed is looked at.
const GLANCE: Duration = Duration::from_millis(100);
const GLANCES: u32 = 10;

/// What to do with a spool.
#[derive(Debug, Clone)]
pub struct SpoolRequest {
    /// Where it is.
    pub dir: ArchiveName,
    /// Remove what all archives have.
    pub empty: bool,
    /// But not what new layers are built on.
    pub keep_indexes: bool,
    /// Go on until a signal, and send what comes into the spool.
    pub follow: bool,
    /// Only bands that are newer than this one.
    pub newer_than: Option<BandName>,
}

/// A band of the spool, and how far each archive has come with it.
#[derive(Debug, Default)]
struct SpooledBand {
    sent: Sent,
    /// All of it is in every archive, TAIL too.
    done: bool,
    /// Something of it was not moved, and why was told.
    kept: bool,
    /// Archives that it cannot go to, by their place.
    refused: Vec<usize>,
}

struct Spool<'a> {
    run: &'a UploadRun,
    places: &'a [UploadTarget],
    asked: &'a SpoolRequest,
    local: Arc<Local>,
    bands: HashMap<BandName, SpooledBand>,
    /// False for archives that have failed.
    well: Vec<bool>,
    shortfall: Shortfall,
}

/// Sends what is missing, once or until the program is asked to end.
pub(super) fn run(
    run: &UploadRun,
    places: &[UploadTarget],
    asked: &SpoolRequest,
) -> anyhow::Result<()> {
    let from = &asked.dir;
    let dir = from
        .local()?
        .with_context(|| format!("{from}: --from takes a local archive, a directory"))?;
    let local = Arc::new(Local::new(dir));
    let well = vec![true; places.len()];
    let mut spool = Spool {
        run,
        places,
        asked,
        local,
        bands: HashMap::new(),
        well,
        shortfall: Shortfall::default(),
    };
    loop {
        let found = spool.look()?;
        let news = spool.pass(&found)?;
        if !asked.follow {
            return spool.conclude(&found);
        }
        if !spool.well.contains(&true) {
            bail!("no archive is left to send to");
        }
        for _ in 0..if news { 0 } else { GLANCES } {
            if !run.stop.is_set() {
                std::thread::sleep(GLANCE);
            }
        }
        if run.stop.is_set() {
            return spool.end_of_following();
        }
    }
}

impl Spool<'_> {
    /// The bands that are there, oldest first: ancestors before what stands on them.
    fn look(&self) -> anyhow::Result<Vec<BandName>> {
        if !self.asked.follow && !self.asked.dir.local()?.is_some_and(std::path::Path::is_dir) {
            bail!("{}: no such directory", self.asked.dir);
        }
        let listed = self.local.list("")?;
        let mut bands = catalogue::bands(&listed);
        let age = |band: &BandName| (band.start(), band.to_string());
        if let Some(than) = &self.asked.newer_than {
            bands.retain(|band| age(band) > age(than));
        }
        Ok(bands)
    }

    /// Goes through the bands once. Returns whether anything was sent.
    fn pass(&mut self, found: &[BandName]) -> anyhow::Result<bool> {
        let mut news = false;
        for name in found {
            let mut known = self.bands.remove(name).unwrap_or_default();
            if !known.done && self.well.contains(&true) {
                news |= self.send(name, &mut known)?;
            }
            self.bands.insert(name.clone(), known);
            if self.run.stop.is_set() && !self.asked.follow {
                break;
            }
        }
        if self.asked.empty && !self.asked.keep_indexes && !self.run.dry_run {
            self.empty(found)?;
        }
        Ok(news)
    }

    fn send(&mut self, name: &BandName, known: &mut SpooledBand) -> anyhow::Result<bool> {
        let targets: Vec<usize> = (0..self.places.len())
            .filter(|at| self.well[*at] && !known.refused.contains(at))
            .collect();
        if targets.is_empty() {
            return Ok(false);
        }
        let remove = self.asked.empty && !self.run.dry_run;
        let loses = match (remove, self.asked.keep_indexes) {
            (false, _) => Loses::Nothing,
            (true, true) => Loses::Bulk,
            (true, false) => Loses::All,
        };
        let follow = self.asked.follow;
        let pass = Pass {
            run: self.run,
            places: self.places,
            local: &self.local,
            band: name,
            loses,
            follow,
        };
        let Some(outcome) = pass.run(&targets, &mut known.sent)? else {
            if remove {
                self.remove_leftovers(name)?;
            }
            return Ok(false);
        };
        if follow && self.run.stop.is_set() && !outcome.failed.is_empty() {
            return Ok(false);
        }
        for (at, error) in outcome.failed {
            // A band may be refused where the next one is welcome; a store that cannot be written
            // to is done with.
            let of_the_store =
                error.chain().any(|cause| cause.is::<StoreError>()) || self.run.stop.is_set();
            self.well[at] &= !of_the_store;
            known.refused.push(at);
            self.run.report.fail(&self.places[at].label, error);
        }
        known.kept = !outcome.kept.is_empty();
        for what in outcome.kept {
            let hint = "it stays in the spool: run dura-verify on both; dura-verify --repair ARCHIVE | dura-push --replace ARCHIVE repairs an archive, and makes lists";
            self.run.report.fail("", Hinted::wrap(anyhow!("{what}"), hint));
        }
        known.done =
            outcome.whole && known.refused.is_empty() && self.well.iter().all(|well| *well);
        self.shortfall.add(outcome.shortfall);
        Ok(outcome.sent > 0)
    }

    /// Removes the bands that every archive has whole, the newest first; not one on which another
    /// band of the spool stands.
    fn empty(&self, found: &[BandName]) -> anyhow::Result<()> {
        let mut left: Vec<&BandName> = Vec::new();
        for name in found.iter().rev() {
            let stands = |band: &&BandName| {
                std::iter::successors(band.parent(), BandName::parent).any(|below| below == *name)
            };
            let moved = |known: &SpooledBand| known.done && !known.kept;
            if self.bands.get(name).is_some_and(moved) && !left.iter().any(stands) {
                self.remove(name)?;
            } else {
                left.push(name);
            }
        }
        Ok(())
    }

    /// Removes a band, HEAD and TAIL first: without them it is none, neither to continue nor to
    /// send.
    fn remove(&self, band: &BandName) -> anyhow::Result<()> {
        for first in ["HEAD", "TAIL", "TAIL.sig"] {
            self.remove_one(band, first)?;
        }
        for (name, _) in BandFolder::list_all(self.local.as_ref(), band)?.all {
            self.remove_one(band, &name.to_string())?;
        }
        self.run.report.verbose(format_args!("{band}: removed from the spool"));
        Ok(())
    }

    fn remove_one(&self, band: &BandName, name: &str) -> anyhow::Result<()> {
        match self.local.remove(&format!("{band}/{name}")) {
            Err(error) if error.kind != StoreErrorKind::NotFound => {
                Err(anyhow::Error::new(error).context("cannot empty the spool"))
            }
            _ => Ok(()),
        }
    }

    /// What a run left that was stopped while it removed a band: without HEAD and TAIL, while every
    /// archive has them.
    fn remove_leftovers(&self, band: &BandName) -> anyhow::Result<()> {
        let tail = format!("{band}/TAIL");
        let everywhere =
            || self.places.iter().all(|place| matches!(place.store.stat(&tail), Ok(Some(_))));
        if !self.local.list(&band.to_string())?.is_empty()
            && self.local.stat(&tail)?.is_none()
            && everywhere()
        {
            self.remove(band)?;
        }
        Ok(())
    }

    /// The end of a run that goes through the spool once.
    fn conclude(&self, found: &[BandName]) -> anyhow::Result<()> {
        let report = &self.run.report;
        if found.is_empty() {
            report.note(format_args!("{}: holds no band", self.asked.dir));
        }
        let failed = |known: &SpooledBand| !known.refused.is_empty() || self.well.contains(&false);
        for band in found
            .iter()
            .filter(|band| self.bands.get(band).is_some_and(|known| !known.done && !failed(known)))
        {
            report.warn(format_args!(
                "{band}: unfinished in the spool: what it has so far is stored"
            ));
        }
        self.shortfall.report(report);
        Ok(())
    }

    /// The end of following: all is well if everything that is there has been sent.
    fn end_of_following(&self) -> anyhow::Result<()> {
        let behind = self
            .look()?
            .into_iter()
            .find(|band| !self.bands.get(band).is_some_and(|known| known.done));
        match behind {
            None => {
                self.shortfall.report(&self.run.report);
                Ok(())
            }
            Some(band) => {
                let hint = "what is stored is intact: run the same command again to continue";
                Err(Hinted::wrap(anyhow!("interrupted: not all of {band} is stored yet"), hint))
            }
        }
    }
}
