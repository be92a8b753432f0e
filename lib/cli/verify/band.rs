//! Walking the bands of an archive, folder by folder: lists go in to the audit, and what they name
//! goes out to be read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::archive::Archive;
use super::super::message::why;
use super::check::{Event, Meter, compare};
use super::loose::Loose;
use super::signed::Wanted;
use crate::core::chain::counted::Counted;
use crate::core::verify::audit::{Audit, Free, Known, Objects, place};
use crate::core::verify::loose::{Bad, groups};
use crate::core::verify::part::Part;
use crate::core::verify::relist::Claims;
use crate::core::verify::{Finding, Kind, State};
use crate::edge::ordered::{Gone, Submit};
use crate::format::band::{BandId, BandName};
use crate::format::group::{DEFAULT_SLOTS, List, MAX_LIST};
use crate::format::head::{Head, HeadError, MAX_LEN, Tail};
use crate::format::litter::is_litter;
use crate::format::object::{Object, ObjectName};
use crate::store::{Store, UNSEEN};

/// What is done with each band.
pub(super) struct Walk {
    /// The archive.
    pub archive: Arc<Archive>,
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Where work and findings go.
    pub submit: Submit<Vec<Event>>,
    /// Whether only names and sizes are compared.
    pub quick: bool,
    /// Whether indexes may be decrypted, to know which of them count.
    pub keys: bool,
    /// Whether lists are to be made anew.
    pub repair: bool,
    /// What is read.
    pub part: Part,
    /// How much is read.
    pub meter: Arc<Meter>,
    /// Whose signatures are wanted.
    pub signer: Arc<Wanted>,
    /// The bands that were seen, with their ids and last indexes.
    pub seen: HashMap<BandName, (Option<BandId>, Option<u32>)>,
}

/// A band while it is walked.
struct Walking<'a> {
    band: &'a BandName,
    id: Option<BandId>,
    /// The id that HEAD says.
    by_head: Option<BandId>,
    under_way: bool,
    /// True if the band's lists are signed, or should be.
    signed: bool,
    audit: Audit,
    /// Objects without a list at the end of the last folder: their group may go on in the next one.
    open: Vec<Free>,
    /// How many slots the last list had.
    slots: usize,
}

impl Walk {
    /// Walks the bands, oldest first. The newest of the archive may be on its way, if it is
    /// unfinished.
    pub(super) fn run(mut self, bands: &[BandName], newest: Option<&BandName>) -> Result<(), Gone> {
        for band in bands {
            self.band(band, newest == Some(band))?;
        }
        self.submit.ready(vec![Event::End])
    }

    fn found(&self, found: Vec<Finding>) -> Result<(), Gone> {
        if found.is_empty() {
            Ok(())
        } else {
            self.submit.ready(found.into_iter().map(Event::Found).collect())
        }
    }

