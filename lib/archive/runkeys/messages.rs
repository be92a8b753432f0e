//! All messages that open a run, for those that add to them.

use std::collections::HashSet;

use super::{key_name, places};
use crate::archive::Archive;
use crate::archive::locked::locked;
use crate::core::runs::{KeyPlace, of_run};
use crate::format::band::BandName;
use crate::format::digest;
use crate::format::object::MAX_KEY;

/// The most bytes of a key object.
const MOST: u64 = MAX_KEY as u64;

/// The messages that open a run.
pub(crate) struct RunMessages {
    /// Where its first key object lies, with which messages that are added go.
    pub(crate) place: KeyPlace,
    /// The messages; the first is that of the run itself, if any copy of it is there.
    pub(crate) messages: Vec<Vec<u8>>,
    /// The number of the next message that is added.
    pub(crate) next: u32,
}

impl Archive {
    /// The messages that open each run of a band; none if it is of format 1, or has no key object.
    pub(crate) fn run_messages(&self, band: &BandName) -> anyhow::Result<Option<Vec<RunMessages>>> {
        let Some(known) = self.runs_of(band)? else { return Ok(None) };
        let mut runs = locked(&known);
        let first_numbers = runs.runs.clone();
        let mut found = Vec::new();
        for first in &first_numbers {
            let mut own = self.get(&format!("{band}/{}", key_name((*first, 0), 0)), MOST)?;
            if own.is_none() {
                let all = places(&self.list_keys(band, &mut runs)?);
                for copy in of_run(&all, &first_numbers, *first) {
                    own = self.get(&format!("{band}/{}", key_name(copy, 0)), MOST)?;
                    if own.is_some() {
                        break;
                    }
                }
            }
            found.push(self.with_added(band, (*first, 0), own)?);
        }
        if first_numbers.is_empty() {
            let mut seen = HashSet::new();
            for place in runs.places.iter() {
                let own = self.get(&format!("{band}/{}", key_name(*place, 0)), MOST)?;
                if own.as_ref().is_some_and(|own| seen.insert(digest::of(own))) {
                    found.push(self.with_added(band, *place, own)?);
                }
            }
        }
        let any = found.iter().any(|run| !run.messages.is_empty());
        Ok(any.then_some(found))
    }

    fn with_added(
        &self,
        band: &BandName,
        place: KeyPlace,
        own: Option<Vec<u8>>,
    ) -> anyhow::Result<RunMessages> {
        let (mut messages, mut next) = (Vec::from_iter(own), 1);
        while let Some(added) = self.get(&format!("{band}/{}", key_name(place, next)), MOST)? {
            messages.push(added);
            next += 1;
        }
        Ok(RunMessages { place, messages, next })
    }
}
