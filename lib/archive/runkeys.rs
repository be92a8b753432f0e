//! Run keys: in a band of format 2 a key object opens all objects of a run, so a passphrase, a card
//! or a slow key costs once a run, and not once an object.
//!
//! Each key object is opened once in a process, and never two at a time: a card or a pinentry asks
//! a person. What was opened stays in memory alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::archive::Archive;
use crate::archive::kind::is_unreachable;
use crate::archive::locked::locked;
use crate::archive::opener::with_remedy;
use crate::core::chain::ends::EndPiece;
use crate::core::runs::{KeyPlace, line, of_run};
use crate::edge::gpg::{self, GpgError, Passphrase};
use crate::format::band::BandName;
use crate::format::digest;
use crate::format::head::{Head, Tail};
use crate::format::object::{Object, ObjectName};
use crate::format::openpgp::{KeyId, openers};

mod messages;
mod open;
mod remains;

pub(crate) use messages::RunMessages;

type RunKey = Arc<Passphrase>;

/// What is known of the key objects of each band.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<HashMap<BandName, Arc<Mutex<BandRuns>>>>);

/// What is known of the key objects of a band.
#[derive(Debug, Default)]
struct BandRuns {
    /// Whether what follows was found out.
    known: bool,
    /// False for a band of format 1, and for one that has none.
    has_keys: bool,
    /// First numbers of the runs; empty where they are not known.
    runs: Vec<u32>,
    /// Where key objects are looked for.
    places: Arc<Vec<KeyPlace>>,
    /// All key objects of the band, if they had to be listed.
    listed: Option<Vec<ObjectName>>,
    /// The keys that were looked for.
    keys: HashMap<KeyPlace, Result<RunKey, Arc<GpgError>>>,
    /// What messages with the keys of all runs gave.
    joined: Option<Vec<RunKey>>,
}

impl BandRuns {
    /// The key of the run whose key object lies there, from a message with one or all.
    fn pick(&self, keys: &[RunKey], place: KeyPlace) -> Option<RunKey> {
        line(keys.len(), &self.runs, place.0).and_then(|at| keys.get(at).cloned())
    }
}

fn key_name((number, counter): KeyPlace, added: u32) -> ObjectName {
    ObjectName { object: Object::Key(number, counter, added), encrypted: true }
}

impl Archive {
    /// What is known of the key objects of a band; none in format 1.
    fn runs_of(&self, band: &BandName) -> anyhow::Result<Option<Arc<Mutex<BandRuns>>>> {
        let known = Arc::clone(locked(&self.runs.0).entry(band.clone()).or_default());
        let mut runs = locked(&known);
        if !runs.known {
            let (is_first_format, first_numbers) = self.format_of(band)?;
            if !is_first_format {
                runs.has_keys = true;
                runs.places = Arc::new(first_numbers.iter().map(|first| (*first, 0)).collect());
                runs.runs = first_numbers;
                if runs.places.is_empty() {
                    let listed = self.list_keys(band, &mut runs)?;
                    runs.places = Arc::new(places(&listed));
                    runs.has_keys = !listed.is_empty();
                }
            }
            runs.known = true;
        }
        let is_sealed_with_keys = runs.has_keys || runs.listed.is_some();
        drop(runs);
        Ok(is_sealed_with_keys.then_some(known))
    }

    /// Whether a band is of format 1, and the first numbers of its runs if TAIL tells. Without HEAD
    /// and TAIL the names of its objects have to.
    fn format_of(&self, band: &BandName) -> anyhow::Result<(bool, Vec<u32>)> {
        let tail = crate::archive::piece(self.once(band, "TAIL")?, Tail::parse)?;
        let tail = match tail {
            EndPiece::Whole(tail) if tail.band == *band => Some(tail),
            _ => None,
        };
        let mut head = tail.as_ref().and_then(|tail| tail.head.clone());
        if head.as_ref().is_none_or(|head| head.band != *band) {
            head = match crate::archive::piece(self.once(band, "HEAD")?, Head::parse)? {
                EndPiece::Whole(head) if head.band == *band => Some(head),
                _ => None,
            };
        }
        let mut runs = tail.map_or_else(Vec::new, |tail| tail.runs);
        runs.sort_unstable();
        Ok((head.is_some_and(|head| !head.keys), runs))
    }

