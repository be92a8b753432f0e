//! Reads a band of a spool, and gives each archive what it lacks of it; and decides which of it the
//! spool may lose.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;

use crate::archive::catalogue;
use crate::archive::retrying::Retrying;
use crate::core::intake::SignatureCheck;
use crate::core::resend::{PendingObject, Resend, superseded};
use crate::core::spool::{Loses, ObjectFate, SENT, SpoolGaps, has, lost_notes};
use crate::core::unlisted::UnlistedObjects;
use crate::edge::budget::Budget;
use crate::format::band::BandId;
use crate::format::digest::{self, Digest};
use crate::format::group::List;
use crate::format::object::{FOLDER, Object, ObjectName};
use crate::format::stream::{MAX_OBJECT, StreamItem};
use crate::ops::push::held::{self, Held};
use crate::ops::push::run::{Ending, LaneEvent};
use crate::ops::push::signatures;
use crate::ops::push::spool::pass::{Pass, Unconfirmed};
use crate::ops::push::spool::survey::{self, FolderSizes};
use crate::report::message::chain;
use crate::store::{Store, StoreErrorKind, UNSEEN, most};

/// An archive that takes part, as the one who feeds it sees it.
pub(super) struct SpoolTarget {
    pub at: usize,
    pub reads: Retrying,
    /// How to find out what it has of the band.
    pub knows: Knows,
    /// Its TAIL is there.
    pub whole: bool,
    pub lane: Sender<LaneEvent>,
    /// Nothing is sent to it any more.
    pub broken: bool,
}

impl Drop for SpoolTarget {
    fn drop(&mut self) {
        // Whatever ends the feeding, the archive's own loop must not wait for more. Only the first
        // end counts.
        let _ = self.lane.send(LaneEvent::End(Ending::Broken(
            "the reader thread stopped unexpectedly".to_owned(),
        )));
    }
}

/// How it is known what an archive has of a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knows {
    /// It has nothing: the band is new there.
    Nothing,
    /// It has to be asked.
    Ask,
    /// It was asked in an earlier pass, and what was sent since then is remembered.
    Remember,
}

/// Reads the band, and gives each archive what it lacks.
pub(super) struct SpoolFeed<'a> {
    pub pass: &'a Pass<'a>,
    pub targets: Vec<SpoolTarget>,
    pub open: &'a Unconfirmed,
    pub done: &'a HashMap<usize, Mutex<HashSet<ObjectName>>>,
    pub closed: &'a mut u32,
    pub id: BandId,
    pub loses: Loses,
    pub sent: u64,
    /// What stays in the spool though it was to be moved, and why.
    pub kept: Vec<String>,
    /// Why a target, or each of them, gets no TAIL.
    pub flaws: Vec<(Option<usize>, String)>,
    /// What no list names.
    pub unlisted: UnlistedObjects,
}

/// What is known of a folder of the band.
#[derive(Default)]
struct KnownFolder {
    /// What each target has of it.
    have: Vec<FolderSizes>,
    /// What no index and no list can name any more.
    superseded: HashSet<ObjectName>,
}

