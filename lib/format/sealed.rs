//! What dura-seal notes of each object that it has sealed: a line with the group that is to list
//! it. When a run is cut before the list is stored, the next one lists the object by this.

use super::digest;
use super::group::GroupMember;
use super::object::ObjectName;

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedNote {
    /// The number and the counter of the group's list.
    pub group: (u32, u32),
    /// The object as stored.
    pub member: GroupMember,
}

impl SealedNote {
    /// The line: `NUMBER-COUNTER NAME SIZE SHA256 PIECE …`.
    pub fn line(&self) -> String {
        let ((number, counter), GroupMember { name, size, sha256, pieces }) =
            (self.group, &self.member);
        let mut line = format!("{number:09}-{counter} {name} {size} {}", hex::encode(sha256));
        for piece in pieces {
            line.push(' ');
            line.push_str(&hex::encode(piece));
        }
        line.push('\n');
        line
    }

    /// Reads a line; none for anything else, such as one that was cut.
    pub fn parse(line: &str) -> Option<SealedNote> {
        let mut words = line.split(' ');
        let (number, counter) = words.next()?.split_once('-')?;
        let group = (number.parse().ok()?, counter.parse().ok()?);
        let name = ObjectName::parse(words.next()?)?;
        let size = words.next()?.parse().ok()?;
        let sha256 = digest::parse(words.next()?.as_bytes())?;
        let pieces =
            words.map(|piece| digest::parse(piece.as_bytes())).collect::<Option<Vec<_>>>()?;
        let is_whole = pieces.len() as u64 == u64::div_ceil(size, super::group::PIECE as u64);
        is_whole.then_some(SealedNote { group, member: GroupMember { name, size, sha256, pieces } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_and_a_cut_one_does_not() {
        let name = ObjectName::parse("00000/000000007.tar.gz.gpg").unwrap();
        for size in [1, super::super::group::PIECE + 1] {
            let member = GroupMember::of(name, &vec![7; size]);
            let note = SealedNote { group: (7, 2), member };
            let line = note.line();
            let line = line.strip_suffix('\n').unwrap();
            assert_eq!(SealedNote::parse(line), Some(note));
            for end in 0..line.len() {
                assert_eq!(SealedNote::parse(&line[..end]), None, "{end}");
            }
        }
    }
}