    /// All key objects of a band, asked for once. A store that does not list has none to show.
    fn list_keys(&self, band: &BandName, runs: &mut BandRuns) -> anyhow::Result<Vec<ObjectName>> {
        if let Some(listed) = &runs.listed {
            return Ok(listed.clone());
        }
        let mut listed: Vec<ObjectName> = match self.objects(band) {
            Ok(objects) => objects.into_iter().map(|(name, _)| name).collect(),
            Err(error) if is_unreachable(&error) && !runs.places.is_empty() => Vec::new(),
            Err(error) => return Err(error),
        };
        listed.retain(ObjectName::is_key);
        listed.sort_by_key(|name| match name.object {
            Object::Key(number, counter, added) => (number, counter, added),
            _ => (0, 0, 0),
        });
        runs.listed = Some(listed.clone());
        Ok(listed)
    }

    /// The key of the run that the key object in this place opens.
    fn run_key(
        &self,
        band: &BandName,
        runs: &mut BandRuns,
        place: KeyPlace,
    ) -> anyhow::Result<Result<RunKey, Arc<GpgError>>> {
        if let Some(known) = runs.keys.get(&place) {
            return Ok(known.clone());
        }
        let found = self.look_for_key(band, runs, place)?;
        runs.keys.insert(place, found.clone());
        Ok(found)
    }

    fn look_for_key(
        &self,
        band: &BandName,
        runs: &mut BandRuns,
        place: KeyPlace,
    ) -> anyhow::Result<Result<RunKey, Arc<GpgError>>> {
        let mut search = KeySearch::default();
        // A message with the keys of all runs saves opening each.
        if runs.runs.len() > 1 {
            if runs.joined.is_none() {
                let first = (runs.runs[0], 0);
                runs.joined = Some(self.joined(band, first, runs.runs.len())?);
            }
            if let Some(key) = runs.joined.as_ref().and_then(|keys| runs.pick(keys, place)) {
                return Ok(Ok(key));
            }
        }
        let (mut tried, mut added) = (HashSet::new(), 0);
        loop {
            let name = key_name(place, added);
            let shown = format!("{band}/{name}");
            let message = self.get(&shown, name.most())?;
            tried.extend(message.as_deref().map(digest::of));
            match message {
                Some(message) => {
                    if let Some(key) = self.attempt(&mut search, runs, place, shown, message) {
                        return Ok(Ok(key));
                    }
                }
                None if added > 0 => break,
                None => {}
            }
            added += 1;
        }
        // Any copy opens the run. Where one is the same, the key is what lacks.
        let listed = self.list_keys(band, runs)?;
        let all = places(&listed);
        for copy in of_run(&all, &runs.runs, place.0).filter(|copy| *copy != place) {
            let shown = format!("{band}/{}", key_name(copy, 0));
            let Some(message) = self.get(&shown, key_name(copy, 0).most())? else { continue };
            if !tried.insert(digest::of(&message)) {
                break;
            }
            if let Some(key) = self.attempt(&mut search, runs, place, shown, message) {
                return Ok(Ok(key));
            }
        }
        runs.has_keys = !listed.is_empty();
        if let Some((shown, message)) = search.asks.take() {
            match self.opener.keys_in(&shown, &message) {
                Ok(keys) => {
                    if let Some(key) = runs.pick(&keys, place) {
                        return Ok(Ok(key));
                    }
                }
                Err(error) => search.failed.handle(&error),
            }
        }
        Ok(Err(Arc::new(search.failed.finish())))
    }

    /// The run's key from a message; one that would ask for a passphrase is left for the end.
    fn attempt(
        &self,
        search: &mut KeySearch,
        runs: &BandRuns,
        place: KeyPlace,
        shown: String,
        message: Vec<u8>,
    ) -> Option<RunKey> {
        if self.would_ask(&message) {
            search.asks.get_or_insert((shown, message));
            return None;
        }
        match self.opener.keys_in(&shown, &message) {
            Ok(keys) => {
                let key = runs.pick(&keys, place);
                if key.is_none() {
                    search.failed.handle(&GpgError::Damaged("of other runs".to_owned()));
                }
                key
            }
            Err(error) => {
                search.failed.handle(&error);
                None
            }
        }
    }

