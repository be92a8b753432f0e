//! Walking the bands of an archive, folder by folder: lists go in to the audit, and what they name
//! goes out to be read.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::archive::Archive;
use crate::archive::catalogue::BandFolder;
use crate::core::chain::counted::Counted;
use crate::core::chain::sealing::Sealing;
use crate::core::verify::audit::{Audit, BandOverview, is_late};
use crate::core::verify::blind::Blind;
use crate::core::verify::part::ObjectSample;
use crate::core::verify::presence::{Presence, presence, shows_a_band};
use crate::core::verify::stream_order::{ObjectSizes, place};
use crate::core::verify::{Finding, FindingKind, ObjectState, Subject};
use crate::edge::ordered::{Gone, Submit};
use crate::format::band::{BandId, BandName};
use crate::format::group::List;
use crate::format::head::{Head, HeadError, MAX_LEN, Tail};
use crate::format::listing::Header;
use crate::format::litter::is_litter;
use crate::format::object::{Object, ObjectName};
use crate::ops::verify::check::{CheckEvent, Meter, compare, unreadable};
use crate::ops::verify::signed::WantedSignatures;
use crate::report::message::why;
use crate::store::{Store, UNSEEN};

/// Number and counter of a group.
type GroupName = (u32, u32);

/// What is done with each band.
pub(super) struct BandWalk {
    /// The archive.
    pub archive: Arc<Archive>,
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Where work and findings go.
    pub submit: Submit<Vec<CheckEvent>>,
    /// Whether only names and sizes are compared.
    pub quick: bool,
    /// Whether indexes may be decrypted, to know which of them count.
    pub keys: bool,
    /// Whether lists are to be made anew.
    pub repair: bool,
    /// What is read.
    pub part: ObjectSample,
    /// How much is read.
    pub meter: Arc<Meter>,
    /// Whose signatures are wanted.
    pub signer: Arc<WantedSignatures>,
    /// The bands that were seen.
    pub seen: HashMap<BandName, ParentMark>,
    /// All bands of the archive, by their start.
    pub all: Vec<BandName>,
    /// Whether plain objects are as they should be in any case.
    pub plain: bool,
    /// What is sealed, and what is plain.
    pub sealing: RefCell<Sealing>,
    /// The folders that could not be listed.
    pub blind: RefCell<Blind>,
    /// The source that the bands so far are of, and the first of them.
    pub source: Option<(BandId, BandName)>,
    /// The same as its first index says.
    pub tree: Option<(Header, BandName)>,
}

/// What a band on top of another one must find there.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParentMark {
    id: Option<BandId>,
    /// The last index that TAIL names, or the highest that is there or in a list.
    last: Option<u32>,
    complete: bool,
    encrypted: bool,
}

/// A band while it is walked.
pub(super) struct Walking<'a> {
    pub band: &'a BandName,
    pub id: Option<BandId>,
    /// The id that HEAD says.
    pub by_head: Option<BandId>,
    pub under_way: bool,
    /// True if the band's lists are signed, or should be.
    pub signed: bool,
    /// How many slots and parity shards its groups have, as far as lists say; the last comes last.
    pub shapes: Vec<(usize, usize)>,
    /// The names of the lists that are in order.
    pub lists: HashSet<GroupName>,
    /// Lists that are damaged: their names, those that they say they have, and their text.
    pub bad: Vec<(GroupName, GroupName, Vec<u8>)>,
    /// Whether a list cannot be read now.
    pub unavailable: bool,
    /// Whether a list that is signed names HEAD.
    head_is_signed: bool,
    /// Lists without a signature, of a band that a run may still continue.
    pub unsigned: Vec<ObjectName>,
}

impl BandWalk {
    /// Walks the bands, oldest first.
    pub(super) fn run(mut self, bands: &[BandName]) -> Result<(), Gone> {
        for band in bands {
            self.band(band)?;
        }
        self.submit.ready(vec![CheckEvent::End])
    }

    /// Whether a run may still continue a band that has no TAIL: it is the newest of those with a
    /// mask, or of those without.
    fn may_go_on(&self, band: &BandName, head: &Head) -> bool {
        let later = self.all.iter().skip_while(|other| *other != band).skip(1);
        let kind = |head: &Head| (head.partial, head.as_of.is_some());
        later.into_iter().all(|later| match self.archive.ends(later) {
            Ok((Some(other), _)) => other.band != *later || kind(&other) != kind(head),
            Ok((None, _)) => true,
            Err(_) => false,
        })
    }

