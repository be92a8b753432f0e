//! Hard links of a version whose first name is no longer what they were linked to.
//!
//! A band that replaces or removes the first name of an inode also records the other names that it
//! sees. A name that it does not see (excluded, unreadable, outside a mask) keeps its older line,
//! and by hand it keeps its content, because tar puts a new inode in the place of the first name.
//! So such a name stands for the content that the first name had in the tier of its own line; a
//! plain overlay would give it the new content, or let it point at nothing.

use std::collections::BTreeMap;

use super::{Placed, is_first_name};
use crate::format::digest::Digest;
use crate::format::entry::Within;
use crate::format::path::Path;

/// First names that newer tiers replaced or removed: as many as inodes with several links that
/// changed within the chain.
#[derive(Debug, Default)]
pub(super) struct ChangedNames(BTreeMap<Path, Changed>);

/// One path that was a first name in some tier and changed in a newer one.
#[derive(Debug)]
struct Changed {
    /// Tier of the data that the version has at the path, if a plain entry is there.
    live: Option<u8>,
    /// What it was before, newest first.
    before: Vec<Before>,
}

/// A first name as it was.
#[derive(Debug)]
struct Before {
    /// The oldest tier that had it so.
    tier: u8,
    data: Within,
    /// The path under which the block has it.
    under: Path,
    /// Its line was a reference, which put a new inode there.
    is_new: bool,
    size: Option<u64>,
    sha256: Option<Digest>,
    /// The name that has taken its place among those that kept the inode.
    stand_in: Option<Path>,
}

impl ChangedNames {
    /// Notes a first name of `path` that newer tiers hide; call it newest first. `live` is the tier
    /// of the data now there.
    pub(super) fn hide(&mut self, hidden: &Placed, live: Option<u8>) {
        let (data, is_new) = (hidden.data(), hidden.entry.is_reference());
        if !is_first_name(&hidden.entry) {
            let changed = self.0.get_mut(&hidden.entry.path).filter(|_| is_new);
            let newer = changed.and_then(|changed| changed.before.last_mut());
            if let Some(newer) = newer.filter(|newer| newer.data == data && !newer.is_new) {
                (newer.tier, newer.is_new) = (hidden.at.tier, true);
            }
            return;
        }
        let before = Before {
            tier: hidden.at.tier,
            data,
            under: hidden.name_in_block().clone(),
            is_new,
            size: hidden.entry.size,
            sha256: hidden.entry.sha256,
            stand_in: None,
        };
        let changed = self
            .0
            .entry(hidden.entry.path.clone())
            .or_insert_with(|| Changed { live, before: Vec::new() });
        match changed.before.last_mut() {
            // A line that only tells of unchanged content put no new inode there.
            Some(newer) if newer.data == before.data && !newer.is_new => {
                (newer.tier, newer.is_new) = (before.tier, before.is_new);
            }
            _ => changed.before.push(before),
        }
    }

    /// Sees to it that the entry, if it is a hard link, is one to what it was linked to when its
    /// line was written.
    pub(super) fn resolve(&mut self, placed: &mut Placed) {
        let Some(first) = placed.entry.hard.as_ref() else { return };
        let Some(changed) = self.0.get_mut(first) else { return };
        let tier = placed.at.tier;
        if changed.live.is_some_and(|live| live <= tier) {
            return;
        }
        let Some(before) = changed.before.iter_mut().find(|before| before.tier <= tier) else {
            return;
        };
        if let Some(name) = &before.stand_in {
            placed.entry.hard = Some(name.clone());
            return;
        }
        before.stand_in = Some(placed.entry.path.clone());
        placed.under = Some(before.under.clone());
        (placed.entry.within, placed.entry.reference) = (Some(before.data), None);
        placed.entry.size = before.size;
        placed.entry.sha256 = before.sha256;
        placed.entry.hard = None;
    }
}
