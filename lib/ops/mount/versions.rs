//! The versions of a mounted archive: which there are, and those that were looked into.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::table::{TableRow, VersionTable};
use crate::archive::contents::{ContentShelf, VersionSource, has_content};
use crate::archive::locked::locked;
use crate::archive::named::ArchiveName;
use crate::archive::version::{Version, choose};
use crate::archive::{Archive, BandInChain};
use crate::core::mount::course::ReadingCourse;
use crate::format::band::BandName;
use crate::report::message::Report;

/// The archive is asked for new versions when somebody looks, but not more often than this.
const AGAIN: Duration = Duration::from_secs(1);

/// Entries among which the next block is looked for.
const LOOKED_AT: usize = 5000;

/// A version.
pub(super) struct MountedVersion {
    /// Its band.
    pub band: BandName,
    /// What its directory is called.
    pub name: String,
    archive: Arc<Archive>,
    report: Arc<Report>,
    state: Mutex<VersionState>,
    course: Mutex<ReadingCourse>,
}

#[derive(Default)]
struct VersionState {
    chain: Option<Arc<Vec<BandInChain>>>,
    root: Option<TableRow>,
    table: Option<Arc<VersionTable>>,
    source: Option<Arc<VersionSource>>,
}

impl MountedVersion {
    fn chain(&self, state: &mut VersionState) -> anyhow::Result<Arc<Vec<BandInChain>>> {
        if let Some(chain) = &state.chain {
            return Ok(Arc::clone(chain));
        }
        let chain = Arc::new(self.archive.chain(&self.band)?);
        Ok(Arc::clone(state.chain.insert(chain)))
    }

    /// Its root. Reads only how its indexes begin.
    pub(super) fn root(&self) -> anyhow::Result<TableRow> {
        let mut state = locked(&self.state);
        if let Some(root) = &state.root {
            return Ok(root.clone());
        }
        let chain = self.chain(&mut state)?;
        // What is wrong with it is told when it is read.
        let quiet = Arc::new(Report::silent());
        let mut version = Version::open_with_gaps(&self.archive, &chain, &quiet)?;
        let placed = match version.next_placed()? {
            Some(Ok(placed)) if placed.entry.path.is_root() => placed,
            _ => anyhow::bail!("its root is not known"),
        };
        let root = TableRow { placed, inode: 0 };
        state.root = Some(root.clone());
        Ok(root)
    }

    /// All its entries. Reads its indexes when they are first wanted.
    pub(super) fn table(&self) -> anyhow::Result<Arc<VersionTable>> {
        let mut state = locked(&self.state);
        if let Some(table) = &state.table {
            return Ok(Arc::clone(table));
        }
        let chain = self.chain(&mut state)?;
        let table = Arc::new(VersionTable::read(&self.archive, &chain, &self.report)?);
        let count = table.tree.len();
        self.report.verbose(format_args!("{}: {count} entries", self.name));
        state.root = Some(table.row(0)?.context("its root is not known")?);
        Ok(Arc::clone(state.table.insert(table)))
    }

    /// A file is read: begins to unpack the next block if files are read one after another, and
    /// this is the first one of its own.
    pub(super) fn read_ahead(&self, row: &TableRow, shelf: &ContentShelf) -> anyhow::Result<()> {
        let at = row.placed.data();
        if !locked(&self.course).handle_file(row.inode, at) {
            return Ok(());
        }
        let (table, source) = (self.table()?, self.source(shelf)?);
        for ordinal in (row.inode + 1..).take(LOOKED_AT) {
            let Some(next) = table.row(ordinal)? else { break };
            if has_content(&next.placed.entry) && next.placed.data() != at {
                shelf.begin(&source, &next.placed);
                break;
            }
        }
        Ok(())
    }

    /// Where the content of its files comes from.
    pub(super) fn source(&self, shelf: &ContentShelf) -> anyhow::Result<Arc<VersionSource>> {
        let mut state = locked(&self.state);
        if let Some(source) = &state.source {
            return Ok(Arc::clone(source));
        }
        let chain = self.chain(&mut state)?;
        let source = Arc::new(shelf.source(&self.archive, &chain));
        Ok(Arc::clone(state.source.insert(source)))
    }
}

/// What is known of the archive's versions. Each keeps its number as long as the mount is there.
pub(super) struct MountedVersions {
    archive: Arc<Archive>,
    shown: ArchiveName,
    report: Arc<Report>,
    state: Mutex<VersionsState>,
}