    pub(super) fn found(&self, mut found: Vec<Finding>) -> Result<(), Gone> {
        found.retain(|finding| !self.blind.borrow().hides(finding));
        if found.is_empty() {
            Ok(())
        } else {
            self.submit.ready(found.into_iter().map(CheckEvent::Found).collect())
        }
    }

    pub(super) fn note(&self, what: String) -> Result<(), Gone> {
        self.submit.ready(vec![CheckEvent::Note(what)])
    }

    fn band(&mut self, band: &BandName) -> Result<(), Gone> {
        let mut found = Vec::new();
        let mut top = ObjectSizes::new();
        let mut folders = Vec::new();
        match BandFolder::list(self.store.as_ref(), band, None) {
            Ok(listed) => {
                top.extend(listed.all.iter().map(|(name, size)| (place(name), (*name, *size))));
                found.extend(listed.strangers.iter().map(|name| unexpected(band, name)));
                folders = listed.folders;
            }
            Err(error) if error.kind.is_unavailable() => {
                self.blind.borrow_mut().handle_band(band);
                self.submit.ready(vec![CheckEvent::Band])?;
                return self.found(vec![unlisted_folder(Subject::Band(band.clone()), &error)]);
            }
            Err(error) => found.push(unlisted_folder(Subject::Band(band.clone()), &error)),
        }
        folders.sort_unstable();
        let has =
            |object| top.get(&place(&ObjectName::plain(object))).is_some_and(|(_, size)| *size > 0);
        let there = top.values().filter(|(_, size)| *size > 0).map(|(name, _)| name);
        let is = presence(there, || folders.iter().any(|folder| self.shows_a_band(band, *folder)));
        if is == Presence::NoBand
            && found.iter().all(|finding| finding.kind == FindingKind::Unexpected)
        {
            return self.submit.ready(vec![CheckEvent::NoBand(band.clone())]);
        }
        if !has(Object::Head) {
            let what = "every band begins with it";
            found.push(Finding::top(FindingKind::Missing, band, Object::Head, what));
        }
        let head = |bytes: &[u8]| Head::parse(bytes).map(|head| (head.band.clone(), head));
        let tail = |bytes: &[u8]| Tail::parse(bytes).map(|tail| (tail.band.clone(), tail));
        let head = self.own(band, Object::Head, &top, &mut found, head);
        let tail = self.own(band, Object::Tail, &top, &mut found, tail);
        let head = head.or_else(|| tail.as_ref()?.head.clone().filter(|head| head.band == *band));
        let under_way = !has(Object::Tail)
            && !has(Object::TailSig)
            && head.as_ref().is_some_and(|head| self.may_go_on(band, head));
        // HEAD has no checksum of its own: the first list says what it should be.
        let own = tail.as_ref().map(|tail| tail.id);
        let by_head = head.as_ref().map(|head| head.id);
        if is == Presence::LostBoth || has(Object::TailSig) && !has(Object::Tail) {
            let what = match is {
                Presence::LostBoth => {
                    "neither it nor HEAD is there, though lists or indexes are: \
                                       both were lost, or the band is being removed"
                }
                _ => "its signature is there",
            };
            found.push(Finding::top(FindingKind::Missing, band, Object::Tail, what));
        }
        if let Some(head) = &head {
            self.below(head, &mut found);
        }
        self.submit.ready(vec![CheckEvent::Band])?;
        self.found(found)?;
        head.as_ref().map_or(Ok(()), |head| self.source(head))?;
        if !folders.contains(&0) {
            folders.insert(0, 0);
        }
        let mut next = self.load(band, folders[0])?;
        next.extend(
            top.iter().filter(|(_, (name, _))| name.is_grouped()).map(|(at, it)| (*at, *it)),
        );
        let encrypted = next.values().any(|(name, _)| name.encrypted);
        if let Some(head) = head.as_ref().filter(|_| !self.quick && (self.keys || !encrypted)) {
            self.tree(head)?;
        }
        let signed = has(Object::TailSig)
            || next.values().any(|(name, _)| matches!(name.object, Object::ListSig(..)));
        let counted = self.counted(head.as_ref(), tail.as_ref(), &folders);
        let complete = has(Object::Tail);
        let known = BandOverview {
            band: band.clone(),
            ends: tail.as_ref().map(|tail| (tail.last, tail.toc)),
            complete,
            under_way,
            covered: self.signer.demands(),
            lost: counted.as_ref().map_or(Vec::new(), |counted| counted.lost.clone()),
            // Where a link had to be guessed, names tell better what counts.
            counted: counted.filter(|counted| !counted.guessed),
            encrypted,
        };
        let mut audit = Audit::new(known);
        let mut walking = Walking {
            band,
            id: own,
            by_head,
            under_way,
            signed,
            shapes: Vec::new(),
            lists: HashSet::new(),
            bad: Vec::new(),
            unavailable: false,
            head_is_signed: false,
            unsigned: Vec::new(),
        };
        for (at, folder) in folders.iter().enumerate() {
            let objects = next;
            next = match folders.get(at + 1) {
                Some(folder) => self.load(band, *folder)?,
                None => ObjectSizes::new(),
            };
            self.folder(&mut walking, &mut audit, *folder, &objects, &next)?;
            if self.meter.reached() {
                return Ok(());
            }
        }
        let last = tail.as_ref().map(|tail| tail.last).or(audit.last_index());
        let encrypted = self.sealing.borrow().is_sealed(band);
        let seen = ParentMark { id: own.or(by_head).or(walking.id), last, complete, encrypted };
        self.plain()?;
        self.seen.insert(band.clone(), seen);
        let (mut found, unlisted) = audit.finish();
        if signed && complete && !has(Object::TailSig) && !self.signer.demands() {
            let what = "the lists of the band are signed";
            found.push(Finding::top(FindingKind::Missing, band, Object::TailSig, what));
        }
        if under_way && self.signer.demands() {
            let covered = walking.head_is_signed;
            if !covered {
                let what = "no signed list has it: whoever can write here may have put it there";
                found.push(Finding::top(FindingKind::Unlisted, band, Object::Head, what));
            }
            found.extend(walking.unsigned.iter().map(|name| {
                Finding::of(FindingKind::Missing, band, *name, "the list is not signed yet")
                    .bad_if(!covered)
            }));
        }
        self.found(found)?;
        if !complete {
            self.submit.ready(vec![CheckEvent::Unfinished(band.clone())])?;
        }
        // What seems to have no list may have one where nothing can be seen.
        if self.repair && !under_way && !self.blind.borrow().is_in(band) {
            self.loose(walking, unlisted)?;
        }
        match complete {
            true => {
                let (tail, sig) =
                    (ObjectName::plain(Object::Tail), ObjectName::plain(Object::TailSig));
                self.signature(band, tail, sig, has(Object::TailSig), None)
            }
            false => Ok(()),
        }
    }

