//! `dura-scan`: walks a tree and lists it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser};

use crate::cli::common::{self, Common};
use crate::edge::ordered::Ordered;
use crate::edge::privilege;
use crate::edge::source::Source;
use crate::edge::walk::{self, Walk};
use crate::format::path::Path;
use crate::ops::room;
use crate::report::message::{Hinted, Report};
use listing::{Heading, Listing};
use masks::Masks;
use own::OwnCache;
use seen::Seen;
use walker::{WalkPlan, Walker};

mod listing;
mod masks;
mod own;
mod seen;
mod walker;

/// List a directory tree, for dura-pack or dura-index diff
///
/// Walks DIR in canonical order and writes a listing in a dialect of mtree(5) to standard output.
/// Does not read files.
#[derive(Debug, Parser)]
#[command(name = "dura-scan", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but something could not be inspected; 2 not done.\n\
    Example: dura-scan --exclude .cache ~ | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup"
)]
struct ScanArgs {
    /// The directory to list
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Stay on DIR's file system: mount points are listed but not entered
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Leave out what matches PATTERN (gitignore syntax, relative to DIR)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out what matches a pattern in FILE (gitignore syntax; - is standard input)
    #[arg(long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,
    /// List a directory that holds a CACHEDIR.TAG, but not what is in it
    #[arg(long)]
    exclude_caches: bool,
    /// List only what matches a pattern in FILE, and what lies below it (gitignore syntax)
    #[arg(long, value_name = "FILE")]
    only_from: Option<PathBuf>,
    /// List only what comes after PATH in canonical order, and the directories above it
    #[arg(long, value_name = "PATH")]
    after: Option<std::ffi::OsString>,
    /// Record NAME in the listing as the host of the tree [default: the system's name]
    #[arg(long, value_name = "NAME", value_parser = not_empty)]
    host: Option<OsString>,
    /// Leave out DIR, the cache of indexes, if it lies in the tree
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Inspect entries with N threads [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    ScanArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-scan", |args: &ScanArgs| &args.common, run)
}

/// A host has a name.
fn not_empty(text: &str) -> Result<OsString, String> {
    if text.is_empty() { Err("expected a name".to_owned()) } else { Ok(text.into()) }
}

fn run(args: ScanArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let shown = args.dir.display().to_string();
    let root = args.dir.canonicalize().with_context(|| shown.clone())?;
    let stat = std::fs::metadata(&root).with_context(|| shown.clone())?;
    if !stat.is_dir() {
        let hint = "name the directory that holds it, and list a part of it with --only-from";
        return Err(Hinted::wrap(anyhow::anyhow!("{shown}: not a directory"), hint));
    }
    if privilege::root_without_trusted() {
        report.note(
            "without CAP_SYS_ADMIN the system shows no trusted.* attributes: they are not stored",
        );
    }
    let only_from = args.only_from.as_deref();
    let masks = Masks::load(&root, &args.exclude, &args.exclude_from, only_from, report)?;
    let after = args
        .after
        .map(|after| Path::from_typed(after.as_bytes()))
        .transpose()
        .context("--after")?;
    let place = Walk::open_root(&root, masks.select_all()).with_context(|| shown.clone())?;
    let device = std::os::unix::fs::MetadataExt::dev(&stat);
    let whole = after.is_none();
    let masks = Arc::new(masks);
    let wanted = WalkPlan {
        masks: Arc::clone(&masks),
        caches: args.exclude_caches,
        device: args.one_file_system.then_some(device),
        own: OwnCache::all(args.cache.as_deref(), &root),
        after,
    };
    let jobs = room::jobs(args.jobs, 0, 4 << 20);
    let ahead = jobs * 4;
    let (submit, results) = Ordered::start::<Vec<Seen>>(jobs, ahead)?;
    let mut listing = Listing::new(Source::open_root(&root)?, report)?;
    let system = || rustix::system::uname().nodename().to_bytes().to_vec();
    listing.begin(Heading {
        host: args.host.map_or_else(system, |host| host.as_bytes().to_vec()),
        root: &root,
        partial: masks.has_only() || !whole,
        // What --after leaves out is a mask too, of which nobody knows whether the next is the same.
        mask: masks.digest().filter(|_| whole),
    })?;
    // Batches that wait keep their directories open: half of the files is theirs.
    let most_visits = (walk::open_files() / 2 / (ahead + jobs + 2)).clamp(1, 64);
    std::thread::scope(|scope| {
        let walker = Walker::new(wanted, submit, most_visits, report);
        let (place, shown) = (&place, &shown);
        let walking = scope.spawn(move || walker.run(place, shown));
        for seen in results.flatten() {
            listing.handle(seen)?;
        }
        match walking.join() {
            Ok(result) => result,
            Err(_) => bail!("the walk stopped unexpectedly"),
        }
    })?;
    masks.tell(whole, report)?;
    listing.end()
}
