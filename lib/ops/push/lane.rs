//! One archive's share of a run: the loop around its schedule, with its own writers, retries and
//! outcome.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use crate::archive::retrying::Retrying;
use crate::archive::side_by_side;
use crate::core::confirm::Ledger;
use crate::core::schedule::{Limits, NextAction, Schedule};
use crate::format::band::{BandId, BandName};
use crate::format::head::Tail;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::{SealedAs, StreamError};
use crate::ops::push::checks::Ancestry;
use crate::ops::push::confirm::confirm_same;
use crate::ops::push::held::Held;
use crate::ops::push::run::{Ending, GLANCE, LaneEvent, UploadRun, UploadTarget};
use crate::ops::push::used;
use crate::ops::push::write::{UploadTask, write_tasks};
use crate::report::message::Hinted;
use crate::report::units::human;

mod done;
mod seen;

/// How long a run that ends early waits for what is under way.
const GRACE: Duration = Duration::from_secs(5);

/// What a lane has done.
#[derive(Debug, Default)]
pub(super) struct LaneSummary {
    /// Objects and bytes written.
    pub stored: (u64, u64),
    /// Objects that were there.
    pub already: u64,
    /// The band's TAIL, once it is stored.
    pub tail: Option<Tail>,
    /// What its objects show of how they were sealed.
    pub sealed: SealedAs,
}

/// What a lane is to store, and how sure it is to be.
pub(super) struct Duty {
    /// The band's id.
    pub id: BandId,
    /// What the band stands on.
    pub below: Ancestry,
    /// Whether an object counts as stored only when it was seen in the archive: whoever is told of
    /// it removes it elsewhere.
    pub sees: bool,
}

/// So many stored objects at most wait to be seen, by one look at their folders.
const UNSEEN: usize = 512;

pub(super) struct Uploader<'a> {
    run: &'a UploadRun,
    place: &'a UploadTarget,
    duty: Duty,
    schedule: Schedule,
    /// Objects that are not stored yet, by ticket, with their failures.
    waiting: HashMap<u64, (Arc<Held>, u32)>,
    tasks: Sender<UploadTask>,
    /// TAIL and its signature, kept until the stream has ended.
    last: Vec<Arc<Held>>,
    summary: LaneSummary,
    /// What is to be found again before TAIL.
    ledger: Ledger,
    band: Option<BandName>,
    reads: Retrying,
    /// Whether the wait that lasts was told.
    waits: bool,
    /// TAIL and its signature, as they were written.
    ends: Vec<Arc<Held>>,
    /// Stored, and not looked for yet.
    unseen: Vec<ObjectName>,
    /// Called with each object that the archive has for sure.
    confirm: &'a mut dyn FnMut(&ObjectName),
}

