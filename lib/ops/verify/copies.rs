//! Key objects of a run are all the same: what is lost of one, another has.

use std::collections::HashMap;

use crate::archive::catalogue::BandFolder;
use crate::format::band::BandName;
use crate::format::digest::{self, Digest};
use crate::format::group::GroupMember;
use crate::format::object::ObjectName;
use crate::store::Store;

/// The key objects that were rebuilt.
#[derive(Debug, Default)]
pub(super) struct KeyCopies(HashMap<Digest, Vec<u8>>);

impl KeyCopies {
    /// A key object was rebuilt.
    pub(super) fn handle_rebuilt(&mut self, bytes: &[u8]) {
        self.0.insert(digest::of(bytes), bytes.to_vec());
    }

    /// The bytes of a key object, from another one that was rebuilt, or lies in its folder.
    pub(super) fn find(
        &self,
        store: &dyn Store,
        band: &BandName,
        member: &GroupMember,
    ) -> Option<Vec<u8>> {
        if let Some(bytes) = self.0.get(&member.sha256) {
            return Some(bytes.clone());
        }
        let shown = member.name.to_string();
        let number = shown.split_once('/')?.0.parse().ok()?;
        let listed = BandFolder::list(store, band, Some(number)).ok()?.all.into_iter();
        let copies = listed.filter(|(name, size)| *size == member.size && name.is_key());
        let copies = copies.map(|(name, _)| name);
        let read = |name: ObjectName| {
            store.get_range(&format!("{band}/{name}"), 0, member.size.saturating_add(1)).ok()
        };
        copies.filter_map(read).find(|bytes| digest::of(bytes) == member.sha256)
    }
}
