//! `dura-index`: says what is in an archive, and what a new band must record.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::archive::awaited::Awaited;
use crate::archive::caching;
use crate::archive::named::ArchiveName;
use crate::archive::stores::Reach;
use crate::archive::unlock::Unlocking;
use crate::archive::version::{Version, choose, must_exist};
use crate::archive::{Archive, Band};
use crate::cli::at::{said, time};
use crate::cli::common::{self, Common};
use crate::edge::pipe;
use crate::format::listing::{End, Header, VERSION};
use crate::format::moment::Moment;
use crate::report::message::Report;

mod bands;
pub(crate) mod diff;
mod expire;
mod filter;
mod find;
mod gate;
mod keys;
mod ls;
mod objects;
mod own;

/// List what is in an archive, and what a new band must record
#[derive(Debug, Parser)]
#[command(name = "dura-index", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but something is lost or damaged; 2 not done.\n\
    Example: dura-scan ~ | dura-index diff /mnt/backup | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup"
)]
struct IndexArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    common: Common,
}

/// Options of all subcommands.
#[derive(Debug, Clone, Args)]
struct Reading {
    /// Keep plain copies of indexes in DIR, and use them
    #[arg(
        long,
        value_name = "DIR",
        env = "DURA_CACHE",
        hide_env_values = true,
        global = true,
        display_order = 800
    )]
    cache: Option<PathBuf>,
    /// Neither use nor keep copies of indexes
    #[arg(long, global = true, display_order = 801)]
    no_cache: bool,
    /// Read the version of band NAME, which may be shortened; latest is the newest
    #[arg(long, value_name = "NAME", global = true, display_order = 802)]
    band: Option<String>,
    /// Read the newest version that was started at or before TIME: 2026-11-27T22:30 (local time;
    /// add Z or +02:00 for others), yesterday, or 3d
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "band", global = true, display_order = 803)]
    at: Option<Moment>,
    /// Accept only objects in lists with a good signature by KEY, and only a signed TAIL; diff also
    /// builds on what such a list names; may be given several times
    #[arg(long, value_name = "KEY", global = true, display_order = 804)]
    signed_by: Vec<String>,
    /// Exit with status 1 if band NAME, the newest that you know of, is missing or not complete
    #[arg(long, value_name = "NAME", global = true, display_order = 805)]
    expect: Option<String>,
    #[command(flatten)]
    unlocking: Unlocking,
    #[command(flatten)]
    reach: Reach,
}

impl Reading {
    /// What a listing of the archive should have.
    fn expected(&self, archive: &ArchiveName) -> Awaited {
        Awaited::of(archive, self.cache.as_deref(), self.no_cache)
    }
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reduce a listing to what a new band must record
    Diff(diff::DiffArgs),
    /// Write a version as a listing
    List(Of),
    /// List a version for people
    Ls(ls::LsArgs),
    /// List the bands of an archive, oldest first
    Bands(Of),
    /// List the versions that contain the paths that match a pattern
    Find(find::FindArgs),
    /// List the objects that a restore of paths reads
    Where(objects::WhereArgs),
    /// List the bands that may be removed, by rules of what to keep
    Expire(expire::ExpireArgs),
    /// List the keys that open each run, or write messages for more recipients
    Keys(keys::KeysArgs),
    /// Mark entries that a command leaves out of a listing as excluded
    Filter(filter::FilterArgs),
}

/// The archive that is read.
#[derive(Debug, Clone, Args)]
struct Of {
    /// The archive: a directory, s3://BUCKET/PREFIX, or https://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    IndexArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-index", |args: &IndexArgs| &args.common, run)
}

fn run(args: IndexArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let reading = args.reading;
    match args.what {
        What::Diff(diff) => diff::run(&diff, &reading, report),
        What::List(of) => list(&of.archive, &reading, report),
        What::Ls(ls) => ls::run(&ls, &reading, report),
        What::Bands(of) => bands::run(&of.archive, &reading, report),
        What::Find(find) => find::find(&find, &reading, report),
        What::Where(wanted) => objects::locate(&wanted, &reading, report),
        What::Expire(expire) => expire::run(&expire, &reading, report),
        What::Keys(keys) => keys::run(&keys, &reading, report),
        What::Filter(filter) => filter::run(&filter, report),
    }
}

/// An archive and a version of it.
struct Chosen {
    archive: Arc<Archive>,
    chain: Vec<Band>,
}

/// Opens the archive.
fn open_archive(
    shown: &ArchiveName,
    reading: &Reading,
    report: &Arc<Report>,
) -> anyhow::Result<Arc<Archive>> {
    let cache = caching::to_read(reading.cache.as_deref(), reading.no_cache, report);
    let archive = Archive::open(shown, cache, &reading.reach, reading.expected(shown), report)?;
    let archive = archive.signed_by(&reading.signed_by, report)?;
    let archive = archive.unlocked(&reading.unlocking, report)?;
    archive.expect(reading.expect.as_deref(), report)?;
    Ok(Arc::new(archive))
}

/// Opens the archive and finds the version that the options ask for.
fn open(shown: &ArchiveName, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<Chosen> {
    must_exist(shown)?;
    let archive = open_archive(shown, reading, report)?;
    let band = choose(
        &archive,
        shown,
        reading.band.as_deref(),
        reading.at.as_ref().map(|at| said(at, report)),
        report,
    )?;
    let chain = archive.chain(&band)?;
    Ok(Chosen { archive, chain })
}

const CANNOT_WRITE: &str = "cannot write the output";

fn list(shown: &ArchiveName, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<()> {
    let Chosen { archive, chain } = open(shown, reading, report)?;
    let mut version = Version::open(&archive, &chain, report)?;
    let mut out = pipe::stdout()?;
    let mut buffer = Vec::new();
    let mut end = End::default();
    let mut next = version.next_entry()?;
    for header in [Header::Mtree, Header::Version(VERSION)] {
        writeln!(buffer, "{header}")?;
    }
    for header in
        version.headers().iter().filter(|header| matches!(header, Header::Source(..))).take(1)
    {
        writeln!(buffer, "{header}")?;
    }
    while let Some(placed) = next {
        let mut entry = placed.entry;
        // These say how a band builds on another; a version builds on nothing.
        entry.over = false;
        entry.within = None;
        entry.write(&mut buffer);
        end.entries += 1;
        if buffer.len() > 64 << 10 {
            out.write_all(&buffer).context(CANNOT_WRITE)?;
            buffer.clear();
        }
        next = version.next_entry()?;
    }
    writeln!(buffer, "{end}")?;
    out.write_all(&buffer).context(CANNOT_WRITE)?;
    out.finish().context(CANNOT_WRITE)
}
