//! `dura-push`: stores a band's objects in an archive.

use std::collections::HashMap;
use std::io::Read;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, anyhow, bail};
use clap::{CommandFactory, Parser};

use super::archive::open_store;
use super::common::{self, Common, human};
use super::message::{Hinted, Report};
use crate::core::schedule::Schedule;
use crate::edge::budget::Budget;
use crate::edge::pipe;
use crate::format::band::BandId;
use crate::format::head::Tail;
use crate::format::object::Object;
use crate::format::stream::{self, Item, Reader, StreamError};
use crate::store::{Kind, Store, StoreError};

mod checks;

/// Store a band's objects in an archive
///
/// Reads an object stream (from dura-seal or dura-pack) on standard input and stores each object, never over another. A band is
/// complete when its TAIL is stored, which comes last.
#[derive(Debug, Parser)]
#[command(name = "dura-push", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done; 1 done, but files were skipped when the band was made; 2 not done.\n\
    Example: dura-scan ~ | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup")]
struct PushArgs {
    /// The archive: a directory, which is made if it is not there
    #[arg(value_name = "ARCHIVE")]
    archive: String,
    /// How many objects are written at once
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Say what would be stored, and store nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    PushArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-push", |args: &PushArgs| &args.common, run)
}

/// Bytes of objects that may be in memory at once; one larger object goes alone.
const MAX_UNDER_WAY: u64 = 80 << 20;

/// What happens to a push.
enum Event {
    /// An object has come.
    Item(Box<Item>),
    /// The stream has ended as it should.
    End,
    /// The stream is cut off or damaged.
    Broken(StreamError),
    /// A write has ended.
    Done(u64, Result<Stored, StoreError>),
}

/// How an object came to be in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Written,
    /// It was there, with the same bytes.
    Same,
    /// It was there, with others.
    Conflict,
}

type Task = (u64, Arc<Item>);

fn run(args: PushArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let store = open_store(&args.archive)?;
    let mut stream = Reader::new(pipe::stdin()?);
    let first = stream.next_item()?.ok_or(StreamError::Empty)?;
    let continues = stream.continues();
    if !stream::in_place(None, &first.name, continues.is_some()) {
        bail!("the object stream does not begin with HEAD");
    }
    let id = match continues {
        Some(id) => checks::continued(store.as_ref(), &first.band, id)?,
        None => checks::new_band(store.as_ref(), &first)?,
    };
    report.verbose(format_args!("band {} {id}", first.band));

    let (send, events) = channel();
    let (tasks, queue) = channel::<Task>();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..args.jobs {
        let (store, queue, done) = (Arc::clone(&store), Arc::clone(&queue), send.clone());
        std::thread::spawn(move || write_tasks(store.as_ref(), &queue, &done, args.dry_run));
    }
    let budget = Arc::new(Budget::new(MAX_UNDER_WAY));
    let own = Arc::clone(&budget);
    // Not joined: after a failure it may sit in a read of a pipe whose other end is in no hurry.
    std::thread::spawn(move || feed(stream, first, continues.is_some(), &own, &send));
    let push = Push {
        report,
        budget: &budget,
        tasks,
        id,
        schedule: Schedule::new(),
        waiting: HashMap::new(),
        free: args.jobs.into(),
        last: Vec::new(),
        tail: None,
        dry_run: args.dry_run,
        stored: (0, 0),
        skipped: 0,
    };
    let outcome = push.run(&events);
    report.progress().finish_and_clear();
    let tail = outcome?;
    if tail.skipped > 0 {
        let skipped = tail.skipped;
        report.warn(format_args!("the band lacks {skipped} entries that were skipped: see what dura-scan and dura-pack said"));
    }
    Ok(())
}

/// Reads the stream, and hands on what it finds.
fn feed(mut stream: Reader<impl Read>, first: Item, continues: bool, budget: &Budget, events: &Sender<Event>) {
    let mut before = None;
    let mut next = Ok(Some(first));
    loop {
        let event = match next {
            Ok(Some(item)) if !stream::in_place(before.as_ref(), &item.name, continues) => {
                Event::Broken(StreamError::BadName(format!("{}/{}", item.band, item.name)))
            }
            Ok(Some(item)) => {
                before = Some(item.name);
                Event::Item(Box::new(item))
            }
            Ok(None) => Event::End,
            Err(StreamError::Stopped) => return,
            Err(error) => Event::Broken(error),
        };
        let go_on = matches!(event, Event::Item(_));
        if events.send(event).is_err() || !go_on {
            return;
        }
        next = stream.next_item_if(&mut |size| budget.take(size));
    }
}

/// A writer: takes tasks until there are no more.
fn write_tasks(store: &dyn Store, queue: &Mutex<Receiver<Task>>, done: &Sender<Event>, dry_run: bool) {
    loop {
        let task = queue.lock().map(|queue| queue.recv());
        let Ok(Ok((ticket, item))) = task else { return };
        let outcome = if dry_run { Ok(Stored::Written) } else { put(store, &item) };
        if done.send(Event::Done(ticket, outcome)).is_err() {
            return;
        }
    }
}

