//! `dura-prune`: removes bands that nothing needs. The only program that removes.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use crate::archive::expected::Expected;
use crate::archive::named::ArchiveName;
use crate::archive::reading::Reach;
use crate::archive::stores::open_store_to_remove;
use crate::archive::version::{must_exist, no_band};
use crate::archive::{Archive, side_by_side};
use crate::core::chain::choice::Mask;
use crate::core::prune::{Decision, FolderRow, FolderStanding, PrunePlan, Stays, decide};
use crate::core::verify::presence::{Presence, presence, shows_a_band};
use crate::format::band::BandName;
use crate::format::object::ObjectName;
use crate::ops::CANNOT_WRITE;
use crate::report::message::{Hinted, Report};
use crate::report::units::{self, human};

mod hidden;
mod overdue;
pub(crate) mod removal;
mod whole;

use hidden::Hiding;
use overdue::remove_overdue;
use removal::{Removed, Remover};

/// What is removed, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// The bands that are to go.
    pub bands: BTreeSet<BandName>,
    /// Write the names of the bands that would go, and remove nothing.
    pub dry_run: bool,
    /// Remove nothing unless this band is there and complete.
    pub expect: Option<String>,
    /// Hide bands, and remove them after so many days.
    pub hide: Option<u32>,
    /// How many calls are under way at the same time.
    pub jobs: usize,
    /// How patient the store is asked.
    pub reach: Reach,
}

/// How many calls are under way at the same time, unless another number is asked for.
pub const AT_ONCE: usize = 32;

/// More of standard input is no list of bands.
const MAX_NAMES: u64 = 16 << 20;

/// Removes the named bands that nothing needs; or writes their names to `out`. Gives how many these
/// are.
///
/// # Errors
/// What keeps it from beginning; a band that stays is reported, and makes the status 2.
pub fn run(options: Options, out: &mut dyn Write, report: &Arc<Report>) -> anyhow::Result<u64> {
    must_exist(&options.archive)?;
    let hiding = options.hide.map(|days| Hiding::new(&options.archive, days)).transpose()?;
    if options.bands.is_empty() && hiding.is_none() {
        report.verbose("no band was named");
        return Ok(0);
    }
    let (store, from) = open_store_to_remove(&options.archive, &options.reach, report)?;
    let remover = Remover { store, from, jobs: options.jobs, hiding };
    let list: Option<&mut dyn Write> = if options.dry_run { Some(out) } else { None };
    let wish = PruneWish { named: &options.bands, expect: options.expect.as_deref(), list };
    let count = prune(&options.archive, wish, &remover, report)?;
    if let Some(hiding) = remover.hiding.as_ref().filter(|_| !options.dry_run) {
        remove_overdue(hiding, options.jobs, &options.reach, report);
    }
    Ok(count)
}

/// What is asked for.
pub(crate) struct PruneWish<'a> {
    /// The bands that are to go.
    pub named: &'a BTreeSet<BandName>,
    /// `--expect`
    pub expect: Option<&'a str>,
    /// `--dry-run`: where the names of the bands that would go are written, instead.
    pub list: Option<&'a mut dyn Write>,
}

/// Removes the bands that are named and not needed. Gives how many.
pub(crate) fn prune(
    shown: &ArchiveName,
    wish: PruneWish<'_>,
    remover: &Remover,
    report: &Report,
) -> anyhow::Result<u64> {
    // What is there is decided from the archive alone, never from a cache.
    let archive = Archive::over(remover.store.clone(), None);
    let rows = rows(&archive, report)?;
    if rows.iter().all(|row| row.standing == FolderStanding::Nothing) {
        let hint = "check that this is the right archive, and that all of it can be reached";
        return Err(Hinted::wrap(no_band(shown, "the archive has no band"), hint));
    }
    if let Some(expected) = wish.expect {
        must_be_there(&archive, expected)?;
    }
    let plan = plan(&archive, rows, wish.named)?;
    for name in &plan.absent {
        if archive.store().stat(&format!("{name}/HEAD"))?.is_some() {
            bail!("{name}: exists, but the listing of the archive lacks it: removing nothing");
        }
        report.warn(format_args!("{name}: does not exist"));
    }
    for (name, why) in &plan.stay {
        report.fail("", stays(name, why));
    }
    if let Some(list) = wish.list {
        for name in &plan.go {
            writeln!(list, "{name}").context(CANNOT_WRITE)?;
        }
        return Ok(plan.go.len() as u64);
    }
    Ok(remove(&plan.go, remover, report))
}

