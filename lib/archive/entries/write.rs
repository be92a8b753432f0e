//! The plan's steps, one after another: each entry of the version goes to a sink, with its content.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::archive::blocks::{BlockSource, Blocks, LaneFeed};
use crate::archive::entries::deltas::PatchedFile;
use crate::archive::entries::kept::KeptFiles;
use crate::archive::entries::lane::{BlockReader, Copied};
use crate::archive::entries::sink::{ContentCame, EntrySink};
use crate::archive::kind::is_locked;
use crate::core::merge::is_first_name;
use crate::core::restore::{BlockTicket, LANES, RestoreStep, Take};
use crate::edge::users::Users;
use crate::format::entry::{Entry, Kind};
use crate::format::path::Path;
use crate::format::sparse::{Digester, is_sparse, zeros};
use crate::format::tarball::{Extras, padding};
use crate::format::untar;
use crate::report::message::{Report, chain, why};

/// A larger file is not held in memory.
const CHECKED: u64 = 64 << 20;

/// Takes the steps.
pub(crate) struct EntryWriter<'a, S> {
    sink: S,
    source: Arc<BlockSource>,
    report: &'a Report,
    lanes: Vec<Option<BlockReader>>,
    /// First names that are lost: what is linked to them is lost, too.
    lost: HashSet<Path>,
    /// Who has which name here. A tar goes by names before numbers, so a name that has another
    /// number here is left out; none if all names are wanted.
    users: Option<Users>,
    /// What later entries refer to.
    kept: KeptFiles,
    /// The tar entry that is to be kept, as far as it is written.
    keeping: Option<Vec<u8>>,
    /// Opens older blocks with the same content; the last one, and what was last looked for there.
    spares: Option<(Blocks, BlockTicket, Path)>,
    /// Damaged blocks of which something was taken, by lane and ticket.
    unsure: HashSet<(usize, u64)>,
}

