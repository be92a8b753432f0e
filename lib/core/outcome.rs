//! What comes of a file that was read: whether an older block has its content, what its line says,
//! and what became of it meanwhile.

use crate::core::links::LostLinks;
use crate::format::digest::Digest;
use crate::format::entry::{Entry, EntryState, Inode, Meta};
use crate::format::time::Time;

/// How a file's content came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// All of it.
    Whole,
    /// It ended after so many bytes.
    Short(u64),
    /// There is more than its size says, and more than could be kept.
    Cut,
}

impl ReadOutcome {
    /// Of a file that was read to its end, after so many bytes. On some file systems the `size`
    /// that it should have `says_nothing`.
    pub fn of(read: u64, size: u64, says_nothing: bool) -> ReadOutcome {
        if read < size && !says_nothing { ReadOutcome::Short(read) } else { ReadOutcome::Whole }
    }
}

/// What `fstat` says of an open file, as far as it shows that the file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    /// Size in bytes.
    pub size: u64,
    /// Modification time.
    pub time: Time,
    /// Change time.
    pub ctime: Time,
    /// Device and inode.
    pub inode: Inode,
}

/// The `c:` that a file's line may carry: its change time, if the same before the first and after
/// the last byte, and at least 2 s before the file was opened. A younger time may stay the same
/// when the file is changed again, because clocks tick slower than that.
pub fn stable_ctime(before: &FileVersion, after: &FileVersion, opened: Time) -> Option<Time> {
    let old_enough =
        Time { sec: before.ctime.sec.saturating_add(2), nsec: before.ctime.nsec } <= opened;
    (before == after && old_enough).then_some(before.ctime)
}

/// Whether a file of so many links and bytes, with this digest, has the content of the older block
/// that diff suspects it in; if not, the entry forgets the block. A band without a parent has no
/// older blocks.
pub fn content_unchanged(
    entry: &mut Entry,
    has_parent: bool,
    (nlink, size): (u64, u64),
    sha256: Option<Digest>,
) -> bool {
    let same = has_parent && nlink == 1 && entry.size == Some(size) && entry.digest() == sha256;
    if !same {
        entry.forget_place();
    }
    entry.within.is_some()
}

/// A file that was read.
#[derive(Debug, Clone, Copy)]
pub struct ReadFile {
    /// When it was opened.
    pub opened_at: Time,
    /// What it was before the first byte was read.
    pub before: FileVersion,
    /// Its mode, owner and time then.
    pub meta: Meta,
    /// Its links then.
    pub nlink: u64,
    /// What it was after the last byte.
    pub after: FileVersion,
    /// Whether all else that the system says of it was the same, too.
    pub is_same: bool,
    /// The size that the tar gives it.
    pub stored: u64,
    /// How its content came.
    pub came: ReadOutcome,
    /// Whether all of its attributes could be read.
    pub all: bool,
}

/// What is not as it should be with a file that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFlaw {
    /// It ends after so many bytes instead of those of its size.
    EndsEarly(u64, u64),
    /// It shrank to so many bytes, which are stored.
    Shrank(u64),
    /// It shrank to so many bytes when more of it had been promised: zeros follow, up to so many.
    ShrankInside(u64, u64),
    /// It is longer than its size says: so many bytes are stored.
    Longer(u64),
    /// It grew: all of it that was read is stored, so many bytes.
    Grew(u64),
    /// It grew: so many bytes are stored.
    GrewBehind(u64),
    /// It was changed.
    Changed,
}

impl ReadFile {
    fn flaw(&self) -> Option<ReadFlaw> {
        let ReadFile { before, after, stored, .. } = self;
        match self.came {
            ReadOutcome::Short(len) if *stored != len => Some(ReadFlaw::ShrankInside(len, *stored)),
            ReadOutcome::Short(len) if self.is_same => Some(ReadFlaw::EndsEarly(len, before.size)),
            ReadOutcome::Short(len) => Some(ReadFlaw::Shrank(len)),
            ReadOutcome::Cut => Some(ReadFlaw::Longer(*stored)),
            ReadOutcome::Whole if after.size > before.size && *stored > before.size => {
                Some(ReadFlaw::Grew(*stored))
            }
            ReadOutcome::Whole if after.size > before.size => {
                Some(ReadFlaw::GrewBehind(before.size))
            }
            ReadOutcome::Whole => {
                let is_other = (after.size, after.time) != (before.size, before.time);
                is_other.then_some(ReadFlaw::Changed)
            }
        }
    }

