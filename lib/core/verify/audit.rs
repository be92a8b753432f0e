//! A band by its names and sizes: what should be there, what is in no list, what no longer counts.
//!
//! Nothing here needs a secret key, so the links between indexes are known only if the caller could
//! read them. Without them three facts help. A run numbers its blocks one by one, and one that
//! continues a band begins at the next multiple of [`STRIDE`]. A list is stored when all before it
//! is: so before what is listed there is no gap, but at such a beginning, and no block lacks its
//! index. And a block without an index does not count.
//!
//! A list that a later run wrote for what an earlier one left is called by the number of its own
//! run, which is higher than that of its first object. It says nothing of what lies between.
//!
//! Memory: the names of a folder of 10,000 numbers, what lists of the folder before name in this
//! one, and the names of all objects that no list names.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::stream_order::{ObjectSizes, StreamPosition, in_order, place, place_of_late_header};
use super::{Finding, FindingKind, Subject};
use crate::core::chain::counted::{Counted, STRIDE};
use crate::format::band::BandName;
use crate::format::group::{List, MAX_SHARDS};
use crate::format::object::{BlockForm, FOLDER, Object, ObjectName};

/// What is known of the band before its folders are looked at.
#[derive(Debug, Clone)]
pub struct BandOverview {
    /// Its name.
    pub band: BandName,
    /// The last index and the last table of contents, if it is complete.
    pub ends: Option<(u32, u32)>,
    /// Whether it has a TAIL, in whatever state.
    pub complete: bool,
    /// True for a band that a run may still continue.
    pub under_way: bool,
    /// True if all that counts must be in a list, also in an unfinished band: signatures are
    /// demanded.
    pub covered: bool,
    /// Which of its indexes count, if that could be read and leaves nothing open.
    pub counted: Option<Counted>,
    /// Indexes that are not there though TAIL or another index names them, in any case.
    pub lost: Vec<RangeInclusive<u32>>,
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
    /// True if a later run began behind it, or the band was left unfinished: its own run was cut,
    /// and may have stored less of its group than it had made.
    pub cut: bool,
}

/// Parity or signatures of a group without its list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphan {
    /// The shards that are there.
    pub shards: Vec<u32>,
    /// Whether the signature of the list is there.
    pub signature: bool,
    /// Whether the list itself is there, though it cannot be relied on.
    pub has_list: bool,
}

/// What there is in no list.
#[derive(Debug, Default)]
pub struct UnlistedFound {
    /// Objects, in runs with no listed object between.
    pub runs: Vec<Vec<Free>>,
    /// Lists that are gone though something of their group is there and may need them, by number
    /// and counter.
    pub orphans: BTreeMap<(u32, u32), Orphan>,
}

/// The machine: [`Audit::folder`] for each folder of the band in order, then [`Audit::finish`].
#[derive(Debug)]
pub struct Audit {
    known: BandOverview,
    /// What lists of earlier folders name in later ones.
    ahead: HashSet<ObjectName>,
    /// Above every number seen.
    next: u32,
    /// The last number that has a block and no index, if it is the last of all.
    open_block: Option<u32>,
    /// Above the last index.
    after_index: u32,
    /// The last table of contents, if a list names it.
    toc: Option<u32>,
    /// What no list has named so far, with how many objects of groups stand before it in the band;
    /// whether it counts, and whether it has any bytes.
    open: BTreeMap<StreamPosition, OpenGroup>,
    /// Objects of groups so far.
    seen: u64,
    /// Where runs began that continue the band.
    begins: Vec<u32>,
    orphans: BTreeMap<(u32, u32), Orphan>,
    /// How many objects a group has at most, as lists say.
    slots: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct OpenGroup {
    name: ObjectName,
    at: u64,
    counts: bool,
    empty: bool,
}

/// What numbers have.
#[derive(Debug, Clone, Default)]
struct Number {
    block: bool,
    index: bool,
    /// Named by a list of its own run.
    listed: bool,
    parts: BTreeSet<u32>,
    form: Option<BlockForm>,
}

impl Audit {
    /// The audit of a band.
    pub fn new(known: BandOverview) -> Audit {
        Audit {
            known,
            ahead: HashSet::new(),
            next: 0,
            open_block: None,
            after_index: 0,
            toc: None,
            open: BTreeMap::new(),
            seen: 0,
            begins: Vec::new(),
            orphans: BTreeMap::new(),
            slots: None,
        }
    }

