//! Pack's plan: which entries of a listing make a member together.
//!
//! The plan goes by the sizes in the listing, so the same listing always gives the same members,
//! however fast the files can be read.

use std::collections::VecDeque;

use crate::format::entry::{Entry, EntryState, Kind};
use crate::format::tarball::{BLOCK, padding};

/// A member is closed at the first entry border after so many bytes of tar; a file over it has
/// members of its own.
pub const MEMBER: u64 = 1 << 20;

/// Entries that store nothing close a member by their count.
pub const MAX_ENTRIES: usize = 4096;

/// What is to be read and compressed as a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadJob {
    /// These entries make one member.
    Member(Vec<Entry>),
    /// This file is read in pieces of [`MEMBER`] bytes.
    Big(Box<Entry>),
}

/// The machine: `handle_entry` for each, then `finish`; `poll_job` after each of them until it
/// gives none.
#[derive(Debug, Default)]
pub struct Planner {
    jobs: VecDeque<ReadJob>,
    member: Vec<Entry>,
    bytes: u64,
}

impl Planner {
    /// An empty plan.
    pub fn new() -> Planner {
        Planner::default()
    }

    /// Takes the next entry of the listing; what is not backed up now is dropped.
    pub fn handle_entry(&mut self, entry: Entry) {
        if matches!(entry.state, EntryState::Excluded | EntryState::Unreadable) {
            return;
        }
        let data = match (entry.kind, &entry.hard) {
            (Kind::File, None) => entry.size.unwrap_or(0),
            _ => 0,
        };
        if data > MEMBER {
            self.close();
            self.jobs.push_back(ReadJob::Big(Box::new(entry)));
            return;
        }
        self.bytes += BLOCK as u64 + data + padding(data) as u64;
        self.member.push(entry);
        if self.bytes >= MEMBER || self.member.len() >= MAX_ENTRIES {
            self.close();
        }
    }

    /// The listing is at its end.
    pub fn finish(&mut self) {
        self.close();
    }

    /// The next job that is complete.
    pub fn poll_job(&mut self) -> Option<ReadJob> {
        self.jobs.pop_front()
    }

    fn close(&mut self) {
        self.bytes = 0;
        if !self.member.is_empty() {
            self.jobs.push_back(ReadJob::Member(std::mem::take(&mut self.member)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::Meta;
    use crate::format::path::Path;
    use crate::format::time::Time;

    fn entry(name: &str, kind: Kind, size: u64) -> Entry {
        let meta = Meta { mode: 0o644, uid: 0, gid: 0, time: Time { sec: 0, nsec: 0 } };
        let mut entry =
            Entry::new(Path::from_raw(name.as_bytes()), kind, EntryState::Present(meta));
        entry.size = (kind == Kind::File).then_some(size);
        entry
    }

    /// Member jobs as `name,name`, big ones as `!name`.
    fn plan(entries: impl IntoIterator<Item = Entry>) -> Vec<String> {
        let mut planner = Planner::new();
        let mut jobs = Vec::new();
        let name = |entry: &Entry| String::from_utf8(entry.path.raw()).unwrap();
        let mut drain = |planner: &mut Planner| {
            while let Some(job) = planner.poll_job() {
                jobs.push(match job {
                    ReadJob::Member(entries) => {
                        entries.iter().map(name).collect::<Vec<_>>().join(",")
                    }
                    ReadJob::Big(entry) => format!("!{}", name(&entry)),
                });
            }
        };
        for entry in entries {
            planner.handle_entry(entry);
            drain(&mut planner);
        }
        planner.finish();
        drain(&mut planner);
        jobs
    }

    #[test]
    fn members_close_after_a_mebibyte() {
        let file = |name, size| entry(name, Kind::File, size);
        assert_eq!(plan([]), Vec::<String>::new());
        assert_eq!(plan([file("a", 1), file("b", MEMBER), file("c", 1)]), ["a,b", "c"]);
        assert_eq!(plan([file("a", 1), file("b", MEMBER + 1), file("c", 1)]), ["a", "!b", "c"]);
        assert_eq!(plan([file("a", MEMBER - 1024), file("b", 0), file("c", 0)]), ["a,b", "c"]);
        let many: Vec<Entry> = (0..2100).map(|i| entry(&format!("{i:04}"), Kind::Dir, 0)).collect();
        assert_eq!(
            plan(many).iter().map(|job| job.split(',').count()).collect::<Vec<_>>(),
            [2048, 52]
        );
    }

    #[test]
    fn what_stores_nothing_counts_as_nothing() {
        let mut hard = entry("h", Kind::File, MEMBER * 9);
        hard.hard = Some(Path::from_raw(b"a"));
        let mut excluded = entry("x", Kind::Dir, 0);
        excluded.state = EntryState::Excluded;
        let mut deleted = entry("z", Kind::Dir, 0);
        deleted.state = EntryState::Deleted;
        assert_eq!(plan([hard, excluded, deleted]), ["h,z"]);
    }
}
