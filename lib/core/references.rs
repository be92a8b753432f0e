//! References: content that a band stores once though it has several paths.
//!
//! A file that was moved or copied has a line that says which path of the version below has the
//! content (`of:`, for a person, who copies it from there), and which block has it (`in:` and
//! `as:`, for programs). Both must be regular files whose tar entries hold nothing but content, and
//! an ordinary user must be able to copy the old one.

use crate::format::digest::{self, Digest};
use crate::format::entry::{ContentPlace, Entry, EntryState, Kind, Reference, Within};

/// Below so many bytes, a file is stored: a reference would hardly be shorter.
pub const MIN_SIZE: u64 = 256;

/// Something at the path in a newer tier hides what older ones have there.
pub const HIDES: u64 = 1;
/// It hides all that older tiers have below it.
pub const HIDES_BELOW: u64 = 2;
/// It is a directory that its owner cannot enter.
pub const CLOSED: u64 = 4;

/// What a table knows content by.
pub fn content_key(sha256: &Digest) -> u64 {
    let mut key = [0; 8];
    key.copy_from_slice(&sha256[..8]);
    u64::from_be_bytes(key)
}

/// What a table knows a path by, encoded as it is in a listing.
pub fn path_key(path: &[u8]) -> u64 {
    content_key(&digest::of(path))
}

fn is_plain(entry: &Entry) -> bool {
    entry.kind == Kind::File
        && entry.hard.is_none()
        && !entry.x
        && entry.sha256.is_some()
        && entry.size.is_some_and(|size| size >= MIN_SIZE)
}

/// Whether a file that was read, of so many links, may refer to another's content.
pub fn may_refer(entry: &Entry) -> bool {
    is_plain(entry) && entry.meta().is_some() && entry.nlink == Some(1)
}

/// Whether others may refer to this file's content.
pub fn may_be_origin(entry: &Entry) -> bool {
    is_plain(entry) && entry.meta().is_some_and(|meta| meta.mode & 0o400 != 0)
}

/// What a line of a band of this tier does to what is below it: [`HIDES`], [`HIDES_BELOW`] and
/// [`CLOSED`]; none if it does nothing.
pub fn hides(entry: &Entry, tier: usize) -> Option<u64> {
    if matches!(entry.state, EntryState::Excluded | EntryState::Unreadable) {
        return None;
    }
    let is_dir = entry.kind == Kind::Dir && entry.state != EntryState::Deleted;
    let closed = is_dir && entry.meta().is_some_and(|meta| meta.mode & 0o100 == 0);
    // Nothing lies below a full band.
    let here = if tier > 0 { HIDES } else { 0 };
    let below = if tier > 0 && (!is_dir || entry.over) { HIDES_BELOW } else { 0 };
    let closed = if closed { CLOSED } else { 0 };
    Some(here | below | closed).filter(|flags| *flags != 0)
}