    /// Looks at a folder: its objects (HEAD and the notes are taken to be in the first), and the
    /// lists in it that can be relied on. Gives what is wrong as far as that is known now.
    pub fn folder(
        &mut self,
        folder: u32,
        objects: &ObjectSizes,
        lists: &[Arc<List>],
    ) -> Vec<Finding> {
        let of = |name: &ObjectName| name.number().map_or(u32::MAX, |number| number / FOLDER);
        let mut named: HashSet<ObjectName> = HashSet::new();
        let mut late: HashSet<ObjectName> = HashSet::new();
        self.ahead.retain(|name| of(name) > folder || !named.insert(*name));
        named.iter().for_each(|name| self.close(name));
        for list in lists {
            self.slots = Some(list.slots);
            let is_late = is_late(list);
            for member in &list.members {
                if of(&member.name) > folder {
                    self.ahead.insert(member.name);
                } else {
                    self.close(&member.name);
                    named.insert(member.name);
                    if is_late {
                        late.insert(member.name);
                    }
                }
            }
        }
        let numbers = numbers(objects, &named, &late);
        let tocs = named
            .iter()
            .filter(|name| matches!(name.object, Object::Toc(_)))
            .filter_map(ObjectName::number);
        self.toc = self.toc.max(tocs.max());
        let mut found = Vec::new();
        let there = objects.values().map(|(name, _)| name).chain(&named);
        let groups = there.filter(|name| !name.is_secret()).filter_map(ObjectName::number);
        let lost_indexes = self.runs(&numbers, &groups.collect(), &mut found);
        self.lost(folder, &named, &mut found);
        for (at, name, size) in in_order(objects) {
            let empty = size == 0;
            match name.object {
                Object::List(n, c) if !empty => {
                    self.orphans.entry((n, c)).or_default().has_list = true;
                }
                Object::ListSig(n, c) if !empty => {
                    self.orphans.entry((n, c)).or_default().signature = true;
                }
                Object::Parity(n, c, shard) if !empty => {
                    self.orphans.entry((n, c)).or_default().shards.push(shard);
                }
                _ => {}
            }
            if !name.is_grouped() {
                continue;
            }
            self.seen += u64::from(!name.is_key());
            let counts = self.counts(&name, &numbers, &lost_indexes) != Some(false);
            if !counts && !empty {
                found.push(self.superseded(name));
            }
            if !named.contains(&name) {
                let open = OpenGroup { name, at: self.seen, counts, empty };
                self.open.insert(at, open);
            }
        }
        lists.iter().for_each(|list| _ = self.orphans.remove(&list.name));
        if let Some((_, toc)) = self.known.ends.filter(|(_, toc)| toc / FOLDER == folder) {
            let has = |name: &ObjectName| {
                named.contains(name) || objects.get(&place(name)).is_some_and(|(_, size)| *size > 0)
            };
            if ![true, false]
                .map(|encrypted| has(&ObjectName { object: Object::Toc(toc), encrypted }))
                .contains(&true)
            {
                let what = "TAIL says that it is the last table of contents";
                found.push(self.missing(Object::Toc(toc), what));
            }
        }
        found
    }

    /// A list names the object.
    fn close(&mut self, name: &ObjectName) {
        self.open.remove(&place(name));
        self.open.remove(&place_of_late_header(name));
    }

