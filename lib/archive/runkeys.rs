//! Run keys: in a band of format 2 a key object opens all objects of a run, so a passphrase, a card
//! or a slow key costs once a run, and not once an object.
//!
//! Each key object is opened once in a process, and never two at a time: a card or a pinentry asks
//! a person. What was opened stays in memory alone.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Seek as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::archive::kind::is_unreachable;
use crate::archive::opener::{Opener, with_remedy};
use crate::archive::{Archive, Stored};
use crate::core::chain::counted::STRIDE;
use crate::core::chain::ends::Piece;
use crate::core::runs::{Place, line, of_run, order};
use crate::edge::gpg::{self, GpgError, Passphrase};
use crate::format::band::BandName;
use crate::format::digest::{self, Digest};
use crate::format::head::{Head, Tail};
use crate::format::object::{MAX_KEY, Object, ObjectName};
use crate::format::openpgp::{Derivation, KeyId, openers};
use crate::report::message::Report;

/// A derivation with fewer bytes is of a run key: no passphrase is made into a key so.
const RUN_KEY_COUNT: u64 = 65_536;

/// The most bytes of a key object.
const MOST: u64 = MAX_KEY as u64;

/// Bytes of a message that tell what opens it.
const START: u64 = 4096;

mod remains;

type Key = Arc<Passphrase>;
type Opened = Result<Arc<Vec<Key>>, Arc<GpgError>>;

/// The key objects that this process has opened, or could not open, by what they hold.
#[derive(Debug, Default)]
pub(super) struct OpenedKeys(Mutex<HashMap<Digest, Opened>>);

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
    places: Arc<Vec<Place>>,
    /// All key objects of the band, if they had to be listed.
    listed: Option<Vec<ObjectName>>,
    /// The keys that were looked for.
    keys: HashMap<Place, Result<Key, Arc<GpgError>>>,
    /// What messages with the keys of all runs gave.
    joined: Option<Vec<Key>>,
}

