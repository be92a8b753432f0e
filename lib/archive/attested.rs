//! `dura-index diff --signed-by`: which HEADs and indexes lists that a key has signed name.
//!
//! A store around the store that gives everything as it is, and remembers of each index that was
//! read whether it is what a signed list says. For what is built on, that is worth as much as this
//! host's journal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::archive::Archive;
use crate::archive::locked::locked;
use crate::archive::signed::{SignedStore, agrees};
use crate::archive::signers::Signers;
use crate::format::band::BandName;
use crate::format::digest::Digest;
use crate::format::head::Head;
use crate::format::object::{Object, ObjectName};
use crate::store::{Store, StoreError};

/// The archive's store, and what signed lists say of it.
pub(crate) struct Attested {
    signed: SignedStore,
    /// Whether all that was read of an index was what its signed list says.
    read: Mutex<HashMap<(BandName, u32), bool>>,
}

impl Archive {
    /// The same archive, of which is known what these keys have signed.
    pub(crate) fn attested(
        self,
        keys: &[String],
    ) -> anyhow::Result<(Archive, Option<Arc<Attested>>)> {
        let Some(signers) = Signers::by(keys)? else { return Ok((self, None)) };
        let signed = SignedStore::new(Arc::clone(&self.store), signers, None);
        let attested = Arc::new(Attested { signed, read: Mutex::default() });
        // gpg would read files past this.
        let archive = Archive { store: Arc::clone(&attested) as _, files: None, ..self };
        Ok((archive, Some(attested)))
    }
}

impl Attested {
    /// Whether a signed list of the band names this HEAD.
    pub(crate) fn head(&self, head: &Head) -> Result<bool, StoreError> {
        let listed = self.listed(head, ObjectName::plain(Object::Head))?;
        Ok(listed.is_some_and(|listed| agrees(head.to_string().as_bytes(), listed)))
    }

    /// Whether a signed list of the band names this index.
    pub(crate) fn names(&self, head: &Head, number: u32) -> Result<bool, StoreError> {
        for encrypted in [true, false] {
            let name = ObjectName { object: Object::Index(number), encrypted };
            if self.listed(head, name)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what was read of the index is what a signed list says.
    pub(crate) fn has_read(&self, head: &Head, number: u32) -> bool {
        let read = locked(&self.read);
        read.get(&(head.band.clone(), number)).copied().unwrap_or(false)
    }

    fn listed(&self, head: &Head, name: ObjectName) -> Result<Option<(u64, Digest)>, StoreError> {
        self.signed.of_band(head, name)
    }

    /// Remembers whether an index is what its list says: each time that it is read.
    fn note(&self, name: &str, bytes: &[u8]) {
        let Some((band, object)) = SignedStore::listed(name) else { return };
        let Object::Index(number) = object.object else { return };
        let seen = self.signed.band(&band);
        let mut seen = locked(&seen);
        let listed = self.signed.member(&band, object, &mut seen).ok().flatten();
        let good = listed.is_some_and(|listed| agrees(bytes, listed));
        let mut read = locked(&self.read);
        *read.entry((band, number)).or_insert(true) &= good;
    }
}

impl Store for Attested {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.signed.inner.put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.signed.inner.replace(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let bytes = self.signed.inner.get(name)?;
        self.note(name, &bytes);
        Ok(bytes)
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.signed.inner.get_range(name, start, length)?;
        // A part of it agrees with nothing.
        self.note(name, &bytes);
        Ok(bytes)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.signed.inner.stat(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.signed.inner.list(folder)
    }
}