    /// All folders were looked at. Gives what else is wrong, and what is in no list. Whether TAIL
    /// is there, in whatever state, is reported by the caller.
    pub fn finish(mut self) -> (Vec<Finding>, UnlistedFound) {
        let mut found = Vec::new();
        // A run writes its last table of contents, then the list that names it, then TAIL.
        let ended = self.toc.is_some_and(|toc| toc + 1 == self.after_index && toc + 1 == self.next);
        if ended && !self.known.complete {
            let what = "everything else of the band is there: it was lost, or the run was cut off just before it";
            found.push(Finding::top(FindingKind::Missing, &self.known.band, Object::Tail, what));
        }
        if let Some((last, _)) = self.known.ends.filter(|(last, _)| *last >= self.next) {
            self.gap(self.next..=last, &mut found);
        }
        let ahead: BTreeSet<StreamPosition> = self.ahead.iter().map(place).collect();
        if let Some((number, ..)) = ahead.first() {
            let what = format!("lists name objects in it, from {number:09} on");
            let folder = Subject::Folder(self.known.band.clone(), number / FOLDER);
            found.push(Finding::new(FindingKind::Missing, folder, what));
        }
        let unlisted = self.unlisted(&mut found);
        (found, unlisted)
    }

    /// The highest index that is there, or that a list names.
    pub fn last_index(&self) -> Option<u32> {
        self.after_index.checked_sub(1)
    }

    /// Goes through the numbers of a folder; gives those whose index is lost.
    fn runs(
        &mut self,
        numbers: &BTreeMap<u32, Number>,
        groups: &BTreeSet<u32>,
        found: &mut Vec<Finding>,
    ) -> BTreeSet<u32> {
        let mut lost = BTreeSet::new();
        let by_names = self.known.counted.is_none();
        for (&number, has) in numbers {
            // HEAD has number 0, so a run after one that stored nothing else begins at the first
            // multiple. Of one that only went on with a block of an earlier run there is no more
            // than its groups.
            let mut first = self.next.max(1).checked_next_multiple_of(STRIDE);
            while let Some(at) = first.filter(|at| *at < number && groups.contains(at)) {
                first = at.checked_add(STRIDE);
            }
            let begins = first == Some(number);
            if number > self.next && begins {
                self.begins.push(number);
            }
            if has.listed && !(begins && number > self.next) && by_names {
                if let Some(open) = self.open_block.take() {
                    lost.insert(open);
                    let what = format!("what is listed from {number:09} on was stored after it");
                    found.push(self.missing(Object::Index(open), what));
                }
                if number > self.next {
                    self.gap(self.next..=number - 1, found);
                }
            }
            self.open_block = (has.block && !has.index).then_some(number);
            self.next = self.next.max(number.saturating_add(1));
            if has.index {
                self.after_index = self.after_index.max(number.saturating_add(1));
                self.parts(number, has, found);
            }
            let last = self.known.ends.is_some_and(|(last, _)| last == number);
            if last && !has.index {
                let what = "TAIL says that it is the last index";
                found.push(self.missing(Object::Index(number), what));
            }
        }
        lost
    }

    /// Parts of a block that has its index: all before one that is there must be.
    fn parts(&self, number: u32, has: &Number, found: &mut Vec<Finding>) {
        let Some((last, form)) = has.parts.last().zip(has.form) else { return };
        for part in (0..*last).filter(|part| !has.parts.contains(part)) {
            let what = "later parts of its block are there";
            found.push(self.missing(Object::Part(number, form, part), what));
        }
    }

