//! How much a block may expand to: what its index lists. The index is asked for only where a block
//! gives far more than blocks usually do, so it costs nothing to read others.

use crate::format::entry::{Entry, Kind};
use crate::format::untar::MAX_RECORDS;

/// What a block of so many bytes, as stored, gives before its index is asked for.
fn usual(stored: u64) -> u64 {
    (64 << 20) + stored.saturating_mul(32)
}

/// The same where no index can be asked: what deflate can make of a byte at most.
fn at_most(stored: u64) -> u64 {
    (64 << 20) + stored.saturating_mul(1032)
}

/// What a member has beside its content: its headers, but for records of a long path.
const HEADERS: u64 = 4 << 10;

/// The machine: [`Expansion::handle`] with all that came of a block so far, and when that is more
/// than is known to be right, [`Expansion::handle_index`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Expansion {
    /// What its index lists, and whether that was asked for.
    asked: Option<Option<u64>>,
}

/// What to do with the bytes that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpansionVerdict {
    /// Go on.
    Right,
    /// Ask the index, and then again.
    Ask,
    /// No more than so many can be right: the rest of the block is damage.
    TooMuch(u64),
}

impl Expansion {
    /// So many bytes came, of so many as they are stored.
    pub fn handle(&self, came: u64, stored: u64) -> ExpansionVerdict {
        let most = match self.asked {
            _ if came <= usual(stored) => return ExpansionVerdict::Right,
            None => return ExpansionVerdict::Ask,
            Some(listed) => listed.unwrap_or_else(|| at_most(stored)).max(usual(stored)),
        };
        if came <= most { ExpansionVerdict::Right } else { ExpansionVerdict::TooMuch(most) }
    }

    /// The text of the block's index; none if it is lost.
    pub fn handle_index(&mut self, text: Option<&[u8]>) {
        self.asked = Some(text.map(listed));
    }
}

/// The most bytes of tar that an index accounts for.
fn listed(text: &[u8]) -> u64 {
    let lines = text.split(|&byte| byte == b'\n');
    let entries = lines.filter_map(|line| Some((line.len() as u64, Entry::parse(line).ok()?)));
    entries.fold(0, |sum: u64, (len, entry)| {
        // A map of holes is shorter than what it tells of.
        let is_stored = entry.kind == Kind::File && entry.hard.is_none() && entry.within.is_none();
        let size = entry.size.filter(|_| is_stored).unwrap_or(0);
        let records = if entry.x { MAX_RECORDS } else { 0 };
        sum.saturating_add(size.saturating_add(size / 8))
            .saturating_add(HEADERS + 2 * len + records)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "#mtree\n#index 00112233445566778899aabbccddeeff 000000000 after -\n\
        . type=dir mode=0755 uid=0 gid=0 time=1500000000.000000000\n\
        ./a type=file mode=0644 uid=0 gid=0 time=1500000000.000000000 nlink=1 size=8000000000\n\
        ./b type=file mode=0644 uid=0 gid=0 time=1500000000.000000000 nlink=1 size=5 tags=in:0/0\n";

    #[test]
    fn the_index_is_asked_only_for_what_is_unusual() {
        let mut expansion = Expansion::default();
        assert_eq!(expansion.handle(64 << 20, 0), ExpansionVerdict::Right);
        assert_eq!(expansion.handle(10 << 30, 400 << 20), ExpansionVerdict::Right);
        assert_eq!(expansion.handle((64 << 20) + 33, 1), ExpansionVerdict::Ask);
        expansion.handle_index(Some(INDEX.as_bytes()));
        assert_eq!(expansion.handle(8_000_000_000, 1 << 20), ExpansionVerdict::Right);
        assert!(matches!(expansion.handle(9_100_000_000, 1 << 20), ExpansionVerdict::TooMuch(_)));
        // What its index says least of is as good as what is usual.
        assert_eq!(expansion.handle(32 << 30, 1 << 30), ExpansionVerdict::Right);
    }

    #[test]
    fn without_an_index_it_is_what_deflate_can_make() {
        let mut expansion = Expansion::default();
        expansion.handle_index(None);
        assert_eq!(expansion.handle(1000 << 20, 1 << 20), ExpansionVerdict::Right);
        assert_eq!(expansion.handle(1100 << 20, 1 << 20), ExpansionVerdict::TooMuch(1096 << 20));
        expansion.handle_index(Some(b"no index"));
        assert_eq!(expansion.handle(97 << 20, 1 << 20), ExpansionVerdict::TooMuch(96 << 20));
    }

    #[test]
    fn sizes_that_lie_do_not_wrap() {
        let text = INDEX.replace("8000000000", &u64::MAX.to_string());
        let mut expansion = Expansion::default();
        expansion.handle_index(Some(text.repeat(2).as_bytes()));
        assert_eq!(expansion.handle(u64::MAX, 1 << 20), ExpansionVerdict::Right);
    }
}
