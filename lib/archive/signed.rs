//! `--signed-by`: an archive of which only that is seen that a key has signed.
//!
//! A store around the store: an object counts only if a list names it that has a good signature by
//! the key, and its bytes are held against that list whenever they are read. A band is complete
//! only if its TAIL is signed. So readers need no rule of their own.
//!
//! What it costs is one listing, a list and its signature for each group that is touched.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use crate::archive::Archive;
use crate::archive::catalogue::BandFolder;
use crate::archive::locked::locked;
use crate::archive::signers::Signers;
use crate::core::chain::counted::STRIDE;
use crate::format::band::{BandId, BandName};
use crate::format::digest::Digest;
use crate::format::group::List;
use crate::format::head::{Head, Tail};
use crate::format::object::{FOLDER, Object, ObjectName};
use crate::report::message::{Report, why};
use crate::store::{Store, StoreError, StoreErrorKind};

/// Lists of a band that are kept at once; each has a hundred or so objects.
const LISTS: usize = 256;

impl Archive {
    /// The same archive, of which only that is seen that one of these keys has signed; the archive
    /// as it is without keys. Copies in a cache are not signed, so they are not asked for.
    pub(crate) fn signed_by(
        self,
        keys: &[String],
        report: &Arc<Report>,
    ) -> anyhow::Result<Archive> {
        let Some(signers) = Signers::by(keys)? else { return Ok(self) };
        let store = Arc::new(SignedStore::new(Arc::clone(&self.store), signers, Some(report)));
        Ok(Archive { report: self.report, ..Archive::over(store, None) })
    }
}

/// The objects of a list.
type Listed = Arc<HashMap<ObjectName, (u64, Digest)>>;

/// What is known of a band.
#[derive(Debug, Default)]
pub(super) struct SignedBand {
    /// The id that lists and TAIL must agree on.
    pub(super) id: Option<BandId>,
    /// Whether TAIL is signed, once it was looked at.
    tail: Option<bool>,
    /// Its folders, once they were listed.
    all: Option<BTreeSet<u32>>,
    /// The names of lists in each folder.
    folders: HashMap<u32, Arc<Vec<(u32, u32)>>>,
    /// The lists that were read; none for one that does not count.
    lists: HashMap<(u32, u32), Option<Listed>>,
    /// What was told.
    told: BTreeSet<String>,
}

/// The store.
pub(crate) struct SignedStore {
    pub(super) inner: Arc<dyn Store>,
    /// Whose signatures count; without any, lists count as they are.
    signers: Option<Signers>,
    /// Who is told of what is left out; nobody where that has no say.
    report: Option<Arc<Report>>,
    bands: Mutex<HashMap<BandName, Arc<Mutex<SignedBand>>>>,
    /// What was told that could not be read.
    told: Mutex<BTreeSet<String>>,
}

/// Whether an object is what a list says.
pub(super) fn agrees(bytes: &[u8], (size, sha256): (u64, Digest)) -> bool {
    bytes.len() as u64 == size && Digest::from(Sha256::digest(bytes)) == sha256
}

fn refused(kind: StoreErrorKind, at: &str, why: &str) -> StoreError {
    StoreError {
        kind,
        at: at.to_owned(),
        source: io::Error::other(why.to_owned()),
        retry_after: None,
    }
}

impl SignedStore {
    /// Of this store, only what these keys have signed.
    pub(crate) fn new(
        inner: Arc<dyn Store>,
        signers: Signers,
        report: Option<&Arc<Report>>,
    ) -> SignedStore {
        let signers = Some(signers);
        SignedStore { signers, report: report.cloned(), ..SignedStore::unsigned(inner) }
    }

    /// Of this store, what lists name that nobody need have signed.
    pub(super) fn unsigned(inner: Arc<dyn Store>) -> SignedStore {
        let (bands, told) = (Mutex::default(), Mutex::default());
        SignedStore { inner, signers: None, report: None, bands, told }
    }

