//! One band of a spool on its way to the archives: what each lacks of it, in the order of a stream,
//! read and checked once for all.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};

use super::super::super::message::chain;
use super::super::super::retrying::Retrying;
use super::super::held::{self, Held};
use super::super::lane::{Ending, Event, Lane, Place, Run, Summary};
use super::super::shortfall::Shortfall;
use super::super::signatures;
use super::survey::{self, Have};
use crate::core::intake::Look;
use crate::core::resend::{Resend, Row};
use crate::edge::budget::Budget;
use crate::format::band::{BandId, BandName};
use crate::format::digest;
use crate::format::group::List;
use crate::format::head::Head;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::{Item, MAX_OBJECT};
use crate::store::local::Local;
use crate::store::{Kind, Remove, Store, UNSEEN};

/// What is known of a band from earlier passes, so that one that grows is not listed again and
/// again.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// By place: what it has of the folders that are not closed; none before the first pass.
    done: HashMap<usize, HashSet<ObjectName>>,
    /// Folders below this one are full, and everywhere.
    closed: u32,
}

/// What is gained by removing: blocks and parity.
fn is_bulk(name: &ObjectName) -> bool {
    matches!(name.object, Object::Block(..) | Object::Part(..) | Object::Parity(..))
}

/// One walk through a band.
pub(super) struct Pass<'a> {
    pub run: &'a Run,
    pub places: &'a [Place],
    pub local: &'a Local,
    pub band: &'a BandName,
    /// Remove blocks and parity that all archives have.
    pub remove: bool,
    /// The band is looked at again and again while it grows.
    pub follow: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Objects that were sent.
    pub sent: u64,
    /// The band is complete, and all of it is in every archive that was asked.
    pub whole: bool,
    /// What its TAIL says that it lacks, if that was stored now.
    pub shortfall: Shortfall,
    /// The archives that failed, and why.
    pub failed: Vec<(usize, anyhow::Error)>,
}

/// An archive that takes part, as the one who feeds it sees it.
struct Target {
    at: usize,
    reads: Retrying,
    /// How to find out what it has of the band.
    knows: Knows,
    /// Its TAIL is there.
    whole: bool,
    lane: Sender<Event>,
    /// Nothing is sent to it any more.
    broken: bool,
}

impl Drop for Target {
    fn drop(&mut self) {
        // Whatever ends the feeding, the archive's own loop must not wait for more. Only the first
        // end counts.
        let _ = self.lane.send(Event::End(Ending::Broken("the reader broke off".to_owned())));
    }
}

/// How it is known what an archive has of a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// It has nothing: the band is new there.
    Nothing,
    /// It has to be asked.
    Ask,
    /// It was asked in an earlier pass, and what was sent since then is remembered.
    Remember,
}

/// What waits for being confirmed by archives, and by how many.
type Open = Mutex<HashMap<ObjectName, (usize, bool)>>;

