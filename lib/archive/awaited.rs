//! What this host knows to be in an archive over a network, whose listings may lag.

use std::path::Path;

use crate::archive::catalogue;
use crate::archive::named::ArchiveName;
use crate::archive::vouching;
use crate::core::chain::lag::unlisted;
use crate::format::band::BandName;
use crate::report::events::Events;
use crate::report::message::Report;
use crate::store::{Store, StoreError};

/// How many of the bands that this host wrote last may be asked for. It may have other archives.
const ASKED: usize = 16;

/// What a listing of the archive should have.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// The archive is known to have held bands.
    pub known: bool,
    /// The bands that this host wrote last, into this archive or into others.
    pub written: Vec<BandName>,
}

impl Awaited {
    /// What the journal says. The listing of a directory is as the directory is.
    pub(crate) fn of(archive: &ArchiveName, cache: Option<&Path>, no_cache: bool) -> Awaited {
        let report = Report::new("", -2, Events::default());
        let journal = match archive.local() {
            Ok(None) => vouching::journal(cache, no_cache, &report).ok().flatten(),
            _ => None,
        };
        let Some(journal) = journal else { return Awaited::default() };
        let address = archive.address();
        let known = address.is_ok_and(|address| journal.has_seen_bands(&address).unwrap_or(false));
        Awaited { known, written: journal.latest(ASKED).unwrap_or_default() }
    }

    /// Fails, as what may pass, with a listing that lags.
    pub(crate) fn holds(
        &self,
        store: &dyn Store,
        listed: &[(String, u64)],
    ) -> Result<(), StoreError> {
        let names = catalogue::bands(listed);
        for name in unlisted(&names, &self.written) {
            match store.stat(&format!("{name}/HEAD")) {
                Ok(Some(1..)) => {
                    return Err(StoreError::passing(name, "stored, but not in the listing yet"));
                }
                Err(error) if error.kind.may_pass() => return Err(error),
                _ => {}
            }
        }
        match names.is_empty() && self.known {
            true => Err(StoreError::passing(NO_BAND, "although this host has stored bands there")),
            false => Ok(()),
        }
    }

    /// Whether that was the failure of a listing without any band.
    pub(crate) fn is_empty(error: &StoreError) -> bool {
        error.at == NO_BAND
    }
}

const NO_BAND: &str = "the listing, which has no band";
