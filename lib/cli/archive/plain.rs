//! Plain objects where sealed ones belong: left out, and told; see [`crate::core::chain::sealing`].

use std::sync::{Arc, PoisonError};

use super::super::unlock::PLAIN;
use super::{Archive, Band, side_by_side};
use crate::core::chain::sealing::{Oddity, plain_above_sealed};
use crate::format::band::BandName;
use crate::format::object::{Object, ObjectName};

impl Archive {
    /// Whether an object that was found is to be taken. What is odd is told, once.
    pub(super) fn takes(&self, band: &BandName, name: ObjectName) -> bool {
        if self.plain_is_meant {
            return true;
        }
        let mut sealing = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let takes = sealing.handle_object(band, name);
        while let Some(oddity) = sealing.poll() {
            let (what, key) = match oddity {
                Oddity::Object(band, name, taken) => {
                    let then = if taken { "accepted" } else { "left out" };
                    let key = format!("{band}/{name}");
                    (format!("{key}: not encrypted, though the band is: {then} ({PLAIN})"), key)
                }
                Oddity::Above(band) => {
                    (format!("{band}: {NOT_ENCRYPTED} ({PLAIN})"), band.to_string())
                }
            };
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.insert(key)
                && let Some(report) = &self.report
            {
                report.warn(format_args!("{what}"));
            }
        }
        takes
    }

    /// The first plain band of a chain that stands above a sealed one, by the first index of each.
    pub(in super::super) fn plain_above_sealed(
        &self,
        chain: &[Band],
    ) -> anyhow::Result<Option<BandName>> {
        if self.plain_is_meant || chain.len() < 2 {
            return Ok(None);
        }
        let has = |band: &Band, encrypted| self.has_first_index(&band.head.band, encrypted);
        let sealed = side_by_side(chain, |band| has(band, true))?;
        let Some(mut at) = plain_above_sealed(&sealed) else { return Ok(None) };
        // One that lost its first index is not plain for that.
        while !has(&chain[at], false)? {
            let above = sealed[at + 1..].iter().position(|sealed| !sealed);
            match above {
                Some(next) => at += 1 + next,
                None => return Ok(None),
            }
        }
        Ok(Some(chain[at].head.band.clone()))
    }

    /// Whether the first index of a band is there, sealed or plain; asked once.
    pub(super) fn has_first_index(&self, band: &BandName, encrypted: bool) -> anyhow::Result<bool> {
        let name = ObjectName { object: Object::Index(0), encrypted };
        let (name, key) = (format!("{band}/{name}"), format!("size of {band}/{name}"));
        if let Some(known) = self.kept.get(&key) {
            return Ok(known.is_some());
        }
        let is_there = self.store.stat(&name)?.is_some_and(|size| size > 0);
        self.kept.put(key, is_there.then(Arc::default));
        Ok(is_there)
    }
}

/// What is said of a plain band above a sealed one.
pub(in super::super) const NOT_ENCRYPTED: &str = "not encrypted, though a band below it is";