impl<'a, S: EntrySink> EntryWriter<'a, S> {
    /// A writer of what the blocks of `source` give, which keeps in `kept` what later entries refer
    /// to; with names of owners that have another number here only if these are asked for.
    pub(super) fn new(
        sink: S,
        source: &Arc<BlockSource>,
        kept: KeptFiles,
        owner_names: bool,
        report: &'a Report,
    ) -> EntryWriter<'a, S> {
        EntryWriter {
            sink,
            source: Arc::clone(source),
            report,
            lanes: Vec::new(),
            lost: HashSet::new(),
            users: (!owner_names).then(Users::default),
            kept,
            keeping: None,
            spares: None,
            unsure: HashSet::new(),
        }
    }

    /// A lane begins.
    pub(super) fn handle_lane(&mut self, lane: usize, feed: LaneFeed) {
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, || None);
        }
        self.lanes[lane] = Some(BlockReader::new(feed));
    }

    /// The next step.
    pub(super) fn handle_step(&mut self, step: RestoreStep) -> anyhow::Result<()> {
        match step {
            RestoreStep::Take(take) => self.take(&take),
            RestoreStep::Make(entry) => match &entry.hard {
                Some(first) if self.lost.contains(first) => {
                    self.lose(&entry, format_args!("it is a hard link to {first}, which is lost"));
                    Ok(())
                }
                _ => self.make(&entry),
            },
            RestoreStep::Kept(take) => self.take_kept(&take),
            RestoreStep::Patch(take) => self.patch(&take),
            // Blocks are opened where the plan is made, and strays looked up there.
            RestoreStep::Open(_) | RestoreStep::Stray(_) => Ok(()),
        }
    }

    /// A line of the listing that says what is wanted; see [`EntrySink::line`].
    pub(super) fn handle_line(&mut self, line: Entry, awaits: bool) -> anyhow::Result<()> {
        self.sink.line(line, awaits)
    }

    /// All steps were taken.
    pub(super) fn into_sink(self) -> S {
        self.sink
    }

    fn lose(&mut self, entry: &Entry, why: std::fmt::Arguments<'_>) {
        self.report.warn(format_args!("{}: lost: {why}", entry.path));
        self.sink.lose(entry);
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
            Err(why) => match self.find_spare(take) {
                Some((spare, stored)) => {
                    let without =
                        if take.entry.x { ", without its extended attributes" } else { "" };
                    self.report.warn(format_args!(
                        "{}: {} from block {}, which has the same content{without}: block {}: {why}",
                        take.entry.path,
                        S::DONE,
                        self.source.name(spare.from.block),
                        self.source.name(take.from.block),
                    ));
                    self.write(&spare, &stored)
                }
                None => self.make_lost(take, &why),
            },
        }
    }

    /// Writes a file whose content was kept when another one was written.
    fn take_kept(&mut self, take: &Take) -> anyhow::Result<()> {
        let tar = self.kept.get(take.from.block, &take.under).unwrap_or_default();
        match self.of_kept(take, &tar) {
            Some((extras, stored, map, content)) => {
                let sparse = map.as_ref().map(|map| (&map[..], stored));
                self.put_whole(&take.entry, &extras, sparse, &content)
            }
            None => match self.find_again(take) {
                Some((again, stored)) => self.write(&again, &stored),
                None => self.make_lost(take, "the block does not hold it whole"),
            },
        }
    }

    /// Names of owners, size in the tar, map and content of a kept file, if it has the digest of
    /// the line.
    #[allow(clippy::type_complexity)]
    fn of_kept(&self, take: &Take, tar: &[u8]) -> Option<(Extras, u64, Option<Vec<u8>>, Vec<u8>)> {
        let mut untar = untar::Untar::new(tar);
        let stored = untar.next_entry().ok()??;
        let is_sparse = is_sparse(&stored);
        let map = if is_sparse { Some(untar.map(&stored).ok()?) } else { None };
        let mut content = Vec::new();
        let mut take_piece = |piece: &[u8]| {
            content.extend_from_slice(piece);
            Ok::<(), untar::UntarError>(())
        };
        untar.copy(&stored, &mut take_piece).ok()?;
        let mut digester = Digester::of_line(&take.entry, is_sparse)?;
        digester.update(map.as_deref().unwrap_or_default());
        digester.update(&content);
        (Some(digester.finish()) == Some(take.entry.digest())).then_some(())?;
        let extras = Extras::of(&stored).ok().filter(|extras| extras.all_of(&take.entry));
        let extras = self.without_foreign_names(extras.unwrap_or_default());
        Some((extras, stored.stored, map, content))
    }

    /// The content in its block, which is read once more: what came before could not be kept.
    fn find_again(&mut self, take: &Take) -> Option<(Take, untar::TarEntry)> {
        self.find_spare(&Take { spare: Some(take.from.block), ..take.clone() })
    }

    /// Writes a file whose content is a delta.
    fn patch(&mut self, take: &Take) -> anyhow::Result<()> {
        let entry = &take.entry;
        let delta = || self.source.name_as(take.from.block, true);
        let opened = PatchedFile::open(&self.source, take.from.block, &take.under, entry);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if is_locked(&error) => return Err(error),
            Err(error) => {
                let delta = delta();
                self.lose(entry, format_args!("delta {delta}: {}", chain(&error)));
                return Ok(());
            }
        };
        let map = file.map.take();
        let sparse = map.as_ref().map(|map| (&map[..], file.stored));
        self.sink.begin(entry, &Extras::default(), sparse)?;
        let mut digester = Digester::of_line(entry, sparse.is_some());
        if let (Some(digester), Some(map)) = (&mut digester, &map) {
            digester.update(map);
        }
        let sink = &mut self.sink;
        let copied = file.copy(&mut |piece| {
            digester.iter_mut().for_each(|digester| digester.update(piece));
            sink.content(piece)
        })?;
        let came = match copied {
            Ok(()) => self.close(entry, digester),
            Err((from, why)) => {
                self.report.warn(format_args!(
                    "{}: damaged from byte {from} of its data to its end: delta {}: {why}",
                    entry.path,
                    delta()
                ));
                let data = file.stored - map.as_ref().map_or(0, |map| map.len() as u64);
                zeros(data - from, &mut |piece| self.sink.content(piece))?;
                ContentCame::Broken
            }
        };
        self.sink.end(entry, came)
    }

    /// All of a file's content came: whether it is what its line says.
    fn close(&self, entry: &Entry, digester: Option<Digester>) -> ContentCame {
        let found = digester.map(Digester::finish);
        if found.is_none_or(|found| found == entry.digest()) {
            return ContentCame::Whole;
        }
        self.report.warn(format_args!(
            "{}: its content does not match the sha256 in its index line",
            entry.path
        ));
        ContentCame::Other
    }

    /// The lane of older blocks, behind those of the plan.
    fn spare_lane(&self) -> usize {
        self.source.bands.len() * LANES
    }

    /// The same content in an older block.
    fn find_spare(&mut self, take: &Take) -> Option<(Take, untar::TarEntry)> {
        let (block, lane) = (take.spare?, self.spare_lane());
        if self.spares.is_none() {
            let from = BlockTicket { lane: 0, ticket: 0, block, is_delta: false };
            let blocks = Blocks::new(&self.source, 1).ok()?;
            self.spares = Some((blocks, from, take.under.clone()));
        }
        let (blocks, from, last) = self.spares.as_mut()?;
        let mut feed = None;
        // A block is read from its beginning to its end.
        let is_behind = take.under <= std::mem::replace(last, take.under.clone());
        if from.ticket == 0 || from.block != block || is_behind {
            *from = BlockTicket { ticket: from.ticket + 1, block, ..*from };
            feed = blocks.open(*from);
        }
        let from = BlockTicket { lane, ..*from };
        feed.into_iter().for_each(|feed| self.handle_lane(lane, feed));
        let spare = Take { from, spare: None, ..take.clone() };
        let found = self.lanes.get_mut(lane)?.as_mut()?.find(&spare).ok()?;
        Some((spare, found))
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
            "{}: {} metadata only{without}: block {block}: {why}",
            entry.path,
            S::DONE
        ));
        self.make(entry)
    }

    /// Writes an entry from its line alone.
    fn make(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.sink.begin(entry, &Extras::default(), None)?;
        self.sink.end(entry, ContentCame::Whole)
    }

    /// Writes an entry whose content is in memory.
    fn put_whole(
        &mut self,
        entry: &Entry,
        extras: &Extras,
        sparse: Option<(&[u8], u64)>,
        content: &[u8],
    ) -> anyhow::Result<()> {
        self.sink.begin(entry, extras, sparse)?;
        self.sink.content(content)?;
        self.sink.end(entry, ContentCame::Whole)
    }

    /// Leaves out the names of owners that have another number here.
    fn without_foreign_names(&self, mut extras: Extras) -> Extras {
        if let Some(users) = &self.users {
            extras.uname.take_if(|(name, uid)| users.user_differs(name, *uid));
            extras.gname.take_if(|(name, gid)| users.group_differs(name, *gid));
        }
        extras
    }

    fn write(&mut self, take: &Take, stored: &untar::TarEntry) -> anyhow::Result<()> {
        let entry = &take.entry;
        let lane = self.lanes[take.from.lane].as_mut().context("the lane is gone")?;
        let map = match lane.map(stored, entry.size.unwrap_or(0)) {
            Ok(map) => map,
            Err(why) => return self.make_lost(take, &why),
        };
        let unsure = lane.unsure();
        let is_spare = take.from.lane == self.spare_lane() && entry.within != Some(take.from.block);
        let extras = match Extras::of(stored) {
            // Those of another time, or changed by nobody knows whom.
            _ if unsure.is_some() || is_spare => Extras::default(),
            Ok(extras) if extras.all_of(entry) => extras,
            other => {
                let block = self.source.name(take.from.block);
                self.report.warn(format_args!(
                    "{}: its attributes in block {block} do not agree with its index line: left out",
                    entry.path
                ));
                other.unwrap_or_default()
            }
        };
        let extras = self.without_foreign_names(extras);
        let sparse = map.as_ref().map(|map| (&map[..], stored.stored));
        if let Some(why) = unsure {
            let content = self.checked(take, stored, map.as_deref().unwrap_or_default());
            let Some(content) = content else { return self.make_lost(take, &why) };
            if self.unsure.insert((take.from.lane, take.from.ticket)) {
                let block = self.source.name(take.from.block);
                self.report.warn(format_args!(
                    "block {block}: {why}: files that have the sha256 of their index lines are {}, without extended attributes",
                    S::DONE
                ));
            }
            return self.put_whole(entry, &extras, sparse, &content);
        }
        self.sink.begin(entry, &extras, sparse)?;
        let mut came = ContentCame::Whole;
        if entry.kind == Kind::File {
            let map = map.unwrap_or_default();
            self.keeping = take.keep.then(|| [&stored.headers[..], &map].concat());
            came = self.content(take, stored, &map)?;
            if let Some(mut tar) = self.keeping.take() {
                tar.resize(tar.len() + padding(tar.len() as u64), 0);
                if let Err(error) = self.kept.put(take.from.block, &take.under, &tar) {
                    self.report.note(format_args!(
                        "cannot keep what several files have in common: {}: reading blocks again \
                         (--spool DIR)",
                        why(&error)
                    ));
                }
            }
        }
        self.sink.end(entry, came)
    }

    /// The content of an entry, of a sparse file what is stored behind its map, if that is what its
    /// line says; none of a file that is too large to wait for its end.
    fn checked(&mut self, take: &Take, stored: &untar::TarEntry, map: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let is_small = take.entry.kind == Kind::File && stored.stored <= CHECKED;
        let mut digester =
            Digester::of_line(&take.entry, is_sparse(stored)).filter(|_| is_small)?;
        digester.update(map);
        let lane = self.lanes[take.from.lane].as_mut()?;
        let copied = lane.copy(stored, &mut |piece| {
            content.extend_from_slice(piece);
            Ok::<(), std::convert::Infallible>(())
        });
        digester.update(&content);
        let is_whole = matches!(copied, Ok(Copied::Whole));
        (is_whole && Some(digester.finish()) == Some(take.entry.digest())).then_some(content)
    }

    /// Copies the content, of a sparse file what is stored behind its map.
    fn content(
        &mut self,
        take: &Take,
        stored: &untar::TarEntry,
        map: &[u8],
    ) -> anyhow::Result<ContentCame> {
        let entry = &take.entry;
        let mut digester = Digester::of_line(entry, is_sparse(stored));
        if let Some(digester) = digester.as_mut().filter(|_| !map.is_empty()) {
            digester.update(map);
        }
        let len = stored.stored - map.len() as u64;
        let lane =
            self.lanes[take.from.lane].as_mut().ok_or_else(|| anyhow!("the lane is gone"))?;
        let (sink, keeping) = (&mut self.sink, &mut self.keeping);
        let copied = lane.copy(stored, &mut |piece| {
            if let Some(keeping) = keeping {
                keeping.extend_from_slice(piece);
            }
            if let Some(digester) = &mut digester {
                digester.update(piece);
            }
            sink.content(piece)
        })?;
        Ok(match copied {
            Copied::Whole => self.close(entry, digester),
            Copied::Broken(from, to, why) => {
                self.keeping = None;
                // The header has promised so many bytes: zeros stand for those that are lost.
                let block = self.source.name(take.from.block);
                let to = match to == len {
                    true => "to its end".to_owned(),
                    false => format!("to {to}"),
                };
                self.report.warn(format_args!(
                    "{}: damaged from byte {from} of the stored content {to}: block {block}: {why}",
                    entry.path
                ));
                ContentCame::Broken
            }
        })
    }
}