    /// Fills in what the file's line says once it is read, and tells the links whether it is still
    /// the file of the listing. Gives what is not as it should be.
    pub fn close(&self, entry: &mut Entry, links: &mut LostLinks) -> Option<ReadFlaw> {
        let ReadFile { before, after, meta, nlink, stored, .. } = *self;
        let is_whole = self.came == ReadOutcome::Whole && self.all && stored == before.size;
        if entry.inode == Some(before.inode) {
            let as_listed = entry.meta() == Some(&meta)
                && (entry.size, entry.nlink, entry.ctime)
                    == (Some(before.size), Some(nlink), Some(before.ctime));
            links.handle_stored(entry, as_listed);
        } else if entry.inode.is_some() {
            links.handle_lost(entry);
        }
        entry.state = EntryState::Present(meta);
        entry.size = Some(stored);
        entry.nlink = Some(nlink);
        entry.inode = (nlink > 1).then_some(before.inode);
        entry.ctime = stable_ctime(&before, &after, self.opened_at).filter(|_| is_whole);
        self.flaw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::links::Role;
    use crate::format::path::Path;

    #[test]
    fn ctime_is_told_only_when_it_is_stable() {
        let at = |sec, nsec| Time { sec, nsec };
        let seen = FileVersion {
            size: 5,
            time: at(10, 0),
            ctime: at(10, 500),
            inode: Inode { dev: 1, ino: 2 },
        };
        assert_eq!(stable_ctime(&seen, &seen, at(12, 500)), Some(at(10, 500)));
        assert_eq!(stable_ctime(&seen, &seen, at(12, 499)), None);
        assert_eq!(stable_ctime(&seen, &seen, at(5, 0)), None);
        for after in [
            FileVersion { size: 6, ..seen },
            FileVersion { time: at(11, 0), ..seen },
            FileVersion { ctime: at(11, 0), ..seen },
        ] {
            assert_eq!(stable_ctime(&seen, &after, at(99, 0)), None);
        }
    }

    fn read() -> ReadFile {
        let time = |sec| Time { sec, nsec: 0 };
        let inode = Inode { dev: 1, ino: 7 };
        let before = FileVersion { size: 10, time: time(5), ctime: time(6), inode };
        let meta = Meta { mode: 0o644, uid: 1, gid: 1, time: time(5) };
        ReadFile {
            opened_at: time(9),
            before,
            meta,
            nlink: 1,
            after: before,
            is_same: true,
            stored: 10,
            came: ReadOutcome::Whole,
            all: true,
        }
    }

    fn listed(tags: &str) -> Entry {
        let line = format!(
            "./f type=file mode=0644 uid=1 gid=1 time=5.000000000 nlink=1 size=10 sha256digest={}{tags}",
            "ab".repeat(32)
        );
        Entry::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn what_became_of_a_file() {
        let time = |sec| Time { sec, nsec: 0 };
        let all = read();
        let grown = FileVersion { size: 12, ..all.before };
        let touched = FileVersion { time: time(8), ..all.before };
        let moded = FileVersion { ctime: time(8), ..all.before };
        let short = |came, stored| ReadFile { came: ReadOutcome::Short(came), stored, ..all };
        let after = |after| ReadFile { after, is_same: false, ..all };
        let cases = [
            ("as it was", all, None, true),
            ("no attributes", ReadFile { all: false, ..all }, None, false),
            ("too young", ReadFile { opened_at: time(7), ..all }, None, false),
            ("other mode", after(moded), None, false),
            ("other time", after(touched), Some(ReadFlaw::Changed), false),
            ("grown", after(grown), Some(ReadFlaw::GrewBehind(10)), false),
            (
                "grown and read",
                ReadFile { stored: 12, ..after(grown) },
                Some(ReadFlaw::Grew(12)),
                false,
            ),
            ("a size that lies", short(4, 4), Some(ReadFlaw::EndsEarly(4, 10)), false),
            (
                "shrunk",
                ReadFile { is_same: false, ..short(4, 4) },
                Some(ReadFlaw::Shrank(4)),
                false,
            ),
            ("shrunk inside", short(4, 10), Some(ReadFlaw::ShrankInside(4, 10)), false),
            (
                "without end",
                ReadFile { came: ReadOutcome::Cut, stored: 99, ..all },
                Some(ReadFlaw::Longer(99)),
                false,
            ),
        ];
        for (what, file, flaw, has_ctime) in cases {
            let mut entry = listed("");
            assert_eq!(file.close(&mut entry, &mut LostLinks::default()), flaw, "{what}");
            assert_eq!(entry.ctime, has_ctime.then_some(all.before.ctime), "{what}");
            assert_eq!((entry.size, entry.inode), (Some(file.stored), None), "{what}");
        }
        assert_eq!(ReadOutcome::of(4, 10, false), ReadOutcome::Short(4));
        assert_eq!(ReadOutcome::of(4, 10, true), ReadOutcome::Whole);
        assert_eq!(ReadOutcome::of(12, 10, false), ReadOutcome::Whole);
    }

    #[test]
    fn names_of_a_file_that_became_another() {
        let linked = ReadFile { nlink: 2, ..read() };
        let other = FileVersion { inode: Inode { dev: 1, ino: 8 }, ..linked.before };
        let touched = Meta { mode: 0o600, ..linked.meta };
        let cases = [
            (linked, Role::AsListed),
            (ReadFile { before: other, after: other, ..linked }, Role::File),
            (ReadFile { meta: touched, ..linked }, Role::IfSame(Path::from_raw(b"f"))),
        ];
        for (file, role) in cases {
            let mut links = LostLinks::default();
            let mut entry = listed("");
            (entry.inode, entry.nlink) = (Some(linked.before.inode), Some(2));
            entry.ctime = Some(linked.before.ctime);
            file.close(&mut entry, &mut links);
            let mut second = listed("");
            (second.path, second.hard) = (Path::from_raw(b"g"), Some(Path::from_raw(b"f")));
            assert_eq!(links.role(&second), role);
            assert_eq!(entry.inode, Some(file.before.inode));
        }
    }

    #[test]
    fn content_in_an_older_block() {
        let sum = Some([0xab; 32]);
        let cases = [
            (" tags=in:0/3", true, (1, 10), sum, true),
            ("", true, (1, 10), sum, false),
            (" tags=in:0/3", false, (1, 10), sum, false),
            (" tags=in:0/3", true, (2, 10), sum, false),
            (" tags=in:0/3", true, (1, 11), sum, false),
            (" tags=in:0/3", true, (1, 10), Some([0xac; 32]), false),
        ];
        for (tags, has_parent, file, sha256, unchanged) in cases {
            let mut entry = listed(tags);
            assert_eq!(content_unchanged(&mut entry, has_parent, file, sha256), unchanged);
            assert_eq!(entry.within.is_some(), unchanged);
        }
    }
}