#[derive(Default)]
struct VersionsState {
    all: Vec<Arc<MountedVersion>>,
    by_band: HashMap<BandName, usize>,
    /// Those that the archive still has.
    there: HashSet<usize>,
    latest: Option<usize>,
    /// When the archive was asked last, if all went well.
    asked: Option<Instant>,
}

impl MountedVersions {
    /// Those of an archive, of which the newest is asked for at once.
    pub(super) fn new(
        archive: Arc<Archive>,
        shown: ArchiveName,
        report: &Arc<Report>,
    ) -> anyhow::Result<MountedVersions> {
        let versions =
            MountedVersions { archive, shown, report: Arc::clone(report), state: Mutex::default() };
        let latest = choose(&versions.archive, &versions.shown, None, None, report)?;
        let mut state = locked(&versions.state);
        let latest = versions.add(&mut state, latest)?;
        state.latest = Some(latest);
        state.there.insert(latest);
        drop(state);
        Ok(versions)
    }

    /// Takes up a band; gives its number.
    fn add(&self, state: &mut VersionsState, band: BandName) -> anyhow::Result<usize> {
        if let Some(known) = state.by_band.get(&band) {
            return Ok(*known);
        }
        let head = self.archive.ends(&band)?.0.with_context(|| format!("{band}/HEAD: missing"))?;
        let time = head.as_of.unwrap_or(head.started).to_rfc3339();
        // Of two with one time each has a name of its own.
        let is_taken = state.all.iter().any(|version| version.name == time);
        let name = if is_taken { format!("{time},{band}") } else { time };
        let number = state.all.len();
        state.all.push(Arc::new(MountedVersion {
            band: band.clone(),
            name,
            archive: Arc::clone(&self.archive),
            report: Arc::clone(&self.report),
            state: Mutex::default(),
            course: Mutex::default(),
        }));
        state.by_band.insert(band, number);
        Ok(number)
    }

    /// Asks the archive what it has, unless it was asked just now.
    fn refresh(&self, state: &mut VersionsState) -> anyhow::Result<()> {
        if state.asked.is_some_and(|asked| asked.elapsed() < AGAIN) {
            return Ok(());
        }
        let names = self.archive.names()?;
        let mut there = HashSet::new();
        let mut is_new = state.asked.is_none();
        for band in names {
            if let Some(known) = state.by_band.get(&band) {
                there.insert(*known);
                continue;
            }
            // It may have been unfinished when it was looked at last.
            self.archive.forget(&band);
            match self.archive.ends(&band) {
                Ok((Some(_), Some(_))) => {
                    there.insert(self.add(state, band)?);
                    is_new = true;
                }
                Ok(_) => {}
                Err(error) => self.report.warn(format_args!("{band}: cannot be read: {error:#}")),
            }
        }
        is_new |= state.latest.is_some_and(|latest| !there.contains(&latest));
        state.there = there;
        if is_new {
            let quiet = Report::silent();
            let latest = choose(&self.archive, &self.shown, None, None, &quiet)?;
            let latest = self.add(state, latest)?;
            state.latest = Some(latest);
        }
        state.asked = Some(Instant::now());
        Ok(())
    }

    /// A version by its number; none if there is no such one.
    pub(super) fn get(&self, number: usize) -> Option<Arc<MountedVersion>> {
        locked(&self.state).all.get(number).cloned()
    }

    /// The newest.
    pub(super) fn latest(&self) -> anyhow::Result<Option<(usize, Arc<MountedVersion>)>> {
        let mut state = locked(&self.state);
        // At the start it was found out just now.
        if state.asked.is_some() {
            self.refresh(&mut state)?;
        }
        Ok(state.latest.and_then(|latest| Some((latest, Arc::clone(state.all.get(latest)?)))))
    }

    /// The version with this name; none if there is none.
    pub(super) fn named(&self, name: &[u8]) -> anyhow::Result<Option<usize>> {
        let mut state = locked(&self.state);
        let find = |state: &VersionsState| {
            let is_it = |version: &Arc<MountedVersion>| version.name.as_bytes() == name;
            state.all.iter().position(is_it).filter(|number| state.there.contains(number))
        };
        if let Some(known) = find(&state) {
            return Ok(Some(known));
        }
        self.refresh(&mut state)?;
        Ok(find(&state))
    }

    /// All complete ones, with their numbers.
    pub(super) fn list(&self) -> anyhow::Result<Vec<(usize, Arc<MountedVersion>)>> {
        let mut state = locked(&self.state);
        self.refresh(&mut state)?;
        let all = state.all.iter().enumerate();
        let there = all.filter(|(number, _)| state.there.contains(number));
        Ok(there.map(|(number, version)| (number, Arc::clone(version))).collect())
    }
}
