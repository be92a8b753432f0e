//! Push's schedule for one archive: what is written when, what is tried again, and when to give up.
//!
//! Time is an argument: how long the run has lasted. Invariants, so that what is stored is whole
//! whenever the run is cut:
//! 1. Nothing starts before what it waits for is stored ([`order`] says what that is).
//! 2. An object that failed for a reason that may pass counts as not stored until a later try
//!    succeeds.
//! 3. After a failure that will not pass, and after [`Schedule::handle_stop`], nothing starts any
//!    more.

use std::collections::VecDeque;
use std::time::Duration;

use crate::format::object::{Object, ObjectName};

pub mod order;
pub mod rate;
pub mod retry;

use order::OpenOrder;
use rate::Rate;
use retry::{Dice, Patience};

/// What bounds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Writes at once.
    pub jobs: usize,
    /// Bytes a second, if bounded; with what was sent before and still counts.
    pub rate: Option<Rate>,
    /// How long to go on trying.
    pub patience: Patience,
    /// For the jitter of waits: two programs that failed together should not come back together.
    pub seed: u64,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The object is stored.
    Stored,
    /// It is not, but may be later; perhaps the server said how long to wait.
    Passing(Option<Duration>),
    /// It is not and will not be.
    Failed,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAction {
    /// Write the object with this ticket, and tell [`Schedule::handle_done`].
    Start(u64),
    /// Nothing before this time, unless something happens.
    At(Duration),
    /// Nothing until something happens.
    Idle,
}

/// What follows from a write that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The object is done with.
    Stored,
    /// It will be tried again after this wait.
    Again(Duration),
    /// The run has failed.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteState {
    Waiting,
    /// Begun as the write with this number.
    Running(u64),
    /// Failed; to be tried again from this time on.
    Resting(Duration),
}

/// What was done ahead of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overtaken {
    Unseen,
    /// It was given by `poll_ahead`, and the write waits for what is done then.
    Given,
    Done,
}

#[derive(Debug)]
struct WriteJob {
    ticket: u64,
    name: ObjectName,
    size: u64,
    state: WriteState,
    /// How often it has failed.
    failures: u32,
    ahead: Overtaken,
}

/// What is under way is taken to end soon if no object is larger.
const SMALL: u64 = 64 << 10;

/// The machine: `handle_object` for each object in stream order, `poll` until it gives no start,
/// `handle_done` for each one started. The caller keeps the bytes, under the ticket that
/// `handle_object` returns.
#[derive(Debug)]
pub struct Schedule {
    limits: Limits,
    dice: Dice,
    rate: Option<Rate>,
    tickets: u64,
    /// In stream order; a job leaves when it is stored.
    jobs: VecDeque<WriteJob>,
    running: usize,
    /// Writes begun so far.
    begun: u64,
    /// Writes at once that the store has shown to bear.
    window: usize,
    /// Writes that succeeded since the window changed.
    successes: usize,
    /// The window shrinks once for all writes that were under way together: those begun before this
    /// number.
    shrunk: u64,
    first_index: Option<u32>,
    first_key: Option<(u32, u32)>,
    halted: bool,
}

impl Schedule {
    /// An empty schedule.
    pub fn new(limits: Limits) -> Schedule {
        Schedule {
            limits,
            dice: Dice::new(limits.seed),
            rate: limits.rate,
            tickets: 0,
            jobs: VecDeque::new(),
            running: 0,
            begun: 0,
            window: limits.jobs.max(1),
            successes: 0,
            shrunk: 0,
            first_index: None,
            first_key: None,
            halted: false,
        }
    }

    /// How many objects are neither stored nor given up.
    pub fn pending(&self) -> usize {
        if self.halted { self.running } else { self.jobs.len() }
    }

