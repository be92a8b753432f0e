//! Hard links: which names are those of one file, and which name holds the content when the first
//! could not be stored.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::format::entry::{Entry, EntryState, Inode, Kind};
use crate::format::path::Path;

/// All that `stat` says of an entry with several links, in short. File systems that make inode
/// numbers up (FUSE, network and union file systems) may give one number to two files.
fn stat(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (entry.kind, entry.size, entry.nlink, entry.ctime, entry.inode, &entry.link, entry.device)
        .hash(&mut hasher);
    if let EntryState::Present(meta) = &entry.state {
        (meta.mode, meta.uid, meta.gid, meta.time).hash(&mut hasher);
    }
    hasher.finish()
}

/// A scan's table: the first name listed of each inode with several links, as long as names of it
/// are still to come.
#[derive(Debug, Default)]
pub struct FirstNames {
    names: HashMap<Inode, Name>,
    /// Files whose inode number another one had before.
    others: HashMap<(Inode, u64), Name>,
}

#[derive(Debug)]
struct Name {
    first: Arc<Path>,
    stat: u64,
    left: u64,
}

impl FirstNames {
    /// Takes the next entry of the scan. Gives the first name that it is a link to, if it is one:
    /// only if all that `stat` says of both agrees. Where it does not, `look_again` says what the
    /// first name is now, since a file may have changed between its names.
    pub fn handle_entry(
        &mut self,
        entry: &Entry,
        look_again: impl FnOnce(&Path) -> Option<Entry>,
    ) -> Option<Path> {
        let (inode, nlink) = (entry.inode?, entry.nlink?);
        let stat = stat(entry);
        let new = || Name { first: Arc::new(entry.path.clone()), stat, left: nlink - 1 };
        let Some(name) = self.names.get_mut(&inode) else {
            self.names.insert(inode, new());
            return None;
        };
        if name.stat != stat && !self.others.contains_key(&(inode, stat)) {
            let now = look_again(&name.first);
            if now.is_some_and(|now| self::stat(&now) == stat) {
                name.stat = stat;
            }
        }
        if name.stat == stat {
            name.left = name.left.saturating_sub(1);
            let first = Path::clone(&name.first);
            if name.left == 0 {
                self.names.remove(&inode);
            }
            return Some(first);
        }
        let Some(name) = self.others.get_mut(&(inode, stat)) else {
            self.others.insert((inode, stat), new());
            return None;
        };
        name.left = name.left.saturating_sub(1);
        let first = Path::clone(&name.first);
        if name.left == 0 {
            self.others.remove(&(inode, stat));
        }
        Some(first)
    }
}

/// How an entry with several links is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// As the listing says.
    AsListed,
    /// As the file itself, though the listing calls it a link.
    File,
    /// As a link to this name, not the listed one, if both are names of one file; else as a file of
    /// its own.
    LinkTo(Path),
    /// As a link to this name, as listed, if both are still names of one file; else as a file of
    /// its own.
    IfSame(Path),
}

/// What became of a first name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FirstNameFate {
    /// It was not stored from the inode that the scan saw, and no other name has taken its place.
    Lost,
    /// This name has.
    Moved(Path),
    /// It was stored from that inode, which has changed since.
    Changed,
}

/// First names that were not stored as the scan saw them, by their path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostLinks {
    fates: HashMap<Path, FirstNameFate>,
    /// Names that are stored as the file itself, and the first name that each stands for.
    stand_ins: HashMap<Path, Path>,
}

impl LostLinks {
    /// True if no first name was lost or changed yet.
    pub fn is_empty(&self) -> bool {
        self.fates.is_empty()
    }

    /// True if any of the entries may have to be stored in another way than listed.
    pub fn touches(&self, entries: &[Entry]) -> bool {
        !self.is_empty() && entries.iter().any(|entry| self.role(entry) != Role::AsListed)
    }

    /// How to store `entry`.
    pub fn role(&self, entry: &Entry) -> Role {
        let Some(first) = &entry.hard else { return Role::AsListed };
        match self.fates.get(first) {
            None => Role::AsListed,
            Some(FirstNameFate::Lost) => Role::File,
            Some(FirstNameFate::Moved(name)) => Role::LinkTo(name.clone()),
            Some(FirstNameFate::Changed) => Role::IfSame(first.clone()),
        }
    }

    /// What was found in entries that come after all that this one knows of.
    pub fn merge(&mut self, later: LostLinks) {
        self.fates.extend(later.fates);
        self.stand_ins.extend(later.stand_ins);
    }

    /// The link `entry` is to be stored as the file itself, in place of its first name.
    pub fn handle_stand_in(&mut self, entry: &Entry) {
        if let Some(first) = &entry.hard {
            self.stand_ins.insert(entry.path.clone(), first.clone());
        }
    }

    /// `entry` should have held its inode's data, but was not stored from that inode.
    pub fn handle_lost(&mut self, entry: &Entry) {
        if entry.inode.is_some() || self.stand_ins.contains_key(&entry.path) {
            let first = self.stand_ins.get(&entry.path).unwrap_or(&entry.path).clone();
            self.fates.insert(first, FirstNameFate::Lost);
        }
    }