    /// The keys, as they were typed.
    fn shown(&self) -> &str {
        self.signers.as_ref().map_or("", |signers| &signers.shown)
    }

    pub(super) fn band(&self, band: &BandName) -> Arc<Mutex<SignedBand>> {
        match self.bands.lock() {
            Ok(mut bands) => Arc::clone(bands.entry(band.clone()).or_default()),
            Err(_) => Arc::default(),
        }
    }

    /// The object if it is there. One byte more than such an object has shows that it has too many.
    fn optional(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let most = SignedStore::listed(name).map_or(0, |(_, object)| object.most());
        match self.inner.get_range(name, 0, most.saturating_add(1)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            // What cannot be read where others can signs nothing, and ends nothing.
            Err(error) if error.kind == StoreErrorKind::Damaged => {
                let mut told = locked(&self.told);
                if let Some(report) = &self.report
                    && told.insert(name.to_owned())
                {
                    report.warn(format_args!("{name}: cannot be read: {}", why(&error.source)));
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// An object that has a signature beside it, if that is good.
    fn signed(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(bytes) = self.optional(name)? else { return Ok(None) };
        let Some(signers) = &self.signers else { return Ok(Some(bytes)) };
        let signature = self.optional(&format!("{name}.sig"))?;
        Ok(signature.filter(|sig| signers.have_signed(sig, &bytes)).map(|_| bytes))
    }

    fn tell(&self, seen: &mut SignedBand, name: &str, what: &str) {
        if let Some(report) = &self.report
            && seen.told.insert(name.to_owned())
        {
            report.warn(format_args!("{name}: {what}"));
        }
    }

    /// Whether lists and TAIL with this id are of one band.
    fn agrees(seen: &mut SignedBand, id: BandId) -> bool {
        *seen.id.get_or_insert(id) == id
    }

    fn tail(&self, band: &BandName, seen: &mut SignedBand) -> Result<Option<Vec<u8>>, StoreError> {
        let name = format!("{band}/TAIL");
        let bytes = self.signed(&name)?;
        let own = bytes.filter(|bytes| {
            let tail = Tail::parse(bytes).ok().filter(|tail| tail.band == *band);
            tail.is_some_and(|tail| SignedStore::agrees(seen, tail.id))
        });
        if own.is_none() && seen.tail.is_none() && self.optional(&name)?.is_some() {
            let what =
                format!("no good signature by {}: reading the band as unfinished", self.shown());
            self.tell(seen, &name, &what);
        }
        seen.tail = Some(own.is_some());
        Ok(own)
    }

    /// The names of the lists in a folder of a band, the highest first.
    fn lists_in(
        &self,
        band: &BandName,
        folder: u32,
        seen: &mut SignedBand,
    ) -> Result<Arc<Vec<(u32, u32)>>, StoreError> {
        if let Some(known) = seen.folders.get(&folder) {
            return Ok(Arc::clone(known));
        }
        let found = BandFolder::list(self.inner.as_ref(), band, Some(folder))?;
        let list = |name: &ObjectName| match name.object {
            Object::List(number, counter) => Some((number, counter)),
            _ => None,
        };
        let mut lists: Vec<(u32, u32)> =
            found.all.iter().filter_map(|(name, _)| list(name)).collect();
        lists.sort_unstable_by(|a, b| b.cmp(a));
        let lists = Arc::new(lists);
        seen.folders.insert(folder, Arc::clone(&lists));
        Ok(lists)
    }

    /// A list, if it is signed and the band's.
    fn list(
        &self,
        band: &BandName,
        (number, counter): (u32, u32),
        seen: &mut SignedBand,
    ) -> Result<Option<Listed>, StoreError> {
        if let Some(known) = seen.lists.get(&(number, counter)) {
            return Ok(known.clone());
        }
        if seen.tail.is_none() && self.signers.is_some() {
            self.tail(band, seen)?;
        }
        let name = format!("{band}/{}", ObjectName::plain(Object::List(number, counter)));
        let bytes = self.signed(&name)?;
        let list = bytes.and_then(|bytes| List::parse(&bytes).ok()).filter(|list| {
            list.band == *band
                && list.name == (number, counter)
                && SignedStore::agrees(seen, list.id)
        });
        let listed = list.map(|list| {
            let of = |member: crate::format::group::GroupMember| {
                (member.name, (member.size, member.sha256))
            };
            Arc::new(list.members.into_iter().map(of).collect::<HashMap<_, _>>())
        });
        if listed.is_none() {
            let what = format!(
                "no good signature by {}: objects that only this list names are left out",
                self.shown()
            );
            self.tell(seen, &name, &what);
        }
        if seen.lists.len() >= LISTS {
            seen.lists.clear();
        }
        seen.lists.insert((number, counter), listed.clone());
        Ok(listed)
    }

    /// What the signed list of a message that was added later says of it.
    fn added(
        &self,
        band: &BandName,
        (number, counter, added): (u32, u32, u32),
        seen: &mut SignedBand,
    ) -> Result<Option<(u64, Digest)>, StoreError> {
        if seen.tail.is_none() && self.signers.is_some() {
            self.tail(band, seen)?;
        }
        let own = ObjectName::plain(Object::KeyList(number, counter, added));
        let text = self.signed(&format!("{band}/{own}"))?;
        let list = text.and_then(|text| List::parse(&text).ok()).filter(|list| {
            list.band == *band && list.object() == own && SignedStore::agrees(seen, list.id)
        });
        let member = list.and_then(|list| list.members.into_iter().next());
        Ok(member.map(|member| (member.size, member.sha256)))
    }

    /// What a signed list says of an object. A group has the number of its first object, so its
    /// list is the nearest below that names it; what a run left that was cut stands in a list of a
    /// later run, which has the number of that.
    pub(super) fn member(
        &self,
        band: &BandName,
        object: ObjectName,
        seen: &mut SignedBand,
    ) -> Result<Option<(u64, Digest)>, StoreError> {
        if let Object::Key(number, counter, added @ 1..) = object.object {
            return self.added(band, (number, counter, added), seen);
        }
        let number = object.number().unwrap_or(0);
        let folder = number / FOLDER;
        for folder in (folder.saturating_sub(1)..=folder).rev() {
            let lists = self.lists_in(band, folder, seen)?;
            for &name in lists.iter().filter(|(first, _)| *first <= number) {
                if let Some(listed) = self.list(band, name, seen)?
                    && let Some(found) = listed.get(&object)
                {
                    return Ok(Some(*found));
                }
            }
        }
        for folder in self.folders_from(band, folder, seen)? {
            let lists = self.lists_in(band, folder, seen)?;
            let begins = |first: u32| first > number && first.is_multiple_of(STRIDE);
            for &name in lists.iter().rev().filter(|(first, _)| begins(*first)) {
                if let Some(listed) = self.list(band, name, seen)?
                    && let Some(found) = listed.get(&object)
                {
                    return Ok(Some(*found));
                }
            }
        }
        Ok(None)
    }

    /// The folders of a band from this one on.
    fn folders_from(
        &self,
        band: &BandName,
        first: u32,
        seen: &mut SignedBand,
    ) -> Result<Vec<u32>, StoreError> {
        if seen.all.is_none() {
            let found = BandFolder::list(self.inner.as_ref(), band, None)?;
            seen.all = Some(found.folders.into_iter().collect::<BTreeSet<u32>>());
        }
        Ok(seen.all.iter().flat_map(|all| all.range(first..)).copied().collect())
    }

    /// The same of the very band with this HEAD.
    pub(super) fn of_band(
        &self,
        band: &Head,
        object: ObjectName,
    ) -> Result<Option<(u64, Digest)>, StoreError> {
        let known = self.band(&band.band);
        let mut seen = locked(&known);
        let found = self.member(&band.band, object, &mut seen)?;
        Ok(found.filter(|_| seen.id == Some(band.id)))
    }

    /// True for what no list names: it is looked at where it is used.
    fn speaks_for_itself(name: &ObjectName) -> bool {
        matches!(
            name.object,
            Object::List(..) | Object::ListSig(..) | Object::TailSig | Object::Parity(..)
        ) || matches!(name.object, Object::KeyList(..) | Object::KeyListSig(..))
    }

    /// The band and object that a name is of, if its bytes are held against a list.
    pub(super) fn listed(name: &str) -> Option<(BandName, ObjectName)> {
        let (band, object) = name.split_once('/')?;
        let object = ObjectName::parse(object)?;
        Some((band.parse().ok()?, object))
    }
}

impl Store for SignedStore {
    fn put_new(&self, name: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(refused(StoreErrorKind::Denied, name, "the archive is only read"))
    }

    fn replace(&self, name: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(refused(StoreErrorKind::Denied, name, "the archive is only read"))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let Some((band, object)) = SignedStore::listed(name) else { return self.inner.get(name) };
        let known = self.band(&band);
        let wanted = {
            let mut seen = known.lock().map_err(|_| {
                refused(
                    StoreErrorKind::Other,
                    name,
                    "the thread that checks its signature stopped unexpectedly",
                )
            })?;
            match object.object {
                Object::Tail => {
                    let none = || refused(StoreErrorKind::NotFound, name, "it is not signed");
                    return self.tail(&band, &mut seen)?.ok_or_else(none);
                }
                _ if SignedStore::speaks_for_itself(&object) => return self.inner.get(name),
                _ => self.member(&band, object, &mut seen)?,
            }
        };
        let Some((size, sha256)) = wanted else {
            // What is not there needs no word: readers ask for several names.
            if self.inner.stat(name)?.is_none() {
                return Err(refused(StoreErrorKind::NotFound, name, "it is not there"));
            }
            if let Ok(mut seen) = known.lock() {
                let what = format!("in no list signed by {}: left out", self.shown());
                self.tell(&mut seen, name, &what);
            }
            return Err(refused(StoreErrorKind::NotFound, name, "it is in no signed list"));
        };
        let bytes = self.inner.get_range(name, 0, size.saturating_add(1))?;
        match agrees(&bytes, (size, sha256)) {
            true => Ok(bytes),
            false => Err(refused(StoreErrorKind::Other, name, "not what its signed list says")),
        }
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.get(name)?;
        let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[at(start)..at(start.saturating_add(length))].to_vec())
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let Some((band, object)) = SignedStore::listed(name) else { return self.inner.stat(name) };
        if object.object == Object::Tail {
            return Ok(self.get(name).ok().map(|bytes| bytes.len() as u64));
        }
        let known = self.band(&band);
        let wanted = match known.lock() {
            Ok(mut seen) => self.member(&band, object, &mut seen)?,
            Err(_) => None,
        };
        let found = self.inner.stat(name)?;
        Ok(found.filter(|found| wanted.is_some_and(|(size, _)| size == *found)))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let mut names = self.inner.list(folder)?;
        let mut failed = None;
        names.retain(|(name, _)| {
            let Some((band, object)) = SignedStore::listed(&format!("{folder}/{name}")) else {
                return true;
            };
            let known = self.band(&band);
            let Ok(mut seen) = known.lock() else { return false };
            match object.object {
                Object::Tail => self.tail(&band, &mut seen).is_ok_and(|tail| tail.is_some()),
                _ if SignedStore::speaks_for_itself(&object) => true,
                _ => self.member(&band, object, &mut seen).map_or_else(
                    |error| {
                        failed.get_or_insert(error);
                        false
                    },
                    |found| found.is_some(),
                ),
            }
        });
        failed.map_or(Ok(names), Err)
    }
}
