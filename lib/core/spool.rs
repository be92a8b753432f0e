//! A band of a spool on its way to archives: what each of them lacks of it, what neither an archive
//! nor the spool has, and what the spool may lose.

use std::collections::{HashMap, HashSet};

use crate::core::resend::PendingObject;
use crate::format::group::List;
use crate::format::object::{Object, ObjectName};

/// The size of an object in an archive to which this run has sent it.
pub const SENT: u64 = u64::MAX;

/// What the spool loses of what every archive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loses {
    /// Nothing.
    Nothing,
    /// Blocks and parity.
    Bulk,
    /// All, once the band is complete.
    All,
}

impl Loses {
    /// Whether an object that no checksum list names is told of: where the spool would lose it, and
    /// where it `is_odd`, since other objects have lists.
    pub fn tells_of_unlisted(self, name: &ObjectName, is_odd: bool) -> bool {
        match self {
            Loses::Nothing => is_odd,
            Loses::Bulk => is_odd || is_bulk(name),
            Loses::All => true,
        }
    }
}

/// What is gained by removing: blocks and parity.
fn is_bulk(name: &ObjectName) -> bool {
    matches!(name.object, Object::Block(..) | Object::Part(..) | Object::Parity(..))
}

/// Whether an archive has an object of so many bytes, by the size that it has there.
pub fn has(there: Option<u64>, size: u64) -> bool {
    there.is_some_and(|there| [size, SENT].contains(&there))
}

/// What is done with an object of the spool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectFate {
    /// The archives that have it.
    pub having: Vec<usize>,
    /// Those that get it.
    pub lacking: Vec<usize>,
    /// Those whose copy is compared, before the spool loses its own.
    pub unsure: Vec<usize>,
    /// A list that comes later may name it.
    pub awaits_list: bool,
    /// Its digest is wanted for that, even if it is sent nowhere.
    pub wants_sum: bool,
    /// The spool loses it when all archives have it, unless a copy differs.
    pub goes: bool,
}

impl ObjectFate {
    /// By the sizes that the object has in the archives. One that `is_superseded` has no list.
    pub fn of(
        row: &PendingObject,
        there: &[Option<u64>],
        is_superseded: bool,
        loses: Loses,
        is_complete: bool,
    ) -> ObjectFate {
        let (having, lacking): (Vec<usize>, Vec<usize>) =
            (0..there.len()).partition(|at| has(there[*at], row.size));
        let is_listable = row.name.is_grouped()
            || row.name.is_parity()
            || matches!(row.name.object, Object::Key(..));
        let awaits_list = row.listed.is_none() && !is_superseded && is_listable;
        let goes = loses != Loses::Nothing && is_bulk(&row.name) && !awaits_list;
        // What this run has sent was seen.
        let is_unsure = |at: &usize| there[*at] != Some(SENT);
        let unsure = match goes || (loses == Loses::All && is_complete) {
            true => having.iter().copied().filter(is_unsure).collect(),
            false => Vec::new(),
        };
        let wants_sum = awaits_list && loses != Loses::Nothing;
        ObjectFate { having, lacking, unsure, awaits_list, wants_sum, goes }
    }
}

/// Notes that lists name, with their sizes, and that a spool does not have.
pub fn lost_notes(there: &[(ObjectName, u64)], lists: &[List]) -> Vec<(ObjectName, u64)> {
    let there: HashSet<ObjectName> = there.iter().map(|(name, _)| *name).collect();
    let members = lists.iter().flat_map(|list| &list.members);
    let notes = members.filter(|member| matches!(member.name.object, Object::Note(_)));
    let lost = notes.filter(|member| !there.contains(&member.name));
    lost.map(|member| (member.name, member.size)).collect()
}

/// The machine: `handle_lists` and then `handle_folder` for the folders of a band in their order,
/// then `poll` for those of which the spool has nothing. Each gives what lists name in a folder and
/// the spool does not have, with its size: an archive must have it.
#[derive(Debug, Default)]
pub struct SpoolGaps {
    /// What lists name in this folder and in those to come.
    expected: HashMap<ObjectName, u64>,
}

impl SpoolGaps {
    /// The lists of the next folder, which may name objects of later ones.
    pub fn handle_lists(&mut self, lists: &[List]) {
        let members = lists.iter().flat_map(|list| &list.members);
        self.expected.extend(members.map(|member| (member.name, member.size)));
    }

    /// The folder itself, as the spool has it.
    pub fn handle_folder(
        &mut self,
        folder: u32,
        names: &[(ObjectName, u64)],
    ) -> Vec<(ObjectName, u64)> {
        let there: HashSet<ObjectName> = names.iter().map(|(name, _)| *name).collect();
        let is_here = |name: &ObjectName| name.folder() == Some(folder);
        let mut missing: Vec<(ObjectName, u64)> = self
            .expected
            .iter()
            .filter(|(name, _)| is_here(name) && !there.contains(*name))
            .map(|(name, size)| (*name, *size))
            .collect();
        missing.sort_by_key(|(name, _)| name.to_string());
        // What lies in no folder is looked for by itself.
        self.expected.retain(|name, _| name.folder().is_some_and(|of| of != folder));
        missing
    }

