//! Copies of what was read: one is kept only if the object, as stored, agreed with its checksum
//! list then. Else a false one that somebody put into the store for a while would outlive its
//! repair.
//!
//! That costs a listing of each folder and a list for each group, so only those keep copies who
//! read a whole version.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::archive::locked::locked;
use crate::archive::signed::SignedStore;
use crate::archive::{Archive, StoredObject};
use crate::format::band::BandName;
use crate::format::digest::{self, Digest};
use crate::format::head::Head;
use crate::format::object::{Object, ObjectName};

/// An object as stored: its name, size and digest.
type ReadObject = (ObjectName, u64, Digest);

/// What is needed to know which copies may be kept.
#[derive(Default)]
pub(super) struct Copying {
    /// Whether only a part of a version is read.
    part: AtomicBool,
    /// Objects as they came, until their copies are kept: their names, sizes and digests.
    came: Mutex<HashMap<(BandName, Object), ReadObject>>,
    /// The checksum lists.
    lists: OnceLock<SignedStore>,
}

impl Archive {
    /// Only a part of a version is read from now on, or a whole one.
    pub(super) fn reads_part(&self, part: bool) {
        self.copying.part.store(part, Ordering::Relaxed);
    }

    /// Remembers what an object is that may be kept.
    pub(super) fn note_for_copy(&self, band: &BandName, name: ObjectName, stored: &StoredObject) {
        let is_kept = matches!(name.object, Object::Index(_) | Object::Toc(_));
        if !is_kept || self.cache.is_none() || self.vouching.is_some() || self.is_part() {
            return;
        }
        let of = |bytes: &[u8]| (name, bytes.len() as u64, digest::of(bytes));
        let came = match stored {
            StoredObject::Bytes(bytes) => Some(of(bytes)),
            // gpg reads it by itself.
            StoredObject::File(_) => {
                let bytes = self.get(&format!("{band}/{name}"), name.most()).ok().flatten();
                bytes.map(|bytes| of(&bytes))
            }
        };
        if let Some(came) = came {
            let mut all = locked(&self.copying.came);
            all.insert((band.clone(), name.object), came);
        }
    }

    pub(super) fn is_part(&self) -> bool {
        self.copying.part.load(Ordering::Relaxed)
    }

    /// Whether an object that came is what its checksum list says.
    pub(super) fn agreed(&self, band: &Head, object: Object) -> bool {
        let came = {
            let mut all = locked(&self.copying.came);
            all.remove(&(band.band.clone(), object))
        };
        let Some((name, size, sha256)) = came.filter(|_| !self.is_part()) else { return false };
        let lists =
            self.copying.lists.get_or_init(|| SignedStore::unsigned(Arc::clone(&self.store)));
        matches!(lists.of_band(band, name), Ok(Some(listed)) if listed == (size, sha256))
    }
}
