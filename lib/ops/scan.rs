//! `dura-scan`: walks a tree and lists it.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::core::apps::shown;
use crate::core::selection::Readings;
use crate::edge::ordered::Ordered;
use crate::edge::privilege;
use crate::edge::source::SourceRoot;
use crate::edge::walk::{self, TreeWalk};
use crate::format::listing::End;
use crate::format::path::Path;
use crate::ops::CANNOT_WRITE;
use crate::ops::room;
use crate::report::message::{Hinted, Report};
use listing::{Heading, Listing};
use masks::Masks;
use own::OwnCache;
use seen::WalkedEntry;
use walker::{WalkPlan, Walker};

mod apps;
mod listing;
mod masks;
mod own;
pub mod piped;
mod seen;
mod walker;

/// What is listed, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory to list.
    pub dir: PathBuf,
    /// Stay on its file system: mount points are listed but not entered.
    pub one_file_system: bool,
    /// Patterns of what is left out (gitignore syntax, relative to the directory).
    pub exclude: Vec<OsString>,
    /// Files with such patterns; `-` is standard input.
    pub exclude_from: Vec<PathBuf>,
    /// Lists of what programs make again, by name, which is left out; none: no list, empty: all.
    pub exclude_apps: Option<Vec<String>>,
    /// Leave out what is in directories with a `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// A file with patterns of what alone is listed, with what lies below it.
    pub only_from: Option<PathBuf>,
    /// List only what comes after this path in canonical order, and the directories above it.
    pub after: Option<OsString>,
    /// The name of the host that the listing says [default: the system's].
    pub host: Option<OsString>,
    /// The cache of indexes, which is left out.
    pub cache: Option<PathBuf>,
    /// How many threads inspect entries [default: one for each core].
    pub jobs: Option<usize>,
}

/// What was listed.
#[derive(Debug, Clone, Copy)]
pub struct ScanSum {
    /// What the last line says.
    pub end: End,
    /// Bytes of all files, each of which counts once.
    pub bytes: u64,
}

/// Writes the lists that `exclude_apps` can name.
///
/// # Errors
/// A list that cannot be read.
pub fn show_apps(out: &mut dyn Write) -> anyhow::Result<()> {
    for (name, list) in apps::all()? {
        writeln!(out, "### {name}\n{}", shown(&list)).context(CANNOT_WRITE)?;
    }
    Ok(())
}

/// Writes the listing of a tree. Gives what it has.
///
/// # Errors
/// What keeps it from a whole listing; what could not be inspected is only reported.
pub fn run(options: Options, out: &mut dyn Write, report: &Arc<Report>) -> anyhow::Result<ScanSum> {
    let shown = options.dir.display().to_string();
    let root = options.dir.canonicalize().with_context(|| shown.clone())?;
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
    let masks = Masks::load(&root, &options, report)?;
    let after = options.after.as_deref().map(|after| named(&root, after)).transpose()?;
    let place = TreeWalk::open_root(&root, masks.select_all()).with_context(|| shown.clone())?;
    let device = std::os::unix::fs::MetadataExt::dev(&stat);
    let whole = after.is_none();
    let masks = Arc::new(masks);
    let wanted = WalkPlan {
        masks: Arc::clone(&masks),
        caches: options.exclude_caches,
        device: options.one_file_system.then_some(device),
        own: OwnCache::all(options.cache.as_deref(), &root),
        after,
    };
    let jobs = room::jobs(options.jobs, 0, 4 << 20);
    let ahead = jobs * 4;
    let (submit, results) = Ordered::start::<Vec<WalkedEntry>>(jobs, ahead)?;
    let mut listing = Listing::new(out, SourceRoot::open_root(&root)?, report);
    listing.begin(Heading {
        host: options.host.map_or_else(system_name, |host| host.as_bytes().to_vec()),
        root: &root,
        partial: masks.has_only() || !whole,
        // What --after leaves out is a mask too, of which nobody knows whether the next is the
        // same.
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

/// What the system calls this host.
fn system_name() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_vec()
}

/// What is meant by the path that `--after` has: what is there, if it can be meant in two ways.
fn named(root: &FsPath, typed: &OsStr) -> anyhow::Result<Path> {
    let source = root.as_os_str().as_bytes();
    let readings = Readings::new(typed.as_bytes(), Some(source)).context("--after")?;
    let is_there =
        |path: &&Path| root.join(OsStr::from_bytes(&path.raw())).symlink_metadata().is_ok();
    let first = || readings.names().next();
    let found = readings.names().find(is_there).or_else(first).cloned();
    found.with_context(|| format!("--after: {}: not a path below the source", typed.display()))
}