/// Removes bands, each before those that it stands on.
fn remove(bands: &[BandName], remover: &Remover, report: &Report) -> u64 {
    let going: BTreeSet<&BandName> = bands.iter().collect();
    let mut needed: BTreeSet<BandName> = BTreeSet::new();
    let mut sum = Removed::default();
    let mut count = 0;
    let done = if remover.hiding.is_some() { "hid" } else { "removed" };
    for name in bands {
        if needed.contains(name) {
            let why = "a band that is based on it could not be removed";
            report.fail("", anyhow!("{name}: kept: {why}"));
            continue;
        }
        match remover.remove(name, &going) {
            Ok(outcome) => {
                let (gone, size) = (outcome.objects, human(outcome.bytes));
                report.verbose(format_args!("{name}: {done} {gone} objects, {size}"));
                for stray in &outcome.strays {
                    report.note(format_args!("{stray}: not written by Dura: left where it is"));
                }
                count += 1;
                sum.objects += outcome.objects;
                sum.bytes += outcome.bytes;
            }
            Err(error) => {
                report.fail("", error.context(format!("{name}: cannot be removed")));
                needed.extend(name.chain());
            }
        }
    }
    if let Some(hiding) = remover.hiding.as_ref().filter(|_| count > 0) {
        hiding.tell(report);
    }
    report.done(format_args!(
        "{done} {}, {}, {}",
        units::count(count, "band"),
        units::count(sum.objects, "object"),
        human(sum.bytes)
    ));
    count
}

/// Reads the names of bands, one a line, as another program writes them.
///
/// # Errors
/// If they cannot be read, or are none.
pub fn names(input: impl BufRead) -> anyhow::Result<BTreeSet<BandName>> {
    let mut names = BTreeSet::new();
    let mut read = 0;
    for line in input.take(MAX_NAMES).lines() {
        let line = line.context("cannot read the names of bands")?;
        read += line.len() as u64 + 1;
        if read >= MAX_NAMES {
            bail!("standard input: too long for a list of bands");
        }
        if !line.trim().is_empty() {
            names.insert(line.trim().parse().context("standard input")?);
        }
    }
    Ok(names)
}

/// Fails unless a band is there, and complete.
fn must_be_there(archive: &Archive, expected: &str) -> anyhow::Result<()> {
    match archive.expected(expected)? {
        Expected::There => Ok(()),
        Expected::Unfinished(name) => {
            bail!("{name}: expected, but not complete: removing nothing")
        }
        Expected::Gone(name) => bail!("{name}: expected, but missing: removing nothing"),
        Expected::Unclear(why) => bail!("--expect {expected}: {why}: removing nothing"),
    }
}

/// Looks at all bands of the archive.
fn rows(archive: &Archive, report: &Report) -> anyhow::Result<Vec<FolderRow>> {
    let names = archive.names()?;
    let mut rows = Vec::new();
    for names in names.chunks(AT_ONCE) {
        rows.extend(side_by_side(names, |name| row(archive, name))?);
    }
    for row in rows.iter().filter(|row| row.standing == FolderStanding::Nothing) {
        let name = &row.name;
        report.verbose(format_args!("{name}: holds no band; name it to remove what is left"));
    }
    Ok(rows)
}

/// What a folder counts for. Whatever cannot be told makes the whole run fail: it could be a band
/// that needs others.
fn row(archive: &Archive, name: &BandName) -> anyhow::Result<FolderRow> {
    let row = |standing| FolderRow {
        name: name.clone(),
        standing,
        source: None,
        signed: false,
        whole: None,
    };
    let ends = archive.state(name, false)?;
    let Some(head) = ends.head.filter(|_| ends.foreign.is_none()) else {
        let objects = archive.objects(name)?;
        let names: Vec<&ObjectName> = objects.iter().map(|(name, _)| name).collect();
        let inside = || names.iter().any(|name| shows_a_band(name));
        return Ok(row(match presence(names.iter().copied(), inside) {
            Presence::NoBand => FolderStanding::Nothing,
            Presence::LostBoth | Presence::Band => FolderStanding::Other,
        }));
    };
    let is_version =
        ends.tail.is_some() && archive.has_mask(&head, ends.tail.is_some()) == Mask::Whole;
    Ok(FolderRow {
        source: head.source_id,
        signed: archive.store().stat(&format!("{name}/TAIL.sig"))?.is_some(),
        ..row(if is_version { FolderStanding::Version } else { FolderStanding::Other })
    })
}

/// Decides what goes, and looks for that at as many versions as it takes.
fn plan(
    archive: &Archive,
    mut rows: Vec<FolderRow>,
    named: &BTreeSet<BandName>,
) -> anyhow::Result<PrunePlan> {
    loop {
        let ask = match decide(&rows, named) {
            Decision::Plan(plan) => return Ok(plan),
            Decision::Ask(ask) => ask,
        };
        let is_whole = whole::is_whole(archive, &ask)?;
        if let Some(row) = rows.iter_mut().find(|row| row.name == ask) {
            row.whole = Some(is_whole);
        }
    }
}

/// Why a band stays, and what helps.
fn stays(name: &BandName, why: &Stays) -> anyhow::Error {
    match why {
        Stays::NeededBy(band) => anyhow!("{name}: kept: {band} is based on it"),
        Stays::Last => Hinted::wrap(
            anyhow!("{name}: kept: no other complete version of its source would be left"),
            "remove the whole archive by hand if this is intended",
        ),
        Stays::NoneWhole(newest) => Hinted::wrap(
            anyhow!(
                "{name}: kept: objects of the version that would replace it are missing: {newest}"
            ),
            "list what is missing with dura-verify --quick ARCHIVE; make another backup, then prune",
        ),
        Stays::NoneSigned => Hinted::wrap(
            anyhow!("{name}: kept: it is signed, and no other signed version would be left"),
            "make a signed backup first",
        ),
    }
}
