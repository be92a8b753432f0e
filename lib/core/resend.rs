//! The order in which the objects of a stored band are sent on: as push would have had them from a
//! stream.
//!
//! A band is taken folder by folder, so that its names need not all be in memory. A checksum list,
//! with the parity and its signature before it, comes after the last object that it
//! lists; it may list objects of the next folder.

use std::collections::{HashMap, HashSet};

use crate::format::digest::Digest;
use crate::format::group::List;
use crate::format::object::{Object, ObjectName};

/// An object to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingObject {
    /// Its name.
    pub name: ObjectName,
    /// Its size as it is stored.
    pub size: u64,
    /// Its size and digest as its list has them, if one lists it.
    pub listed: Option<(u64, Digest)>,
}

impl PendingObject {
    /// The row as these lists have it, if one names it.
    pub fn listed_in(self, lists: &[List]) -> PendingObject {
        let member = lists.iter().flat_map(|list| &list.members).find(|it| it.name == self.name);
        PendingObject {
            listed: member.map(|member| (member.size, member.sha256)).or(self.listed),
            ..self
        }
    }
}

/// Of the names of a folder of a complete band, those that nothing can name any more: blocks
/// without an index, which a cut run left, and parity without a list.
pub fn superseded(names: &[(ObjectName, u64)]) -> HashSet<ObjectName> {
    let mut named = HashSet::new();
    let mut lists = HashSet::new();
    for (name, _) in names {
        match name.object {
            Object::Index(number) => _ = named.insert(number),
            Object::List(number, counter) => _ = lists.insert((number, counter)),
            _ => {}
        }
    }
    let is_superseded = |name: &ObjectName| match name.object {
        Object::Block(number, _) | Object::Part(number, ..) => !named.contains(&number),
        Object::Parity(number, counter, _) => !lists.contains(&(number, counter)),
        _ => false,
    };
    names.iter().map(|(name, _)| *name).filter(is_superseded).collect()
}

/// A group's own objects, and what they wait for.
#[derive(Debug)]
struct PendingGroup {
    rows: Vec<PendingObject>,
    list: Option<List>,
}

/// The machine: `handle_folder` for the folders of a band in their order, then `finish`; each gives
/// what is to be sent next.
#[derive(Debug, Default)]
pub struct Resend {
    /// Groups whose lists name objects of folders to come.
    carried: Vec<PendingGroup>,
}

/// The folder with which an object is sent: HEAD and the notes go with the first.
fn folder(name: &ObjectName) -> u32 {
    name.folder().unwrap_or(0)
}

/// Where an object stands among those of its number.
fn rank(name: &ObjectName) -> (u32, u8, u32) {
    let number = name.number().unwrap_or(u32::MAX);
    match name.object {
        Object::Head => (0, 0, 0),
        Object::Key(_, counter, added) => (number, 1, counter.saturating_mul(1000) + added),
        Object::Note(_) => (0, 1, 0),
        Object::Block(..) => (number, 2, 0),
        Object::Part(_, _, part) => (number, 3, part),
        Object::Sums(_) => (number, 4, 0),
        Object::Index(_) => (number, 5, 0),
        Object::Toc(_) => (number, 6, 0),
        Object::Parity(_, counter, shard) => (counter, 7, shard),
        Object::ListSig(_, counter) | Object::KeyListSig(_, counter, _) => (counter, 8, 0),
        Object::List(_, counter) | Object::KeyList(_, counter, _) => (counter, 9, 0),
        Object::Tail => (number, 10, 0),
        Object::TailSig => (number, 10, 1),
    }
}

/// The group that an object belongs to as list, parity or signature, and for the list of a key
/// message that was added its number.
fn group(name: &ObjectName) -> Option<(u32, u32, u32)> {
    match name.object {
        Object::List(number, counter)
        | Object::ListSig(number, counter)
        | Object::Parity(number, counter, _) => Some((number, counter, 0)),
        Object::KeyList(number, counter, added) | Object::KeyListSig(number, counter, added) => {
            Some((number, counter, added))
        }
        _ => None,
    }
}

impl Resend {
    /// No folder yet.
    pub fn new() -> Resend {
        Resend::default()
    }