    fn shows_a_band(&self, band: &BandName, folder: u32) -> bool {
        let listed = BandFolder::list(self.store.as_ref(), band, Some(folder)).unwrap_or_default();
        listed.names().any(|name| shows_a_band(&name))
    }

    /// The names in a folder.
    fn load(&self, band: &BandName, folder: u32) -> Result<ObjectSizes, Gone> {
        let mut objects = ObjectSizes::new();
        let mut found = Vec::new();
        match BandFolder::list(self.store.as_ref(), band, Some(folder)) {
            Ok(listed) => {
                objects.extend(listed.all.iter().map(|(name, size)| (place(name), (*name, *size))));
                found.extend(listed.strangers.iter().map(|name| unexpected(band, name)));
            }
            Err(error) => {
                if error.kind.is_unavailable() {
                    self.blind.borrow_mut().handle_folder(band, folder);
                }
                found.push(unlisted_folder(Subject::Folder(band.clone(), folder), &error));
            }
        }
        self.found(found)?;
        Ok(objects)
    }

    fn small(
        &self,
        band: &BandName,
        object: Object,
        top: &ObjectSizes,
    ) -> Option<Result<Vec<u8>, (FindingKind, String)>> {
        let name = ObjectName::plain(object);
        let (_, size) = top.get(&place(&name)).filter(|(_, size)| *size > 0)?;
        if *size > MAX_LEN as u64 && *size != UNSEEN {
            let what = format!("has {size} bytes, more than any {name} has");
            return Some(Err((FindingKind::Damaged, what)));
        }
        self.meter.spend((*size).min(MAX_LEN as u64)).then_some(())?;
        let bytes = self.store.get_range(&format!("{band}/{name}"), 0, MAX_LEN as u64 + 1);
        Some(bytes.map_err(|error| unreadable(&error)))
    }