impl Uploader<'_> {
    /// Stores what comes, until the end of it or the first failure.
    pub(super) fn run(
        run: &UploadRun,
        place: &UploadTarget,
        duty: Duty,
        events: &Receiver<LaneEvent>,
        done: &Sender<LaneEvent>,
        confirm: &mut dyn FnMut(&ObjectName),
    ) -> anyhow::Result<LaneSummary> {
        used::note_band(run, place, duty.id);
        let (tasks, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..place.jobs {
            let (store, queue, done, dry_run) =
                (Arc::clone(&place.store), Arc::clone(&queue), done.clone(), run.dry_run);
            // Where the store looks ahead, it reads HEAD back by itself.
            let reads_back = place.ahead.is_none();
            std::thread::spawn(move || {
                write_tasks(store.as_ref(), &queue, &done, dry_run, reads_back);
            });
        }
        let rate = || place.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let schedule = Schedule::new(Limits { jobs: place.jobs, rate: *rate(), ..run.limits });
        let summary = LaneSummary::default();
        let (patience, seed) = (run.limits.patience, run.limits.seed);
        let reads = Retrying::new(Arc::clone(&place.store), patience, seed, &run.report, &run.stop);
        let mut lane = Uploader {
            run,
            place,
            duty,
            schedule,
            waiting: HashMap::new(),
            tasks,
            last: Vec::new(),
            summary,
            ledger: Ledger::default(),
            band: None,
            reads,
            waits: false,
            ends: Vec::new(),
            unseen: Vec::new(),
            confirm,
        };
        let outcome = lane.events(events);
        lane.wind_up(events);
        *rate() = lane.schedule.rate();
        let ended = outcome?;
        lane.tell();
        let LaneSummary { tail, .. } = &lane.summary;
        match ended {
            Ending::Broken(why) => Err(anyhow!("{why}")),
            Ending::Cut(at) => Err(StreamError::Cut(at).into()),
            Ending::Whole if tail.is_none() => Err(anyhow!("the object stream has no TAIL")),
            Ending::Whole | Ending::SoFar => Ok(lane.summary),
        }
    }

    fn events(&mut self, events: &Receiver<LaneEvent>) -> anyhow::Result<Ending> {
        let mut ended = None;
        loop {
            let wake = self.start()?;
            if let Some(ending) = ended.take_if(|_| self.schedule.pending() == 0) {
                if self.last.is_empty() || matches!(ending, Ending::Broken(_) | Ending::Cut(_)) {
                    // TAIL too is looked for, and what a spool is to be emptied of.
                    let (run, reads, sees) = (self.run, &self.reads, self.duty.sees);
                    side_by_side(&self.ends, |end| confirm_same(run, reads, end, sees))?;
                    if self.duty.sees {
                        let checks = self.ledger.finish();
                        self.look_for(&checks)?;
                        self.tell_seen();
                    }
                    return Ok(ending);
                }
                self.confirm_all()?;
                let last = std::mem::take(&mut self.last);
                last.into_iter().for_each(|object| self.schedule(object));
                ended = Some(ending);
                continue;
            }
            self.confirm_done()?;
            if self.run.stop.is_set() {
                let hint = "what is stored is intact: run the same command again to continue";
                return Err(Hinted::wrap(anyhow!("interrupted"), hint));
            }
            let event = match events.recv_timeout(wake.min(GLANCE)) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the writer threads stopped unexpectedly")
                }
            };
            match event {
                LaneEvent::Object(object) => self.handle_object(object)?,
                LaneEvent::End(ending) if ended.is_none() => {
                    if matches!(ending, Ending::Whole) && self.last.is_empty() {
                        bail!("the object stream has no TAIL: a previous program failed");
                    }
                    ended = Some(ending);
                }
                LaneEvent::End(_) => {}
                LaneEvent::Looked(ticket) => self.schedule.handle_ahead(ticket),
                LaneEvent::Done(ticket, outcome) => self.handle_done(ticket, outcome)?,
            }
        }
    }

    /// Waits for the writes that are under way, for a while: what they store is whole, and counts.
    fn wind_up(&mut self, events: &Receiver<LaneEvent>) {
        self.schedule.handle_stop();
        let until = Instant::now() + GRACE;
        while self.schedule.running() > 0 {
            match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // The first failure is the one that is told.
                Ok(LaneEvent::Done(ticket, outcome)) => _ = self.handle_done(ticket, outcome),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn handle_object(&mut self, object: Arc<Held>) -> anyhow::Result<()> {
        let item = &object.item;
        self.summary.sealed.handle(&item.name);
        if !matches!(item.name.object, Object::Tail | Object::TailSig) {
            self.schedule(object);
            return Ok(());
        }
        if item.name.object == Object::Tail {
            let tail = Tail::parse(&item.bytes).with_context(|| object.name())?;
            if (&tail.band, tail.id) != (&item.band, self.duty.id) {
                bail!("{} is of another band than HEAD", object.name());
            }
        }
        self.last.push(object);
        Ok(())
    }
    fn schedule(&mut self, object: Arc<Held>) {
        self.band.get_or_insert_with(|| object.item.band.clone());
        self.ledger.handle_begun(&object.item.name);
        let ticket = self.schedule.handle_object(object.item.name, object.size());
        self.waiting.insert(ticket, (object, 0));
    }

    /// Starts what may start, and gives the time until more may.
    fn start(&mut self) -> anyhow::Result<Duration> {
        loop {
            let now = self.run.began.elapsed();
            match self.schedule.poll(now) {
                NextAction::Start(ticket) => {
                    let (object, failures) = self
                        .waiting
                        .get(&ticket)
                        .context("the schedule knows an object that is not there")?;
                    let task = UploadTask::Write {
                        ticket,
                        object: Arc::clone(object),
                        again: *failures > 0,
                    };
                    self.tasks
                        .send(task)
                        .map_err(|_| anyhow!("the writer threads stopped unexpectedly"))?;
                }
                NextAction::At(then) => return Ok(then.saturating_sub(now)),
                NextAction::Idle => {
                    self.look_ahead()?;
                    return Ok(Duration::MAX);
                }
            }
        }
    }

    /// Has looked for what is to be written next, if the store may have to.
    fn look_ahead(&mut self) -> anyhow::Result<()> {
        let Some(ahead) = self.place.ahead.as_ref().filter(|_| !self.run.dry_run) else {
            return Ok(());
        };
        while let Some(ticket) = self.schedule.poll_ahead() {
            let (object, _) = self
                .waiting
                .get(&ticket)
                .context("the schedule knows an object that is not there")?;
            let look = UploadTask::Look { ticket, ahead: Arc::clone(ahead), name: object.name() };
            self.tasks
                .send(look)
                .map_err(|_| anyhow!("the writer threads stopped unexpectedly"))?;
        }
        Ok(())
    }
    fn tell(&self) {
        let LaneSummary { stored: (objects, bytes), already, .. } = self.summary;
        let same =
            if already == 0 { String::new() } else { format!(", {already} already existed") };
        self.say(format_args!("stored {objects} objects, {}{same}", human(bytes)));
        self.emit(
            "stored",
            &[("objects", objects.into()), ("bytes", bytes.into()), ("already", already.into())],
        );
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        self.run.report.verbose(format_args!("{}{what}", self.place.label));
    }

    fn emit(&self, event: &str, fields: &[(&str, serde_json::Value)]) {
        let archive = self.place.label.trim_end_matches(": ");
        let mut fields = fields.to_vec();
        if !archive.is_empty() {
            fields.insert(0, ("archive", archive.into()));
        }
        self.run.report.events().emit(event, &fields);
    }
}
