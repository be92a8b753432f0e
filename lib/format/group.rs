//! Checksum lists of groups: what `sha256sum -c` reads, with sizes and piece digests in comments.

use std::fmt::{self, Write};

use super::band::{BandId, BandName};
use super::digest::{self, Digest};
use super::object::ObjectName;

/// How many objects a group has unless `--group` says otherwise.
pub const DEFAULT_SLOTS: usize = 32;

/// The unit of piece digests and of repair.
pub const PIECE: usize = 1 << 20;

/// An object of a group, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name in the band's folder.
    pub name: ObjectName,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of all of it.
    pub sha256: Digest,
    /// SHA-256 of each [`PIECE`] of it.
    pub pieces: Vec<Digest>,
}

impl Member {
    /// Describes an object that is in memory.
    pub fn of(name: ObjectName, bytes: &[u8]) -> Member {
        let pieces: Vec<Digest> = bytes.chunks(PIECE).map(digest::of).collect();
        let sha256 = match pieces.as_slice() {
            [only] => *only,
            _ => digest::of(bytes),
        };
        Member { name, size: bytes.len() as u64, sha256, pieces }
    }
}

/// A checksum list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The band's name.
    pub band: BandName,
    /// The band's id.
    pub id: BandId,
    /// The number and counter that name the group.
    pub name: (u32, u32),
    /// How many slots it has, filled or not.
    pub slots: usize,
    /// How many parity shards it has.
    pub parity: usize,
    /// The objects in its slots, then the parity shards.
    pub members: Vec<Member>,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, counter) = self.name;
        writeln!(f, "#dura group 1\n#band {} {}", self.band, self.id)?;
        writeln!(f, "#group {number:09}-{counter} slots={} parity={}", self.slots, self.parity)?;
        for Member { name, size, sha256, pieces } in &self.members {
            write!(f, "#object {size} {name}")?;
            for piece in pieces {
                f.write_char(' ')?;
                f.write_str(&hex::encode(piece))?;
            }
            writeln!(f, "\n{}  {name}", hex::encode(sha256))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let head = Member::of(ObjectName::parse("HEAD").unwrap(), b"abc");
        let empty = Member::of(ObjectName::parse("00000/000000000.tar").unwrap(), b"");
        let two = Member::of(ObjectName::parse("00000/000000000.mtree.gz.gpg").unwrap(), &[0; PIECE + 1]);
        let list = List {
            band: "20261101T020000Z".parse().unwrap(),
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            name: (0, 0),
            slots: 32,
            parity: 0,
            members: vec![head, empty, two],
        };
        let text = "#dura group 1
#band 20261101T020000Z 00112233445566778899aabbccddeeff
#group 000000000-0 slots=32 parity=0
#object 3 HEAD ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  HEAD
#object 0 00000/000000000.tar
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  00000/000000000.tar
#object 1048577 00000/000000000.mtree.gz.gpg 30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
2cb74edba754a81d121c9db6833704a8e7d417e5b13d1a19f4a52f007d644264  00000/000000000.mtree.gz.gpg
";
        assert_eq!(list.to_string(), text);
    }
}
