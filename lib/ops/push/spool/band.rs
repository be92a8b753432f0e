//! One band of a spool on its way to the archives: what each lacks of it, in the order of a stream,
//! read and checked once for all.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;

use crate::archive::retrying::Retrying;
use crate::core::unlisted::UnlistedObjects;
use crate::format::band::BandName;
use crate::format::head::Head;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::StreamItem;
use crate::ops::push::checks;
use crate::ops::push::lane::{
    Duty, Ending, LaneEvent, LaneSummary, UploadRun, UploadTarget, Uploader,
};
use crate::ops::push::shortfall::Shortfall;
use crate::ops::push::spool::feed::{Knows, Loses, SpoolFeed, SpoolTarget};
use crate::ops::push::spool::survey;
use crate::report::message::chain;
use crate::store::local::Local;
use crate::store::{Remove, Store, StoreErrorKind};

/// What is known of a band from earlier passes, so that one that grows is not listed again and
/// again.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// By place: what it has of the folders that are not closed; none before the first pass.
    done: HashMap<usize, HashSet<ObjectName>>,
    /// Folders below this one are full, and everywhere.
    closed: u32,
}

/// One walk through a band.
pub(super) struct Pass<'a> {
    pub run: &'a UploadRun,
    pub places: &'a [UploadTarget],
    pub local: &'a Local,
    pub band: &'a BandName,
    /// What is removed of what all archives have.
    pub loses: Loses,
    /// The band is looked at again and again while it grows.
    pub follow: bool,
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

/// What waits for being confirmed by archives, and by how many.
pub(super) type Unconfirmed = Mutex<HashMap<ObjectName, (usize, bool)>>;

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
            false => Ok(
                if survey::begun(reads, &self.places[at].shown, &head, id, self.run.beside_others)?
                {
                    Knows::Ask
                } else {
                    Knows::Nothing
                },
            ),
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

    /// An archive has an object. The last one to say so sets the room free.
    pub(super) fn confirm(&self, name: &ObjectName, open: &Unconfirmed) {
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
