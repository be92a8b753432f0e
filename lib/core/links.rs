//! Hard links whose first name could not be stored: the next name takes its place.

use std::collections::HashMap;

use crate::format::entry::{Entry, Inode};
use crate::format::path::Path;

/// How an entry with several links is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// As the listing says.
    AsListed,
    /// As the file itself, though the listing calls it a link.
    File,
    /// As a link to this name, not the listed one.
    LinkTo(Path),
}

/// The inodes whose first name was lost, and the name that took its place, if one has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links(HashMap<Inode, Option<Path>>);

impl Links {
    /// True if no first name was lost yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if any of the entries must be stored in another way than listed.
    pub fn touches(&self, entries: &[Entry]) -> bool {
        !self.is_empty() && entries.iter().any(|entry| self.role(entry) != Role::AsListed)
    }

    /// How to store `entry`.
    pub fn role(&self, entry: &Entry) -> Role {
        match (&entry.hard, entry.inode.and_then(|inode| self.0.get(&inode))) {
            (Some(_), Some(None)) => Role::File,
            (Some(_), Some(Some(first))) => Role::LinkTo(first.clone()),
            _ => Role::AsListed,
        }
    }

    /// What was found in entries that come after all that this one knows of.
    pub fn merge(&mut self, later: Links) {
        self.0.extend(later.0);
    }

    /// `entry` should have held its inode's data, but was not stored from that inode.
    pub fn handle_lost(&mut self, entry: &Entry) {
        if let Some(inode) = entry.inode {
            self.0.insert(inode, None);
        }
    }

    /// `entry` was stored as the file in place of the first name.
    pub fn handle_stored(&mut self, entry: &Entry) {
        if let Some(slot) = entry.inode.and_then(|inode| self.0.get_mut(&inode)) {
            slot.get_or_insert_with(|| entry.path.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{Kind, State};

    fn entry(name: &str, ino: u64, hard: Option<&str>) -> Entry {
        let mut entry = Entry::new(Path::from_raw(name.as_bytes()), Kind::File, State::Deleted);
        entry.inode = Some(Inode { dev: 1, ino });
        entry.hard = hard.map(|name| Path::from_raw(name.as_bytes()));
        entry
    }

    #[test]
    fn the_next_name_takes_the_place() {
        let (a, b, c, d) = (
            entry("a", 7, None),
            entry("b", 7, Some("a")),
            entry("c", 7, Some("a")),
            entry("d", 8, Some("x")),
        );
        let mut links = Links::default();
        assert_eq!(links.role(&b), Role::AsListed);
        assert!(!links.touches(&[a.clone(), b.clone()]));
        links.handle_lost(&a);
        assert_eq!(
            (links.role(&a), links.role(&b), links.role(&d)),
            (Role::AsListed, Role::File, Role::AsListed)
        );
        assert!(links.touches(&[d.clone(), b.clone()]) && !links.touches(&[d]));
        links.handle_stored(&b);
        assert_eq!(links.role(&c), Role::LinkTo(b.path.clone()));
        links.handle_stored(&c);
        assert_eq!(links.role(&c), Role::LinkTo(b.path));
    }
}