    /// Findings about what no list names, and the objects in runs.
    fn unlisted(&mut self, found: &mut Vec<Finding>) -> UnlistedFound {
        let (band, complete) = (self.known.band.clone(), self.known.complete);
        let must = complete || (self.known.covered && !self.known.under_way);
        let mut unlisted = UnlistedFound::default();
        let mut before = None;
        let (keys, others): (Vec<&OpenGroup>, Vec<&OpenGroup>) =
            self.open.values().partition(|open| open.name.is_key());
        for open in others {
            if open.empty {
                // HEAD is reported by the caller, indexes where the numbers are looked at.
                let told = matches!(open.name.object, Object::Head | Object::Index(_));
                let what = "it has 0 bytes, which counts as not there";
                let finding = Finding::of(FindingKind::Missing, &band, open.name, what);
                found.push(finding.bad_if(complete && open.counts && !told));
                continue;
            }
            if open.counts {
                let what = if complete { "in no checksum list" } else { "in no checksum list yet" };
                found.push(Finding::of(FindingKind::Unlisted, &band, open.name, what).bad_if(must));
            }
            let number = open.name.number();
            // So was the last run of a band without TAIL that no run will continue.
            let cut = self.begins.iter().any(|begin| number < Some(*begin))
                || !(complete || self.known.under_way);
            let free = Free { name: open.name, counts: open.counts, cut };
            // No group goes on into the next run.
            let new_run = |(_, last): &(u64, Option<u32>)| {
                self.begins.iter().any(|begin| (*last..number).contains(&Some(*begin - 1)))
            };
            let goes_on = before.filter(|it| !new_run(it)).map(|(at, _)| at) == Some(open.at - 1);
            match unlisted.runs.last_mut().filter(|_| goes_on) {
                Some(run) => run.push(free),
                None => unlisted.runs.push(vec![free]),
            }
            before = Some((open.at, number));
        }
        for open in keys {
            if open.empty {
                let what = "it has 0 bytes, which counts as not there";
                let finding = Finding::of(FindingKind::Missing, &band, open.name, what);
                found.push(finding.bad_if(complete));
                continue;
            }
            let what = if complete { "in no checksum list" } else { "in no checksum list yet" };
            found.push(Finding::of(FindingKind::Unlisted, &band, open.name, what).bad_if(must));
            let number = open.name.number();
            let cut = self.begins.iter().any(|begin| number < Some(*begin));
            put_key(&mut unlisted.runs, Free { name: open.name, counts: true, cut }, self.slots);
        }
        for ((n, c), orphan) in std::mem::take(&mut self.orphans) {
            if orphan.has_list {
                unlisted.orphans.insert((n, c), orphan);
                continue;
            }
            let next_run = self.begins.iter().copied().filter(|begin| *begin > n).min();
            let near = n..n.saturating_add(MAX_SHARDS as u32).min(next_run.unwrap_or(u32::MAX));
            let needed = self.open.values().any(|open| {
                open.counts && open.name.number().is_some_and(|number| near.contains(&number))
            });
            let list = ObjectName::plain(Object::List(n, c));
            if needed {
                let first = orphan
                    .shards
                    .first()
                    .map_or(Object::ListSig(n, c), |shard| Object::Parity(n, c, *shard));
                let what = format!("{} is there, and belongs to it", ObjectName::plain(first));
                found.push(Finding::of(FindingKind::Missing, &band, list, what).bad_if(must));
                unlisted.orphans.insert((n, c), orphan);
                continue;
            }
            let shards = orphan.shards.iter().map(|shard| Object::Parity(n, c, *shard));
            for object in shards.chain(orphan.signature.then_some(Object::ListSig(n, c))) {
                found.push(self.superseded(ObjectName::plain(object)));
            }
        }
        unlisted
    }

    fn superseded(&self, name: ObjectName) -> Finding {
        let what = "left by a run that was interrupted; no part of the version";
        Finding::of(FindingKind::Superseded, &self.known.band, name, what).bad_if(false)
    }