    /// HEAD or TAIL, if it is there and can be read, and is of this band.
    fn own<T>(
        &self,
        band: &BandName,
        object: Object,
        top: &ObjectSizes,
        found: &mut Vec<Finding>,
        parse: impl Fn(&[u8]) -> Result<(BandName, T), HeadError>,
    ) -> Option<T> {
        let bytes = self.small(band, object, top)?;
        let parse = |bytes: Vec<u8>| {
            parse(&bytes).map_err(|error| (FindingKind::Damaged, error.to_string()))
        };
        let (kind, what) = match bytes.and_then(parse) {
            Ok((of, it)) if of == *band => return Some(it),
            Ok((of, _)) => {
                (FindingKind::Damaged, format!("it is the {} of {of}", ObjectName::plain(object)))
            }
            Err(what) => what,
        };
        found.push(Finding::top(kind, band, object, what));
        None
    }

    /// Whether the band that this one stands on is there, and the same, and reaches as far as it
    /// did then, with TAIL or without.
    fn below(&self, head: &Head, found: &mut Vec<Finding>) {
        let Some(parent) = &head.parent else { return };
        let finding = |kind, object, what: String| Finding::top(kind, &parent.band, object, what);
        let Some(seen) = self.seen.get(&parent.band) else {
            let what = format!("{} is on top of it", head.band);
            return found.push(finding(FindingKind::Missing, Object::Head, what));
        };
        if let Some(id) = seen.id.filter(|id| *id != parent.id) {
            let what =
                format!("{} is on top of a band with id {}; this has {id}", head.band, parent.id);
            return found.push(finding(FindingKind::Damaged, Object::Head, what));
        }
        if seen.last >= Some(parent.last) {
            return;
        }
        let upto = format!("{} is on top of it up to index {:09}", head.band, parent.last);
        match seen.last.filter(|_| seen.complete) {
            Some(last) => {
                let what = format!("{upto}; it ends with {last:09}");
                found.push(finding(FindingKind::Damaged, Object::Tail, what));
            }
            None => {
                let index =
                    ObjectName { object: Object::Index(parent.last), encrypted: seen.encrypted };
                let what = match seen.last {
                    Some(last) => format!("{upto}; the last that is there is {last:09}"),
                    None => format!("{upto}; none is there"),
                };
                found.push(Finding::of(FindingKind::Missing, &parent.band, index, what));
            }
        }
    }

    /// Which indexes count, as their links say; none if they cannot be read.
    fn counted(
        &self,
        head: Option<&Head>,
        tail: Option<&Tail>,
        folders: &[u32],
    ) -> Option<Counted> {
        if self.quick {
            return None;
        }
        self.archive.links(head?, tail, folders, self.keys, &mut |bytes| self.meter.spend(bytes))
    }