impl BandRuns {
    /// The key of the run whose key object lies there, from a message with one or all.
    fn pick(&self, keys: &[Key], place: Place) -> Option<Key> {
        line(keys.len(), &self.runs, place.0).and_then(|at| keys.get(at).cloned())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_name((number, counter): Place, added: u32) -> ObjectName {
    ObjectName { object: Object::Key(number, counter, added), encrypted: true }
}

impl Opener {
    /// The keys in a key object, opened once. Held while one is opened, so no two are at a time.
    fn keys_in(&self, shown: &str, message: &[u8]) -> Opened {
        let mut opened = locked(&self.opened.0);
        let known = opened.entry(digest::of(message));
        known
            .or_insert_with(|| match gpg::open_key(message, &self.unlock) {
                Ok((keys, how)) => {
                    if let Some(report) = &self.report {
                        tell(report, shown, how.key.as_ref());
                    }
                    Ok(Arc::new(keys))
                }
                Err(error) => Err(Arc::new(error)),
            })
            .clone()
    }
}

/// Says with `-v` what has opened a key object.
fn tell(report: &Report, shown: &str, key: Option<&(String, String)>) {
    if !report.is_verbose() {
        return;
    }
    match key {
        Some((key, primary)) => {
            let user = crate::archive::opener::user_of(primary);
            report
                .verbose(format_args!("{shown}: decrypted with the key {key} of {primary} {user}"));
        }
        None => report.verbose(format_args!("{shown}: decrypted with the passphrase")),
    }
}

impl Archive {
    /// The plain bytes of an object that a run key opens; none where that is for the keys of the
    /// recipients, as in format 1.
    pub(super) fn open_with_run_key(
        &self,
        band: &BandName,
        name: ObjectName,
        stored: &Stored,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let shown = format!("{band}/{name}");
        let Some(runs) = self.runs_of(band)? else { return Ok(None) };
        let again = |found: anyhow::Result<Option<Vec<u8>>>| match (found, stored) {
            (Err(error), Stored::Bytes(bytes)) if !is_unreachable(&error) => {
                // It may have changed on the way.
                match self.get(&shown, self.most(name)) {
                    Ok(Some(now)) if now != *bytes => {
                        self.open_in_turn(band, name, &runs, &Stored::Bytes(now))
                    }
                    _ => Err(error),
                }
            }
            (found, _) => found,
        };
        again(self.open_in_turn(band, name, &runs, stored))
    }

    /// Tries the band's run keys in turn.
    fn open_in_turn(
        &self,
        band: &BandName,
        name: ObjectName,
        runs: &Mutex<BandRuns>,
        stored: &Stored,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let shown = format!("{band}/{name}");
        let fail = |error: GpgError| with_remedy(error, &shown);
        let mut tried: HashSet<*const Passphrase> = HashSet::new();
        let mut why: Option<Arc<GpgError>> = None;
        let mut places = Arc::clone(&locked(runs).places);
        for looked in [false, true] {
            for place in order(&places, name.number().unwrap_or(0)) {
                let key = match self.run_key(band, &mut locked(runs), place)? {
                    Ok(key) => key,
                    Err(error) => {
                        why.get_or_insert(error);
                        continue;
                    }
                };
                if !tried.insert(Arc::as_ptr(&key)) {
                    continue;
                }
                match self.opener.decrypt_under(&key, stored) {
                    Ok(plain) => return Ok(Some(plain)),
                    Err(
                        error
                        @ (GpgError::Start(_) | GpgError::Unusable(_) | GpgError::TooLarge(_)),
                    ) => return Err(fail(error)),
                    Err(_) => {}
                }
            }
            if looked || why.is_some() || !locked(runs).has_keys {
                break;
            }
            // TAIL may not name a run whose number diff did not know.
            let listed = self.list_keys(band, &mut locked(runs))?;
            let begins = |(number, counter): &Place| {
                *counter == 0 && number.is_multiple_of(STRIDE) && !places.contains(&(*number, 0))
            };
            places = Arc::new(self::places(&listed).into_iter().filter(begins).collect());
        }
        let (recipients, passphrases) = start_of(stored);
        if !locked(runs).has_keys {
            if !recipients.is_empty() || !is_under_run_key(&passphrases) {
                return Ok(None);
            }
            return Err(fail(lost_keys("the band")));
        }
        Err(fail(match why {
            Some(error) if is_under_run_key(&passphrases) => error.again(),
            _ if !recipients.is_empty() => GpgError::Damaged(
                "encrypted to a public key, which in this band counts for key objects only: \
                 somebody else may have put it there"
                    .to_owned(),
            ),
            _ => GpgError::Damaged("no run key of the band opens it".to_owned()),
        }))
    }

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
            Piece::Whole(tail) if tail.band == *band => Some(tail),
            _ => None,
        };
        let mut head = tail.as_ref().and_then(|tail| tail.head.clone());
        if head.as_ref().is_none_or(|head| head.band != *band) {
            head = match crate::archive::piece(self.once(band, "HEAD")?, Head::parse)? {
                Piece::Whole(head) if head.band == *band => Some(head),
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
        place: Place,
    ) -> anyhow::Result<Result<Key, Arc<GpgError>>> {
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
        place: Place,
    ) -> anyhow::Result<Result<Key, Arc<GpgError>>> {
        let mut search = Search::default();
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
        search: &mut Search,
        runs: &BandRuns,
        place: Place,
        shown: String,
        message: Vec<u8>,
    ) -> Option<Key> {
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

    /// The keys of all runs, if a message that was added to the first run has them, and opens with a
    /// key that is here.
    fn joined(&self, band: &BandName, first: Place, runs: usize) -> anyhow::Result<Vec<Key>> {
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
}

/// The messages that open a run.
pub(crate) struct RunMessages {
    /// Where its first key object lies, with which messages that are added go.
    pub(crate) place: Place,
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
        place: Place,
        own: Option<Vec<u8>>,
    ) -> anyhow::Result<RunMessages> {
        let (mut messages, mut next) = (Vec::from_iter(own), 1);
        while let Some(added) = self.get(&format!("{band}/{}", key_name(place, next)), MOST)? {
            messages.push(added);
            next += 1;
        }
        Ok(RunMessages { place, messages, next })
    }

    /// The key of a run, whose first key object lies there.
    pub(crate) fn key_of_run(
        &self,
        band: &BandName,
        place: Place,
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
fn places(listed: &[ObjectName]) -> Vec<Place> {
    let place = |name: &ObjectName| match name.object {
        Object::Key(number, counter, _) => (number, counter),
        _ => (0, 0),
    };
    let mut places: Vec<Place> = listed.iter().map(place).collect();
    places.dedup();
    places
}

/// A search for the key of a run.
#[derive(Default)]
struct Search {
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

fn is_under_run_key(passphrases: &[Derivation]) -> bool {
    passphrases.iter().any(|derivation| derivation.count < RUN_KEY_COUNT)
}

/// What opens a message, by its first bytes.
fn start_of(stored: &Stored) -> (Vec<KeyId>, Vec<Derivation>) {
    match stored {
        Stored::Bytes(bytes) => openers(&bytes[..bytes.len().min(START as usize)]),
        Stored::File(file) => {
            let mut start = Vec::new();
            let mut file = file;
            let read = file.rewind().and_then(|()| file.take(START).read_to_end(&mut start));
            read.map_or_else(|_| (Vec::new(), Vec::new()), |_| openers(&start))
        }
    }
}

impl Opener {
    /// Decrypts an object under a run key.
    fn decrypt_under(&self, key: &Key, stored: &Stored) -> Result<Vec<u8>, GpgError> {
        let input = remains::input(stored)?;
        let size = input.size().map_err(GpgError::Talk)?;
        gpg::decrypt_under(key, input, self.limit.max(size))
    }
}
