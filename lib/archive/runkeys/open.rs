//! Objects that are opened with the key of their run.

use std::collections::HashSet;
use std::io::{Read as _, Seek as _};
use std::sync::{Arc, Mutex};

use super::{BandRuns, RunKey, lost_keys, places, remains};
use crate::archive::kind::is_unreachable;
use crate::archive::locked::locked;
use crate::archive::opener::{Opener, with_remedy};
use crate::archive::{Archive, StoredObject};
use crate::core::chain::counted::STRIDE;
use crate::core::runs::{KeyPlace, order};
use crate::edge::gpg::{self, GpgError, Passphrase};
use crate::format::band::BandName;
use crate::format::object::ObjectName;
use crate::format::openpgp::{Derivation, KeyId, openers};

/// A derivation with fewer bytes is of a run key: no passphrase is made into a key so.
const RUN_KEY_COUNT: u64 = 65_536;

/// Bytes of a message that tell what opens it.
const START: u64 = 4096;

impl Archive {
    /// The plain bytes of an object that a run key opens; none where that is for the keys of the
    /// recipients, as in format 1.
    pub(in crate::archive) fn open_with_run_key(
        &self,
        band: &BandName,
        name: ObjectName,
        stored: &StoredObject,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let shown = format!("{band}/{name}");
        let Some(runs) = self.runs_of(band)? else { return Ok(None) };
        let again = |found: anyhow::Result<Option<Vec<u8>>>| match (found, stored) {
            (Err(error), StoredObject::Bytes(bytes)) if !is_unreachable(&error) => {
                // It may have changed on the way.
                match self.get(&shown, self.most(name)) {
                    Ok(Some(now)) if now != *bytes => {
                        self.open_in_turn(band, name, &runs, &StoredObject::Bytes(now))
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
        stored: &StoredObject,
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
            let begins = |(number, counter): &KeyPlace| {
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
}

fn is_under_run_key(passphrases: &[Derivation]) -> bool {
    passphrases.iter().any(|derivation| derivation.count < RUN_KEY_COUNT)
}

/// What opens a message, by its first bytes.
fn start_of(stored: &StoredObject) -> (Vec<KeyId>, Vec<Derivation>) {
    match stored {
        StoredObject::Bytes(bytes) => openers(&bytes[..bytes.len().min(START as usize)]),
        StoredObject::File(file) => {
            let mut start = Vec::new();
            let mut file = file;
            let read = file.rewind().and_then(|()| file.take(START).read_to_end(&mut start));
            read.map_or_else(|_| (Vec::new(), Vec::new()), |_| openers(&start))
        }
    }
}

impl Opener {
    /// Decrypts an object under a run key.
    fn decrypt_under(&self, key: &RunKey, stored: &StoredObject) -> Result<Vec<u8>, GpgError> {
        let input = remains::input(stored)?;
        let size = input.size().map_err(GpgError::Talk)?;
        gpg::decrypt_under(key, input, self.limit.max(size))
    }
}
