//! Overlay of a chain of bands: the entries of each tier in canonical order go in, the entries of
//! the version come out.
//!
//! A tier is the counted indexes of its band, one behind the other; tier 0 is the full band. Call
//! order: [`Merge::poll`] until it gives none; when it gives [`MergeEvent::Want`], answer with one
//! [`Merge::handle_entry`] or [`Merge::handle_end`]. Memory is one entry a tier, the directories
//! above the current path, and the inodes with several links that changed within the chain.
//!
//! 1. At each path the newest tier's line decides; `deleted` there means that the version has
//!    nothing.
//! 2. What is `deleted`, marked `over`, or no directory takes with it all that older tiers have
//!    below it.
//! 3. A directory, `unread` or not, keeps what older tiers have below it.
//! 4. A hard link stays one to what it was linked to when its line was written: see `names`.

mod names;
pub(crate) mod nest;

use std::cmp::Ordering;

use self::names::ChangedNames;
use self::nest::Nest;
use crate::format::entry::{Entry, EntryState, Kind, Within};
use crate::format::path::{self, Path};

/// An entry of a version, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The entry.
    pub entry: Entry,
    /// The tier of the band whose line this is, and the number of the index with the line.
    pub at: Within,
    /// The path under which the data lies in its block, if that is not the entry's own: a file that
    /// was moved or copied, or a hard link whose first name a newer band replaced or removed.
    pub under: Option<Path>,
    /// An older block that holds the same content under the same path as `under` says.
    pub spare: Option<Within>,
}

impl Placed {
    /// The tier and the block in which the entry's tar header and data lie.
    pub fn data(&self) -> Within {
        self.entry.within.unwrap_or(self.at)
    }

    /// The path under which the block has it.
    pub fn name_in_block(&self) -> &Path {
        self.under.as_ref().unwrap_or(&self.entry.path)
    }

    /// Whether it was a hard link, and holds what its first name had until that was replaced or
    /// removed.
    pub fn outlives_first_name(&self) -> bool {
        self.under.is_some() && self.entry.reference.is_none()
    }

    /// The tier that made its inode: that of its data, or of a reference to them.
    fn inode_tier(&self) -> u8 {
        if self.entry.is_reference() { self.at.tier } else { self.data().tier }
    }

    /// Notes where an older tier has the same content.
    fn note_spare(&mut self, older: &Placed) {
        let content = |entry: &Entry| {
            let is_file = entry.kind == Kind::File && entry.hard.is_none() && entry.deltas == 0;
            is_file.then_some((entry.size?, entry.sha256?))
        };
        let data = older.data();
        if self.spare.is_none()
            && data != self.data()
            && older.name_in_block() == self.name_in_block()
            && content(&self.entry).is_some_and(|own| content(&older.entry) == Some(own))
        {
            self.spare = Some(data);
        }
    }
}

/// What the machine asks for or gives.
// An entry is moved through here once and never collected, so a box for it would only cost.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeEvent {
    /// The next entry of this tier is wanted, or its end.
    Want(u8),
    /// The next entry of the version, in canonical order.
    Entry(Placed),
    /// The version does not have the directory that this entry stands in: an index is lost or
    /// forged. It is no part of the version, but stands in its order among the entries, so that
    /// what is left of a damaged archive can be given all the same.
    Orphan(Placed),
    /// The entry stands at or before the one that its tier gave last: an index is forged or not in
    /// its place. It is passed over.
    OutOfOrder(Placed),
}

/// The machine.
#[derive(Debug)]
pub struct Merge {
    /// The entry of each tier that has not been placed yet.
    heads: Vec<Option<Placed>>,
    /// The tiers with a head, the one to be placed first last: by path, at the same path the newest
    /// tier first.
    order: Vec<u8>,
    /// The tiers without a head that have not ended; the last one was asked for.
    wanted: Vec<u8>,
    refused: Option<Placed>,
    /// The path placed last.
    last: Vec<u8>,
    /// Paths above the current one below which nothing counts of tiers older than the mark; marks
    /// rise with depth.
    covers: Nest<u8>,
    /// The directories of the version above the current path.
    dirs: Nest<()>,
    names: ChangedNames,
}

/// Whether other names may be hard links to this entry.
pub(crate) fn is_first_name(entry: &Entry) -> bool {
    let several = entry.inode.is_some() || entry.nlink.is_some_and(|nlink| nlink > 1);
    several && entry.kind != Kind::Dir && entry.hard.is_none() && entry.meta().is_some()
}

impl Merge {
    /// A machine for a chain of so many bands: one for a full band alone.
    pub fn new(tiers: u8) -> Merge {
        Merge {
            heads: (0..tiers).map(|_| None).collect(),
            order: Vec::with_capacity(tiers.into()),
            wanted: (0..tiers).collect(),
            refused: None,
            last: Vec::new(),
            covers: Nest::new(),
            dirs: Nest::new(),
            names: ChangedNames::default(),
        }
    }

