//! Indexes for whoever builds on an archive: what this host's journal vouches for.

use std::sync::Arc;

use anyhow::Context;

use crate::archive::vouching::Vouching;
use crate::archive::{Archive, Trust, index_text, plain_name, unzip};
use crate::format::head::Head;
use crate::format::object::Object;

impl Archive {
    /// The same for who builds on it: only indexes that are vouched for count.
    pub(crate) fn vouched_by(self, vouching: Option<Arc<Vouching>>) -> Archive {
        Archive { vouching, builds: true, ..self }
    }

    /// What vouches for its indexes.
    pub(crate) fn vouching(&self) -> Option<&Arc<Vouching>> {
        self.vouching.as_ref()
    }

    /// Puts into the cache what the store gave and is whole, if the object agreed with its list, or
    /// the journal tells what it is. Losing a copy costs time only.
    pub(super) fn keep_copy(&self, band: &Head, object: Object, bytes: &[u8]) {
        if let Some(cache) = &self.cache
            && (self.vouching.is_some() || self.agreed(band, object))
        {
            let head = || match cache.has_head(&band.band, band.id) {
                true => Ok(()),
                false => cache.put(&band.band, band.id, Object::Head, band.to_string().as_bytes()),
            };
            let _ = head().and_then(|()| cache.put(&band.band, band.id, object, bytes));
        }
    }

    /// The text of an index or table of contents as the store has it, kept instead of any copy.
    pub(super) fn fresh(&self, band: &Head, object: Object) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(bytes) = self.fetch(&band.band, object)? else { return Ok(None) };
        let text = unzip(&bytes, object).with_context(|| plain_name(band, object))?;
        if index_text::is_own(&text, object, band.id) {
            self.keep_copy(band, object, &bytes);
        }
        Ok(Some(text))
    }

    /// The text of an index of an unfinished band, and whether something vouches for it. None
    /// without reading it if nothing can: who has put it there may have taken care that it cannot
    /// be read.
    pub(super) fn vouched_text(
        &self,
        band: &Head,
        number: u32,
        size: u64,
    ) -> anyhow::Result<Option<(Vec<u8>, bool)>> {
        let object = Object::Index(number);
        let Some(vouching) = &self.vouching else {
            let text = self.text_kept(band, object, Trust::Listed(size))?;
            return Ok(Some((text.unwrap_or_default(), true)));
        };
        if !vouching.may_know(band, number)? {
            vouching.pass(band, number);
            return Ok(None);
        }
        let text = self.text_kept(band, object, Trust::Listed(size))?.unwrap_or_default();
        if vouching.index(band, number, b"", &text) {
            return Ok(Some((text, true)));
        }
        // It may have been a copy.
        let text = self.fresh(band, object)?.unwrap_or_default();
        let vouched = vouching.index(band, number, b"", &text);
        if !vouched {
            vouching.pass(band, number);
        }
        Ok(Some((text, vouched)))
    }
}
