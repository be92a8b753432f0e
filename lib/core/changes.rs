//! What differs between two trees, each given entry by entry in canonical order.
//!
//! Call [`Changes::handle_old`] and [`Changes::handle_new`] with the entries that
//! [`Changes::want`] asks for, and take what [`Changes::poll`] gives; [`Changes::finish`] gives the
//! rest. A file that went from one path to another is found by its size, time and digest, so
//! changes are held back until the end, but no more than a bound: beyond it, a moved file is one
//! that was removed and one that was added.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use crate::format::digest::Digest;
use crate::format::entry::{Entry, EntryState, Kind};
use crate::format::path::Path;
use crate::format::time::Time;

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// Only the new tree has it.
    Added,
    /// Only the old tree has it.
    Removed,
    /// Its content or target is another.
    Modified,
    /// It is of another type.
    Retyped,
    /// Only mode, owner or time differ.
    Metadata,
    /// A file that the old tree has under another path.
    Moved,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How it differs.
    pub how: How,
    /// Where it is now, or was.
    pub path: Path,
    /// Where it was, if it was moved.
    pub from: Option<Path>,
    /// Bytes of a file in the old tree.
    pub old: Option<u64>,
    /// Bytes of a file in the new tree.
    pub new: Option<u64>,
}

/// Which tree is to be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The old one.
    Old,
    /// The new one.
    New,
}

/// An entry that waits for the other side, or the end of a tree.
#[derive(Debug)]
enum PendingEntry {
    Wanted,
    Entry(Box<Entry>),
    End,
}

/// Where a tree is being read.
#[derive(Debug)]
struct TreeCursor {
    head: PendingEntry,
    /// What lies below is not known: the directory was left out or could not be looked at.
    unknown: Option<Path>,
}

/// What is the same of a file that was moved. A tree that was only scanned has no digests.
type Likeness = (u64, Time, Option<Digest>);

/// The machine.
#[derive(Debug)]
pub struct Changes {
    old: TreeCursor,
    new: TreeCursor,
    /// Differences of owner, mode and time alone are wanted, too.
    metadata: bool,
    limit: usize,
    held: VecDeque<(Difference, Option<Likeness>)>,
    /// No more is held back.
    overflows: bool,
}

impl Changes {
    /// A comparison that holds back at most `limit` changes to find what was moved.
    pub fn new(metadata: bool, limit: usize) -> Changes {
        let tree = || TreeCursor { head: PendingEntry::Wanted, unknown: None };
        let (old, new) = (tree(), tree());
        Changes { old, new, metadata, limit, held: VecDeque::new(), overflows: false }
    }

    /// The tree whose next entry, or end, is wanted; none when both have ended.
    pub fn want(&mut self) -> Option<Side> {
        loop {
            match (&self.old.head, &self.new.head) {
                (PendingEntry::Wanted, _) => return Some(Side::Old),
                (_, PendingEntry::Wanted) => return Some(Side::New),
                (PendingEntry::End, PendingEntry::End) => return None,
                _ => self.step(),
            }
        }
    }

    /// The next entry of the old tree, or its end.
    pub fn handle_old(&mut self, entry: Option<Entry>) {
        self.old.head =
            entry.map_or(PendingEntry::End, |entry| PendingEntry::Entry(Box::new(entry)));
    }

    /// The next entry of the new tree, or its end.
    pub fn handle_new(&mut self, entry: Option<Entry>) {
        self.new.head =
            entry.map_or(PendingEntry::End, |entry| PendingEntry::Entry(Box::new(entry)));
    }

    /// The next change that is not held back any more.
    pub fn poll(&mut self) -> Option<Difference> {
        self.overflows |= self.held.len() > self.limit;
        self.overflows.then(|| self.held.pop_front().map(|(change, _)| change)).flatten()
    }

    /// Whether there were too many changes to tell which files were moved.
    pub fn overflows(&self) -> bool {
        self.overflows
    }

    /// The changes that were held back, in the order of their paths; those of files that were moved
    /// as one.
    pub fn finish(mut self) -> Vec<Difference> {
        if !self.overflows {
            self.join_moves();
        }
        self.held.into_iter().map(|(change, _)| change).collect()
    }

