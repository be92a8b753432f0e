//! Plain objects where sealed ones belong: left out, and told; see [`crate::core::chain::sealing`].
//!
//! What is read tells, and a look at each band before a plain object of it is taken: at names where
//! a whole version is read or the archive is a directory, else for one sealed object. It goes side
//! by side with what is asked for, so it costs no time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use crate::archive::catalogue::BandFolder;
use crate::archive::locked::locked;
use crate::archive::unlock::PLAIN;
use crate::archive::{Archive, BandInChain, side_by_side};
use crate::core::chain::sealing::{Oddity, Sealing, plain_above_sealed, sealed_before, to_look_at};
use crate::format::band::BandName;
use crate::format::group::{List, MAX_LIST};
use crate::format::object::{Object, ObjectName};

/// Bands beside the one that is read that are asked over a network whether they are sealed.
const ASKED: usize = 16;

/// What is sealed and what is plain, as far as this run knows.
#[derive(Default)]
pub(super) struct SealedOrPlain {
    /// What was seen.
    seen: Mutex<Sealing>,
    /// Bands that were looked at, or are.
    bands: Mutex<HashMap<BandName, Arc<OnceLock<()>>>>,
    beside: OnceLock<()>,
    /// The bands of the archive, once it was listed.
    pub(super) names: OnceLock<Vec<BandName>>,
}

impl Archive {
    /// Whether an object that was found is to be taken. What is odd is told, once.
    pub(super) fn takes(&self, band: &BandName, name: ObjectName) -> bool {
        if self.plain_is_meant {
            return true;
        }
        if name.is_secret() && !name.encrypted {
            self.look_whether_sealed(band);
        }
        self.see(|sealing| sealing.handle_object(band, name))
    }

    /// Lets the machine know, and tells what is odd.
    fn see<T>(&self, what: impl FnOnce(&mut Sealing) -> T) -> T {
        let mut sealing = locked(&self.looks.seen);
        let came = what(&mut sealing);
        while let Some(oddity) = sealing.poll() {
            let (what, key) = match oddity {
                Oddity::Object(band, name, taken) => {
                    let then = if taken { "accepted" } else { "left out" };
                    let key = format!("{band}/{name}");
                    (format!("{key}: not encrypted, though the band is: {then} ({PLAIN})"), key)
                }
                Oddity::Above(band, other) => {
                    let what = not_encrypted(&band, &other);
                    (format!("{band}: {what} ({PLAIN})"), band.to_string())
                }
            };
            let mut told = locked(&self.told);
            if told.insert(key)
                && let Some(report) = &self.report
            {
                report.warn(format_args!("{what}"));
            }
        }
        came
    }