    /// What no program of Dura writes: a finding, unless it is known what else does.
    fn stray(&self, band: &BandName, name: &str, found: &mut Vec<Finding>) -> Result<(), Gone> {
        let shown = crate::format::path::Path::from_raw(name.as_bytes()).to_string();
        let shown = shown.strip_prefix("./").unwrap_or(&shown).to_owned();
        let own = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name);
        if is_litter(own) {
            let what = format!("{band}/{shown}: left by another program");
            return self.submit.ready(vec![Event::Litter(what)]);
        }
        let what = "no program of Dura writes it there";
        found.push(Finding::new(Kind::Unexpected, band, shown, what));
        Ok(())
    }

    fn note(&self, what: String) -> Result<(), Gone> {
        self.submit.ready(vec![Event::Note(what)])
    }

    fn band(&mut self, band: &BandName, newest: bool) -> Result<(), Gone> {
        let mut found = Vec::new();
        let mut top = Objects::new();
        let mut folders = Vec::new();
        match self.store.list(&band.to_string()) {
            Ok(names) => {
                for (name, size) in names {
                    match (name.strip_suffix('/'), ObjectName::parse(&name)) {
                        (Some(folder), _) => match folder_number(folder) {
                            Some(number) => folders.push(number),
                            None => self.stray(band, &name, &mut found)?,
                        },
                        (None, Some(object)) => _ = top.insert(place(&object), (object, size)),
                        (None, None) => self.stray(band, &name, &mut found)?,
                    }
                }
            }
            Err(error) => found.push(Finding::new(
                Kind::Damaged,
                band,
                "",
                format!("cannot be listed: {}", why(&error.source)),
            )),
        }
        let has =
            |object| top.get(&place(&ObjectName::plain(object))).is_some_and(|(_, size)| *size > 0);
        if !has(Object::Head) {
            found.push(Finding::new(Kind::Missing, band, "HEAD", "every band begins with it"));
        }
        let head = |bytes: &[u8]| Head::parse(bytes).map(|head| (head.band.clone(), head));
        let tail = |bytes: &[u8]| Tail::parse(bytes).map(|tail| (tail.band.clone(), tail));
        let head = self.own(band, "HEAD", &top, &mut found, head);
        let tail = self.own(band, "TAIL", &top, &mut found, tail);
        let under_way = newest && !has(Object::Tail) && !has(Object::TailSig);
        // HEAD has no checksum of its own: the first list says what it should be.
        let own = tail.as_ref().map(|tail| tail.id);
        let by_head = head.as_ref().map(|head| head.id);
        if has(Object::TailSig) && !has(Object::Tail) {
            found.push(Finding::new(Kind::Missing, band, "TAIL", "its signature is there"));
        }
        if folders.is_empty() && !top.values().any(|(_, size)| *size > 0) {
            self.found(found)?;
            return self.note(format!("{band}: nothing is in it: a run ended before it began"));
        }
        if let Some(head) = &head {
            self.below(head, &mut found);
        }
        self.seen.insert(band.clone(), (own.or(by_head), tail.as_ref().map(|tail| tail.last)));
        self.submit.ready(vec![Event::Band])?;
        self.found(found)?;
        if !folders.contains(&0) {
            folders.insert(0, 0);
        }
        folders.sort_unstable();
        let mut next = self.load(band, folders[0])?;
        next.extend(
            top.iter().filter(|(_, (name, _))| name.is_grouped()).map(|(at, it)| (*at, *it)),
        );
        let encrypted = next.values().any(|(name, _)| name.encrypted);
        let signed = has(Object::TailSig)
            || next.values().any(|(name, _)| matches!(name.object, Object::ListSig(..)));
        let counted = self.counted(head.as_ref(), tail.as_ref(), &folders);
        let ends = tail.as_ref().map(|tail| (tail.last, tail.toc));
        let known = Known { band: band.clone(), ends, under_way, counted, encrypted };
        let (open, slots) = (Vec::new(), DEFAULT_SLOTS);
        let mut walking = Walking {
            band,
            id: own,
            by_head,
            under_way,
            signed,
            audit: Audit::new(known),
            open,
            slots,
        };
        for (at, folder) in folders.iter().enumerate() {
            let objects = next;
            next = match folders.get(at + 1) {
                Some(folder) => self.load(band, *folder)?,
                None => Objects::new(),
            };
            self.folder(&mut walking, *folder, &objects, &next, at + 1 == folders.len())?;
            if self.meter.reached() {
                return Ok(());
            }
        }
        let is_there = has(Object::Tail);
        let mut found = walking.audit.finish(is_there);
        if signed && is_there && !has(Object::TailSig) && !self.signer.demands() {
            found.push(Finding::new(
                Kind::Missing,
                band,
                "TAIL.sig",
                "the lists of the band are signed",
            ));
        }
        self.found(found)?;
        match is_there {
            true => {
                let (tail, sig) =
                    (ObjectName::plain(Object::Tail), ObjectName::plain(Object::TailSig));
                self.signature(band, tail, sig, has(Object::TailSig), None)
            }
            false => Ok(()),
        }
    }

    /// The names in a folder.
    fn load(&self, band: &BandName, folder: u32) -> Result<Objects, Gone> {
        let mut objects = Objects::new();
        let mut found = Vec::new();
        match self.store.list(&format!("{band}/{folder:05}")) {
            Ok(names) => {
                for (name, size) in names {
                    let name = format!("{folder:05}/{name}");
                    match ObjectName::parse(&name) {
                        Some(object) => _ = objects.insert(place(&object), (object, size)),
                        None => self.stray(band, &name, &mut found)?,
                    }
                }
            }
            Err(error) => {
                let what = format!("cannot be listed: {}", why(&error.source));
                found.push(Finding::new(Kind::Damaged, band, format_args!("{folder:05}/"), what));
            }
        }
        self.found(found)?;
        Ok(objects)
    }

    fn small(&self, band: &BandName, name: &str, top: &Objects) -> Option<Result<Vec<u8>, String>> {
        let object = ObjectName::parse(name)?;
        let (_, size) = top.get(&place(&object)).filter(|(_, size)| *size > 0)?;
        if *size > MAX_LEN as u64 && *size != UNSEEN {
            return Some(Err(format!("has {size} bytes, more than any {name} has")));
        }
        self.meter.spend((*size).min(MAX_LEN as u64)).then_some(())?;
        Some(
            self.store
                .get(&format!("{band}/{name}"))
                .map_err(|error| format!("cannot be read: {}", why(&error.source))),
        )
    }

    /// HEAD or TAIL, if it is there and can be read, and is of this band.
    fn own<T>(
        &self,
        band: &BandName,
        name: &str,
        top: &Objects,
        found: &mut Vec<Finding>,
        parse: impl Fn(&[u8]) -> Result<(BandName, T), HeadError>,
    ) -> Option<T> {
        let bytes = self.small(band, name, top)?;
        let what = match bytes.and_then(|bytes| parse(&bytes).map_err(|error| error.to_string())) {
            Ok((of, it)) if of == *band => return Some(it),
            Ok((of, _)) => format!("it is the {name} of {of}"),
            Err(what) => what,
        };
        found.push(Finding::new(Kind::Damaged, band, name, what));
        None
    }

    /// Whether the band that this one stands on is there, and the same.
    fn below(&self, head: &Head, found: &mut Vec<Finding>) {
        let Some(parent) = &head.parent else { return };
        let finding = |kind, what: String| Finding::new(kind, &parent.band, "HEAD", what);
        match self.seen.get(&parent.band) {
            None => found.push(finding(Kind::Missing, format!("{} is on top of it", head.band))),
            Some((Some(id), _)) if *id != parent.id => {
                found.push(finding(
                    Kind::Damaged,
                    format!(
                        "{} is on top of a band with id {}; this has {id}",
                        head.band, parent.id
                    ),
                ));
            }
            Some((_, Some(last))) if *last < parent.last => {
                let what = format!(
                    "{} is on top of it up to index {:09}; it ends with {last:09}",
                    head.band, parent.last
                );
                found.push(Finding::new(Kind::Damaged, &parent.band, "TAIL", what));
            }
            Some(_) => {}
        }
    }

    /// Which indexes count, as their links say; none if they cannot be read, or leave something
    /// open.
    fn counted(
        &self,
        head: Option<&Head>,
        tail: Option<&Tail>,
        folders: &[u32],
    ) -> Option<Counted> {
        if self.quick {
            return None;
        }
        let counted = self
            .archive
            .links(head?, tail, folders, self.keys, &mut |bytes| self.meter.spend(bytes))?;
        (!counted.guessed).then_some(counted)
    }

    fn folder(
        &self,
        walking: &mut Walking<'_>,
        folder: u32,
        objects: &Objects,
        next: &Objects,
        last: bool,
    ) -> Result<(), Gone> {
        let band = walking.band;
        let (mut lists, mut bad, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let mut texts = Vec::new();
        for (name, size) in objects
            .values()
            .filter(|(name, size)| *size > 0 && matches!(name.object, Object::List(..)))
        {
            let Some(text) = self.text(band, name, *size) else {
                return self.note(LIMITED.to_owned());
            };
            match text.as_ref().map_err(Clone::clone).and_then(|text| accept(walking, name, text)) {
                Ok(list) => {
                    walking.id.get_or_insert(list.id);
                    walking.slots = list.slots;
                    lists.push(Arc::new(list));
                    texts.push((*name, text.unwrap_or_default()));
                }
                Err(what) => {
                    found.push(Finding::new(Kind::Damaged, band, name, what));
                    let text = text.unwrap_or_default();
                    // Lists may have come to lie under each other's names.
                    let of = List::parse(&text).map(|list| list.name).ok();
                    if let Object::List(n, c) = name.object {
                        bad.push(((n, c), of.unwrap_or((n, c)), text));
                    }
                }
            }
        }
        let (told, mut runs) = walking.audit.folder(folder, objects, &lists);
        found.extend(told);
        self.found(found)?;
        for list in &lists {
            self.group(list, objects, next)?;
        }
        self.signatures(walking, objects, texts)?;
        if !self.repair {
            return Ok(());
        }
        if !walking.open.is_empty() {
            let open = std::mem::take(&mut walking.open);
            let goes_on = runs.first().and_then(|run| run.first()).is_some_and(|free| {
                let first = objects.values().find(|(name, size)| *size > 0 && name.is_grouped());
                first.is_some_and(|(name, _)| *name == free.name)
            });
            match runs.first_mut().filter(|_| goes_on) {
                Some(run) => _ = run.splice(0..0, open),
                None => runs.insert(0, open),
            }
        }
        let ends = |run: &Vec<Free>| {
            let end = objects.values().rfind(|(name, size)| *size > 0 && name.is_grouped());
            end.zip(run.last()).is_some_and(|((name, _), free)| *name == free.name)
        };
        if let Some(run) = runs.pop_if(|run| !last && ends(run)) {
            walking.open = run;
        }
        let Some(id) = walking.id.or(walking.by_head) else { return Ok(()) };
        let text =
            |name| bad.iter().find(|(_, of, _)| *of == name).map_or(&[][..], |(_, _, text)| text);
        let claims = |name| Claims::read(text(name), band, id, name);
        let bad = bad
            .iter()
            .map(|(name, ..)| Bad { name: *name, claims: claims(*name), parity: 0 })
            .collect();
        self.loose(walking, id, objects, &lists, runs, bad)
    }

    /// Makes groups of what is in no list.
    fn loose(
        &self,
        walking: &Walking<'_>,
        id: BandId,
        objects: &Objects,
        lists: &[Arc<List>],
        runs: Vec<Vec<Free>>,
        mut bad: Vec<Bad>,
    ) -> Result<(), Gone> {
        let taken: HashSet<(u32, u32)> = lists.iter().map(|list| list.name).collect();
        for (name, _) in objects.values().filter(|(_, size)| *size > 0) {
            let (own, shards) = match name.object {
                Object::ListSig(n, c) => ((n, c), 0),
                Object::Parity(n, c, j) => ((n, c), j as usize + 1),
                _ => continue,
            };
            if taken.contains(&own) {
                continue;
            }
            match bad.iter_mut().find(|bad| bad.name == own) {
                Some(bad) => bad.parity = bad.parity.max(shards),
                None => bad.push(Bad { name: own, claims: Claims::default(), parity: shards }),
            }
        }
        for group in groups(runs, bad, &taken, walking.slots, walking.under_way) {
            let (band, signed) = (walking.band.clone(), walking.signed);
            self.submit.ready(vec![Event::Loose(Box::new(Loose { band, id, group, signed }))])?;
        }
        Ok(())
    }

    /// The bytes of a list; none once the limit is reached.
    fn text(
        &self,
        band: &BandName,
        name: &ObjectName,
        size: u64,
    ) -> Option<Result<Vec<u8>, String>> {
        if size > MAX_LIST as u64 {
            return Some(Err(format!("has {size} bytes, more than any list has")));
        }
        self.meter.spend(size).then_some(())?;
        let text = self.store.get(&format!("{band}/{name}"));
        Some(text.map_err(|error| format!("cannot be read: {}", why(&error.source))))
    }

    /// Sees to what a list names.
    fn group(&self, list: &Arc<List>, objects: &Objects, next: &Objects) -> Result<(), Gone> {
        for (at, member) in list.members.iter().enumerate() {
            let here = objects
                .get(&place(&member.name))
                .or_else(|| next.get(&place(&member.name)))
                .map(|(_, size)| *size);
            let name = format!("{}/{}", list.band, member.name);
            // Of another folder than this and the next: no list of ours does that.
            let size = here.or_else(|| self.store.stat(&name).ok().flatten());
            let state = State::by_size(member.size, size);
            let look = !self.quick
                && matches!(state, State::Unread | State::Sized(_))
                && self.part.has(&name);
            if !look || !self.meter.spend(size.unwrap_or(0).min(member.size)) {
                self.submit.ready(vec![Event::Member(state)])?;
                continue;
            }
            let (store, list) = (Arc::clone(&self.store), Arc::clone(list));
            self.submit.submit(move || {
                let state =
                    compare(store.as_ref(), &list.band, &list.members[at], size.unwrap_or(0));
                vec![Event::Member(state)]
            })?;
        }
        self.submit.ready(vec![Event::Group(Arc::clone(list))])
    }

    /// Looks at the signatures of a folder's lists.
    fn signatures(
        &self,
        walking: &Walking<'_>,
        objects: &Objects,
        texts: Vec<(ObjectName, Vec<u8>)>,
    ) -> Result<(), Gone> {
        for (name, text) in texts {
            let Object::List(n, c) = name.object else { continue };
            let sig = ObjectName::plain(Object::ListSig(n, c));
            let has = objects.get(&place(&sig)).is_some_and(|(_, size)| *size > 0);
            if !has && walking.signed && !walking.under_way && !self.signer.demands() {
                let what = "other signatures of the band are there";
                self.found(vec![Finding::new(Kind::Missing, walking.band, sig, what)])?;
            }
            self.signature(walking.band, name, sig, has, Some(text))?;
        }
        Ok(())
    }

    /// Looks at the signature of a list or TAIL.
    fn signature(
        &self,
        band: &BandName,
        of: ObjectName,
        sig: ObjectName,
        has: bool,
        text: Option<Vec<u8>>,
    ) -> Result<(), Gone> {
        if !(self.signer.demands() || has && !self.quick) {
            return Ok(());
        }
        let (store, signer, band) =
            (Arc::clone(&self.store), Arc::clone(&self.signer), band.clone());
        self.submit.submit(move || signer.look(store.as_ref(), &band, of, has.then_some(sig), text))
    }
}

const LIMITED: &str = "the limit is reached: the rest was not looked at";

/// The number of a folder, if it is spelled as one.
fn folder_number(name: &str) -> Option<u32> {
    let number = crate::format::entry::number::<u32>(name.as_bytes())?;
    (format!("{number:05}") == name && number < 100_000).then_some(number)
}

/// A list, if it is one of this band under its own name.
fn accept(walking: &Walking<'_>, name: &ObjectName, text: &[u8]) -> Result<List, String> {
    let list = List::parse(text).map_err(|error| error.to_string())?;
    let own = list.object();
    // A list by an early build has no #end line, and nothing else that its text could be held
    // against.
    let ended = text.rsplit(|&b| b == b'\n').nth(1).is_some_and(|last| last.starts_with(b"#end "));
    if !ended && text != list.to_string().as_bytes() {
        return Err("not written as lists are".to_owned());
    }
    if list.band != *walking.band {
        return Err(format!("it is a list of {}", list.band));
    }
    if walking.id.is_some_and(|id| id != list.id) {
        return Err(format!("it is a list of another band of this name, with id {}", list.id));
    }
    if own != *name {
        return Err(format!("it is the list {own}"));
    }
    Ok(list)
}