    fn step(&mut self) {
        let order = match (&self.old.head, &self.new.head) {
            (PendingEntry::Entry(old), PendingEntry::Entry(new)) => old.path.cmp(&new.path),
            (PendingEntry::Entry(_), _) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let take = |tree: &mut TreeCursor, wanted: bool| match (wanted, &mut tree.head) {
            (true, head @ PendingEntry::Entry(_)) => {
                match std::mem::replace(head, PendingEntry::Wanted) {
                    PendingEntry::Entry(entry) => tree.take(*entry),
                    _ => None,
                }
            }
            _ => None,
        };
        let old = take(&mut self.old, order != Ordering::Greater);
        let new = take(&mut self.new, order != Ordering::Less);
        match (old, new) {
            (Some(old), Some(new)) => self.both(&old, &new),
            (Some(old), None) if !self.new.hides(&old.path) => self.one(How::Removed, &old),
            (None, Some(new)) if !self.old.hides(&new.path) => self.one(How::Added, &new),
            _ => {}
        }
    }

    fn one(&mut self, how: How, entry: &Entry) {
        let size = entry.size.filter(|_| entry.hard.is_none());
        let (old, new) = if how == How::Removed { (size, None) } else { (None, size) };
        let likeness = size.zip(entry.meta()).filter(|(size, _)| *size > 0);
        let likeness = likeness.map(|(size, meta)| (size, meta.time, entry.digest()));
        let path = entry.path.clone();
        self.held.push_back((Difference { how, path, from: None, old, new }, likeness));
    }

    fn both(&mut self, old: &Entry, new: &Entry) {
        let how = if old.kind != new.kind {
            How::Retyped
        } else if !same_content(old, new) {
            How::Modified
        } else if self.metadata && (old.meta() != new.meta() || old.x != new.x) {
            How::Metadata
        } else {
            return;
        };
        let path = new.path.clone();
        self.held
            .push_back((Difference { how, path, from: None, old: old.size, new: new.size }, None));
    }

    /// Pairs files that were removed with files that were added and are the same.
    fn join_moves(&mut self) {
        let mut gone: HashMap<(u64, Time), Vec<usize>> = HashMap::new();
        for (at, (change, likeness)) in self.held.iter().enumerate() {
            if let (How::Removed, Some((size, time, _))) = (change.how, likeness) {
                gone.entry((*size, *time)).or_default().push(at);
            }
        }
        let mut joined = Vec::new();
        for at in 0..self.held.len() {
            let (change, Some((size, time, digest))) = &self.held[at] else { continue };
            if change.how != How::Added {
                continue;
            }
            let Some(candidates) = gone.get_mut(&(*size, *time)) else { continue };
            let is_same = |at: &usize| match (&self.held[*at].1, digest) {
                (Some((.., Some(old))), Some(new)) => old == new,
                _ => true,
            };
            // The same name first: what was moved was most often moved with its folder.
            let name = last_name(&change.path);
            let found = candidates
                .iter()
                .position(|at| is_same(at) && last_name(&self.held[*at].0.path) == name)
                .or_else(|| candidates.iter().position(is_same));
            if let Some(found) = found {
                joined.push((at, candidates.remove(found)));
            }
        }
        let mut taken = vec![false; self.held.len()];
        for (added, removed) in joined {
            let from = self.held[removed].0.path.clone();
            let change = &mut self.held[added].0;
            (change.how, change.from, change.old) = (How::Moved, Some(from), change.new);
            taken[removed] = true;
        }
        let mut taken = taken.into_iter();
        self.held.retain(|_| !taken.next().unwrap_or(false));
    }
}

impl TreeCursor {
    /// The entry, if it says what is there.
    fn take(&mut self, entry: Entry) -> Option<Entry> {
        if self.unknown.as_ref().is_some_and(|unknown| !unknown.holds(&entry.path)) {
            self.unknown = None;
        }
        let is_there = matches!(entry.state, EntryState::Present(_));
        if !is_there || entry.unread {
            self.unknown = Some(entry.path.clone());
        }
        is_there.then_some(entry)
    }

    /// Whether it says nothing of this path.
    fn hides(&self, path: &Path) -> bool {
        self.unknown.as_ref().is_some_and(|unknown| unknown == path || unknown.holds(path))
    }
}

fn last_name(path: &Path) -> &[u8] {
    let bytes = path.as_bytes();
    &bytes[bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)..]
}

