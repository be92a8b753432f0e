//! Seal's groups: which objects share a checksum list and parity, and what these are called.

use std::collections::HashMap;

use crate::format::band::{BandId, BandName};
use crate::format::group::{GroupMember, List};
use crate::format::object::{Object, ObjectName};

/// The machine: `handle_object` for each object as stored, in stream order, then `finish` before
/// TAIL. Each gives the list of the group that is then full, if one is. Of parity the list has only
/// the number: who computes it adds it as the last members.
#[derive(Debug)]
pub struct Groups {
    band: BandName,
    id: BandId,
    slots: usize,
    parity: usize,
    members: Vec<GroupMember>,
    /// The first number of the run.
    first: u32,
    /// Whether each group has a key object, and whether the open one has it already.
    keyed: bool,
    has_key: bool,
    /// How many groups of the number that came last there are, so that the next has a name of its
    /// own.
    counters: HashMap<u32, u32>,
}

impl Groups {
    /// Groups of `slots` objects and `parity` shards.
    pub fn new(band: BandName, id: BandId, slots: usize, parity: usize) -> Groups {
        Groups {
            band,
            id,
            slots: slots.max(1),
            parity,
            members: Vec::new(),
            first: 0,
            keyed: false,
            has_key: false,
            counters: HashMap::new(),
        }
    }

    /// The same, of a run with a key: each group begins with a key object, the first behind HEAD.
    pub fn keyed(self) -> Groups {
        Groups { keyed: true, ..self }
    }

    /// The run begins with this number: a group of what it adds to a block of an earlier run is
    /// named by it.
    pub fn begin(&mut self, first: u32) {
        self.first = first;
    }

    /// The name of the key object that comes before an object of the run, if one does. To be asked
    /// again behind it: it may have filled the group of HEAD.
    pub fn key_before(&mut self, next: &ObjectName) -> Option<ObjectName> {
        if !self.keyed || self.has_key || next.object == Object::Head {
            return None;
        }
        let (number, counter) = self.group_of(next)?;
        self.has_key = true;
        Some(ObjectName { object: Object::Key(number, counter, 0), encrypted: true })
    }

    /// Takes an object; lists, parity, signatures and TAIL are in no group.
    pub fn handle_object(&mut self, member: GroupMember) -> Option<List> {
        if !member.name.is_grouped() {
            return None;
        }
        self.members.push(member);
        if self.members.len() == self.slots { self.finish() } else { None }
    }

    /// The lists of what an earlier run of the band sealed, stored, and left without a list. They
    /// have no parity, and are named as groups of this run, by its first number: so whoever reads
    /// them sees that they say nothing of what lies between their objects. Must be called before
    /// the first object of the run; in a run with a key, whose first group begins with what opens
    /// it, when that is closed.
    pub fn handle_left(&mut self, run: u32, left: Vec<GroupMember>) -> Vec<List> {
        let mut lists = Vec::new();
        for members in left.chunks(self.slots) {
            let counter = self.counters.entry(run).or_default();
            lists.push(List {
                band: self.band.clone(),
                id: self.id,
                name: (run, *counter),
                added: 0,
                slots: self.slots,
                parity: 0,
                members: members.to_vec(),
            });
            *counter += 1;
        }
        lists
    }

    /// The number and the counter of the group that the next object comes into.
    pub fn group_of(&self, next: &ObjectName) -> Option<(u32, u32)> {
        let first = self.members.first().map_or(next, |member| &member.name);
        let number = first.number()?.max(self.first);
        Some((number, self.counters.get(&number).copied().unwrap_or(0)))
    }