    /// Whether only a passphrase opens a message, and none was given.
    fn would_ask(&self, message: &[u8]) -> bool {
        let (recipients, passphrases) = openers(message);
        !self.opener.has_passphrase() && recipients.is_empty() && !passphrases.is_empty()
    }

    /// The keys of all runs, if a message that was added to the first run has them, and opens with
    /// a key that is here.
    fn joined(&self, band: &BandName, first: KeyPlace, runs: usize) -> anyhow::Result<Vec<RunKey>> {
        let mut secret: Option<Vec<KeyId>> = None;
        for added in 1.. {
            let name = key_name(first, added);
            let shown = format!("{band}/{name}");
            let Some(message) = self.get(&shown, name.most())? else { break };
            let secret = secret.get_or_insert_with(|| gpg::secret_ids().unwrap_or_default());
            let (recipients, _) = openers(&message);
            let is_here = |id: &KeyId| *id == KeyId::HIDDEN || secret.contains(id);
            if !recipients.iter().any(is_here) {
                continue;
            }
            if let Ok(keys) = self.opener.keys_in(&shown, &message)
                && keys.len() == runs
            {
                return Ok(keys.to_vec());
            }
        }
        Ok(Vec::new())
    }

    /// The key of a run, whose first key object lies there.
    pub(crate) fn key_of_run(
        &self,
        band: &BandName,
        place: KeyPlace,
    ) -> anyhow::Result<Arc<Passphrase>> {
        let shown = format!("{band}/{}", key_name(place, 0));
        let Some(runs) = self.runs_of(band)? else {
            return Err(with_remedy(lost_keys("the band"), &shown));
        };
        let key = self.run_key(band, &mut locked(&runs), place)?;
        key.map_err(|error| with_remedy(error.again(), &shown))
    }
}

/// The places of groups that have a key object.
fn places(listed: &[ObjectName]) -> Vec<KeyPlace> {
    let place = |name: &ObjectName| match name.object {
        Object::Key(number, counter, _) => (number, counter),
        _ => (0, 0),
    };
    let mut places: Vec<KeyPlace> = listed.iter().map(place).collect();
    places.dedup();
    places
}

/// A search for the key of a run.
#[derive(Default)]
struct KeySearch {
    failed: Failed,
    /// The first message that only a passphrase opens which nobody gave: it is asked for only where
    /// nothing else opens the run.
    asks: Option<(String, Vec<u8>)>,
}

/// Why no message of a run was opened.
#[derive(Default)]
struct Failed {
    ids: Vec<String>,
    first: Option<GpgError>,
    /// Messages that are whole, as far as is known.
    whole: bool,
}

impl Failed {
    fn handle(&mut self, error: &GpgError) {
        if let GpgError::NoSecretKey(ids) = error {
            self.ids.extend(
                ids.iter().filter(|id| !self.ids.contains(id)).cloned().collect::<Vec<_>>(),
            );
        }
        self.whole |= !matches!(
            error,
            GpgError::Damaged(_) | GpgError::Unsure | GpgError::TooLarge(_) | GpgError::Failed(_)
        );
        let is_better = matches!(self.first, None | Some(GpgError::Damaged(_)));
        if is_better || matches!(self.first, Some(GpgError::NoSecretKey(_))) {
            self.first = Some(error.again());
        }
    }

    fn finish(self) -> GpgError {
        match self.first {
            Some(GpgError::NoSecretKey(_)) => GpgError::NoSecretKey(self.ids),
            Some(error) if self.whole => error,
            _ => lost_keys("its run"),
        }
    }
}

fn lost_keys(of: &str) -> GpgError {
    GpgError::Damaged(format!(
        "all key objects of {of} are lost or damaged (dura-verify --repair brings them back where \
         there is parity)"
    ))
}