    /// `entry` was stored from the inode that the scan saw; `as_listed` unless that has changed
    /// since.
    pub fn handle_stored(&mut self, entry: &Entry, as_listed: bool) {
        match self.stand_ins.get(&entry.path) {
            Some(first) => {
                self.fates.insert(first.clone(), FirstNameFate::Moved(entry.path.clone()));
            }
            None if entry.kind == Kind::File && !as_listed => {
                self.fates.insert(entry.path.clone(), FirstNameFate::Changed);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::Meta;
    use crate::format::time::Time;

    fn path(name: &str) -> Path {
        Path::from_raw(name.as_bytes())
    }

    fn entry(name: &str, ino: u64, hard: Option<&str>) -> Entry {
        let meta = Meta { mode: 0o644, uid: 1, gid: 1, time: Time { sec: 5, nsec: 0 } };
        let mut entry = Entry::new(path(name), Kind::File, EntryState::Present(meta));
        entry.inode = Some(Inode { dev: 1, ino });
        entry.nlink = Some(3);
        entry.size = Some(10);
        entry.hard = hard.map(path);
        entry
    }

    #[test]
    fn the_next_name_takes_the_place() {
        let (a, mut b, c, d) = (
            entry("a", 7, None),
            entry("b", 7, Some("a")),
            entry("c", 7, Some("a")),
            entry("d", 8, Some("x")),
        );
        let mut links = LostLinks::default();
        assert_eq!(links.role(&b), Role::AsListed);
        assert!(!links.touches(&[a.clone(), b.clone()]));
        links.handle_lost(&a);
        assert_eq!(
            (links.role(&a), links.role(&b), links.role(&d)),
            (Role::AsListed, Role::File, Role::AsListed)
        );
        assert!(links.touches(&[d.clone(), b.clone()]) && !links.touches(&[d]));
        links.handle_stand_in(&b);
        b.hard = None;
        links.handle_stored(&b, true);
        assert_eq!(links.role(&c), Role::LinkTo(path("b")));
    }

    #[test]
    fn a_stand_in_may_be_lost_too() {
        let (a, mut b, c) =
            (entry("a", 7, None), entry("b", 7, Some("a")), entry("c", 7, Some("a")));
        let mut links = LostLinks::default();
        links.handle_lost(&a);
        links.handle_stand_in(&b);
        b.hard = None;
        links.handle_lost(&b);
        assert_eq!(links.role(&c), Role::File);
    }

    #[test]
    fn another_file_with_the_number_is_not_concerned() {
        let (a, b, other) =
            (entry("a", 7, None), entry("b", 7, Some("a")), entry("y", 7, Some("x")));
        let mut links = LostLinks::default();
        links.handle_lost(&a);
        assert_eq!((links.role(&b), links.role(&other)), (Role::File, Role::AsListed));
    }

    #[test]
    fn links_to_a_file_that_has_changed_are_looked_at() {
        let (a, b) = (entry("a", 7, None), entry("b", 7, Some("a")));
        let mut links = LostLinks::default();
        links.handle_stored(&a, true);
        assert!(links.is_empty());
        links.handle_stored(&a, false);
        assert_eq!(links.role(&b), Role::IfSame(path("a")));
        assert!(links.touches(std::slice::from_ref(&b)));
    }

    /// What becomes of the names, in order; `now` says what a name is when it is looked at again.
    fn scan(entries: &[Entry], now: &[Entry]) -> Vec<Option<Path>> {
        let mut names = FirstNames::default();
        let again = |path: &Path| now.iter().find(|entry| entry.path == *path).cloned();
        entries.iter().map(|entry| names.handle_entry(entry, again)).collect()
    }

    #[test]
    fn a_link_is_what_agrees_in_all_of_stat() {
        let names = ["a", "b", "c"].map(|name| entry(name, 7, None));
        assert_eq!(scan(&names, &[]), [None, Some(path("a")), Some(path("a"))]);
        let differ: [fn(&mut Entry); 6] = [
            |entry| entry.size = Some(11),
            |entry| entry.nlink = Some(2),
            |entry| entry.ctime = Some(Time { sec: 1, nsec: 0 }),
            |entry| entry.kind = Kind::Fifo,
            |entry| {
                let EntryState::Present(meta) = &mut entry.state else { return };
                meta.uid = 9;
            },
            |entry| {
                let EntryState::Present(meta) = &mut entry.state else { return };
                meta.time.nsec = 9;
            },
        ];
        for change in differ {
            let mut names = ["a", "b", "c", "d"].map(|name| entry(name, 7, None));
            change(&mut names[1]);
            change(&mut names[3]);
            // Two files with one number, each with two names.
            let (a, b) = (Some(path("a")), Some(path("b")));
            assert_eq!(scan(&names, &names), [None, None, a, b]);
            // One file that has changed between two of its names.
            let now = Entry { path: path("a"), ..names[1].clone() };
            let changed = [names[0].clone(), names[1].clone(), names[3].clone()];
            assert_eq!(scan(&changed, &[now]), [None, Some(path("a")), Some(path("a"))]);
        }
    }

    #[test]
    fn the_table_forgets_a_file_with_its_last_name() {
        let mut names = FirstNames::default();
        for name in ["a", "b", "c"] {
            names.handle_entry(&entry(name, 7, None), |_| None);
        }
        assert!(names.names.is_empty());
        assert_eq!(names.handle_entry(&entry("d", 7, None), |_| None), None);
    }
}
