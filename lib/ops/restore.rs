//! `dura-restore`: a version, or parts of it, as one tar.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use crate::archive::named::ArchiveName;
use crate::archive::reading::{Chosen, ReadOptions};
use crate::archive::version::{Version, must_exist};
use crate::archive::{Archive, BandInChain};
use crate::core::merge::Placed;
use crate::core::restore::{BlockTicket, References, RestorePlan, RestoreStep};
use crate::core::selection::Selection;
use crate::edge::batches::{Batches, batches};
use crate::edge::ordered::Gone;
use crate::edge::pipe::{self, Output};
use crate::format::entry::Kind;
use crate::format::path::Path;
use crate::ops::asked;
use crate::ops::room;
use crate::report::message::{Report, refuse_terminal};
use crate::report::units::human;

mod kept;
pub(crate) mod lane;
mod write;

use crate::archive::blocks::{BlockSource, Blocks, FEW, LaneFeed};
use write::TarWriter;

/// Steps that the plan may be ahead of the tar: some blocks' worth of entries.
const STEPS: usize = 16 << 10;

/// What a block takes that is fetched, decrypted and decompressed.
const PER_JOB: u64 = 32 << 20;

/// Bytes of tar that wait for whoever reads it; an eighth of it if many tiers hold blocks.
const AHEAD: usize = 16 << 20;

/// From the thread that plans to the one that writes.
enum WriterOrder {
    Lane(usize, LaneFeed),
    Step(RestoreStep),
    End,
    Failed(anyhow::Error),
}

/// What is restored, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// What is restored, as it was typed [default: everything].
    pub paths: Vec<OsString>,
    /// Files with names of what is restored, too.
    pub files_from: Vec<PathBuf>,
    /// Patterns of what is left out.
    pub exclude: Vec<OsString>,
    /// Where the tar will be extracted: directories that are there already are left out.
    pub into: Option<PathBuf>,
    /// Which version, and how it is read.
    pub reading: ReadOptions,
    /// Where content is kept that several files have [default: TMPDIR].
    pub spool: Option<PathBuf>,
    /// Keep an owner's name even if it has another number on this system.
    pub owner_names: bool,
    /// How many blocks are fetched and decrypted at a time [default: one for each core].
    pub jobs: Option<usize>,
}

impl Options {
    /// Those that restore the newest version of an archive.
    pub fn of(archive: ArchiveName) -> Options {
        Options {
            archive,
            paths: Vec::new(),
            files_from: Vec::new(),
            exclude: Vec::new(),
            into: None,
            reading: ReadOptions::default(),
            spool: None,
            owner_names: false,
            jobs: None,
        }
    }
}

/// Writes a version, or parts of it, to standard output as a tar.
///
/// # Errors
/// What keeps the tar from its end; what is lost or damaged is only reported.
pub fn run(options: Options, report: &Arc<Report>) -> anyhow::Result<()> {
    refuse_terminal(
        "pipe it into tar --xattrs --xattrs-include='*' --acls -xpf - -C DIR, or into a file",
    )?;
    must_exist(&options.archive)?;
    let archive = options.reading.open(&options.archive, report)?;
    restore(&options, archive, pipe::stdout()?, report)
}