    /// Closes the last group.
    pub fn finish(&mut self) -> Option<List> {
        let number = self.members.first()?.name.number()?.max(self.first);
        self.has_key = false;
        // Numbers rise, so counters of other numbers are never asked for again.
        self.counters.retain(|known, _| *known == number);
        let counter = self.counters.entry(number).or_default();
        let name = (number, *counter);
        *counter += 1;
        Some(List {
            band: self.band.clone(),
            id: self.id,
            name,
            added: 0,
            slots: self.slots,
            parity: self.parity,
            members: std::mem::take(&mut self.members),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(slots: usize, names: &[&str]) -> Vec<(String, usize)> {
        let mut groups =
            Groups::new("20261101T020000Z".parse().unwrap(), BandId([0; 16]), slots, 0);
        let mut lists = Vec::new();
        let mut named = Vec::new();
        for name in names {
            let name = ObjectName::parse(name).unwrap();
            named.extend(groups.group_of(&name).filter(|_| name.is_grouped()));
            lists.extend(groups.handle_object(GroupMember::of(name, b"")));
        }
        lists.extend(groups.finish());
        named.dedup();
        assert_eq!(named, lists.iter().map(|list| list.name).collect::<Vec<_>>());
        lists.into_iter().map(|list| (list.object().to_string(), list.members.len())).collect()
    }

    #[test]
    fn what_is_added_to_an_earlier_block_is_in_groups_of_the_run() {
        let mut groups =
            Groups::new("20261101T020000Z".parse().unwrap(), BandId([0; 16]), 2, 0).keyed();
        groups.begin(32);
        let member = |name: &str| GroupMember::of(ObjectName::parse(name).unwrap(), b"x");
        let part = |part| format!("00000/000000007.tar.00000{part}");
        let key = groups.key_before(&ObjectName::parse(&part(3)).unwrap()).unwrap();
        assert_eq!(key.to_string(), "00000/000000032-0.key.gpg");
        assert!(groups.handle_object(member(&key.to_string())).is_none());
        assert_eq!(groups.handle_object(member(&part(3))).unwrap().name, (32, 0));
        groups.handle_object(member(&part(4)));
        assert_eq!(groups.finish().unwrap().name, (32, 1));
    }

    #[test]
    fn what_a_run_left_is_listed_as_groups_of_the_next() {
        let mut groups = Groups::new("20261101T020000Z".parse().unwrap(), BandId([0; 16]), 2, 1);
        let member = |name: &str| GroupMember::of(ObjectName::parse(name).unwrap(), b"x");
        let left = ["HEAD", "00000/000000000.tar", "00000/000000000.mtree.gz"].map(member);
        let lists = groups.handle_left(32, left.to_vec());
        let names: Vec<_> =
            lists.iter().map(|list| (list.name, list.members.len(), list.parity)).collect();
        assert_eq!(names, [((32, 0), 2, 0), ((32, 1), 1, 0)]);
        assert!(lists.iter().all(|list| List::parse(list.text().as_bytes()).is_ok()));
        groups.handle_object(member("00000/000000032.tar"));
        assert_eq!(groups.finish().unwrap().name, (32, 2));
    }

    #[test]
    fn each_group_begins_with_a_key() {
        let run = |slots: usize, names: &[&str]| {
            let mut groups =
                Groups::new("20261101T020000Z".parse().unwrap(), BandId([0; 16]), slots, 0).keyed();
            let mut lists = Vec::new();
            for name in names {
                let name = ObjectName::parse(name).unwrap();
                while let Some(key) = groups.key_before(&name) {
                    lists.extend(groups.handle_object(GroupMember::of(key, b"x")));
                }
                lists.extend(groups.handle_object(GroupMember::of(name, b"x")));
            }
            lists.extend(groups.finish());
            let shown = |list: List| {
                let members = list
                    .members
                    .iter()
                    .map(|member| member.name.to_string().replace("00000/00000000", ""));
                members.collect::<Vec<_>>().join(" ")
            };
            lists.into_iter().map(shown).collect::<Vec<_>>()
        };
        let block = ["00000/000000001.tar.gz.gpg", "00000/000000001.mtree.gz.gpg"];
        assert_eq!(
            run(3, &["HEAD", "recover.sh", block[0], block[1]]),
            ["HEAD 0-0.key.gpg recover.sh", "1-0.key.gpg 1.tar.gz.gpg 1.mtree.gz.gpg"]
        );
        assert_eq!(
            run(2, &["HEAD", "recover.sh", block[0], block[1]]),
            [
                "HEAD 0-0.key.gpg",
                "0-1.key.gpg recover.sh",
                "1-0.key.gpg 1.tar.gz.gpg",
                "1-1.key.gpg 1.mtree.gz.gpg"
            ]
        );
        assert_eq!(run(32, &block), ["1-0.key.gpg 1.tar.gz.gpg 1.mtree.gz.gpg"]);
    }

    #[test]
    fn groups_are_named_by_their_first_object() {
        let parts: Vec<String> = (0..5).map(|i| format!("00000/000000001.tar.gz.{i:06}")).collect();
        let mut names =
            vec!["HEAD", "recover.sh", "00000/000000000.tar.gz", "00000/000000000.mtree.gz"];
        names.extend(parts.iter().map(String::as_str));
        names.extend(["00000/000000001.mtree.gz", "TAIL"]);
        let lists = run(2, &names);
        let list = |name: &str, len| (format!("00000/00000000{name}.sha256"), len);
        assert_eq!(
            lists,
            [list("0-0", 2), list("0-1", 2), list("1-0", 2), list("1-1", 2), list("1-2", 2)]
        );
        assert_eq!(run(32, &names), [list("0-0", 10)]);
        assert_eq!(run(32, &["TAIL", "00000/000000000-0.sha256"]), []);
        assert_eq!(run(4, &names), [list("0-0", 4), list("1-0", 4), list("1-1", 2)]);
    }
}
