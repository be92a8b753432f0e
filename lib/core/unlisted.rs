//! Which objects of a stored band no checksum list names: what a cut run has left may stand in a
//! list that comes later.

use std::collections::{HashMap, HashSet};

use crate::format::digest::Digest;
use crate::format::group::{GroupMember, List};
use crate::format::object::{Object, ObjectName};
use crate::format::sealed::SealedNote;

/// The machine: `handle_object` for each object that no list names so far, `handle_lists` for the
/// lists of each folder, before its objects.
#[derive(Debug, Default)]
pub struct UnlistedObjects {
    objects: HashMap<ObjectName, (u64, Option<Digest>)>,
    lists: bool,
}

impl UnlistedObjects {
    /// An object that no list names so far, with its sum if it was read.
    pub fn handle_object(&mut self, name: ObjectName, size: u64, sum: Option<Digest>) {
        self.objects.insert(name, (size, sum));
    }

    /// Lists: gives those of the objects that they have otherwise.
    pub fn handle_lists(&mut self, lists: &[List]) -> Vec<ObjectName> {
        self.lists |= !lists.is_empty();
        let mut differ = Vec::new();
        for member in lists.iter().flat_map(|list| &list.members) {
            let Some((size, sum)) = self.objects.remove(&member.name) else { continue };
            if size != member.size || sum.is_some_and(|sum| sum != member.sha256) {
                differ.push(member.name);
            }
        }
        differ
    }

    /// Whether the band has lists at all.
    pub fn has_lists(&self) -> bool {
        self.lists
    }

    /// What no list has named, in the order of names.
    pub fn finish(&self) -> Vec<ObjectName> {
        let mut names: Vec<ObjectName> = self.objects.keys().copied().collect();
        names.sort_by_key(ToString::to_string);
        names
    }
}

/// What a cut run has left of a band: of the objects that are there, those that this host has
/// sealed and whose list is not there. The last note of an object is the one of what was stored,
/// and of the list that is to name it: a run that left nothing under its numbers has a successor
/// with the same ones.
pub fn left(objects: &[(ObjectName, u64)], notes: &[SealedNote]) -> Vec<(ObjectName, u64)> {
    let mut lists = HashSet::new();
    let mut there = HashMap::new();
    for (name, size) in objects {
        match name.object {
            Object::List(number, counter) => _ = lists.insert((number, counter)),
            _ => _ = there.insert(*name, *size),
        }
    }
    let last: HashMap<ObjectName, &SealedNote> =
        notes.iter().map(|note| (note.member.name, note)).collect();
    let is_left = |note: &&&SealedNote| {
        !lists.contains(&note.group) && there.get(&note.member.name) == Some(&note.member.size)
    };
    let mut left: Vec<(ObjectName, u64)> =
        last.values().filter(is_left).map(|note| (note.member.name, note.member.size)).collect();
    left.sort_by_key(|(name, _)| crate::core::verify::stream_order::place(name));
    left
}

/// The members of the list that the next run makes of these.
pub fn members(left: &[(ObjectName, u64)], notes: &[SealedNote]) -> Vec<GroupMember> {
    let own = |(name, size): &(ObjectName, u64)| {
        let note = notes.iter().rfind(|note| note.member.name == *name)?;
        (note.member.size == *size).then(|| note.member.clone())
    };
    left.iter().filter_map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::digest;

    #[test]
    fn what_a_cut_run_has_left() {
        let name = |text: &str| ObjectName::parse(text).unwrap();
        let note = |group, text: &str, bytes: &[u8]| SealedNote {
            group,
            member: GroupMember::of(name(text), bytes),
        };
        let notes = [
            note((0, 0), "HEAD", b"h"),
            note((0, 0), "00000/000000000.tar.gz", b"zero"),
            note((1, 0), "00000/000000001.tar.gz", b"one"),
            note((2, 0), "00000/000000002.tar.gz", b"two"),
            note((3, 0), "00000/000000003.tar.gz", b"three"),
            // Sealed once more, with other bytes.
            note((3, 0), "00000/000000003.tar.gz", b"more"),
            note((4, 0), "00000/000000004.tar.gz", b"four"),
            // Listed late.
            note((32, 0), "00000/000000002.tar.gz", b"two"),
            // Sealed by a run of whose group (32, 0) nothing came, and again by the next one.
            note((32, 0), "00000/000000006.tar.gz", b"six"),
            note((32, 1), "00000/000000006.tar.gz", b"six"),
        ];
        let objects = [
            ("HEAD", 1),
            ("00000/000000000.tar.gz", 4),
            ("00000/000000001.tar.gz", 3),
            ("00000/000000001-0.sha256", 9),
            ("00000/000000002.tar.gz", 3),
            ("00000/000000003.tar.gz", 4),
            ("00000/000000004.tar.gz", 5),
            ("00000/000000005.tar.gz", 5),
            ("00000/000000006.tar.gz", 3),
            ("00000/000000032-0.sha256", 9),
        ];
        let objects = objects.map(|(text, size)| (name(text), size));
        let found = left(&objects, &notes);
        let wanted = [
            ("HEAD", 1),
            ("00000/000000000.tar.gz", 4),
            ("00000/000000003.tar.gz", 4),
            ("00000/000000006.tar.gz", 3),
        ];
        assert_eq!(found, wanted.map(|(text, size)| (name(text), size)));
        let members = members(&found, &notes);
        assert_eq!(members[2], GroupMember::of(name("00000/000000003.tar.gz"), b"more"));
        assert_eq!(members.len(), 4);
    }

    #[test]
    fn a_later_list_may_name_them() {
        let name = |text: &str| ObjectName::parse(text).unwrap();
        let names = ["HEAD", "00000/000000000.tar.gz", "00000/000000001.tar.gz"].map(name);
        let mut unlisted = UnlistedObjects::default();
        for name in names {
            unlisted.handle_object(name, 1, Some(digest::of(b"x")));
        }
        assert!(!unlisted.has_lists());
        let list = List {
            band: "20261101T020000Z".parse().unwrap(),
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            name: (32, 0),
            added: 0,
            slots: 4,
            parity: 0,
            members: vec![GroupMember::of(names[1], b"x"), GroupMember::of(names[2], b"y")],
        };
        assert_eq!(unlisted.handle_lists(&[list]), [names[2]]);
        assert!(unlisted.has_lists());
        assert_eq!(unlisted.finish(), [names[0]]);
    }
}