/// Whether a path of a line in tier `at` is what the version has there, and a person can copy it.
/// `flags` gives what a tier's table has of an encoded path.
///
/// # Errors
/// Those of `flags`.
pub fn is_visible<E>(
    path: &[u8],
    at: usize,
    tiers: usize,
    flags: &mut impl FnMut(usize, &[u8]) -> Result<u64, E>,
) -> Result<bool, E> {
    for tier in at + 1..tiers {
        if flags(tier, path)? & HIDES != 0 {
            return Ok(false);
        }
    }
    let above = memchr::memrchr_iter(b'/', path).map(|end| &path[..end]);
    for dir in above {
        for tier in 0..tiers {
            let stops = CLOSED | if tier > at { HIDES_BELOW } else { 0 };
            if flags(tier, dir)? & stops != 0 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// How a file refers to the content of `origin`, whose line is in the index `at`; none if it is not
/// the same content.
pub fn refer(file: &Entry, origin: &Entry, at: Within) -> Option<ContentPlace> {
    let same = (file.sha256, file.size) == (origin.sha256, origin.size);
    if !same || !may_be_origin(origin) {
        return None;
    }
    Some(place_of(origin, at))
}

/// Where the content of `origin` is, whose line is in the index `at`.
pub fn place_of(origin: &Entry, at: Within) -> ContentPlace {
    let name = origin.name_in_block();
    let name = (*name != origin.path).then(|| name.clone());
    let reference = Reference { of: Some(origin.path.clone()), name };
    ContentPlace { within: origin.within.unwrap_or(at), reference, deltas: origin.deltas }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::Meta;
    use std::collections::BTreeMap;

    fn entry(line: &str) -> Entry {
        Entry::parse(line.as_bytes()).unwrap()
    }

    fn file(path: &str, rest: &str) -> Entry {
        let sha256 = "ab".repeat(32);
        entry(&format!(
            "{path} type=file mode=0644 uid=0 gid=0 time=0.000000000 nlink=1 size=999 sha256digest={sha256}{rest}"
        ))
    }

    #[test]
    fn the_block_is_named_and_never_a_reference() {
        let at = Within { tier: 1, block: 7 };
        let written = |origin: &Entry| {
            let mut new = file("./new", "");
            let place = refer(&new, origin, at).unwrap();
            new.refer_to(place);
            let mut line = Vec::new();
            new.write(&mut line);
            String::from_utf8(line).unwrap().split_once(" tags=").unwrap().1.trim_end().to_owned()
        };
        assert_eq!(written(&file("./old", "")), "in:1/000000007,of:./old");
        assert_eq!(written(&file("./old", " tags=in:0/3")), "in:0/000000003,of:./old");
        let moved = file("./old", " tags=in:0/3,of:./before");
        assert_eq!(written(&moved), "in:0/000000003,of:./old,as:./before");
        let twice = file("./old", " tags=in:0/3,of:./mid,as:./before");
        assert_eq!(written(&twice), "in:0/000000003,of:./old,as:./before");
        let delta = file("./old", " tags=in:0/1,of:./old,rdiff,deltas:2");
        assert_eq!(written(&delta), "in:1/000000007,of:./old,deltas:2");
        let on_delta = file("./old", " tags=in:1/9,deltas:3");
        assert_eq!(written(&on_delta), "in:1/000000009,of:./old,deltas:3");
        let touched = file("./old", " tags=in:0/3,as:./before");
        assert_eq!(written(&touched), "in:0/000000003,of:./old,as:./before");
        let other = Entry { size: Some(998), ..file("./old", "") };
        assert_eq!(refer(&file("./new", ""), &other, at), None);
    }

    #[test]
    fn only_whole_content_is_referred_to() {
        assert!(may_refer(&file("./a", "")) && may_be_origin(&file("./a", "")));
        let small = Entry { size: Some(255), ..file("./a", "") };
        let linked = Entry { nlink: Some(2), ..file("./a", "") };
        let (x, hard) = (file("./a", " tags=x"), file("./a", " tags=hard:./b"));
        for (entry, is_origin) in [(&small, false), (&linked, true), (&x, false), (&hard, false)] {
            assert_eq!((may_refer(entry), may_be_origin(entry)), (false, is_origin), "{entry:?}");
        }
        let secret = file("./a", "");
        let EntryState::Present(meta) = secret.state else { panic!() };
        let state = EntryState::Present(Meta { mode: 0o244, ..meta });
        let secret = Entry { state, ..secret };
        assert!(may_refer(&secret) && !may_be_origin(&secret));
    }

    #[test]
    fn what_newer_tiers_say_hides_older_ones() {
        let dir = |path: &str, mode: &str, rest: &str| {
            entry(&format!("{path} type=dir mode={mode} uid=0 gid=0 time=0.000000000{rest}"))
        };
        let visible = |lines: &[(usize, Entry)], path: &str, at: usize| {
            let mut known: BTreeMap<(usize, Vec<u8>), u64> = BTreeMap::new();
            for (tier, line) in lines {
                if let Some(flags) = hides(line, *tier) {
                    known.insert((*tier, line.path.as_bytes().to_vec()), flags);
                }
            }
            let mut flags = |tier: usize, path: &[u8]| -> Result<u64, ()> {
                Ok(known.get(&(tier, path.to_vec())).copied().unwrap_or(0))
            };
            is_visible(path.as_bytes(), at, 3, &mut flags).unwrap()
        };
        let gone = |path: &str| entry(&format!("{path} type=dir optional tags=deleted"));
        let unseen =
            |path: &str| entry(&format!("{path} type=dir optional ignore tags=unreadable"));
        assert!(visible(&[], "./d/f", 0));
        for (tier, line, is_there) in [
            (1, gone("./d"), false),
            (1, unseen("./d"), true),
            (1, dir("./d", "0755", ""), true),
            (1, dir("./d", "0755", " tags=over"), false),
            (1, dir("./d", "0600", ""), false),
            (0, dir("./d", "0600", ""), false),
            (0, dir(".", "0600", ""), false),
            (2, file("./d", ""), false),
            (2, file("./d/f", ""), false),
            (2, file("./d/g", ""), true),
            (0, file("./d/f", ""), true),
        ] {
            let lines = [(tier, line)];
            assert_eq!(visible(&lines, "./d/f", 0), is_there, "{lines:?}");
        }
        // What lies below the line's own tier is hidden by it, not the other way round.
        assert!(visible(&[(1, gone("./d")), (1, file("./d/f", ""))], "./d/f", 2));
    }
}