fn put(store: &dyn Store, item: &Item) -> Result<Stored, StoreError> {
    let name = format!("{}/{}", item.band, item.name);
    match store.put_new(&name, &item.bytes) {
        Ok(()) => Ok(Stored::Written),
        Err(error) if error.kind == Kind::Exists => {
            let same = store.stat(&name)? == Some(item.bytes.len() as u64) && store.get(&name)? == item.bytes;
            Ok(if same { Stored::Same } else { Stored::Conflict })
        }
        Err(error) => Err(error),
    }
}

/// The loop around the schedule.
struct Push<'a> {
    report: &'a Report,
    budget: &'a Budget,
    tasks: Sender<Task>,
    id: BandId,
    schedule: Schedule,
    /// Objects that are not stored yet, by ticket.
    waiting: HashMap<u64, Arc<Item>>,
    /// Writers that have nothing to do.
    free: usize,
    /// TAIL and its signature, kept until the stream has ended.
    last: Vec<Item>,
    tail: Option<Tail>,
    dry_run: bool,
    /// Objects and bytes.
    stored: (u64, u64),
    skipped: u64,
}

impl Push<'_> {
    fn run(mut self, events: &Receiver<Event>) -> anyhow::Result<Tail> {
        let mut ended = false;
        let mut broken = None;
        while !(ended && self.schedule.pending() == 0) {
            self.start()?;
            match events.recv().context("the writers broke off")? {
                Event::Item(item) => self.handle_item(*item)?,
                Event::End => {
                    ended = true;
                    if self.tail.is_none() {
                        bail!("the object stream has no TAIL: what came before failed");
                    }
                    for item in std::mem::take(&mut self.last) {
                        self.schedule(item);
                    }
                }
                Event::Broken(error) => {
                    // What has come is whole, and a continuation can build on it.
                    ended = true;
                    broken = Some(error);
                }
                Event::Done(ticket, outcome) => self.handle_done(ticket, outcome)?,
            }
        }
        if let Some(error) = broken {
            return Err(error.into());
        }
        let (objects, bytes) = self.stored;
        let same = if self.skipped == 0 { String::new() } else { format!(", {} were there already", self.skipped) };
        self.report.verbose(format_args!("stored {objects} objects, {}{same}", human(bytes)));
        self.report
            .events()
            .emit("stored", &[("objects", objects.into()), ("bytes", bytes.into()), ("already", self.skipped.into())]);
        self.tail.context("the object stream has no TAIL")
    }

    fn handle_item(&mut self, item: Item) -> anyhow::Result<()> {
        if !matches!(item.name.object, Object::Tail | Object::TailSig) {
            self.schedule(item);
            return Ok(());
        }
        if item.name.object == Object::Tail {
            let tail = Tail::parse(&item.bytes).with_context(|| format!("{}/TAIL", item.band))?;
            if (&tail.band, tail.id) != (&item.band, self.id) {
                bail!("{}/TAIL is of another band than HEAD", item.band);
            }
            self.tail = Some(tail);
        }
        self.last.push(item);
        Ok(())
    }

    fn schedule(&mut self, item: Item) {
        let ticket = self.schedule.handle_object(item.name);
        self.waiting.insert(ticket, Arc::new(item));
    }

    fn start(&mut self) -> anyhow::Result<()> {
        while self.free > 0 {
            let Some(ticket) = self.schedule.poll_start() else { break };
            let item = self.waiting.get(&ticket).context("the schedule knows an object that is not there")?;
            self.tasks.send((ticket, Arc::clone(item))).context("the writers broke off")?;
            self.free -= 1;
        }
        Ok(())
    }

    fn handle_done(&mut self, ticket: u64, outcome: Result<Stored, StoreError>) -> anyhow::Result<()> {
        self.free += 1;
        let item = self.waiting.remove(&ticket).context("a write ended that did not begin")?;
        let name = format!("{}/{}", item.band, item.name);
        let bytes = item.bytes.len() as u64;
        self.budget.adjust(bytes, 0);
        self.schedule.handle_done(ticket, matches!(outcome, Ok(Stored::Written | Stored::Same)));
        match outcome.context("cannot store")? {
            Stored::Written => {
                self.stored = (self.stored.0 + 1, self.stored.1 + bytes);
                let would = if self.dry_run { "would store " } else { "" };
                self.report.verbose(format_args!("{would}{name} {bytes} bytes"));
                self.report.events().emit("object", &[("name", name.into()), ("bytes", bytes.into())]);
            }
            Stored::Same => {
                self.skipped += 1;
                self.report.verbose(format_args!("{name} is there already"));
            }
            Stored::Conflict => return Err(conflict(&name)),
        }
        let progress = self.report.progress();
        progress.inc(bytes);
        progress.set_message(format!("{} objects", self.stored.0 + self.skipped));
        Ok(())
    }
}

fn conflict(name: &str) -> anyhow::Error {
    let hint =
        "another run writes this band, or has: nothing of it was changed; start the backup again and it gets a name of its own";
    Hinted::wrap(anyhow!("{name}: there already, with other content"), hint)
}
