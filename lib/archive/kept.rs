//! What a run has read and will want again: so that each object is read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::format::band::BandName;

/// Bytes that are kept at most; what comes later is read again when it is wanted again.
const MOST: usize = 32 << 20;

/// Objects as they were read, or found to be absent, by name.
#[derive(Debug, Default)]
pub(super) struct ObjectCache(Mutex<CachedObjects>);

#[derive(Debug, Default)]
struct CachedObjects {
    by_name: HashMap<String, Option<Arc<Vec<u8>>>>,
    bytes: usize,
}

impl ObjectCache {
    /// What is known of an object; the inner one is none if it is absent.
    pub(super) fn get(&self, name: &str) -> Option<Option<Arc<Vec<u8>>>> {
        self.0.lock().ok()?.by_name.get(name).cloned()
    }

    /// Forgets the objects of a band.
    pub(super) fn forget(&self, band: &BandName) {
        let Ok(mut objects) = self.0.lock() else { return };
        let folder = format!("{band}/");
        let gone = objects.by_name.extract_if(|name, _| name.starts_with(&folder));
        let size = |(name, bytes): (String, Option<Arc<Vec<u8>>>)| {
            name.len() + bytes.map_or(0, |bytes| bytes.len())
        };
        let bytes: usize = gone.map(size).sum();
        objects.bytes -= bytes;
    }

    /// Keeps what was read, while there is room.
    pub(super) fn put(&self, name: String, bytes: Option<Arc<Vec<u8>>>) {
        let Ok(mut objects) = self.0.lock() else { return };
        let sum = objects.bytes + name.len() + bytes.as_ref().map_or(0, |bytes| bytes.len());
        if sum <= MOST {
            objects.bytes = sum;
            objects.by_name.insert(name, bytes);
        }
    }
}

/// Which bands are encrypted, as far as it was seen. Only the names of objects tell, and a wrong
/// guess costs a call.
#[derive(Debug, Default)]
pub(super) struct SealedBands {
    seen: Mutex<(Option<bool>, HashMap<BandName, bool>)>,
    /// Held while nothing was seen yet: the first to ask finds out for all.
    pub(super) asking: Mutex<()>,
}

impl SealedBands {
    /// Whether the objects of a band are probably encrypted: as those seen of it were, or else of
    /// another band. None at the start.
    pub(super) fn likely(&self, band: &BandName) -> Option<bool> {
        let seen = self.seen.lock().ok()?;
        seen.1.get(band).copied().or(seen.0)
    }

    /// An object of the band was seen.
    pub(super) fn saw(&self, band: &BandName, encrypted: bool) {
        if let Ok(mut seen) = self.seen.lock()
            && seen.1.get(band) != Some(&encrypted)
        {
            seen.0 = Some(encrypted);
            seen.1.insert(band.clone(), encrypted);
        }
    }
}