/// Whether two entries of one type hold the same; by size and time where there are no digests.
fn same_content(old: &Entry, new: &Entry) -> bool {
    let time = |entry: &Entry| entry.meta().map(|meta| meta.time);
    let other = (&old.link, old.device, &old.hard) == (&new.link, new.device, &new.hard);
    other
        && match (old.kind, old.digest(), new.digest()) {
            (Kind::File, Some(old), Some(new)) => old == new,
            (Kind::File, ..) => {
                old.hard.is_some() || (old.size, time(old)) == (new.size, time(new))
            }
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `NAME TYPE SIZE TIME DIGEST`, with `-` for none; a state in the place of TYPE.
    fn tree(lines: &[&str]) -> Vec<Entry> {
        let line = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, kind) = (words[0], words.get(1).copied().unwrap_or("dir"));
            let meta = format!(
                "type={kind} mode=0755 uid=0 gid=0 time={}.000000000",
                words.get(3).unwrap_or(&"1")
            );
            let rest = match kind {
                "file" => format!("{meta} size={} nlink=1", words[2]),
                "link" => format!("{meta} link={}", words[2]),
                "excluded" => "type=dir optional tags=excluded".to_owned(),
                _ => meta,
            };
            let mut entry = Entry::parse(format!("{name} {rest}").as_bytes()).unwrap();
            entry.sha256 = words.get(4).map(|digit| [digit.as_bytes()[0]; 32]);
            entry
        };
        let mut tree: Vec<Entry> = lines.iter().map(line).collect();
        tree.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }

    fn compare(old: &[&str], new: &[&str], metadata: bool, limit: usize) -> Vec<String> {
        let (mut old, mut new) = (tree(old).into_iter(), tree(new).into_iter());
        let mut changes = Changes::new(metadata, limit);
        let mut found = Vec::new();
        while let Some(side) = changes.want() {
            match side {
                Side::Old => changes.handle_old(old.next()),
                Side::New => changes.handle_new(new.next()),
            }
            found.extend(std::iter::from_fn(|| changes.poll()));
        }
        found.extend(changes.finish());
        let show = |change: Difference| {
            let from = change.from.map_or(String::new(), |from| format!(" from {from}"));
            format!("{:?} {}{from}", change.how, change.path)
        };
        found.into_iter().map(show).collect()
    }

    #[test]
    fn each_kind_of_difference() {
        let old = ["./d", "./gone file 5 1 a", "./kept file 5 1 a", "./l link x", "./m file 5 1 a"];
        let new = ["./d", "./kept file 5 1 a", "./l link y", "./m file 5 9 b", "./n file 5 2 c"];
        let wanted = ["Removed ./gone", "Modified ./l", "Modified ./m", "Added ./n"];
        assert_eq!(compare(&old, &new, false, 99), wanted);
        for (old, new, wanted, with) in [
            ("./a file 5 1 a", "./a file 5 2 a", "", "Metadata ./a"),
            ("./a file 5 1", "./a file 5 2 a", "Modified ./a", "Modified ./a"),
            ("./a file 5 1", "./a file 5 1 a", "", ""),
            ("./a file 5 1 a", "./a", "Retyped ./a", "Retyped ./a"),
            ("./a - 0 1", "./a dir 0 2", "", "Metadata ./a"),
        ] {
            let old = old.replace(" - ", " dir ");
            let of = |text: &str| -> Vec<String> {
                text.split_terminator(", ").map(str::to_owned).collect()
            };
            assert_eq!(compare(&[&old], &[new], false, 99), of(wanted), "{old} {new}");
            assert_eq!(compare(&[&old], &[new], true, 99), of(with), "{old} {new}");
        }
    }

    #[test]
    fn files_that_were_moved_are_paired() {
        let old = ["./a", "./a/x file 5 1 a", "./a/y file 5 1 a", "./a/z file 0 1 e"];
        let new = ["./b", "./b/y file 5 1 a", "./b/z file 0 1 e", "./q file 5 1 a"];
        let wanted = [
            "Removed ./a",
            "Removed ./a/z",
            "Added ./b",
            "Moved ./b/y from ./a/y",
            "Added ./b/z",
            "Moved ./q from ./a/x",
        ];
        assert_eq!(compare(&old, &new, false, 99), wanted);
        // Another digest, size or time is another file; without digests, size and time tell.
        assert_eq!(compare(&["./a file 5 1 a"], &["./b file 5 1 b"], false, 99).len(), 2);
        assert_eq!(compare(&["./a file 5 1 a"], &["./b file 5 2 a"], false, 99).len(), 2);
        assert_eq!(compare(&["./a file 5 1 a"], &["./b file 5 1"], false, 99).len(), 1);
        // Beyond the bound they are two changes, in the order of their paths.
        assert_eq!(
            compare(&old, &new, false, 2),
            ["Removed ./a", "Removed ./a/x", "Removed ./a/y", "Removed ./a/z", "Added ./b"]
                .into_iter()
                .chain(["Added ./b/y", "Added ./b/z", "Added ./q"])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_was_left_out_is_not_known() {
        let old = ["./d", "./d/f file 5 1 a", "./e file 5 1 a"];
        assert_eq!(compare(&old, &["./d excluded"], false, 99), ["Removed ./e"]);
        assert_eq!(compare(&["./d excluded"], &old, false, 99), ["Added ./e"]);
    }
}
