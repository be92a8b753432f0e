//! A band by its names and sizes: what should be there, what is in no list, what no longer counts.
//!
//! Nothing here needs a secret key, so the links between indexes are known only if the caller could read them. Without them three
//! facts help. A run numbers its blocks one by one, and one that continues a band begins at the next multiple of [`STRIDE`]. A list is
//! stored when all before it is: so before what is listed there is no gap, but at such a beginning. And a block without an index
//! does not count.
//!
//! Memory: the names of a folder of 10,000 numbers, and what lists of the folder before name in this one.

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

/// Where an object stands in its band's stream; lists, parity and signatures of a number stand behind its other objects.
pub type Place = (u32, u8, u32, u32, bool);

/// The place of an object.
pub fn place(name: &ObjectName) -> Place {
    let number = name.number().unwrap_or(u32::MAX);
    let (class, first, second) = match name.object {
        Object::Head => (0, 0, 0),
        Object::Note(note) => (1, crate::format::object::NOTES.iter().position(|known| *known == note).unwrap_or(0) as u32, 0),
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

    /// Looks at a folder: its objects (HEAD and the notes are taken to be in the first), and the lists in it that can be relied on.
    /// Gives what is wrong, and the objects that are in no list, in runs with no listed object between.
    pub fn folder(&mut self, folder: u32, objects: &Objects, lists: &[Arc<List>]) -> (Vec<Finding>, Vec<Vec<Free>>) {
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
        let tocs = named.iter().filter(|name| matches!(name.object, Object::Toc(_))).filter_map(ObjectName::number);
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
                found.push(self.missing(Object::Index(number), "TAIL says that it is the last index"));
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
                    found.push(Finding { bad: !self.known.under_way, ..Finding::new(Kind::Missing, band, name, what) });
                }
                continue;
            }
            if let Object::ListSig(n, c) | Object::Parity(n, c, _) = name.object {
                let list = ObjectName::plain(Object::List(n, c));
                let absent = objects.get(&place(&list)).is_none();
                if absent && told.insert((n, c)) {
                    found.push(Finding::new(Kind::Missing, band, list, format!("{name} is there, and belongs to it")));
                }
            }
            if !name.is_grouped() {
                continue;
            }
            let counts = self.counts(name, &numbers) != Some(false);
            if !counts {
                let what = "left by a run that was interrupted; no part of the version";
                found.push(Finding { bad: false, ..Finding::new(Kind::Superseded, band, name, what) });
            }
            if named.contains(name) {
                between = true;
                continue;
            }
            if counts {
                let what = if self.known.under_way { "in no checksum list yet" } else { "in no checksum list" };
                found.push(Finding { bad: !self.known.under_way, ..Finding::new(Kind::Unlisted, band, name, what) });
            }
            let it = Free { name: *name, counts };
            match free.last_mut().filter(|_| !between) {
                Some(run) => run.push(it),
                None => free.push(vec![it]),
            }
            between = false;
        }
        if let Some((_, toc)) = self.known.ends.filter(|(_, toc)| toc / FOLDER == folder) {
            let has = |name: &ObjectName| named.contains(name) || objects.get(&place(name)).is_some_and(|(_, size)| *size > 0);
            if ![true, false].map(|encrypted| has(&ObjectName { object: Object::Toc(toc), encrypted })).contains(&true) {
                found.push(self.missing(Object::Toc(toc), "TAIL says that it is the last table of contents"));
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
            let what = "all else of the band is there: it was lost, or the run was cut off just before it";
            found.push(Finding::new(Kind::Missing, &self.known.band, "TAIL", what));
        }
        if let Some((last, _)) = self.known.ends.filter(|(last, _)| *last >= self.next) {
            self.gap(self.next..=last, &mut found);
        }
        let ahead: BTreeSet<Place> = self.ahead.iter().map(place).collect();
        if let Some((number, ..)) = ahead.first() {
            let what = format!("lists name objects in it, from {number:09} on");
            found.push(Finding::new(Kind::Missing, &self.known.band, format_args!("{:05}/", number / FOLDER), what));
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
            false => format!("nothing with the numbers {first:09} to {last:09} is there, nor their checksum lists"),
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
                    found.push(self.missing(Object::Index(number), "an index that counts stands on it, or TAIL names it"));
                }
            }
        }
    }

    /// Whether the object is part of the version; none if that is not known, or not decided yet.
    fn counts(&self, name: &ObjectName, numbers: &BTreeMap<u32, Number>) -> Option<bool> {
        let number = name.number().filter(|_| name.is_secret())?;
        let undecided =
            self.known.under_way && self.known.counted.as_ref().is_none_or(|it| it.last().is_none_or(|last| number > last));
        if undecided {
            return None;
        }
        if let Some(counted) = &self.known.counted {
            return Some(counted.contains(number) || counted.lost.iter().any(|range| range.contains(&number)));
        }
        let has = numbers.get(&number).copied().unwrap_or_default();
        let is_last = self.known.ends.is_some_and(|(last, _)| last == number);
        (has.block && !has.index && !is_last).then_some(false)
    }
}