    /// The next folder of which the spool has nothing.
    pub fn poll(&mut self) -> Option<(u32, Vec<(ObjectName, u64)>)> {
        let folder = self.expected.keys().filter_map(ObjectName::folder).min()?;
        Some((folder, self.handle_folder(folder, &[])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::band::BandId;
    use crate::format::group::GroupMember;

    const BLOCK: &str = "00000/000000001.tar.gz";
    const INDEX: &str = "00000/000000001.mtree.gz";

    fn name(text: &str) -> ObjectName {
        ObjectName::parse(text).unwrap()
    }

    fn list(members: &[&str]) -> List {
        List {
            band: "20261101T020000Z".parse().unwrap(),
            id: BandId([7; 16]),
            name: (0, 0),
            added: 0,
            slots: 16,
            parity: 0,
            members: members.iter().map(|member| GroupMember::of(name(member), b"four")).collect(),
        }
    }

    #[test]
    fn who_lacks_an_object_and_when_the_spool_loses_it() {
        let fate = |object: &str, is_listed: bool, loses, is_complete| {
            let listed = is_listed.then_some((4, [1; 32]));
            let row = PendingObject { name: name(object), size: 4, listed };
            let there = [Some(4), None, Some(3), Some(SENT)];
            let fate = ObjectFate::of(&row, &there, false, loses, is_complete);
            assert_eq!((&fate.having[..], &fate.lacking[..]), (&[0, 3][..], &[1, 2][..]));
            let is_compared = match &fate.unsure[..] {
                [] => false,
                // What was sent just now is not.
                unsure => unsure == [0],
            };
            (is_compared, fate.goes, fate.awaits_list, fate.wants_sum)
        };
        let no = (false, false, false, false);
        let cases = [
            (fate(BLOCK, true, Loses::Nothing, true), no),
            (fate(BLOCK, true, Loses::Bulk, true), (true, true, false, false)),
            (fate(BLOCK, true, Loses::All, false), (true, true, false, false)),
            // It stays until a list names it.
            (fate(BLOCK, false, Loses::Bulk, false), (false, false, true, true)),
            (fate(BLOCK, false, Loses::Nothing, false), (false, false, true, false)),
            (fate(INDEX, true, Loses::Bulk, true), no),
            (fate(INDEX, true, Loses::All, false), no),
            // The whole band goes in the end.
            (fate(INDEX, true, Loses::All, true), (true, false, false, false)),
            (fate("TAIL", false, Loses::All, true), (true, false, false, false)),
            (fate("TAIL", false, Loses::Bulk, true), no),
        ];
        for (at, (found, wanted)) in cases.into_iter().enumerate() {
            assert_eq!(found, wanted, "{at}");
        }
        let row = PendingObject { name: name(BLOCK), size: 4, listed: None };
        let fate = ObjectFate::of(&row, &[None], true, Loses::Bulk, true);
        assert!(fate.goes && !fate.awaits_list, "{fate:?}");
    }

    #[test]
    fn what_no_list_names() {
        let rows = [
            (Loses::Nothing, BLOCK, false, false),
            (Loses::Nothing, BLOCK, true, true),
            (Loses::Bulk, BLOCK, false, true),
            (Loses::Bulk, INDEX, false, false),
            (Loses::Bulk, INDEX, true, true),
            (Loses::All, INDEX, false, true),
        ];
        for (loses, object, is_odd, tells) in rows {
            assert_eq!(loses.tells_of_unlisted(&name(object), is_odd), tells, "{loses:?} {object}");
        }
    }

    #[test]
    fn what_the_spool_does_not_have() {
        let mut gaps = SpoolGaps::default();
        let later = "00002/000020001.tar.gz";
        let next = "00001/000010001.tar.gz";
        gaps.handle_lists(&[list(&["HEAD", BLOCK, INDEX, next, later])]);
        let names = |missing: Vec<(ObjectName, u64)>| -> Vec<String> {
            missing.iter().map(|(name, size)| format!("{name} {size}")).collect()
        };
        assert_eq!(names(gaps.handle_folder(0, &[(name(BLOCK), 4)])), [format!("{INDEX} 4")]);
        gaps.handle_lists(&[]);
        assert_eq!(names(gaps.handle_folder(1, &[(name(next), 4)])), [""; 0]);
        let (folder, missing) = gaps.poll().unwrap();
        assert_eq!((folder, names(missing)), (2, vec![format!("{later} 4")]));
        assert_eq!(gaps.poll(), None);

        let lost = lost_notes(&[(name("HEAD"), 9)], &[list(&["HEAD", "RECOVER.txt", BLOCK])]);
        assert_eq!(names(lost), ["RECOVER.txt 4"]);
        assert_eq!(lost_notes(&[(name("RECOVER.txt"), 4)], &[list(&["RECOVER.txt"])]), []);
    }
}