impl SpoolFeed<'_> {
    pub(super) fn run(&mut self, complete: bool) -> anyhow::Result<()> {
        let budget = Arc::new(Budget::new(held::most()));
        let listed = catalogue::BandFolder::list(self.pass.local, self.pass.band, None)?;
        let (root, tail): (Vec<_>, Vec<_>) = listed
            .objects()
            .partition(|(name, _)| !matches!(name.object, Object::Tail | Object::TailSig));
        let mut folders = listed.folders;
        folders.retain(|folder| complete || *folder >= *self.closed);
        let have = self.have(None)?;
        for (target, have) in self.targets.iter_mut().zip(&have) {
            target.whole = have.contains_key(&ObjectName::plain(Object::Tail));
        }
        // HEAD and the notes stand in a list of the first folder.
        let first = folders.first().filter(|folder| **folder == 0);
        let lists = first.map(|folder| self.lists(&self.names(*folder, complete)?)).transpose()?;
        let lists = lists.unwrap_or_default();
        self.lost_notes(&root, &lists, &have);
        let mut resend = Resend::new();
        let rows = resend.handle_folder(&root, Vec::new());
        let rows: Vec<PendingObject> = rows.into_iter().map(|row| row.listed_in(&lists)).collect();
        self.send(&rows, &KnownFolder { have, ..KnownFolder::default() }, complete, &budget)?;

        let mut gaps = SpoolGaps::default();
        for folder in folders.iter().copied().take_while(|_| !self.pass.run.stop.is_set()) {
            let names = self.names(folder, complete)?;
            let lists = self.lists(&names)?;
            for name in self.unlisted.handle_lists(&lists) {
                self.flaw(damaged(self.pass, &name));
            }
            let have = self.have(Some(folder))?;
            gaps.handle_lists(&lists);
            self.missing(&gaps.handle_folder(folder, &names), &have);
            if names.is_empty() {
                continue;
            }
            let superseded = if complete { superseded(&names) } else { HashSet::new() };
            let rows = resend.handle_folder(&self.without_bad_lists(&names, &lists), lists);
            self.send(&rows, &KnownFolder { have, superseded }, complete, &budget)?;
        }
        while let Some((folder, missing)) = gaps.poll() {
            let have = self.have(Some(folder))?;
            self.missing(&missing, &have);
        }
        let none = || vec![FolderSizes::new(); self.targets.len()];
        let none = KnownFolder { have: none(), ..KnownFolder::default() };
        self.send(&resend.finish(), &none, complete, &budget)?;
        self.tell_flaws();
        if complete {
            if self.flaws.is_empty() {
                self.tell_unlisted();
            }
            let rows: Vec<PendingObject> = tail
                .iter()
                .map(|(name, size)| PendingObject { name: *name, size: *size, listed: None })
                .collect();
            let (tail, sig): (Vec<PendingObject>, Vec<PendingObject>) =
                rows.into_iter().partition(|row| row.name.object == Object::Tail);
            self.send(&[tail, sig].concat(), &none, complete, &budget)?;
        } else if let Some(last) = folders.last() {
            // Lists of the folder before the last may still come.
            let closed = last.saturating_sub(1).max(*self.closed);
            let open = |name: &ObjectName| {
                name.number().is_none_or(|number| number == 0 || number / FOLDER >= closed)
            };
            self.done.values().for_each(|done| {
                done.lock().unwrap_or_else(PoisonError::into_inner).retain(|name| open(name))
            });
            *self.closed = closed;
        }
        Ok(())
    }

    fn flaw(&mut self, what: String) {
        self.flaws.push((None, what));
    }

    /// A target of which something is wrong gets no TAIL, and says why.
    fn tell_flaws(&mut self) {
        for (at, target) in self.targets.iter_mut().enumerate() {
            let mut own = self.flaws.iter().filter(|(of, _)| of.is_none_or(|of| of == at));
            let Some((_, first)) = own.next().filter(|_| !target.broken) else { continue };
            let why = match own.count() {
                0 => first.clone(),
                more => format!("{first} (and {more} more)"),
            };
            target.broken = true;
            let _ = target.lane.send(LaneEvent::End(Ending::Broken(why)));
        }
    }

    /// What no list of a complete band names: nothing tells whether it is whole.
    fn tell_unlisted(&mut self) {
        let names = self.unlisted.finish();
        let is_odd = self.unlisted.has_lists() && self.sent > 0;
        let tells = |name: &&ObjectName| self.loses.tells_of_unlisted(name, is_odd);
        let stay: Vec<&ObjectName> = names.iter().filter(tells).collect();
        let Some(first) = stay.first() else { return };
        let first = format!("{}/{first}", self.pass.band);
        let more = match stay.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let what =
            format!("{first}{more}: in no checksum list, so nothing shows whether it is whole");
        match self.loses {
            Loses::Nothing => self.pass.run.report.verbose(what),
            _ => self.kept.push(what),
        }
    }

    /// The objects of a folder. While a band is written, what others wait for may come between two
    /// looks: so those that wait most are looked for first, and what they wait for is there by the
    /// next look.
    fn names(&self, folder: u32, complete: bool) -> anyhow::Result<Vec<(ObjectName, u64)>> {
        let look = || survey::folder(self.pass.local, self.pass.band, Some(folder));
        let level = |name: &ObjectName| match name.object {
            Object::List(..) | Object::ListSig(..) => 0,
            Object::KeyList(..) | Object::KeyListSig(..) => 0,
            Object::Toc(_) => 1,
            Object::Index(_) => 2,
            _ => 3,
        };
        let mut names = Vec::new();
        for now in if complete { 3..4 } else { 0..4 } {
            names.extend(look()?.into_iter().filter(|(name, _)| level(name) == now || complete));
        }
        Ok(names)
    }

    /// The lists among them, as far as they can be read and are of this band. Piece digests are of
    /// no use here.
    fn lists(&self, names: &[(ObjectName, u64)]) -> anyhow::Result<Vec<List>> {
        let mut lists = Vec::new();
        let is_list =
            |name: &ObjectName| matches!(name.object, Object::List(..) | Object::KeyList(..));
        for (name, _) in names.iter().filter(|(name, _)| is_list(name)) {
            let bytes = self.pass.local.get(&format!("{}/{name}", self.pass.band))?;
            let Ok(mut list) = List::parse(&bytes) else { continue };
            list.members.iter_mut().for_each(|member| member.pieces = Vec::new());
            let own = (&list.band, list.id, list.object()) == (self.pass.band, self.id, *name);
            lists.extend(own.then_some(list));
        }
        Ok(lists)
    }

    /// The names without lists that say nothing, and their signatures: those stay where they are.
    fn without_bad_lists(
        &mut self,
        names: &[(ObjectName, u64)],
        lists: &[List],
    ) -> Vec<(ObjectName, u64)> {
        let good: HashSet<ObjectName> =
            lists.iter().flat_map(|list| [list.object(), list.signature()]).collect();
        let mut left = names.to_vec();
        left.retain(|(name, _)| match name.object {
            Object::List(..) | Object::KeyList(..) if !good.contains(name) => {
                self.flaw(damaged(self.pass, name));
                false
            }
            Object::ListSig(..) | Object::KeyListSig(..) => good.contains(name),
            _ => true,
        });
        left
    }

    /// Notes that a list names, and that neither the spool nor a target has.
    fn lost_notes(&mut self, root: &[(ObjectName, u64)], lists: &[List], have: &[FolderSizes]) {
        for (name, size) in lost_notes(root, lists) {
            for (at, (target, have)) in self.targets.iter().zip(have).enumerate() {
                if !target.whole && have.get(&name) != Some(&size) {
                    self.flaws.push((Some(at), nowhere(self.pass, &name)));
                }
            }
        }
    }

    /// What each target has of a folder.
    fn have(&mut self, folder: Option<u32>) -> anyhow::Result<Vec<FolderSizes>> {
        let pass = self.pass;
        let ask = |target: &SpoolTarget| match target.knows {
            Knows::Nothing => Ok(FolderSizes::new()),
            Knows::Ask => survey::folder(&target.reads, pass.band, folder),
            Knows::Remember => {
                let done = self.done[&target.at].lock().unwrap_or_else(PoisonError::into_inner);
                // What was stored was whole.
                Ok(done.iter().map(|name| (*name, SENT)).collect())
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                self.targets.iter().map(|target| scope.spawn(|| ask(target))).collect();
            let broke_off = |_| Err(anyhow!("a reader thread stopped unexpectedly"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(broke_off)).collect()
        })
    }

    /// Objects that the spool does not have any more must be in the archive: else its TAIL would be
    /// a lie.
    fn missing(&mut self, missing: &[(ObjectName, u64)], have: &[FolderSizes]) {
        for (name, size) in missing {
            for (target, have) in self.targets.iter_mut().zip(have) {
                if !target.broken && !target.whole && !has(have.get(name).copied(), *size) {
                    target.broken = true;
                    let why = nowhere(self.pass, name);
                    let _ = target.lane.send(LaneEvent::End(Ending::Broken(why)));
                }
            }
        }
    }

    /// Sends each object to the targets that lack it.
    fn send(
        &mut self,
        rows: &[PendingObject],
        folder: &KnownFolder,
        complete: bool,
        budget: &Arc<Budget>,
    ) -> anyhow::Result<()> {
        for row in rows {
            let there: Vec<Option<u64>> =
                folder.have.iter().map(|have| have.get(&row.name).copied()).collect();
            let is_superseded = folder.superseded.contains(&row.name);
            let fate = ObjectFate::of(row, &there, is_superseded, self.loses, complete);
            let ObjectFate { having, lacking, .. } = fate;
            let mut object = None;
            if !lacking.is_empty() {
                match self.read(row, budget) {
                    Ok(read) => object = Some(read),
                    // Nothing builds on a note.
                    Err(error) if matches!(row.name.object, Object::Note(_)) => {
                        self.flaw(chain(&error));
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            if fate.awaits_list {
                let sum = match &object {
                    Some(object) => Some(digest::of(&object.item.bytes)),
                    None if fate.wants_sum => Some(self.sum(row)?),
                    None => None,
                };
                self.unlisted.handle_object(row.name, row.size, sum);
            }
            let mut remove = fate.goes;
            for at in fate.unsure {
                if let Some(why) = self.differs(at, row)? {
                    self.kept.push(why);
                    remove = false;
                }
            }
            // One more for this loop, so that it is not gone before it is sent to all.
            let count = lacking.len() + 1;
            self.open
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(row.name, (count, remove));
            if self.pass.follow {
                having.iter().for_each(|at| {
                    let done = &self.done[&self.targets[*at].at];
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(row.name);
                });
            }
            if let Some(object) = object {
                let mut taken = 0;
                for at in lacking {
                    let target = &self.targets[at];
                    let sent = !target.broken
                        && target.lane.send(LaneEvent::Object(Arc::clone(&object))).is_ok();
                    taken += usize::from(sent);
                }
                if taken == 0 {
                    // Every archive that lacks it has failed, and says why.
                    return Ok(());
                }
                self.sent += 1;
            }
            self.pass.confirm(&row.name, self.open);
        }
        Ok(())
    }

    /// Why what an archive had already of an object is not what the spool may be emptied of: by the
    /// store's own checksum, where it tells one, or else read back.
    fn differs(&self, at: usize, row: &PendingObject) -> anyhow::Result<Option<String>> {
        let (target, name) = (&self.targets[at], format!("{}/{}", self.pass.band, row.name));
        let place = &self.pass.places[target.at];
        let own = self.pass.local.get(&name)?;
        let wanted = row.listed.map_or_else(|| digest::of(&own), |(_, sum)| sum);
        if digest::of(&own) == wanted
            && let Some(ahead) = &place.ahead
            // Where that fails it is read back, with patience.
            && let Ok(Some(is_same)) = ahead.tells(&name, &own)
        {
            return Ok((!is_same).then(|| format!("{}{name}: {OTHER}", place.label)));
        }
        drop(own);
        match target.reads.get(&name) {
            Ok(there) if digest::of(&there) == wanted => Ok(None),
            Ok(_) => Ok(Some(format!("{}{name}: {OTHER}", place.label))),
            Err(error)
                if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Damaged) =>
            {
                Ok(Some(format!("{}{name}: {OTHER}", place.label)))
            }
            Err(error) => {
                let why = chain(&error.into());
                Ok(Some(format!("{}{name}: cannot be read back: {why}", place.label)))
            }
        }
    }

    fn sum(&self, row: &PendingObject) -> anyhow::Result<Digest> {
        let bytes = self.pass.local.get(&format!("{}/{}", self.pass.band, row.name))?;
        Ok(digest::of(&bytes))
    }

    fn read(&self, row: &PendingObject, budget: &Arc<Budget>) -> anyhow::Result<Arc<Held>> {
        let name = format!("{}/{}", self.pass.band, row.name);
        // What a listing could not look at is for the read to name.
        if row.size > MAX_OBJECT && row.size != UNSEEN {
            return Err(anyhow!("{name}: {} bytes, more than an object may have", row.size));
        }
        // One of TAIL's signature waits for no more room than such an object needs: TAIL is held
        // until that has come.
        let room = row.size.min(most(&name));
        held::take(budget, room);
        let bytes = self.pass.local.get(&name);
        let before = room.max(held::LEAST);
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                budget.adjust(before, 0);
                return Err(anyhow::Error::new(error).context("the spool"));
            }
        };
        budget.adjust(before, (bytes.len() as u64).max(held::LEAST));
        let held =
            Held::new(StreamItem { band: self.pass.band.clone(), name: row.name, bytes }, budget);
        match row.listed {
            Some(listed) if listed != (held.size(), digest::of(&held.item.bytes)) => {
                Err(anyhow!("{}", damaged(self.pass, &row.name)))
            }
            _ if self.is_torn(&held)? => {
                Err(anyhow!("{name}: damaged in the spool: not a signature of its list or TAIL"))
            }
            _ => Ok(held),
        }
    }

    /// Whether this is a signature, and not of the list or TAIL that the spool has.
    fn is_torn(&self, held: &Held) -> anyhow::Result<bool> {
        let of = match held.item.name.object {
            Object::ListSig(number, counter) => Object::List(number, counter),
            Object::KeyListSig(number, counter, added) => Object::KeyList(number, counter, added),
            Object::TailSig => Object::Tail,
            _ => return Ok(false),
        };
        let text = self.pass.local.get(&format!("{}/{}", self.pass.band, ObjectName::plain(of)))?;
        Ok(signatures::look(&held.item.bytes, &text) == SignatureCheck::Damaged)
    }
}

/// What is said of a copy in an archive that is not what the spool has.
const OTHER: &str = "what the archive has is damaged, or another object";

/// What is said of an object that is not what its list says, or of such a list.
fn damaged(pass: &Pass<'_>, name: &ObjectName) -> String {
    let why = match name.object {
        Object::List(..) | Object::KeyList(..) => "not a checksum list of this band",
        _ => "it differs from its checksum list",
    };
    format!("{}/{name}: damaged in the spool: {why}", pass.band)
}

/// What is said of an object that is gone from the spool.
fn nowhere(pass: &Pass<'_>, name: &ObjectName) -> String {
    format!("{}/{name}: neither in the spool nor in the archive", pass.band)
}
