//! The tar that a restore writes: the plan's steps, one after another.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::super::message::Report;
use super::blocks::{Feed, Source};
use super::lane::{Copied, Lane};
use crate::core::merge::is_first_name;
use crate::core::restore::{Step, Take};
use crate::edge::ahead::Ahead;
use crate::format::entry::{Entry, Kind};
use crate::format::path::Path;
use crate::format::sparse::{Digester, is_sparse};
use crate::format::stream::END;
use crate::format::tarball::{Content, Member, padding, renew};
use crate::format::untar;

pub(super) const CANNOT_WRITE: &str = "cannot write the tar";

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    /// Entries.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Entries that are lost.
    pub lost: u64,
}

/// Writes the tar.
pub(super) struct Writer<'a> {
    out: Ahead,
    source: Arc<Source>,
    report: &'a Report,
    lanes: Vec<Option<Lane>>,
    /// First names that are lost: what is linked to them is lost, too.
    lost: HashSet<Path>,
    sum: Sum,
}

impl<'a> Writer<'a> {
    /// A writer of what the blocks of `source` give.
    pub(super) fn new(out: Ahead, source: &Arc<Source>, report: &'a Report) -> Writer<'a> {
        Writer {
            out,
            source: Arc::clone(source),
            report,
            lanes: Vec::new(),
            lost: HashSet::new(),
            sum: Sum::default(),
        }
    }

    /// A lane begins.
    pub(super) fn handle_lane(&mut self, lane: usize, feed: Feed) {
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, || None);
        }
        self.lanes[lane] = Some(Lane::new(feed));
    }

    /// The next step.
    pub(super) fn handle_step(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Take(take) => self.take(&take),
            Step::Make(entry) => match &entry.hard {
                Some(first) if self.lost.contains(first) => {
                    self.lose(&entry, format_args!("it is a hard link to {first}, which is lost"));
                    Ok(())
                }
                _ => self.make(&entry),
            },
            // Blocks are opened where the plan is made, and strays looked up there.
            Step::Open(_) | Step::Stray(_) => Ok(()),
        }
    }

    /// All is written: closes the tar.
    pub(super) fn finish(mut self) -> anyhow::Result<Sum> {
        self.put(&END)?;
        self.out.finish().context(CANNOT_WRITE)?;
        Ok(self.sum)
    }

    fn put(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes).context(CANNOT_WRITE)
    }

    fn lose(&mut self, entry: &Entry, why: std::fmt::Arguments<'_>) {
        self.report.warn(format_args!("{}: lost: {why}", entry.path));
        self.sum.lost += 1;
        if is_first_name(entry) {
            self.lost.insert(entry.path.clone());
        }
    }

    fn take(&mut self, take: &Take) -> anyhow::Result<()> {
        let lane = self
            .lanes
            .get_mut(take.from.lane)
            .and_then(Option::as_mut)
            .context("the plan names a lane that is not there")?;
        let found = lane.find(take);
        if let Some(error) = lane.hopeless() {
            return Err(error);
        }
        match found {
            Ok(stored) => self.write(take, &stored),
            Err(why) => self.make_lost(take, &why),
        }
    }

    /// What has no content can be written without its block.
    fn make_lost(&mut self, take: &Take, why: &str) -> anyhow::Result<()> {
        let (entry, block) = (&take.entry, self.source.name(take.from.block));
        if entry.kind == Kind::File && entry.size != Some(0) {
            self.lose(entry, format_args!("block {block}: {why}"));
            return Ok(());
        }
        let without = if entry.x { ", without its extended attributes" } else { "" };
        self.report.warn(format_args!(
            "{}: made from its index line{without}: block {block}: {why}",
            entry.path
        ));
        self.make(entry)
    }

    /// Writes an entry from its line alone.
    fn make(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let meta =
            *entry.meta().with_context(|| format!("{}: not an entry of a version", entry.path))?;
        let content = match (&entry.hard, entry.kind, &entry.link, entry.device) {
            (Some(first), ..) => Content::Hard(first),
            (_, Kind::File, ..) => Content::Bytes(0),
            (_, Kind::Link, Some(target), _) => Content::Link(target),
            (_, Kind::Char | Kind::Block, _, Some((major, minor))) => Content::Device(major, minor),
            _ => Content::Nothing,
        };
        let header = Member::plain(&entry.path, entry.kind, meta, content);
        let mut bytes = Vec::new();
        header.write_header(&mut bytes).with_context(|| entry.path.to_string())?;
        self.put(&bytes)?;
        self.done(entry);
        Ok(())
    }

    fn write(&mut self, take: &Take, stored: &untar::Entry) -> anyhow::Result<()> {
        let entry = &take.entry;
        let meta =
            entry.meta().with_context(|| format!("{}: not an entry of a version", entry.path))?;
        match take.anew {
            true => {
                let headers =
                    renew(stored, &entry.path, meta).with_context(|| entry.path.to_string())?;
                self.put(&headers)?;
            }
            false => self.put(&stored.headers)?,
        }
        if entry.kind == Kind::File {
            self.content(take, stored)?;
        }
        self.done(entry);
        Ok(())
    }

    fn content(&mut self, take: &Take, stored: &untar::Entry) -> anyhow::Result<()> {
        let entry = &take.entry;
        let mut digester = Digester::of_line(entry, is_sparse(stored));
        let lane =
            self.lanes[take.from.lane].as_mut().ok_or_else(|| anyhow!("the lane is gone"))?;
        let out = &mut self.out;
        let copied = lane.copy(stored, &mut |piece| {
            if let Some(digester) = &mut digester {
                digester.update(piece);
            }
            out.write_all(piece).context(CANNOT_WRITE)
        })?;
        let mut left = padding(stored.stored) as u64;
        match copied {
            Copied::Whole => {
                let found = digester.map(|digester| digester.finish());
                if found.is_some_and(|found| found != entry.digest()) {
                    self.report.warn(format_args!(
                        "{}: its content does not have the sha256 that its index line says",
                        entry.path
                    ));
                }
            }
            Copied::Broken(came, why) => {
                // The header has promised so many bytes; zeros keep the tar whole.
                let block = self.source.name(take.from.block);
                self.report.warn(format_args!(
                    "{}: damaged: zeros from byte {came} of the stored content on: block {block}: {why}",
                    entry.path
                ));
                self.sum.lost += 1;
                left += stored.stored - came;
            }
        }
        while left > 0 {
            static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
            let now = left.min(ZEROS.len() as u64);
            self.put(&ZEROS[..now as usize])?;
            left -= now;
        }
        Ok(())
    }

    fn done(&mut self, entry: &Entry) {
        self.sum.entries += 1;
        self.sum.bytes += entry.size.filter(|_| entry.hard.is_none()).unwrap_or(0);
        self.report.verbose(&entry.path);
    }
}
