//! A band by its names and sizes: what should be there, what is in no list, what no longer counts.
//!
//! Nothing here needs a secret key, so the links between indexes are known only if the caller could
//! read them. Without them three facts help. A run numbers its blocks one by one, and one that
//! continues a band begins at the next multiple of [`STRIDE`]. A list is stored when all before it
//! is: so before what is listed there is no gap, but at such a beginning. And a block without an
//! index does not count.
//!
//! Memory: the names of a folder of 10,000 numbers, and what lists of the folder before name in
//! this one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Finding, Kind};
use crate::core::chain::counted::{Counted, STRIDE};
use crate::format::band::BandName;
use crate::format::group::List;
use crate::format::object::{Object, ObjectName};

/// How many numbers a folder has.
const FOLDER: u32 = 10_000;

/// Where an object stands in its band's stream; lists, parity and signatures of a number stand
/// behind its other objects.
pub type Place = (u32, u8, u32, u32, bool);

/// The place of an object.
pub fn place(name: &ObjectName) -> Place {
    let number = name.number().unwrap_or(u32::MAX);
    let (class, first, second) = match name.object {
        Object::Head => (0, 0, 0),
        Object::Note(note) => (
            1,
            crate::format::object::NOTES.iter().position(|known| *known == note).unwrap_or(0)
                as u32,
            0,
        ),
        Object::Block(..) => (2, 0, 0),
        Object::Part(_, _, part) => (3, part, 0),
        Object::Index(_) => (4, 0, 0),
        Object::Toc(_) => (5, 0, 0),
        Object::List(_, c) => (6, c, 0),
        Object::ListSig(_, c) => (7, c, 0),
        Object::Parity(_, c, j) => (8, c, j),
        Object::Tail => (9, 0, 0),
        Object::TailSig => (10, 0, 0),
    };
    (number, class, first, second, name.encrypted)
}

/// Names of objects with their sizes, in the order of the stream.
pub type Objects = BTreeMap<Place, (ObjectName, u64)>;

/// What is known of the band before its folders are looked at.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub band: BandName,
    /// The last index and the last table of contents, if it is complete.
    pub ends: Option<(u32, u32)>,
    /// True for the newest band, if it is unfinished: it may be on its way.
    pub under_way: bool,
    /// Which of its indexes count, if that could be read.
    pub counted: Option<Counted>,
    /// Whether its objects are encrypted.
    pub encrypted: bool,
}

/// An object that no list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Its name.
    pub name: ObjectName,
    /// False if it is no part of the version.
    pub counts: bool,
}

/// The machine: [`Audit::folder`] for each folder of the band in order, then [`Audit::finish`].
#[derive(Debug)]
pub struct Audit {
    known: Known,
    /// What lists of earlier folders name in later ones.
    ahead: HashSet<ObjectName>,
    /// Above every number seen.
    next: u32,
    /// Above the last index.
    after_index: u32,
    /// The last table of contents, if a list names it.
    toc: Option<u32>,
}

/// What numbers have.
#[derive(Debug, Clone, Copy, Default)]
struct Number {
    block: bool,
    index: bool,
    listed: bool,
}

impl Audit {
    /// The audit of a band.
    pub fn new(known: Known) -> Audit {
        Audit { known, ahead: HashSet::new(), next: 0, after_index: 0, toc: None }
    }