impl Pass<'_> {
    /// Sends what each of the `targets` lacks. None if the band has not begun.
    pub(super) fn run(
        &self,
        targets: &[usize],
        sent: &mut Sent,
    ) -> anyhow::Result<Option<Outcome>> {
        let head = match self.local.get(&format!("{}/HEAD", self.band)) {
            Ok(bytes) => {
                Item { band: self.band.clone(), name: ObjectName::plain(Object::Head), bytes }
            }
            Err(error) if error.kind == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let id = Head::parse(&head.bytes).with_context(|| format!("{}/HEAD", self.band))?.id;
        // Asked before anything is listed: then what is listed is all there is.
        let complete = self.local.stat(&format!("{}/TAIL", self.band))?.is_some();

        let mut outcome = Outcome::default();
        let mut lanes: Vec<(usize, Sender<Event>, Receiver<Event>)> = Vec::new();
        let mut feeding = Vec::new();
        let knows = self.ask(targets, |at, reads| match sent.done.contains_key(&at) {
            // The last pass asks once more, and trusts nothing that was remembered.
            true => Ok(if complete { Knows::Ask } else { Knows::Remember }),
            false => Ok(if survey::begun(reads, &head, id, self.run.beside_others)? {
                Knows::Ask
            } else {
                Knows::Nothing
            }),
        });
        for (at, knows) in knows {
            match knows {
                Ok(knows) => {
                    let (lane, events) = channel();
                    lanes.push((at, lane.clone(), events));
                    feeding.push(Target {
                        at,
                        reads: self.reads(at),
                        knows,
                        whole: false,
                        lane,
                        broken: false,
                    });
                }
                Err(error) => outcome.failed.push((at, error)),
            }
        }
        let open = Open::default();
        let done: HashMap<usize, Mutex<HashSet<ObjectName>>> = targets
            .iter()
            .map(|at| (*at, Mutex::new(sent.done.remove(at).unwrap_or_default())))
            .collect();
        let results: Vec<(usize, anyhow::Result<Summary>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = lanes
                .into_iter()
                .map(|(at, lane, events)| {
                    let (open, done) = (&open, &done[&at]);
                    let work = move || {
                        let mut confirm = |object: &Held| {
                            self.confirm(&object.item.name, open);
                            if self.follow {
                                done.lock()
                                    .unwrap_or_else(PoisonError::into_inner)
                                    .insert(object.item.name);
                            }
                        };
                        Lane::run(self.run, &self.places[at], id, &events, &lane, &mut confirm)
                    };
                    (at, scope.spawn(work))
                })
                .collect();
            // What is to be removed must be in every archive of the run.
            let remove = self.remove && feeding.len() == self.places.len();
            let closed = &mut sent.closed;
            let mut feed = Feed {
                pass: self,
                targets: feeding,
                open: &open,
                done: &done,
                closed,
                id,
                remove,
                sent: 0,
            };
            let ending = match feed.run(complete) {
                Ok(()) => Ending::SoFar,
                Err(error) => Ending::Broken(chain(&error)),
            };
            feed.targets
                .iter()
                .for_each(|target| drop(target.lane.send(Event::End(ending.clone()))));
            outcome.sent = feed.sent;
            drop(feed);
            let broke_off = |_| Err(anyhow!("the run broke off"));
            threads
                .into_iter()
                .map(|(at, thread)| (at, thread.join().unwrap_or_else(broke_off)))
                .collect()
        });
        if self.follow {
            let names =
                |names: Mutex<_>| names.into_inner().unwrap_or_else(PoisonError::into_inner);
            sent.done = done.into_iter().map(|(at, done)| (at, names(done))).collect();
        }
        for (at, result) in results {
            match result {
                Ok(summary) => {
                    let shortfall = Shortfall::of(summary.tail.as_ref());
                    outcome.shortfall = outcome.shortfall.max(shortfall);
                }
                Err(error) => outcome.failed.push((at, error)),
            }
        }
        outcome.whole = complete && outcome.failed.is_empty();
        Ok(Some(outcome))
    }

    fn reads(&self, at: usize) -> Retrying {
        let Run { limits, report, stop, .. } = self.run;
        Retrying::new(
            Arc::clone(&self.places[at].store),
            limits.patience,
            limits.seed,
            report,
            stop,
        )
    }

    /// Asks all targets at once.
    fn ask<T: Send>(
        &self,
        targets: &[usize],
        call: impl Fn(usize, &Retrying) -> anyhow::Result<T> + Sync,
    ) -> Vec<(usize, anyhow::Result<T>)> {
        let call = &call;
        std::thread::scope(|scope| {
            let threads: Vec<_> = targets
                .iter()
                .map(|at| (*at, scope.spawn(move || call(*at, &self.reads(*at)))))
                .collect();
            let broke_off = |_| Err(anyhow!("a reader broke off"));
            threads
                .into_iter()
                .map(|(at, thread)| (at, thread.join().unwrap_or_else(broke_off)))
                .collect()
        })
    }

    /// An archive has an object. The last one to say so sets the room free.
    fn confirm(&self, name: &ObjectName, open: &Open) {
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((count, remove)) = open.get_mut(name) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        let remove = *remove;
        open.remove(name);
        drop(open);
        if remove && let Err(error) = self.local.remove(&format!("{}/{name}", self.band)) {
            self.run
                .report
                .warn(format_args!("cannot remove what is stored: {}", chain(&error.into())));
        }
    }
}

/// Reads the band, and gives each archive what it lacks.
struct Feed<'a> {
    pass: &'a Pass<'a>,
    targets: Vec<Target>,
    open: &'a Open,
    done: &'a HashMap<usize, Mutex<HashSet<ObjectName>>>,
    closed: &'a mut u32,
    id: BandId,
    remove: bool,
    sent: u64,
}

