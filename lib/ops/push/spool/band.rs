//! One band of a spool on its way to the archives: what each lacks of it, in the order of a stream,
//! read and checked once for all.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow, bail};

use crate::archive::retrying::Retrying;
use crate::core::spool::Loses;
use crate::core::unlisted::UnlistedObjects;
use crate::format::band::BandId;
use crate::format::counted::CountedBlocks;
use crate::format::head::Head;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::StreamItem;
use crate::ops::push::checks;
use crate::ops::push::lane::{Duty, LaneSummary, Uploader};
use crate::ops::push::run::{Ending, LaneEvent, UploadRun};
use crate::ops::push::shortfall::Shortfall;
use crate::ops::push::spool::feed::{Knows, SpoolFeed, SpoolTarget};
use crate::ops::push::spool::pass::{Pass, Unconfirmed};
use crate::report::message::chain;
use crate::store::{Store, StoreErrorKind};

/// What is known of a band from earlier passes, so that one that grows is not listed again and
/// again.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// By place: what it has of the folders that are not closed; none before the first pass.
    done: HashMap<usize, HashSet<ObjectName>>,
    /// Folders below this one are full, and everywhere.
    closed: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct MoveOutcome {
    /// Objects that were sent.
    pub sent: u64,
    /// The band is complete, and all of it is in every archive that was asked.
    pub whole: bool,
    /// What its TAIL says that it lacks, if that was stored now.
    pub shortfall: Shortfall,
    /// What stays in the spool though it was to be moved, and why.
    pub kept: Vec<String>,
    /// The archives that failed, and why.
    pub failed: Vec<(usize, anyhow::Error)>,
}

impl Pass<'_> {
    /// Sends what each of the `targets` lacks. None if the band has not begun.
    pub(super) fn run(
        &self,
        targets: &[usize],
        sent: &mut Sent,
    ) -> anyhow::Result<Option<MoveOutcome>> {
        let head = match self.local.get(&format!("{}/HEAD", self.band)) {
            Ok(bytes) => {
                StreamItem { band: self.band.clone(), name: ObjectName::plain(Object::Head), bytes }
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let parsed = match Head::parse(&head.bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                let why = format!("{}/HEAD: damaged in the spool: {error}", self.band);
                let failed = targets.iter().map(|at| (*at, anyhow!("{why}")));
                return Ok(Some(MoveOutcome {
                    failed: failed.collect(),
                    ..MoveOutcome::default()
                }));
            }
        };
        let id = parsed.id;
        // Asked before anything is listed: then what is listed is all there is.
        let complete = self.local.stat(&format!("{}/TAIL", self.band))?.is_some();

        let mut outcome = MoveOutcome::default();
        let mut lanes: Vec<(usize, Sender<LaneEvent>, Receiver<LaneEvent>)> = Vec::new();
        let mut feeding = Vec::new();
        let knows = self.ask(targets, |at, reads| match sent.done.contains_key(&at) {
            // The last pass asks once more, and trusts nothing that was remembered.
            true => Ok(if complete { Knows::Ask } else { Knows::Remember }),
            false => {
                Ok(if begun(reads, &self.places[at].shown, &head, id, self.run.beside_others)? {
                    Knows::Ask
                } else {
                    Knows::Nothing
                })
            }
        });
        // What it stands on as the spool's own bands tell, where they are there.
        let below = checks::below(self.local, &parsed)?;
        for (at, knows) in knows {
            match knows {
                Ok(knows) => {
                    let (lane, events) = channel();
                    lanes.push((at, lane.clone(), events));
                    feeding.push(SpoolTarget {
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
        let open = Unconfirmed::default();
        let done: HashMap<usize, Mutex<HashSet<ObjectName>>> = targets
            .iter()
            .map(|at| (*at, Mutex::new(sent.done.remove(at).unwrap_or_default())))
            .collect();
        let results: Vec<(usize, anyhow::Result<LaneSummary>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = lanes
                .into_iter()
                .map(|(at, lane, events)| {
                    let (open, done, below) = (&open, &done[&at], below.clone());
                    let work = move || {
                        let mut confirm = |name: &ObjectName| {
                            self.confirm(name, open);
                            if self.follow {
                                done.lock().unwrap_or_else(PoisonError::into_inner).insert(*name);
                            }
                        };
                        let sees = self.loses != Loses::Nothing;
                        let duty = Duty { id, below, sees };
                        Uploader::run(
                            self.run,
                            &self.places[at],
                            duty,
                            &events,
                            &lane,
                            &mut confirm,
                        )
                    };
                    (at, scope.spawn(work))
                })
                .collect();
            // What is to be removed must be in every archive of the run.
            let loses = match feeding.len() == self.places.len() {
                true => self.loses,
                false => Loses::Nothing,
            };
            let closed = &mut sent.closed;
            let mut feed = SpoolFeed {
                pass: self,
                targets: feeding,
                open: &open,
                done: &done,
                closed,
                id,
                loses,
                sent: 0,
                kept: Vec::new(),
                flaws: Vec::new(),
                unlisted: UnlistedObjects::default(),
            };
            let ending = match feed.run(complete) {
                Ok(()) => Ending::SoFar,
                Err(error) => Ending::Broken(chain(&error)),
            };
            feed.targets
                .iter()
                .for_each(|target| drop(target.lane.send(LaneEvent::End(ending.clone()))));
            outcome.sent = feed.sent;
            outcome.kept = std::mem::take(&mut feed.kept);
            drop(feed);
            let broke_off = |_| Err(anyhow!("the run stopped unexpectedly"));
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
        let UploadRun { limits, report, stop, .. } = self.run;
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
            let broke_off = |_| Err(anyhow!("a reader thread stopped unexpectedly"));
            threads
                .into_iter()
                .map(|(at, thread)| (at, thread.join().unwrap_or_else(broke_off)))
                .collect()
        })
    }
}

/// Whether the archive has begun the band; fails if it is another one of that name, or if what it
/// stands on is not there.
fn begun(
    store: &dyn Store,
    shown: &str,
    head: &StreamItem,
    id: BandId,
    beside_others: bool,
) -> anyhow::Result<bool> {
    let name = format!("{}/HEAD", head.band);
    match store.get(&name) {
        Ok(bytes) => {
            let there = Head::parse(&bytes).with_context(|| name.clone())?.id;
            if there != id {
                bail!(
                    "{name}: has id {there}, but the band in the spool has id {id}: they are different bands"
                );
            }
            Ok(true)
        }
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            checks::settles(store, shown, head, beside_others)?;
            checks::new_band(store, None, head, &CountedBlocks::default()).map(|_| false)
        }
        Err(error) => Err(error.into()),
    }
}