    /// Looks at a folder: its objects (HEAD and the notes are taken to be in the first), and the
    /// lists in it that can be relied on. Gives what is wrong, and the objects that are in no list,
    /// in runs with no listed object between.
    pub fn folder(
        &mut self,
        folder: u32,
        objects: &Objects,
        lists: &[Arc<List>],
    ) -> (Vec<Finding>, Vec<Vec<Free>>) {
        let of = |name: &ObjectName| name.number().map_or(u32::MAX, |number| number / FOLDER);
        let mut named: HashSet<ObjectName> = HashSet::new();
        self.ahead.retain(|name| of(name) > folder || !named.insert(*name));
        for member in lists.iter().flat_map(|list| &list.members) {
            match of(&member.name) > folder {
                true => self.ahead.insert(member.name),
                false => named.insert(member.name),
            };
        }
        let there = objects.values().filter(|(_, size)| *size > 0).map(|(name, _)| name);
        let mut numbers: BTreeMap<u32, Number> = BTreeMap::new();
        for name in there.chain(&named) {
            let Some(number) = name.number().filter(|_| name.is_secret()) else { continue };
            let has = numbers.entry(number).or_default();
            has.block |= matches!(name.object, Object::Block(..) | Object::Part(..));
            has.index |= matches!(name.object, Object::Index(_));
            has.listed |= named.contains(name);
        }
        let tocs = named
            .iter()
            .filter(|name| matches!(name.object, Object::Toc(_)))
            .filter_map(ObjectName::number);
        self.toc = self.toc.max(tocs.max());
        let mut found = Vec::new();
        for (&number, has) in &numbers {
            let begins = self.next.checked_next_multiple_of(STRIDE) == Some(number);
            if number > self.next && has.listed && !begins && self.known.counted.is_none() {
                self.gap(self.next..=number - 1, &mut found);
            }
            self.next = self.next.max(number.saturating_add(1));
            if has.index {
                self.after_index = self.after_index.max(number.saturating_add(1));
            }
            let last = self.known.ends.is_some_and(|(last, _)| last == number);
            if last && !has.index {
                found.push(
                    self.missing(Object::Index(number), "TAIL says that it is the last index"),
                );
            }
        }
        self.lost(folder, &named, &mut found);
        let mut free: Vec<Vec<Free>> = Vec::new();
        let mut between = true;
        let mut told = HashSet::new();
        for (name, size) in objects.values() {
            let band = &self.known.band;
            if *size == 0 {
                if !named.contains(name) {
                    let what = "it has 0 bytes, which counts as not there";
                    found.push(Finding {
                        bad: !self.known.under_way,
                        ..Finding::new(Kind::Missing, band, name, what)
                    });
                }
                continue;
            }
            if let Object::ListSig(n, c) | Object::Parity(n, c, _) = name.object {
                let list = ObjectName::plain(Object::List(n, c));
                let absent = objects.get(&place(&list)).is_none();
                if absent && told.insert((n, c)) {
                    found.push(Finding::new(
                        Kind::Missing,
                        band,
                        list,
                        format!("{name} is there, and belongs to it"),
                    ));
                }
            }
            if !name.is_grouped() {
                continue;
            }
            let counts = self.counts(name, &numbers) != Some(false);
            if !counts {
                let what = "left by a run that was interrupted; no part of the version";
                found.push(Finding {
                    bad: false,
                    ..Finding::new(Kind::Superseded, band, name, what)
                });
            }
            if named.contains(name) {
                between = true;
                continue;
            }
            if counts {
                let what = if self.known.under_way {
                    "in no checksum list yet"
                } else {
                    "in no checksum list"
                };
                found.push(Finding {
                    bad: !self.known.under_way,
                    ..Finding::new(Kind::Unlisted, band, name, what)
                });
            }
            let it = Free { name: *name, counts };
            match free.last_mut().filter(|_| !between) {
                Some(run) => run.push(it),
                None => free.push(vec![it]),
            }
            between = false;
        }
        if let Some((_, toc)) = self.known.ends.filter(|(_, toc)| toc / FOLDER == folder) {
            let has = |name: &ObjectName| {
                named.contains(name) || objects.get(&place(name)).is_some_and(|(_, size)| *size > 0)
            };
            if ![true, false]
                .map(|encrypted| has(&ObjectName { object: Object::Toc(toc), encrypted }))
                .contains(&true)
            {
                found.push(
                    self.missing(
                        Object::Toc(toc),
                        "TAIL says that it is the last table of contents",
                    ),
                );
            }
        }
        (found, free)
    }

    /// All folders were looked at. Whether TAIL is there, in whatever state, is told by the caller.
    pub fn finish(self, tail: bool) -> Vec<Finding> {
        let mut found = Vec::new();
        // A run writes its last table of contents, then the list that names it, then TAIL.
        let ended = self.toc.is_some_and(|toc| toc + 1 == self.after_index && toc + 1 == self.next);
        if ended && !tail {
            let what =
                "all else of the band is there: it was lost, or the run was cut off just before it";
            found.push(Finding::new(Kind::Missing, &self.known.band, "TAIL", what));
        }
        if let Some((last, _)) = self.known.ends.filter(|(last, _)| *last >= self.next) {
            self.gap(self.next..=last, &mut found);
        }
        let ahead: BTreeSet<Place> = self.ahead.iter().map(place).collect();
        if let Some((number, ..)) = ahead.first() {
            let what = format!("lists name objects in it, from {number:09} on");
            found.push(Finding::new(
                Kind::Missing,
                &self.known.band,
                format_args!("{:05}/", number / FOLDER),
                what,
            ));
        }
        found
    }

    fn missing(&self, object: Object, what: impl Into<String>) -> Finding {
        let name = ObjectName { object, encrypted: self.known.encrypted };
        Finding::new(Kind::Missing, &self.known.band, name, what)
    }

