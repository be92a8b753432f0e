//! A listing that another program filters: what it drops is excluded, not deleted.
//!
//! A line that is missing from a listing means that the path is gone. So what a filter leaves out
//! has to stay in the listing as `excluded`, the counts of `#end` have to agree, and a hard link
//! may not point to a name that was left out.

use std::collections::HashMap;

use crate::format::entry::{Entry, EntryState, Kind};
use crate::format::listing::End;
use crate::format::path::Path;

/// Takes the entries of a listing in their order, each with the filter's decision.
#[derive(Debug, Default)]
pub struct Filter {
    /// The last directory that was left out.
    barred: Option<Path>,
    /// First names of linked files that were left out, with the name that has taken the place.
    /// Memory for each of them.
    firsts: HashMap<Path, Option<Path>>,
    entries: u64,
    left_out: u64,
    /// What `#end` counts and stands below a directory that was left out.
    swallowed: End,
}

impl Filter {
    /// Whether the filter is asked about an entry: only about those that are there.
    pub fn is_asked(entry: &Entry) -> bool {
        matches!(entry.state, EntryState::Present(_))
    }

    /// What is to be written for an entry: itself, that it is excluded, or nothing, below a
    /// directory that was left out.
    pub fn handle_entry(&mut self, mut entry: Entry, kept: bool) -> Option<Entry> {
        let below = self.barred.as_ref().is_some_and(|barred| barred.holds(&entry.path));
        let kept = !below && (kept || !Filter::is_asked(&entry));
        if kept {
            self.relink(&mut entry);
        } else if entry.inode.is_some() && entry.hard.is_none() {
            self.firsts.insert(entry.path.clone(), None);
        }
        if below {
            match entry.state {
                EntryState::Excluded => self.swallowed.excluded += 1,
                EntryState::Unreadable => self.swallowed.unreadable += 1,
                EntryState::Present(_) | EntryState::Deleted => {}
            }
            return None;
        }
        if !kept {
            if entry.kind == Kind::Dir {
                self.barred = Some(entry.path.clone());
            }
            self.left_out += 1;
            return Some(Entry::new(entry.path, entry.kind, EntryState::Excluded));
        }
        self.entries +=
            u64::from(matches!(entry.state, EntryState::Present(_) | EntryState::Deleted));
        Some(entry)
    }

    /// The first name that is left of a linked file stands for those that were left out.
    fn relink(&mut self, entry: &mut Entry) {
        let Some(first) = entry.hard.as_ref().and_then(|first| self.firsts.get_mut(first)) else {
            return;
        };
        match first {
            None => {
                *first = Some(entry.path.clone());
                entry.hard = None;
            }
            Some(first) => entry.hard = Some(first.clone()),
        }
    }

    /// The counts of what was written, from those of the listing.
    pub fn finish(self, said: End) -> End {
        let Filter { entries, left_out, swallowed, .. } = self;
        End {
            entries,
            excluded: (said.excluded + left_out).saturating_sub(swallowed.excluded),
            unreadable: said.unreadable.saturating_sub(swallowed.unreadable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = "mode=0644 uid=0 gid=0 time=1.000000000";

    /// Filters lines; those that are dropped begin with `-`.
    fn filter(lines: &[&str]) -> (Vec<String>, End) {
        let mut filter = Filter::default();
        let mut out = Vec::new();
        for line in lines {
            let (kept, line) = (!line.starts_with('-'), line.trim_start_matches('-'));
            let entry = Entry::parse(line.replace("META", META).as_bytes()).unwrap();
            if let Some(entry) = filter.handle_entry(entry, kept) {
                let mut text = Vec::new();
                entry.write(&mut text);
                out.push(String::from_utf8(text).unwrap().trim_end().replace(META, "META"));
            }
        }
        (out, filter.finish(End { entries: 0, excluded: 1, unreadable: 1 }))
    }

    #[test]
    fn what_is_dropped_is_excluded_with_all_below_it() {
        let (out, end) = filter(&[
            ". type=dir META",
            "-./a type=file META nlink=1 size=1",
            "-./d type=dir META",
            "./d/kept type=file META nlink=1 size=1",
            "./d/x type=file optional ignore tags=excluded",
            "./d/y type=file optional ignore tags=unreadable",
            "./e type=file META nlink=1 size=1",
        ]);
        assert_eq!(
            out,
            [
                ". type=dir META",
                "./a type=file optional ignore tags=excluded",
                "./d type=dir optional ignore tags=excluded",
                "./e type=file META nlink=1 size=1",
            ]
        );
        assert_eq!(end, End { entries: 2, excluded: 2, unreadable: 0 });
    }

    #[test]
    fn what_is_not_asked_about_stays() {
        let lines = [
            ". type=dir META",
            "-./a type=file optional ignore tags=unreadable",
            "-./b type=file optional ignore tags=excluded",
            "-./c type=file optional tags=deleted",
        ];
        let (out, end) = filter(&lines);
        assert_eq!(out, lines.map(|line| line.trim_start_matches('-')));
        assert_eq!(end, End { entries: 2, excluded: 1, unreadable: 1 });
    }

    #[test]
    fn links_go_to_the_first_name_that_is_left() {
        let (out, _) = filter(&[
            ". type=dir META",
            "-./a type=file META nlink=4 size=1 tags=i:1.2",
            "-./b type=file META nlink=4 size=1 tags=i:1.2,hard:./a",
            "./c type=file META nlink=4 size=1 tags=i:1.2,hard:./a",
            "./d type=file META nlink=4 size=1 tags=i:1.2,hard:./a",
        ]);
        assert_eq!(
            out[3..],
            [
                "./c type=file META nlink=4 size=1 tags=i:1.2",
                "./d type=file META nlink=4 size=1 tags=i:1.2,hard:./c",
            ]
        );
    }
}
