//! Which bands of the archive diff may build on: those that this host's journal or a signature
//! vouches for, or that it takes in.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::anyhow;

use crate::archive::Archive;
use crate::archive::kind::{is_locked, is_unreachable};
use crate::archive::named::ArchiveName;
use crate::archive::plain::{NOT_ENCRYPTED, not_encrypted};
use crate::archive::unlock::PLAIN;
use crate::archive::vouching::Vouching;
use crate::core::chain::attribution::{Belief, belief, takes};
use crate::core::chain::choice::KnownBand;
use crate::edge::clock;
use crate::format::band::BandName;
use crate::format::head::Head;
use crate::format::time::Stamp;
use crate::report::message::{Hinted, Report};

/// How many bands are asked for their ids when nothing is known of the archive's address.
const ASKED: usize = 100;

/// By how many seconds the clocks of hosts may differ.
const SKEW: i64 = 60;

/// The archive as its journal knows it.
pub(super) struct OwnArchiveGate<'a> {
    archive: &'a Archive,
    vouching: Option<Arc<Vouching>>,
    belief: Belief,
    /// The band that `--parent` names.
    asked: Option<BandName>,
    now: Stamp,
    report: &'a Report,
    passed: HashSet<BandName>,
    admitted: HashSet<BandName>,
}