/// Writes what is asked for of an archive as a tar.
pub(crate) fn restore(
    options: &Options,
    archive: Archive,
    out: Output,
    report: &Arc<Report>,
) -> anyhow::Result<()> {
    let (band, chosen) = options.reading.choose(Arc::new(archive), &options.archive, report)?;
    let Chosen { archive, chain } = chosen;
    report.verbose(format_args!("band {band}"));
    if archive.ends(&band)?.1.is_none() {
        report.warn(format_args!("{band}: unfinished: only what its indexes list is restored"));
    }
    let reader = VersionReader { archive, chain, report: Arc::clone(report) };
    let typed = asked::typed(&options.paths, &options.files_from)?;
    let selection = asked::select(&reader.archive, &reader.chain, typed, &options.exclude, report)?;
    let bands = reader.chain.iter().map(|band| band.head.clone()).collect();
    let many = reader.chain.len() > FEW;
    let archive = Arc::clone(&reader.archive);
    let source = Arc::new(BlockSource { archive, bands, takes_remains: true, many });
    let blocks = Blocks::new(&source, room::jobs(options.jobs, 0, PER_JOB))?;
    let ahead = if many { AHEAD / 8 } else { AHEAD };
    let out =
        out.ahead(room::room().bytes(ahead as u64, 4) as usize).context(write::CANNOT_WRITE)?;
    let kept = kept::KeptFiles::new(options.spool.as_deref());
    let mut writer = TarWriter::new(out, &source, kept, options.owner_names, report);
    let (orders, taken) = batches(STEPS);
    let plan = RestorePlan::new(reader.chain.len());
    let into = options.into.clone();
    // Not joined: after a failure it may wait for a store that is in no hurry.
    std::thread::spawn(move || {
        let mut planner = VersionPlanner { reader, selection, plan, blocks, orders, into };
        let last = planner.run().map_or_else(WriterOrder::Failed, |()| WriterOrder::End);
        // Whoever writes may be gone, and then knows why.
        drop(planner.orders.send(last));
    });
    for order in taken {
        match order {
            WriterOrder::Lane(lane, feed) => writer.handle_lane(lane, feed),
            WriterOrder::Step(step) => writer.handle_step(step)?,
            WriterOrder::Failed(error) => return Err(error),
            WriterOrder::End => {
                let sum = writer.finish()?;
                report.verbose(format_args!("{} entries, {}", sum.entries, human(sum.bytes)));
                let fields = [
                    ("entries", sum.entries.into()),
                    ("bytes", sum.bytes.into()),
                    ("lost", sum.lost.into()),
                ];
                report.events().emit("restored", &fields);
                return Ok(());
            }
        }
    }
    bail!("the plan stopped unexpectedly")
}

/// The version that is read.
#[derive(Clone)]
struct VersionReader {
    archive: Arc<Archive>,
    chain: Vec<BandInChain>,
    report: Arc<Report>,
}

impl VersionReader {
    /// The version, or of it only the indexes that may concern these paths.
    fn open(&self, paths: Option<&[Path]>) -> anyhow::Result<Version> {
        Version::salvage(&self.archive, &self.chain, paths, &self.report)
    }
}

fn gone(_: Gone) -> anyhow::Error {
    anyhow!("the tar stopped unexpectedly")
}

/// Reads the version, makes the plan, and opens the blocks.
struct VersionPlanner {
    reader: VersionReader,
    selection: Selection,
    plan: RestorePlan,
    blocks: Blocks,
    orders: Batches<WriterOrder>,
    /// Where the tar will be extracted, if that is known.
    into: Option<PathBuf>,
}

impl VersionPlanner {
    fn run(&mut self) -> anyhow::Result<()> {
        let report = Arc::clone(&self.reader.report);
        let paths = self.selection.paths();
        self.count_references(paths.as_deref())?;
        let mut version = self.reader.open(paths.as_deref())?;
        // What is no directory, as long as the walk may be below it.
        let mut bar: Option<Path> = None;
        while let Some(next) = version.next_placed()? {
            let (Ok(placed) | Err(placed)) = &next;
            let is_dir = placed.entry.kind == Kind::Dir;
            let wanted = self.selection.wants(&placed.entry.path, is_dir);
            let barred = bar.as_ref().is_some_and(|bar| bar.holds(&placed.entry.path));
            if placed.entry.kind != Kind::Dir && !barred {
                bar = Some(placed.entry.path.clone());
            }
            match next {
                Ok(placed) => self.handle(placed, wanted)?,
                // Of a part of the indexes, other entries lack their directories.
                Err(_) if !wanted => {}
                Err(orphan) if barred => {
                    report.warn(format_args!(
                        "{}: not below a directory: left out",
                        orphan.entry.path
                    ));
                }
                Err(orphan) => {
                    report.warn(format_args!(
                        "{}: its directory is not listed: restored without it",
                        orphan.entry.path
                    ));
                    self.handle(orphan, wanted)?;
                }
            }
        }
        asked::tell_of_missing(&self.selection, &report)
    }