    /// How many writes are under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// The bound on bytes a second, for what comes after this run's schedule.
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Takes the next object of the stream and gives its ticket.
    pub fn handle_object(&mut self, name: ObjectName, size: u64) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        self.first_index = self.first_index.or(order::index(&name));
        self.first_key = self.first_key.or(order::key(&name));
        self.jobs.push_back(WriteJob {
            ticket,
            name,
            size,
            state: WriteState::Waiting,
            failures: 0,
            ahead: Overtaken::Unseen,
        });
        ticket
    }

    /// The write of an object has ended.
    pub fn handle_done(&mut self, ticket: u64, outcome: WriteOutcome, now: Duration) -> After {
        let Some(at) = self.jobs.iter().position(|job| job.ticket == ticket) else {
            return After::Failed;
        };
        let job = &mut self.jobs[at];
        let WriteState::Running(began) = job.state else { return After::Failed };
        self.running -= 1;
        let wait = match outcome {
            WriteOutcome::Stored => {
                self.jobs.remove(at);
                self.grow();
                return After::Stored;
            }
            WriteOutcome::Passing(asked) => {
                job.failures += 1;
                self.limits.patience.wait(job.failures, asked, &mut self.dice)
            }
            WriteOutcome::Failed => None,
        };
        match wait {
            Some(wait) => {
                job.state = WriteState::Resting(now + wait);
                self.shrink(began);
                After::Again(wait)
            }
            None => {
                job.state = WriteState::Waiting;
                self.halted = true;
                After::Failed
            }
        }
    }

    /// The run is to end: what is under way may end, nothing starts any more.
    pub fn handle_stop(&mut self) {
        self.halted = true;
    }

    /// What to do now.
    pub fn poll(&mut self, now: Duration) -> NextAction {
        if self.halted || self.running >= self.window {
            return NextAction::Idle;
        }
        let mut open = OpenOrder::new(self.first_index, self.first_key);
        let mut wake: Option<Duration> = None;
        let mut found = None;
        for (at, job) in self.jobs.iter().enumerate() {
            let due = match job.state {
                WriteState::Running(_) => None,
                WriteState::Waiting if job.ahead == Overtaken::Given => None,
                WriteState::Waiting => Some(now),
                WriteState::Resting(until) => Some(until),
            };
            if let Some(due) = due.filter(|_| !open.holds_back(&job.name)) {
                if due <= now {
                    found = Some(at);
                    break;
                }
                wake = Some(wake.map_or(due, |wake| wake.min(due)));
            }
            open.handle_open(&job.name);
        }
        let Some(at) = found else { return wake.map_or(NextAction::Idle, NextAction::At) };
        if let Some(rate) = &mut self.rate {
            let free = rate.free();
            if free > now {
                return NextAction::At(free);
            }
            rate.handle_start(self.jobs[at].size, now);
        }
        let job = &mut self.jobs[at];
        job.state = WriteState::Running(self.begun);
        self.begun += 1;
        self.running += 1;
        NextAction::Start(job.ticket)
    }

    /// An object that starts as soon as what is under way is stored, if that is small, and
    /// [`Schedule::handle_ahead`] was told; each is given once. To be asked when [`Schedule::poll`]
    /// says that nothing starts now.
    pub fn poll_ahead(&mut self) -> Option<u64> {
        let is_running = |job: &WriteJob| matches!(job.state, WriteState::Running(_));
        if self.halted
            || self.running >= self.window
            || self.jobs.iter().any(|job| is_running(job) && job.size > SMALL)
        {
            return None;
        }
        let mut open = OpenOrder::new(self.first_index, self.first_key);
        // What HEAD comes before waits for more than its write: for reading it back.
        for job in
            self.jobs.iter_mut().filter(|job| !is_running(job) || job.name.object == Object::Head)
        {
            if job.ahead == Overtaken::Unseen
                && job.state == WriteState::Waiting
                && !open.holds_back(&job.name)
            {
                job.ahead = Overtaken::Given;
                return Some(job.ticket);
            }
            open.handle_open(&job.name);
        }
        None
    }

    /// What was to be done ahead of a write is done.
    pub fn handle_ahead(&mut self, ticket: u64) {
        let job =
            self.jobs.iter_mut().find(|job| job.ticket == ticket && job.ahead == Overtaken::Given);
        job.into_iter().for_each(|job| job.ahead = Overtaken::Done);
    }

    fn grow(&mut self) {
        self.successes += 1;
        if self.successes >= self.window && self.window < self.limits.jobs {
            self.window += 1;
            self.successes = 0;
        }
    }

    /// A store that is overtaxed gets half as much at once.
    fn shrink(&mut self, began: u64) {
        if began >= self.shrunk {
            self.window = (self.window / 2).max(1);
            self.successes = 0;
            self.shrunk = self.begun;
        }
    }
}

#[cfg(test)]
mod tests;