impl Feed<'_> {
    fn run(&mut self, complete: bool) -> anyhow::Result<()> {
        let budget = Arc::new(Budget::new(held::most()));
        let band = self.pass.band.to_string();
        let listed = self.pass.local.list(&band)?;
        let (root, tail): (Vec<_>, Vec<_>) = listed
            .iter()
            .filter_map(|(name, size)| Some((ObjectName::parse(name)?, *size)))
            .filter(|(_, size)| *size > 0)
            .partition(|(name, _)| !matches!(name.object, Object::Tail | Object::TailSig));
        let have = self.have("")?;
        for (target, have) in self.targets.iter_mut().zip(&have) {
            target.whole = have.contains_key(&ObjectName::plain(Object::Tail));
        }
        let mut resend = Resend::new();
        let rows = resend.handle_folder(&root, Vec::new());
        self.send(&rows, &have, &budget)?;

        let mut folders: Vec<String> = listed
            .iter()
            .filter_map(|(name, _)| Some(name.strip_suffix('/')?.to_owned()))
            .collect();
        folders.retain(|folder| {
            folder.len() == 5
                && folder.parse::<u32>().is_ok_and(|number| complete || number >= *self.closed)
        });
        folders.sort_unstable();
        // What lists name of folders to come.
        let mut expected: HashMap<ObjectName, u64> = HashMap::new();
        for folder in folders.iter().take_while(|_| !self.pass.run.stop.is_set()) {
            let names = self.names(folder, complete)?;
            let lists = self.lists(&names)?;
            let have = self.have(folder)?;
            expected.extend(
                lists
                    .iter()
                    .flat_map(|list| &list.members)
                    .map(|member| (member.name, member.size)),
            );
            let here = |name: &ObjectName| name.to_string().starts_with(folder.as_str());
            let there: HashSet<ObjectName> = names.iter().map(|(name, _)| *name).collect();
            let missing = expected.iter().filter(|(name, _)| here(name) && !there.contains(*name));
            self.missing(missing, &have);
            expected.retain(|name, _| !here(name) && name.to_string().contains('/'));
            if names.is_empty() {
                continue;
            }
            let rows = resend.handle_folder(&names, lists);
            self.send(&rows, &have, &budget)?;
        }
        // Folders of which the spool has nothing any more.
        while let Some(folder) = expected.keys().next().map(|name| name.to_string()[..5].to_owned())
        {
            let have = self.have(&folder)?;
            let here = |name: &ObjectName| name.to_string().starts_with(&folder);
            self.missing(expected.iter().filter(|(name, _)| here(name)), &have);
            expected.retain(|name, _| !here(name));
        }
        let none = vec![Have::new(); self.targets.len()];
        self.send(&resend.finish(), &none, &budget)?;
        if complete {
            let rows: Vec<Row> = tail
                .iter()
                .map(|(name, size)| Row { name: *name, size: *size, listed: None })
                .collect();
            let (tail, sig): (Vec<Row>, Vec<Row>) =
                rows.into_iter().partition(|row| row.name.object == Object::Tail);
            self.send(&[tail, sig].concat(), &none, &budget)?;
        } else if let Some(last) = folders.last().and_then(|folder| folder.parse::<u32>().ok()) {
            // Lists of the folder before the last may still come.
            let closed = last.saturating_sub(1).max(*self.closed);
            let open = |name: &ObjectName| {
                name.number().is_none_or(|number| number == 0 || number / 10_000 >= closed)
            };
            self.done.values().for_each(|done| {
                done.lock().unwrap_or_else(PoisonError::into_inner).retain(|name| open(name))
            });
            *self.closed = closed;
        }
        Ok(())
    }

    /// The objects of a folder. While a band is written, what others wait for may come between two
    /// looks: so those that wait most are looked for first, and what they wait for is there by the
    /// next look.
    fn names(&self, folder: &str, complete: bool) -> anyhow::Result<Vec<(ObjectName, u64)>> {
        let look = || survey::folder(self.pass.local, self.pass.band, folder);
        let level = |name: &ObjectName| match name.object {
            Object::List(..) | Object::ListSig(..) => 0,
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
        for (name, _) in names.iter().filter(|(name, _)| matches!(name.object, Object::List(..))) {
            let bytes = self.pass.local.get(&format!("{}/{name}", self.pass.band))?;
            let Ok(mut list) = List::parse(&bytes) else { continue };
            list.members.iter_mut().for_each(|member| member.pieces = Vec::new());
            lists.extend(
                Some(list).filter(|list| (&list.band, list.id) == (self.pass.band, self.id)),
            );
        }
        Ok(lists)
    }

    /// What each target has of a folder.
    fn have(&mut self, folder: &str) -> anyhow::Result<Vec<Have>> {
        let pass = self.pass;
        let ask = |target: &Target| match target.knows {
            Knows::Nothing => Ok(Have::new()),
            Knows::Ask => survey::folder(&target.reads, pass.band, folder),
            Knows::Remember => {
                let done = self.done[&target.at].lock().unwrap_or_else(PoisonError::into_inner);
                // Of the size that it has here: what was stored was whole.
                Ok(done.iter().map(|name| (*name, u64::MAX)).collect())
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                self.targets.iter().map(|target| scope.spawn(|| ask(target))).collect();
            let broke_off = |_| Err(anyhow!("a reader broke off"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(broke_off)).collect()
        })
    }

    /// Objects that the spool does not have any more must be in the archive: else its TAIL would be
    /// a lie.
    fn missing<'n>(
        &mut self,
        missing: impl Iterator<Item = (&'n ObjectName, &'n u64)>,
        have: &[Have],
    ) {
        for (name, _) in missing {
            for (target, have) in self.targets.iter_mut().zip(have) {
                if !target.broken && !target.whole && !have.contains_key(name) {
                    let why = format!(
                        "{}/{name}: neither in the spool nor in the archive",
                        self.pass.band
                    );
                    target.broken = true;
                    let _ = target.lane.send(Event::End(Ending::Broken(why)));
                }
            }
        }
    }

    /// Sends each object to the targets that lack it.
    fn send(&mut self, rows: &[Row], have: &[Have], budget: &Arc<Budget>) -> anyhow::Result<()> {
        for row in rows {
            let has = |have: &Have| {
                have.get(&row.name).is_some_and(|size| [row.size, u64::MAX].contains(size))
            };
            let lacking: Vec<usize> =
                (0..self.targets.len()).filter(|at| !has(&have[*at])).collect();
            let remove = self.remove && is_bulk(&row.name) && row.listed.is_some();
            // One more for this loop, so that it is not gone before it is sent to all.
            let count = lacking.len() + 1;
            self.open
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(row.name, (count, remove));
            if self.pass.follow {
                let has = (0..self.targets.len()).filter(|at| !lacking.contains(at));
                has.for_each(|at| {
                    let done = &self.done[&self.targets[at].at];
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(row.name);
                });
            }
            if !lacking.is_empty() {
                let object = self.read(row, budget)?;
                let mut taken = 0;
                for at in lacking {
                    let target = &self.targets[at];
                    let sent = !target.broken
                        && target.lane.send(Event::Object(Arc::clone(&object))).is_ok();
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

    fn read(&self, row: &Row, budget: &Arc<Budget>) -> anyhow::Result<Arc<Held>> {
        let name = format!("{}/{}", self.pass.band, row.name);
        // What a listing could not look at is for the read to name.
        if row.size > MAX_OBJECT && row.size != UNSEEN {
            return Err(anyhow!("{name}: {} bytes, more than any object has", row.size));
        }
        let room = row.size.min(MAX_OBJECT);
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
        let held = Held::new(Item { band: self.pass.band.clone(), name: row.name, bytes }, budget);
        match row.listed {
            Some(listed) if listed != (held.size(), digest::of(&held.item.bytes)) => {
                Err(anyhow!("{name}: damaged in the spool: its checksum list has it otherwise"))
            }
            _ if self.is_torn(&held)? => {
                Err(anyhow!("{name}: damaged in the spool: no signature of what it stands beside"))
            }
            _ => Ok(held),
        }
    }

    /// Whether this is a signature, and not of the list or TAIL that the spool has.
    fn is_torn(&self, held: &Held) -> anyhow::Result<bool> {
        let of = match held.item.name.object {
            Object::ListSig(number, counter) => Object::List(number, counter),
            Object::TailSig => Object::Tail,
            _ => return Ok(false),
        };
        let text = self.pass.local.get(&format!("{}/{}", self.pass.band, ObjectName::plain(of)))?;
        Ok(signatures::look(&held.item.bytes, &text) == Look::Damaged)
    }
}