    /// Asks for an object, and beside it looks at its band if that is wanted and was not yet done.
    pub(super) fn looking<T: Send>(
        &self,
        band: &BandName,
        name: ObjectName,
        ask: impl FnOnce() -> T + Send,
    ) -> T {
        let wanted = name.is_secret() && (!name.encrypted || self.looks_at_names());
        if !wanted || self.plain_is_meant || self.is_looked_at(band) {
            return ask();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| self.look_whether_sealed(band));
            ask()
        })
    }

    /// Whether names are looked at: they tell all, but a listing may have many pages, and what
    /// somebody put beside what is vouched for is no matter to who builds on it.
    fn looks_at_names(&self) -> bool {
        !self.builds && (self.files.is_some() || !self.is_part())
    }

    fn looked_at(&self, band: &BandName) -> Arc<OnceLock<()>> {
        let mut bands = locked(&self.looks.bands);
        Arc::clone(bands.entry(band.clone()).or_default())
    }

    fn is_looked_at(&self, band: &BandName) -> bool {
        self.looked_at(band).get().is_some()
    }

    /// Looks at a band of which something plain is to be taken, once. What cannot be seen shows
    /// nothing.
    fn look_whether_sealed(&self, band: &BandName) {
        self.looked_at(band).get_or_init(|| {
            std::thread::scope(|scope| {
                // Whoever builds on the archive asks what vouches for a band.
                if !self.builds {
                    scope.spawn(|| self.look_beside(band));
                }
                if self.looks_at_names() {
                    scope.spawn(|| self.look_at_list(band));
                    return self.look_at_names(band);
                }
                match self.has_first_index(band, true) {
                    Ok(true) => self.see(|sealing| sealing.handle_sealed(band)),
                    Ok(false) => self.see(|sealing| sealing.handle_plain(band)),
                    Err(_) => {}
                }
            });
        });
    }

    /// Looks at the bands of a chain of which nothing was asked for, because all is in the cache,
    /// while they are read.
    pub(super) fn look_at_chain(
        self: &Arc<Archive>,
        chain: &[BandInChain],
    ) -> Option<JoinHandle<()>> {
        let mut bands: Vec<BandName> = chain.iter().map(|band| band.head.band.clone()).collect();
        bands.retain(|band| !self.is_looked_at(band) && !self.see(|seen| seen.is_sealed(band)));
        if bands.is_empty() || self.plain_is_meant || self.builds {
            return None;
        }
        let archive = Arc::clone(self);
        Some(std::thread::spawn(move || {
            // What cannot be seen shows nothing.
            let look = |band: &BandName| {
                archive.look_whether_sealed(band);
                Ok(())
            };
            let _ = side_by_side(&bands, look);
        }))
    }

    /// The names in the first folder of a band: of a sealed one, those that are plain are told.
    fn look_at_names(&self, band: &BandName) {
        let Ok(found) = BandFolder::list(self.store.as_ref(), band, Some(0)) else { return };
        let there: Vec<ObjectName> = found.names().collect();
        let is_sealed = there.iter().any(ObjectName::shows_sealing);
        let secret: Vec<ObjectName> = there.into_iter().filter(ObjectName::is_secret).collect();
        self.see(|sealing| match (is_sealed, secret.is_empty()) {
            (true, _) => {
                sealing.handle_sealed(band);
                for name in secret {
                    sealing.handle_object(band, name);
                }
            }
            (false, false) => sealing.handle_plain(band),
            (false, true) => {}
        });
    }

    /// What the first list of a band names, whether it is there or not.
    fn look_at_list(&self, band: &BandName) {
        let name = format!("{band}/{}", ObjectName::plain(Object::List(0, 0)));
        let list = self.get(&name, MAX_LIST as u64).ok().flatten();
        let list = list.and_then(|bytes| List::parse(&bytes).ok()).filter(|it| it.band == *band);
        if list.is_some_and(|list| list.members.iter().any(|member| member.name.encrypted)) {
            self.see(|sealing| sealing.handle_sealed(band));
        }
    }

    /// The other bands of the archive, once: one of them may be sealed that is older.
    fn look_beside(&self, band: &BandName) {
        let Some(names) = self.looks.names.get() else { return };
        self.looks.beside.get_or_init(|| {
            for other in self.sealed_beside(names, band) {
                self.see(|sealing| sealing.handle_sealed(&other));
            }
        });
    }

    fn asked_beside<'a>(&self, names: &'a [BandName], band: &BandName) -> Vec<&'a BandName> {
        to_look_at(names, band, if self.files.is_some() { usize::MAX } else { ASKED })
    }

    /// Which bands beside this one are sealed, of those that are asked.
    fn sealed_beside(&self, names: &[BandName], band: &BandName) -> Vec<BandName> {
        let is_sealed = |other: &&BandName| self.has_first_index(other, true).unwrap_or(false);
        let asked = self.asked_beside(names, band);
        let sealed = match self.files.is_some() {
            true => asked.iter().map(is_sealed).collect(),
            false => side_by_side(&asked, |other| Ok(is_sealed(other))).unwrap_or_default(),
        };
        let both = asked.into_iter().zip::<Vec<bool>>(sealed);
        both.filter(|(_, sealed)| *sealed).map(|(name, _)| name.clone()).collect()
    }

    /// Whether a band is sealed, or it is no matter: it has no first index that is plain, or plain
    /// bands are meant.
    pub(crate) fn is_sealed_or_meant(&self, band: &BandName) -> anyhow::Result<bool> {
        Ok(self.plain_is_meant
            || self.has_first_index(band, true)?
            || !self.has_first_index(band, false)?)
    }

    /// A sealed band that is older than this one, if this one is plain.
    pub(crate) fn plain_beside_sealed(&self, band: &BandName) -> anyhow::Result<Option<BandName>> {
        let names = self.looks.names.get().filter(|_| !self.plain_is_meant);
        let names = names.filter(|names| !self.asked_beside(names, band).is_empty());
        let Some(names) = names else { return Ok(None) };
        if self.is_sealed_or_meant(band)? {
            return Ok(None);
        }
        Ok(sealed_before(band, &self.sealed_beside(names, band)).cloned())
    }

    /// The first plain band of a chain that stands above a sealed one, by the first index of each.
    pub(crate) fn plain_above_sealed(
        &self,
        chain: &[BandInChain],
    ) -> anyhow::Result<Option<BandName>> {
        if self.plain_is_meant || chain.len() < 2 {
            return Ok(None);
        }
        let has = |band: &BandInChain, encrypted| self.has_first_index(&band.head.band, encrypted);
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

/// What is said of a plain band above a sealed one, or newer than that.
pub(crate) fn not_encrypted(band: &BandName, sealed: &BandName) -> String {
    match band.chain().contains(sealed) {
        true => NOT_ENCRYPTED.to_owned(),
        false => format!("not encrypted, though {sealed} is, which is older"),
    }
}

/// The same of one that is below it.
pub(crate) const NOT_ENCRYPTED: &str = "not encrypted, though a band below it is";