    /// The names of the next folder, with sizes, and its lists as far as they can be read.
    pub fn handle_folder(
        &mut self,
        names: &[(ObjectName, u64)],
        lists: Vec<List>,
    ) -> Vec<PendingObject> {
        let mut lists: HashMap<(u32, u32, u32), List> =
            lists.into_iter().map(|list| ((list.name.0, list.name.1, list.added), list)).collect();
        let mut own: Vec<(ObjectName, u64)> = names.to_vec();
        own.sort_by_key(|(name, _)| rank(name));
        let row = |(name, size): &(ObjectName, u64)| PendingObject {
            name: *name,
            size: *size,
            listed: None,
        };
        let mut rows: Vec<PendingObject> =
            own.iter().filter(|(name, _)| group(name).is_none()).map(row).collect();

        let mut groups = std::mem::take(&mut self.carried);
        let mut keys: Vec<(u32, u32, u32)> =
            own.iter().filter_map(|(name, _)| group(name)).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let rows = own.iter().filter(|(name, _)| group(name) == Some(key)).map(row).collect();
            groups.push(PendingGroup { rows, list: lists.remove(&key) });
        }

        let at: HashMap<ObjectName, usize> =
            rows.iter().enumerate().map(|(at, row)| (row.name, at)).collect();
        let here = names.first().map_or(0, |(name, _)| folder(name));
        let mut after: Vec<Vec<PendingObject>> = vec![Vec::new(); rows.len() + 1];
        for mut group in groups {
            for member in group.list.iter().flat_map(|list| &list.members) {
                let listed = Some((member.size, member.sha256));
                match at.get(&member.name) {
                    Some(at) => rows[*at].listed = listed,
                    None => group
                        .rows
                        .iter_mut()
                        .filter(|row| row.name == member.name)
                        .for_each(|row| row.listed = listed),
                }
            }
            let members =
                || group.list.iter().flat_map(|list| &list.members).map(|member| &member.name);
            if members().any(|name| folder(name) > here) {
                self.carried.push(group);
                continue;
            }
            let last = match group.list {
                Some(_) => {
                    members().filter_map(|name| at.get(name)).map(|at| at + 1).max().unwrap_or(0)
                }
                None => rows.len(),
            };
            after[last].extend(group.rows);
        }
        let mut all = std::mem::take(&mut after[0]);
        for (row, behind) in rows.into_iter().zip(after.into_iter().skip(1)) {
            all.push(row);
            all.extend(behind);
        }
        all
    }

    /// What is left when there are no more folders.
    pub fn finish(self) -> Vec<PendingObject> {
        self.carried.into_iter().flat_map(|group| group.rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::group::GroupMember;

    fn list(name: (u32, u32), members: &[&str]) -> List {
        let member =
            |name: &&str| GroupMember::of(ObjectName::parse(name).unwrap(), name.as_bytes());
        List {
            band: "20261101T020000Z".parse().unwrap(),
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            name,
            added: 0,
            slots: 4,
            parity: 1,
            members: members.iter().map(member).collect(),
        }
    }

    fn sent(rows: &[PendingObject]) -> Vec<String> {
        rows.iter()
            .map(|row| format!("{}{}", row.name, if row.listed.is_some() { "" } else { " ?" }))
            .collect()
    }

    fn names(text: &str) -> Vec<(ObjectName, u64)> {
        let mut names: Vec<_> =
            text.split_whitespace().map(|name| (ObjectName::parse(name).unwrap(), 1)).collect();
        // However a store lists them.
        names.reverse();
        names
    }

    #[test]
    fn lists_follow_what_they_list() {
        let text = "00000/000000000.tar.gz 00000/000000000.mtree.gz 00000/000000000-0.rs0 00000/000000000-0.sha256 \
            00000/000000000-0.sha256.sig 00000/000000001.tar.gz.000000 00000/000000001.tar.gz.000001 00000/000000001.mtree.gz \
            00000/000000001.toc.gz 00000/000000002.tar.gz 00000/000000000-1.sha256 00000/000000009-0.sha256";
        let first = list(
            (0, 0),
            &[
                "HEAD",
                "00000/000000000.tar.gz",
                "00000/000000000.mtree.gz",
                "00000/000000001.tar.gz.000000",
                "00000/000000000-0.rs0",
            ],
        );
        let second = list(
            (0, 1),
            &[
                "00000/000000001.tar.gz.000001",
                "00000/000000001.toc.gz",
                "00000/000000001.mtree.gz",
            ],
        );
        let mut resend = Resend::new();
        // The third list cannot be read: it goes last.
        let rows = resend.handle_folder(&names(text), vec![second, first]);
        let wanted = [
            "00000/000000000.tar.gz",
            "00000/000000000.mtree.gz",
            "00000/000000001.tar.gz.000000",
            "00000/000000000-0.rs0",
            "00000/000000000-0.sha256.sig ?",
            "00000/000000000-0.sha256 ?",
            "00000/000000001.tar.gz.000001",
            "00000/000000001.mtree.gz",
            "00000/000000001.toc.gz",
            "00000/000000000-1.sha256 ?",
            "00000/000000002.tar.gz ?",
            "00000/000000009-0.sha256 ?",
        ];
        assert_eq!(sent(&rows), wanted);
        assert_eq!(resend.finish(), []);
    }

    #[test]
    fn messages_that_were_added_go_before_their_lists() {
        let text = "00000/000000000-0.key.gpg 00000/000000000-0.1.key.gpg 00000/000000000-0.2.key.gpg \
            00000/000000000-0.1.sha256 00000/000000000-0.1.sha256.sig 00000/000000000-0.2.sha256 \
            00000/000000000-0.sha256 00000/000000000.mtree.gz";
        let own = list((0, 0), &["00000/000000000-0.key.gpg", "00000/000000000.mtree.gz"]);
        let added = |added, name| List { added, ..list((0, 0), &[name]) };
        let lists = vec![
            added(1, "00000/000000000-0.1.key.gpg"),
            own,
            added(2, "00000/000000000-0.2.key.gpg"),
        ];
        let mut resend = Resend::new();
        let wanted = [
            "00000/000000000-0.key.gpg",
            "00000/000000000-0.1.key.gpg",
            "00000/000000000-0.1.sha256.sig ?",
            "00000/000000000-0.1.sha256 ?",
            "00000/000000000-0.2.key.gpg",
            "00000/000000000-0.2.sha256 ?",
            "00000/000000000.mtree.gz",
            "00000/000000000-0.sha256 ?",
        ];
        assert_eq!(sent(&resend.handle_folder(&names(text), lists)), wanted);
    }

    #[test]
    fn what_nothing_can_name() {
        let text = "00000/000000000.tar.gz 00000/000000000.mtree.gz 00000/000000001.tar.gz \
            00000/000000002.tar.gz.000000 00000/000000003.mtree.gz 00000/000000000-0.rs0 \
            00000/000000000-0.sha256 00000/000000032-0.rs1";
        let mut found: Vec<String> =
            superseded(&names(text)).iter().map(ToString::to_string).collect();
        found.sort();
        let wanted =
            ["00000/000000001.tar.gz", "00000/000000002.tar.gz.000000", "00000/000000032-0.rs1"];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_list_may_name_objects_of_the_next_folder() {
        let across = list(
            (9999, 0),
            &["00000/000009999.tar.gz", "00001/000010000.tar.gz", "00002/000020000.tar.gz"],
        );
        let mut resend = Resend::new();
        let first = resend.handle_folder(
            &names("00000/000009999.tar.gz 00000/000009999-0.sha256"),
            vec![across.clone()],
        );
        assert_eq!(sent(&first), ["00000/000009999.tar.gz"]);
        assert_eq!(
            sent(
                &resend
                    .handle_folder(&names("00001/000010000.tar.gz 00001/000010001.tar.gz"), vec![])
            )
            .len(),
            2
        );
        let third =
            resend.handle_folder(&names("00002/000020000.tar.gz 00002/000020001.tar.gz"), vec![]);
        assert_eq!(
            sent(&third),
            ["00002/000020000.tar.gz", "00000/000009999-0.sha256 ?", "00002/000020001.tar.gz ?"]
        );
        let mut resend = Resend::new();
        resend
            .handle_folder(&names("00000/000009999.tar.gz 00000/000009999-0.sha256"), vec![across]);
        assert_eq!(sent(&resend.finish()), ["00000/000009999-0.sha256 ?"]);
    }
}