    fn missing(&self, object: Object, what: impl Into<String>) -> Finding {
        let name = ObjectName { object, encrypted: self.known.encrypted };
        Finding::of(FindingKind::Missing, &self.known.band, name, what)
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

    /// Indexes that count and are not there; those that a list names are reported with its group.
    fn lost(&self, folder: u32, named: &HashSet<ObjectName>, found: &mut Vec<Finding>) {
        let (low, high) = (folder * FOLDER, folder * FOLDER + (FOLDER - 1));
        for range in &self.known.lost {
            for number in (*range.start()).max(low)..=(*range.end()).min(high) {
                let index = |encrypted| ObjectName { object: Object::Index(number), encrypted };
                let what = "an index that counts stands on it, or TAIL names it";
                let finding = self.missing(Object::Index(number), what);
                let told = found.iter().any(|known| known.subject == finding.subject);
                if !told && !named.contains(&index(true)) && !named.contains(&index(false)) {
                    found.push(finding);
                }
            }
        }
    }

    /// Whether the object is part of the version; none if that is not known, or not decided yet.
    fn counts(
        &self,
        name: &ObjectName,
        numbers: &BTreeMap<u32, Number>,
        lost_indexes: &BTreeSet<u32>,
    ) -> Option<bool> {
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
        let lost = self.known.lost.iter().any(|range| range.contains(&number));
        if let Some(counted) = &self.known.counted {
            return Some(lost || counted.contains(number));
        }
        let has = numbers.get(&number)?;
        let is_last = self.known.ends.is_some_and(|(last, _)| last == number);
        let lost = lost || is_last || lost_indexes.contains(&number);
        (has.block && !has.index && !lost).then_some(false)
    }
}

/// Puts a key object where its group begins: before the first object of its number that stands
/// behind none yet, but HEAD.
fn put_key(runs: &mut Vec<Vec<Free>>, key: Free, slots: Option<usize>) {
    let Object::Key(number, counter, _) = key.name.object else { return };
    // What a list names is not here: so all that is, unless an earlier group of the number lost its
    // list as well, belongs to this one.
    let has_earlier = runs.iter().flatten().any(|free| match free.name.object {
        Object::Head => (number, counter > 0) == (0, true),
        Object::Key(other, before, _) => other == number && before < counter,
        _ => false,
    });
    let begins_before = |free: &Free| match free.name.object {
        Object::Head => (number, counter) == (0, 1),
        // In the first group it stands behind HEAD.
        Object::Key(0, 0, _) => false,
        Object::Key(other, before, _) => (other, before + 1) == (number, counter),
        _ => false,
    };
    // Behind a whole group that is not listed either.
    for run in runs.iter_mut().filter(|_| has_earlier) {
        let before = run.iter().position(begins_before);
        let at = before.zip(slots).map(|(before, slots)| before + slots);
        if let Some(at) = at.filter(|at| *at <= run.len()) {
            return run.insert(at, key);
        }
    }
    let number = Some(number);
    for run in runs.iter_mut() {
        let begins = |at: &usize| {
            let free = &run[*at];
            let has_key = *at > 0 && run[at - 1].name.is_key();
            // An earlier group of the number has its first objects.
            let is_earlier = match free.name.object {
                Object::Head | Object::Key(..) => true,
                Object::Note(_) | Object::Block(..) | Object::Part(_, _, 0) => has_earlier,
                _ => false,
            };
            let is_other = !is_earlier || free.name.number() > number;
            is_other && !has_key && free.name.number() >= number
        };
        if let Some(at) = (0..run.len()).find(begins) {
            return run.insert(at, key);
        }
    }
    runs.push(vec![key]);
}

/// True for a list that a later run wrote for what an earlier one had left.
pub fn is_late(list: &List) -> bool {
    list.members.first().and_then(|member| member.name.number()).is_some_and(|n| n < list.name.0)
}

/// What the numbers of a folder have.
fn numbers(
    objects: &ObjectSizes,
    named: &HashSet<ObjectName>,
    late: &HashSet<ObjectName>,
) -> BTreeMap<u32, Number> {
    let there = objects.values().filter(|(_, size)| *size > 0).map(|(name, _)| name);
    let mut numbers: BTreeMap<u32, Number> = BTreeMap::new();
    for name in there.chain(named) {
        let Some(number) = name.number().filter(|_| name.is_secret()) else { continue };
        let has = numbers.entry(number).or_default();
        has.block |= matches!(name.object, Object::Block(..) | Object::Part(..));
        has.index |= matches!(name.object, Object::Index(_));
        has.listed |= named.contains(name) && !late.contains(name);
        if let Object::Part(_, form, part) = name.object {
            has.parts.insert(part);
            has.form = Some(form);
        }
    }
    numbers
}

#[cfg(test)]
mod tests;
