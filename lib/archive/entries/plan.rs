//! What is to be read of a version, and in which order: the thread that plans.

use std::sync::Arc;

use anyhow::anyhow;

use crate::archive::blocks::{Blocks, LaneFeed};
use crate::archive::entries::kept;
use crate::archive::entries::wanted::Wanted;
use crate::archive::version::Version;
use crate::archive::{Archive, BandInChain};
use crate::core::merge::Placed;
use crate::core::restore::{BlockTicket, References, RestorePlan, RestoreStep};
use crate::edge::batches::Batches;
use crate::edge::ordered::Gone;
use crate::format::entry::{Entry, Kind};
use crate::format::path::Path;
use crate::report::message::Report;

/// From the thread that plans to the one that writes.
pub(super) enum WriterOrder {
    Lane(usize, LaneFeed),
    /// A line of the listing that says what is wanted, and whether a step for it follows.
    Line(Box<Entry>, bool),
    Step(RestoreStep),
    End,
    Failed(anyhow::Error),
}

/// The version that is read.
#[derive(Clone)]
pub(super) struct VersionReader {
    pub(super) archive: Arc<Archive>,
    pub(super) chain: Vec<BandInChain>,
    pub(super) salvages: bool,
    pub(super) report: Arc<Report>,
}

impl VersionReader {
    /// The version, or of it only the indexes that may concern these paths.
    fn open(&self, paths: Option<&[Path]>) -> anyhow::Result<Version> {
        let open = if self.salvages { Version::salvage } else { Version::open_part };
        open(&self.archive, &self.chain, paths, &self.report)
    }
}

fn gone(_: Gone) -> anyhow::Error {
    anyhow!("the tar stopped unexpectedly")
}

/// Reads the version, makes the plan, and opens the blocks.
pub(super) struct VersionPlanner<W> {
    pub(super) reader: VersionReader,
    pub(super) wanted: W,
    pub(super) plan: RestorePlan,
    pub(super) blocks: Blocks,
    pub(super) orders: Batches<WriterOrder>,
}

impl<W: Wanted> VersionPlanner<W> {
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        let report = Arc::clone(&self.reader.report);
        let paths = self.wanted.paths();
        self.count_references(paths.as_deref())?;
        let mut version = self.reader.open(paths.as_deref())?;
        // What is no directory, as long as the walk may be below it.
        let mut bar: Option<Path> = None;
        while let Some(next) = version.next_placed()? {
            let (Ok(placed) | Err(placed)) = &next;
            let orders = &mut self.orders;
            let wanted = self.wanted.wants(&placed.entry, &mut |line, awaits| {
                orders.send(WriterOrder::Line(Box::new(line), awaits)).map_err(gone)
            })?;
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
        let orders = &mut self.orders;
        self.wanted.finish(&mut |line, awaits| {
            orders.send(WriterOrder::Line(Box::new(line), awaits)).map_err(gone)
        })
    }

    /// Finds out what is referred to. Whatever is wrong is reported when the plan is made.
    fn count_references(&mut self, paths: Option<&[Path]>) -> anyhow::Result<()> {
        if !self.reader.chain.iter().any(|band| band.head.references) {
            return Ok(());
        }
        let quiet = Arc::new(Report::silent());
        let reader = VersionReader { report: quiet, ..self.reader.clone() };
        let (mut version, mut references) = (reader.open(paths)?, References::default());
        let mut wants = self.wanted.wants_ahead();
        let mut all = true;
        while let Some(next) = version.next_placed()? {
            let (Ok(placed) | Err(placed)) = next;
            if wants(&placed.entry) {
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
        if wanted {
            self.plan.retain_above(|path| self.wanted.wants_above(path));
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