    /// The next entry of the tier that was asked for, from the index with this number of its band.
    pub fn handle_entry(&mut self, number: u32, mut entry: Entry) {
        let Some(&tier) = self.wanted.last() else { return };
        if matches!(entry.state, EntryState::Excluded | EntryState::Unreadable) {
            return;
        }
        // Only older tiers can hold what is unchanged, and this one what it stored before: with a
        // forged reference, where the line stands is all there is to go by.
        let at = Within { tier, block: number };
        let own = entry.is_reference();
        entry.within = entry.within.filter(|within| within.tier < tier || own && *within <= at);
        entry.reference = entry.reference.filter(|_| entry.within.is_some());
        let under = entry.reference.is_some().then(|| entry.name_in_block().clone());
        let under = under.filter(|under| *under != entry.path);
        let placed = Placed { entry, at, under, spare: None };
        let path = placed.entry.path.as_bytes();
        // All tiers without a head had one at the path placed last, so this is the tier's own
        // order.
        if path::compare(path, &self.last) != Ordering::Greater {
            self.refused = Some(placed);
            return;
        }
        let at = self.order.iter().rposition(|&other| match &self.heads[usize::from(other)] {
            Some(head) => {
                path::compare(path, head.entry.path.as_bytes()).then(other.cmp(&tier))
                    == Ordering::Less
            }
            None => false,
        });
        self.order.insert(at.map_or(0, |at| at + 1), tier);
        self.heads[usize::from(tier)] = Some(placed);
        self.wanted.pop();
    }

    /// The tier that was asked for has no more entries.
    pub fn handle_end(&mut self) {
        self.wanted.pop();
    }

    /// What comes next; none when every tier has ended and all entries have been given.
    pub fn poll(&mut self) -> Option<MergeEvent> {
        if let Some(placed) = self.refused.take() {
            return Some(MergeEvent::OutOfOrder(placed));
        }
        loop {
            if let Some(&tier) = self.wanted.last() {
                return Some(MergeEvent::Want(tier));
            }
            let newest = self.next_head()?;
            if let Some(event) = self.place(newest) {
                return Some(event);
            }
        }
    }

    /// Takes the head that comes first; its tier is wanted from then on.
    fn next_head(&mut self) -> Option<Placed> {
        let tier = self.order.pop()?;
        self.wanted.push(tier);
        self.heads[usize::from(tier)].take()
    }

    /// Takes the head of an older tier at the same path as `newest`.
    fn next_at(&mut self, newest: &Placed) -> Option<Placed> {
        let head = self.heads[usize::from(*self.order.last()?)].as_ref()?;
        if head.entry.path == newest.entry.path { self.next_head() } else { None }
    }

    fn place(&mut self, mut newest: Placed) -> Option<MergeEvent> {
        let path = newest.entry.path.as_bytes();
        self.last.clear();
        self.last.extend_from_slice(path);
        self.covers.leave(path);
        let cover = self.covers.mark().unwrap_or(0);
        let counts = newest.at.tier >= cover && newest.entry.state != EntryState::Deleted;
        let mut removes = removes_below(&newest.entry).then_some(newest.at.tier);
        // Tier that made the inode which stays at this path, for names that were linked to it.
        let mut live = (counts && newest.entry.kind != Kind::Dir && newest.entry.hard.is_none())
            .then(|| newest.inode_tier());
        let mut hidden = Vec::new();
        if !counts {
            self.names.hide(&newest, None);
        }
        while let Some(older) = self.next_at(&newest) {
            if removes.is_none() && removes_below(&older.entry) {
                removes = Some(older.at.tier);
            }
            newest.note_spare(&older);
            if older.entry.is_reference() {
                live = live.map(|live| live.max(older.at.tier));
            }
            if older.entry.is_reference() || is_first_name(&older.entry) {
                hidden.push(older);
            }
        }
        hidden.iter().for_each(|older| self.names.hide(older, live));
        // A cover of tier 0 would hide nothing, nor one below a cover at least as new.
        if let Some(tier) = removes.filter(|tier| *tier > cover) {
            self.covers.enter(newest.entry.path.as_bytes(), tier);
        }
        if counts { self.admit(newest) } else { None }
    }

    /// Gives an entry that counts.
    fn admit(&mut self, mut placed: Placed) -> Option<MergeEvent> {
        let path = placed.entry.path.as_bytes();
        self.dirs.leave(path);
        let orphan = path.iter().rposition(|&b| b == b'/') != self.dirs.end();
        if placed.entry.kind != Kind::Dir {
            self.names.resolve(&mut placed);
        } else if !orphan {
            self.dirs.enter(path, ());
        }
        Some(if orphan { MergeEvent::Orphan(placed) } else { MergeEvent::Entry(placed) })
    }
}

/// Whether all that older tiers have below the entry's path goes.
fn removes_below(entry: &Entry) -> bool {
    entry.over || entry.kind != Kind::Dir || entry.state == EntryState::Deleted
}

#[cfg(test)]
pub(crate) mod tests;