impl<'a> OwnArchiveGate<'a> {
    /// Looks up what is known of the archive and its bands.
    pub(super) fn open(
        archive: &'a Archive,
        shown: &ArchiveName,
        bands: &[KnownBand],
        asked: Option<BandName>,
        report: &'a Report,
    ) -> anyhow::Result<OwnArchiveGate<'a>> {
        let vouching = archive.vouching().cloned();
        let belief = match &vouching {
            None => belief(false, false, false, false),
            Some(vouching) => {
                let address = vouching.knows_archive(&shown.address()?)?;
                let known = address || knows_any(archive, vouching, bands)?;
                belief(true, vouching.has_signers(), address, known)
            }
        };
        if belief == Belief::Once && !bands.is_empty() {
            report.note(format_args!(
                "{shown}: this host does not know it yet: accepting its bands as they are"
            ));
        }
        if let Some(vouching) = vouching.as_ref().filter(|_| !bands.is_empty()) {
            vouching.holds_bands();
        }
        let (passed, admitted) = (HashSet::new(), HashSet::new());
        let now = clock::stamp()?;
        Ok(OwnArchiveGate { archive, vouching, belief, asked, now, report, passed, admitted })
    }

    /// Tells if the band on which this host built last is gone.
    pub(super) fn misses(&self, shown: &ArchiveName, bands: &[KnownBand]) -> anyhow::Result<()> {
        let Some(vouching) = self.vouching.as_ref().filter(|_| !bands.is_empty()) else {
            return Ok(());
        };
        let newest = vouching.newest(&shown.address()?)?;
        if let Some(gone) = newest.filter(|it| bands.iter().all(|band| band.name != *it)) {
            self.report.warn(format_args!(
                "{gone}: the last run built on it, but it no longer exists: if nobody removed it, check the archive"
            ));
        }
        Ok(())
    }

    /// Whether `--parent` names the band, or one that stands on it.
    fn is_asked(&self, band: &BandName) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.chain().contains(band))
    }

    fn takes(&self, band: &BandName, vouched: bool) -> bool {
        let ahead = band.start().unix() - self.now.unix();
        takes(self.belief, vouched, self.is_asked(band), ahead)
    }

    /// Whether the run may stand on a band, or go on with it. One that it may not is named.
    pub(super) fn admits(&mut self, band: &BandName) -> anyhow::Result<bool> {
        if self.admitted.contains(band) {
            return Ok(true);
        }
        // A TAIL that repeats a HEAD vouches for nothing: what is built on is what HEAD says.
        let chain = match self.archive.chain_by_heads(band) {
            Ok(chain) => chain,
            Err(error)
                if !self.belief.is_strict() || self.is_asked(band) || is_unreachable(&error) =>
            {
                return Err(error);
            }
            Err(error) => {
                self.pass(band, &format!("{error:#}"));
                return Ok(false);
            }
        };
        if let Some(plain) = self.archive.plain_above_sealed(&chain)? {
            return self.refuse_plain(band, &format!("{plain} is {NOT_ENCRYPTED}"));
        }
        let Some(vouching) = self.vouching.clone() else {
            if let Some(sealed) = self.archive.plain_beside_sealed(band)? {
                return self.refuse_plain(band, &not_encrypted(band, &sealed));
            }
            self.admitted.insert(band.clone());
            return Ok(true);
        };
        let mut unknown: Vec<&Head> = Vec::new();
        for below in &chain {
            let vouched = vouching.head(&below.head)?
                && match &below.tail {
                    // What counts of an unfinished band ends before what is not vouched for.
                    None => true,
                    Some(_) => match self.archive.holds(below) {
                        Ok(holds) => {
                            vouching.numbers(&below.head, holds.numbers.into_iter().flatten())?
                        }
                        Err(error) if is_locked(&error) || is_unreachable(&error) => {
                            return Err(error);
                        }
                        Err(_) => true,
                    },
                };
            if !vouched {
                unknown.push(&below.head);
            }
        }
        if !self.takes(band, unknown.is_empty()) {
            self.pass(band, &format!("{} it", vouching.nobody()));
            return Ok(false);
        }
        // What somebody has made who is trusted may be plain beside sealed bands of others.
        if !unknown.is_empty()
            && let Some(sealed) = self.archive.plain_beside_sealed(band)?
        {
            return self.refuse_plain(band, &not_encrypted(band, &sealed));
        }
        unknown.into_iter().for_each(|head| vouching.take(head));
        self.admitted.insert(band.clone());
        Ok(true)
    }

    /// Passes over a band that is plain and should not be; fails if it was asked for.
    fn refuse_plain(&mut self, band: &BandName, what: &str) -> anyhow::Result<bool> {
        if self.is_asked(band) {
            let hint = "--plain builds on it anyway";
            return Err(Hinted::wrap(anyhow!("{band}: cannot be built on: {what}"), hint));
        }
        self.pass_with(band, what, PLAIN);
        Ok(false)
    }

    /// Passes over a band whose ancestors are not all there, unless it was asked for.
    pub(super) fn passes_over(&mut self, band: &BandName, above: &BandName) -> bool {
        let passes = self.belief.is_strict() && !self.is_asked(band);
        if passes {
            self.pass(band, &format!("its ancestor {above} is not in the archive"));
        }
        passes
    }

    fn pass(&mut self, band: &BandName, why: &str) {
        self.pass_with(band, why, &format!("--parent {band} accepts it"));
    }

    fn pass_with(&mut self, band: &BandName, why: &str, remedy: &str) {
        if self.passed.insert(band.clone()) {
            self.report.warn(format_args!("{band}: {why}: ignored ({remedy})"));
        }
    }

    /// The start after which a new band is to be named: the latest of the bands that are believed,
    /// or that are not ahead of the clock.
    pub(super) fn band_after(&self, bands: &[KnownBand]) -> anyhow::Result<Option<Stamp>> {
        let mut names: Vec<&BandName> = bands.iter().map(|band| &band.name).collect();
        names.sort_by_key(|name| std::cmp::Reverse((name.start(), name.to_string())));
        for name in names {
            // What is not ahead of the clock does no harm, and its name is taken.
            if name.start().unix() <= self.now.unix() + SKEW {
                return Ok(Some(name.start()));
            }
            let vouched = match (&self.vouching, self.belief) {
                (Some(vouching), belief) if belief.is_strict() => match self.archive.ends(name) {
                    Ok((Some(head), _)) => head.band == *name && vouching.head(&head)?,
                    Ok((None, _)) => false,
                    Err(error) if is_unreachable(&error) => return Err(error),
                    Err(_) => false,
                },
                _ => false,
            };
            if self.takes(name, vouched) {
                return Ok(Some(name.start()));
            }
        }
        Ok(None)
    }

    /// Fails if there are bands, and nothing vouches for any of them, though the archive is known.
    pub(super) fn nothing_is_left(&self, shown: &ArchiveName) -> anyhow::Result<()> {
        // Where the journal does not know the archive, signatures alone decide: a full band is then
        // what leaves nothing out.
        if self.belief != Belief::Vouched || self.passed.is_empty() {
            return Ok(());
        }
        let hint = "if the archive is in order, accept a band with --parent BAND, or start a new chain with --full";
        Err(Hinted::wrap(
            anyhow!(
                "{shown}: this host has used this archive, but its journal knows none of the present bands"
            ),
            hint,
        ))
    }
}

/// Whether the journal knows one of the newest bands.
fn knows_any(archive: &Archive, vouching: &Vouching, bands: &[KnownBand]) -> anyhow::Result<bool> {
    let mut names: Vec<&BandName> = bands.iter().map(|band| &band.name).collect();
    names.sort_by_key(|name| std::cmp::Reverse((name.start(), name.to_string())));
    for name in names.into_iter().take(ASKED) {
        match archive.ends(name) {
            Ok((Some(head), _)) if vouching.knows(&head)? => return Ok(true),
            Err(error) if is_unreachable(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(false)
}