    fn folder(
        &self,
        walking: &mut Walking<'_>,
        audit: &mut Audit,
        folder: u32,
        objects: &ObjectSizes,
        next: &ObjectSizes,
    ) -> Result<(), Gone> {
        let band = walking.band;
        let (mut lists, mut found) = (Vec::new(), Vec::new());
        let mut texts = Vec::new();
        self.see_sealed(band, objects);
        for (name, size) in objects
            .values()
            .filter(|(name, size)| *size > 0 && matches!(name.object, Object::List(..)))
        {
            let Some(text) = self.text(band, name, *size) else {
                return self.note(LIMITED.to_owned());
            };
            let list = text.as_ref().map_err(Clone::clone).and_then(|text| {
                List::parse_own(text, walking.band, walking.id, name)
                    .map_err(|what| (FindingKind::Damaged, what))
            });
            match list {
                Ok(list) => {
                    walking.id.get_or_insert(list.id);
                    // Lists of what an earlier run left are of another shape.
                    if !is_late(&list) {
                        let shape = (list.slots, list.parity);
                        walking.shapes.retain(|known| *known != shape);
                        walking.shapes.push(shape);
                    }
                    walking.lists.insert(list.name);
                    lists.push(Arc::new(list));
                    texts.push((*name, text.unwrap_or_default()));
                }
                Err((kind, what)) => {
                    found.push(Finding::of(kind, band, *name, what));
                    let text = text.unwrap_or_default();
                    // Lists may have come to lie under each other's names.
                    let of = List::parse(&text).map(|list| list.name).ok();
                    if let Object::List(n, c) = name.object {
                        // Of one that cannot be read now nothing is known, so nothing is done.
                        match kind {
                            FindingKind::Unavailable => walking.unavailable = true,
                            _ => walking.bad.push(((n, c), of.unwrap_or((n, c)), text)),
                        }
                    }
                }
            }
        }
        found.extend(audit.folder(folder, objects, &lists));
        self.found(found)?;
        let added = self.added(walking, objects, &mut texts)?;
        for list in lists.iter().chain(&added) {
            self.group(list, objects, next)?;
        }
        let head = ObjectName::plain(Object::Head);
        let of_head = lists.iter().find(|list| list.members.iter().any(|it| it.name == head));
        if let Some(list) = of_head {
            let sig = objects.get(&place(&list.signature()));
            walking.head_is_signed |= sig.is_some_and(|(_, size)| *size > 0);
        }
        self.signatures(walking, objects, texts)
    }

    /// Sees to what a list names.
    fn group(
        &self,
        list: &Arc<List>,
        objects: &ObjectSizes,
        next: &ObjectSizes,
    ) -> Result<(), Gone> {
        for (at, member) in list.members.iter().enumerate() {
            let here = objects
                .get(&place(&member.name))
                .or_else(|| next.get(&place(&member.name)))
                .map(|(_, size)| *size);
            let name = format!("{}/{}", list.band, member.name);
            // Of another folder than this and the next: no list of ours does that.
            let (size, state) =
                match here.map_or_else(|| self.store.stat(&name), |size| Ok(Some(size))) {
                    Err(error) if error.kind.is_unavailable() => {
                        (None, ObjectState::Unavailable(why(&error.source)))
                    }
                    found => {
                        let size = found.ok().flatten();
                        (size, ObjectState::by_size(member.size, size))
                    }
                };
            let look = !self.quick
                && matches!(state, ObjectState::Unread | ObjectState::Sized(_))
                && self.part.has(&name);
            if !look || !self.meter.spend(size.unwrap_or(0).min(member.size)) {
                self.submit.ready(vec![CheckEvent::Member(state)])?;
                continue;
            }
            self.meter.member();
            let (store, list) = (Arc::clone(&self.store), Arc::clone(list));
            self.submit.submit(move || {
                let state =
                    compare(store.as_ref(), &list.band, &list.members[at], size.unwrap_or(0));
                vec![CheckEvent::Member(state)]
            })?;
        }
        self.submit.ready(vec![CheckEvent::Group(Arc::clone(list))])
    }
}

const LIMITED: &str = "the limit is reached: the rest was not checked";

/// A name that no object has, in a folder of the band.
fn unexpected(band: &BandName, name: &str) -> Finding {
    let shown = crate::format::path::Path::from_raw(name.as_bytes()).to_string();
    let shown = shown.strip_prefix("./").unwrap_or(&shown).to_owned();
    let subject = Subject::Stray(band.clone(), shown);
    let name = name.trim_end_matches('/');
    match is_litter(name.rsplit('/').next().unwrap_or(name)) {
        true => {
            Finding::new(FindingKind::Unexpected, subject, "other programs leave it").bad_if(false)
        }
        false => {
            Finding::new(FindingKind::Unexpected, subject, "no program of Dura writes it there")
        }
    }
}

/// A folder that cannot be listed.
fn unlisted_folder(subject: Subject, error: &crate::store::StoreError) -> Finding {
    let (kind, what) = unreadable(error);
    Finding::new(kind, subject, what.replacen("be read", "be listed", 1))
}
