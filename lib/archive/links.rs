//! What verify asks of an archive: sizes of objects, and which indexes of a band count as far as
//! that can be read.

use crate::archive::catalogue::BandFolder;
use crate::archive::{Archive, Trust, index_text, unzip};
use crate::core::chain::counted::{Counted, Indexes};
use crate::format::band::BandName;
use crate::format::head::{Head, Tail};
use crate::format::object::{MAX_INDEX, Object, ObjectName};

impl Archive {
    /// Calls `each` with name and size of each object of a band, folder by folder.
    pub(crate) fn sizes(
        &self,
        band: &BandName,
        each: &mut dyn FnMut(&ObjectName, u64),
    ) -> anyhow::Result<()> {
        let found = BandFolder::list_all(self.store.as_ref(), band)?;
        found.all.iter().for_each(|(name, size)| each(name, *size));
        Ok(())
    }

    /// The text of an index or table of contents that this run or the cache has a copy of.
    pub(super) fn cached(&self, band: &Head, object: Object, trust: Trust) -> Option<Vec<u8>> {
        let text = unzip(&self.copy(band, object, trust)?, object).ok()?;
        index_text::is_own(&text, object, band.id).then_some(text)
    }

    /// Which indexes in these folders of the band count. With `keys`, indexes may be decrypted;
    /// without, they are taken from the cache, or must not be encrypted. None if one cannot be had
    /// so, or `spend` does not allow to read so many bytes.
    pub(crate) fn links(
        &self,
        band: &Head,
        tail: Option<&Tail>,
        folders: &[u32],
        keys: bool,
        spend: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Counted> {
        let mut indexes = Indexes::new();
        for folder in folders {
            let found = BandFolder::list(self.store.as_ref(), &band.band, Some(*folder)).ok()?;
            let mut listed: Vec<(u32, bool, u64)> = Vec::new();
            for (name, size) in found.objects() {
                match name {
                    ObjectName { object: Object::Index(number), encrypted } => {
                        listed.push((number, encrypted, size))
                    }
                    name => {
                        name.number().into_iter().for_each(|number| indexes.handle_number(number))
                    }
                }
            }
            listed.sort_unstable();
            listed.dedup_by_key(|(number, ..)| *number);
            for (number, encrypted, size) in listed {
                let text = match self.cached(band, Object::Index(number), Trust::Listed(size)) {
                    Some(text) => Ok(Some(text)),
                    None if keys => self.text(band, Object::Index(number), Trust::Listed(size)),
                    None if encrypted || !spend(size) => return None,
                    None => self
                        .get(
                            &format!("{}/{}", band.band, ObjectName::plain(Object::Index(number))),
                            MAX_INDEX as u64,
                        )
                        .and_then(|bytes| {
                            bytes.map(|bytes| unzip(&bytes, Object::Index(number))).transpose()
                        }),
                };
                let first = text
                    .and_then(|text| index_text::first_line(&text.unwrap_or_default(), band.id));
                match first {
                    Ok(Some((said, after))) if said == number => {
                        indexes.handle_index(number, after)
                    }
                    _ => indexes.handle_number(number),
                }
            }
        }
        Some(match tail {
            Some(tail) => indexes.up_to(tail.last),
            None => indexes.of_unfinished(),
        })
    }
}
