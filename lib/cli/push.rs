//! `dura-push`: stores a band's objects in an archive.

use std::collections::HashMap;
use std::io::Read;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, anyhow, bail};
use clap::{CommandFactory, Parser};

use super::common::{self, Common, human};
use super::message::{Hinted, Report};
use crate::core::schedule::Schedule;
use crate::edge::budget::Budget;
use crate::edge::pipe;
use crate::format::band::{BandId, BandName};
use crate::format::head::{Head, Tail};
use crate::format::object::Object;
use crate::format::stream::{self, Item, Reader, StreamError};
use crate::store::local::Local;
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
    let store = open(&args.archive)?;
    let store = store.as_ref();
    let budget = Budget::new(MAX_UNDER_WAY);
    let mut stream = Reader::new(pipe::stdin()?);
    let first = stream.next_item()?.ok_or(StreamError::Empty)?;
    let continues = stream.continues();
    if !stream::in_place(None, &first.name, continues.is_some()) {
        bail!("the object stream does not begin with HEAD");
    }
    let id = match continues {
        Some(id) => checks::continued(store, &first.band, id)?,
        None => checks::new_band(store, &first)?,
    };
    report.verbose(format_args!("band {} {id}", first.band));

    let tail = std::thread::scope(|scope| {
        let (send, events) = channel();
        let (tasks, queue) = channel::<Task>();
        let queue = Mutex::new(queue);
        let queue = &Arc::new(queue);
        for _ in 0..args.jobs {
            let (queue, done) = (Arc::clone(queue), send.clone());
            scope.spawn(move || write_tasks(store, &queue, &done, args.dry_run));
        }
        let budget = &budget;
        scope.spawn(move || feed(stream, first, continues.is_some(), budget, &send));
        let closing = budget.closing();
        let push = Push { report, budget, tasks, band: None, id, schedule: Schedule::new(), waiting: HashMap::new(), free: args.jobs.into() };
        let outcome = push.run(&events);
        drop(closing);
        // The reader may sit in a read of a pipe whose other end goes on: nothing of it is wanted, so the process ends.
        match outcome {
            Ok(tail) => Ok(tail),
            Err(error) => std::process::exit(i32::from(exit_status(report, error))),
        }
    })?;
    report.progress().finish_and_clear();
    if tail.skipped > 0 {
        let skipped = tail.skipped;
        report.warn(format_args!("{skipped} of the source's entries were skipped: see what dura-scan and dura-pack said"));
    }
    Ok(())
}