    /// Numbers of which nothing is there.
    fn gap(&self, numbers: RangeInclusive<u32>, found: &mut Vec<Finding>) {
        let (first, last) = (*numbers.start(), *numbers.end());
        let what = match first == last {
            true => "nothing with this number is there, nor its checksum list".to_owned(),
            false => format!(
                "nothing with the numbers {first:09} to {last:09} is there, nor their checksum lists"
            ),
        };
        found.push(self.missing(Object::Index(first), what));
    }

    /// Indexes that count and are not there; those that a list names are told with its group.
    fn lost(&self, folder: u32, named: &HashSet<ObjectName>, found: &mut Vec<Finding>) {
        let Some(counted) = &self.known.counted else { return };
        let (low, high) = (folder * FOLDER, folder * FOLDER + (FOLDER - 1));
        for range in &counted.lost {
            for number in (*range.start()).max(low)..=(*range.end()).min(high) {
                let index = |encrypted| ObjectName { object: Object::Index(number), encrypted };
                if !named.contains(&index(true)) && !named.contains(&index(false)) {
                    found.push(self.missing(
                        Object::Index(number),
                        "an index that counts stands on it, or TAIL names it",
                    ));
                }
            }
        }
    }

    /// Whether the object is part of the version; none if that is not known, or not decided yet.
    fn counts(&self, name: &ObjectName, numbers: &BTreeMap<u32, Number>) -> Option<bool> {
        let number = name.number().filter(|_| name.is_secret())?;
        let undecided = self.known.under_way
            && self
                .known
                .counted
                .as_ref()
                .is_none_or(|it| it.last().is_none_or(|last| number > last));
        if undecided {
            return None;
        }
        if let Some(counted) = &self.known.counted {
            return Some(
                counted.contains(number)
                    || counted.lost.iter().any(|range| range.contains(&number)),
            );
        }
        let has = numbers.get(&number).copied().unwrap_or_default();
        let is_last = self.known.ends.is_some_and(|(last, _)| last == number);
        (has.block && !has.index && !is_last).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::group::Member;

    fn name(text: &str) -> ObjectName {
        ObjectName::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    /// `N.tar`, `N.mtree`, `N.toc`, `N-C.rs0` with numbers of any length, or a name as it is; `!`
    /// before it if it has 0 bytes.
    fn objects(names: &str) -> Objects {
        let object = |word: &str| {
            let (size, word) = word.strip_prefix('!').map_or((9, word), |word| (0, word));
            let Some((number, rest)) =
                word.split_once(['.', '-']).filter(|(number, _)| number.parse::<u32>().is_ok())
            else {
                return (name(word), size);
            };
            let end = if rest.starts_with("mtree") || rest.starts_with("toc") { ".gz" } else { "" };
            let between = &word[number.len()..][..1];
            let number: u32 = number.parse().unwrap();
            (name(&format!("{:05}/{number:09}{between}{rest}{end}", number / FOLDER)), size)
        };
        names
            .split_whitespace()
            .map(object)
            .map(|(name, size)| (place(&name), (name, size)))
            .collect()
    }

    fn list(names: &str) -> Arc<List> {
        let members: Vec<Member> =
            objects(names).values().map(|(name, _)| Member::of(*name, b"x")).collect();
        let (band, id) = (
            "20261101T020000Z".parse().unwrap(),
            "00112233445566778899aabbccddeeff".parse().unwrap(),
        );
        Arc::new(List {
            band,
            id,
            name: (members[0].name.number().unwrap(), 0),
            slots: 32,
            parity: 0,
            members,
        })
    }

    struct Case {
        known: Known,
    }

    impl Case {
        fn new() -> Case {
            let band = "20261101T020000Z".parse().unwrap();
            Case {
                known: Known {
                    band,
                    ends: None,
                    under_way: false,
                    counted: None,
                    encrypted: false,
                },
            }
        }

        fn complete(mut self, last: u32, toc: u32) -> Case {
            self.known.ends = Some((last, toc));
            self
        }

        /// What is told of one folder, or of folders 0 and 1: `kind object`, with `(…)` if it is no
        /// fault.
        fn told(&self, folders: &[(&str, &[&str])]) -> Vec<String> {
            let mut audit = Audit::new(self.known.clone());
            let mut found = Vec::new();
            for (folder, (names, lists)) in folders.iter().enumerate() {
                let lists: Vec<Arc<List>> = lists.iter().map(|names| list(names)).collect();
                found.extend(audit.folder(folder as u32, &objects(names), &lists).0);
            }
            found.extend(audit.finish(self.known.ends.is_some()));
            let line = |finding: &Finding| {
                let name = finding.name.split_once('/').unwrap().1;
                let line =
                    format!("{} {}", finding.kind.word(), name.trim_start_matches("00000/00000"));
                if finding.bad { line } else { format!("({line})") }
            };
            found.iter().map(line).collect()
        }
    }

    const WHOLE: &str = "HEAD 0.tar 0.mtree 1.tar 1.mtree 1.toc";

    #[test]
    fn a_whole_band_has_nothing_to_tell() {
        let whole = Case::new().complete(1, 1);
        assert_eq!(whole.told(&[(WHOLE, &[WHOLE])]), [""; 0]);
        let far = "9999.tar 9999.mtree";
        let near = "10000.tar 10000.mtree 10000.toc";
        let whole = Case::new().complete(10_000, 10_000);
        let start = "HEAD 0.tar 0.mtree";
        let lists = [start, &format!("{far} {near}")];
        let gap = "missing 0001.mtree.gz";
        assert_eq!(whole.told(&[(&format!("{start} {far}"), &lists), (near, &[])]), [gap]);
        assert_eq!(whole.told(&[(&format!("{start} {far}"), &lists[..1]), (near, &[])]).len(), 5);
    }

    #[test]
    fn what_no_list_names() {
        let whole = Case::new().complete(1, 1);
        assert_eq!(
            whole.told(&[(WHOLE, &["HEAD 0.tar 0.mtree", "1.mtree 1.toc"])]),
            ["unlisted 0001.tar"]
        );
        let mut under_way = Case::new();
        under_way.known.under_way = true;
        assert_eq!(
            under_way.told(&[("HEAD 0.tar 0.mtree 1.tar", &["HEAD 0.tar 0.mtree"])]),
            ["(unlisted 0001.tar)"]
        );
        // A list that is gone leaves its parity, or its signature.
        let names = format!("{WHOLE} 0-0.rs0 0-0.rs1");
        assert_eq!(whole.told(&[(&names, &[WHOLE])]), ["missing 0000-0.sha256"]);
    }

    #[test]
    fn what_should_be_there() {
        let whole = Case::new().complete(1, 1);
        assert_eq!(
            whole.told(&[("HEAD 0.tar 0.mtree", &["HEAD 0.tar 0.mtree"])]),
            ["missing 0001.toc.gz", "missing 0001.mtree.gz"]
        );
        assert_eq!(
            whole.told(&[("HEAD !0.tar 0.mtree 1.mtree 1.toc", &[WHOLE])]),
            [""; 0],
            "told with the group"
        );
        let started = Case::new();
        assert_eq!(started.told(&[(WHOLE, &[WHOLE])]), ["missing TAIL"]);
        assert_eq!(started.told(&[("HEAD 0.tar 0.mtree", &["HEAD 0.tar 0.mtree"])]), [""; 0]);
        assert_eq!(
            started.told(&[("HEAD 0.tar 0.mtree !1.tar", &["HEAD 0.tar 0.mtree"])]),
            ["missing 0001.tar"]
        );
    }

    #[test]
    fn gaps_before_what_is_listed() {
        let band =
            |names: &str, lists: &[&str]| Case::new().complete(32, 32).told(&[(names, lists)]);
        let start = "HEAD 0.tar 0.mtree";
        let end = "32.tar 32.mtree 32.toc";
        // A run that continues the band begins at a multiple of 32; what was on its way before it
        // does not count.
        assert_eq!(band(&format!("{start} {end}"), &[start, end]), [""; 0]);
        assert_eq!(band(&format!("{start} 2.tar {end}"), &[start, end]), ["(superseded 0002.tar)"]);
        // But a list is stored only when all before it is.
        let three = "3.tar 3.mtree";
        assert_eq!(
            band(&format!("{start} {three} {end}"), &[start, three, end]),
            ["missing 0001.mtree.gz"]
        );
    }

    #[test]
    fn links_tell_exactly() {
        let mut case = Case::new().complete(2, 2);
        let names = "HEAD 0.tar 0.mtree 1.tar 1.mtree 2.tar 2.mtree 2.toc";
        case.known.counted = Some(Counted {
            counted: vec![0..=0, 2..=2],
            superseded: vec![1..=1],
            ..Counted::default()
        });
        assert_eq!(
            case.told(&[(names, &[names])]),
            ["(superseded 0001.tar)", "(superseded 0001.mtree.gz)"]
        );
        case.known.counted =
            Some(Counted { counted: vec![0..=0, 2..=2], lost: vec![1..=1], ..Counted::default() });
        assert_eq!(
            case.told(&[(&names.replace(" 1.mtree", ""), &[names])]),
            [""; 0],
            "told with the group"
        );
        assert_eq!(
            case.told(&[(&names.replace(" 1.mtree", ""), &[&names.replace(" 1.mtree", "")])]),
            ["missing 0001.mtree.gz"]
        );
    }
}