    /// Finds out what is referred to. Whatever is wrong is reported when the plan is made.
    fn count_references(&mut self, paths: Option<&[Path]>) -> anyhow::Result<()> {
        if !self.reader.chain.iter().any(|band| band.head.references) {
            return Ok(());
        }
        let quiet = Arc::new(Report::silent());
        let reader = VersionReader { report: quiet, ..self.reader.clone() };
        let (mut version, mut references) = (reader.open(paths)?, References::default());
        // It remembers what has come.
        let mut selection = self.selection.clone();
        let mut all = true;
        while let Some(next) = version.next_placed()? {
            let (Ok(placed) | Err(placed)) = next;
            let is_dir = placed.entry.kind == Kind::Dir;
            if selection.wants(&placed.entry.path, is_dir) {
                all &= references.handle_entry(&placed);
            }
        }
        if !all {
            self.reader.report.note("too many files were moved or copied to keep what they have in common: some blocks are read several times");
        }
        self.plan.keep(references, kept::MOST);
        Ok(())
    }

    fn handle(&mut self, placed: Placed, wanted: bool) -> anyhow::Result<()> {
        if let Some(into) = self.into.as_deref().filter(|_| wanted) {
            let below = |path: &Path| into.join(OsStr::from_bytes(&path.raw()));
            self.plan.retain_above(|path| !below(path).is_dir());
        }
        self.plan.handle_entry(placed, wanted);
        while let Some(step) = self.plan.poll() {
            match step {
                RestoreStep::Open(open) => self.open(open)?,
                RestoreStep::Stray(stray) => self.look_up(*stray)?,
                step => self.send(WriterOrder::Step(step))?,
            }
        }
        Ok(())
    }

    /// Waits for room, which comes when blocks before it are written.
    fn open(&mut self, open: BlockTicket) -> anyhow::Result<()> {
        self.orders.flush().map_err(gone)?;
        match self.blocks.open(open) {
            Some(feed) => self.send(WriterOrder::Lane(open.lane, feed)),
            None => Ok(()),
        }
    }

    fn send(&mut self, order: WriterOrder) -> anyhow::Result<()> {
        self.orders.send(order).map_err(gone)
    }

    /// A hard link to a name that did not come: where only a part of the indexes is read, the name
    /// is in another one.
    fn look_up(&mut self, stray: Placed) -> anyhow::Result<()> {
        let Some(first) = stray.entry.hard.clone() else { return Ok(()) };
        let paths = [first.clone(), stray.entry.path.clone()];
        let mut version = self.reader.open(Some(&paths))?;
        let mut again = None;
        while let Some(next) = version.next_placed()? {
            let (Ok(placed) | Err(placed)) = next;
            if placed.entry.path == stray.entry.path {
                again = Some(placed);
                break;
            }
            // Other first names in the same index are probably wanted next.
            if placed.entry.path == first || crate::core::merge::is_first_name(&placed.entry) {
                self.plan.handle_first(placed);
            }
        }
        self.plan.handle_entry(again.unwrap_or_else(|| stray.clone()), true);
        while let Some(step) = self.plan.poll() {
            match step {
                RestoreStep::Stray(stray) => {
                    let path = &stray.entry.path;
                    let report = &self.reader.report;
                    report.warn(format_args!("{path}: lost: it is a hard link to {first}, which this version does not have"));
                }
                RestoreStep::Open(open) => self.open(open)?,
                step => self.send(WriterOrder::Step(step))?,
            }
        }
        Ok(())
    }
}
