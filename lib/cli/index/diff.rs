//! `dura-index diff`: of a scan's listing, what a new band must record.

use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::Args;

use super::super::archive::kind::is_locked;
use super::super::archive::version::{Holds, Version};
use super::super::archive::{Archive, Band, side_by_side};
use super::super::caching;
use super::super::message::{Hinted, Report, why};
use super::super::vouching::{self, Vouching};
use super::gate::{Gate, address};
use super::own::OwnArchive;
use super::{CANNOT_WRITE, Reading};
use crate::core::chain::ancestors::continuation;
use crate::core::chain::choice::{Known, Target, Wish, WishError, find, target};
use crate::core::diff::{Config, Diff, Effect, Opening, Summary};
use crate::core::merge::Placed;
use crate::edge::pipe::{self, Out};
use crate::format::counted::CountedBlocks;
use crate::format::head::{Head, Parent};
use crate::format::listing::{Header, Line, Reader, VERSION};
use crate::format::path::Path;

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub(in super::super) struct DiffArgs {
    /// The archive: a directory; one that is not there yet is an empty one
    #[arg(value_name = "ARCHIVE")]
    archive: String,
    /// Build on the newest band of a tier below N, as dump(8) does; 0 makes a full band
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    tier: Option<u8>,
    /// Build on this band, which may be shortened
    #[arg(long, value_name = "BAND")]
    parent: Option<String>,
    /// Make a full band
    #[arg(long, conflicts_with_all = ["tier", "parent"])]
    full: bool,
    /// Begin a new band though the newest is unfinished
    #[arg(long)]
    no_resume: bool,
    /// Fail if the archive holds no band
    #[arg(long)]
    must_exist: bool,
}

/// What the run is to write, and what it compares with.
struct Course {
    opening: Opening,
    config: Config,
    /// The chain whose version the scan is compared with; empty for none.
    chain: Vec<Band>,
    holds: Vec<Holds>,
    /// Of a continued band: its HEAD.
    head: Option<Head>,
}

pub(super) fn run(args: &DiffArgs, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<()> {
    let scan = Reader::new(pipe::stdin()?);
    compare(
        args,
        scan,
        || {
            let (named, none) = (reading.cache.as_deref(), reading.no_cache);
            let cache = caching::to_write(named, none, report)?;
            let journal = vouching::journal(named, none, report)?;
            let vouching = journal.map(|journal| Arc::new(Vouching::new(journal, cache.clone())));
            if vouching.is_none() {
                report.note("without a journal, whatever the archive holds is built on");
            }
            let archive =
                Archive::open(&args.archive, cache, &reading.reach, report)?.vouched_by(vouching);
            archive.unlocked(&reading.unlocking, report)
        },
        pipe::stdout()?,
        report,
    )
}

/// Lets through of a scan what a new band in the archive must record.
pub(in super::super) fn compare(
    args: &DiffArgs,
    mut scan: Reader<impl BufRead>,
    archive: impl FnOnce() -> anyhow::Result<Archive>,
    mut out: Out,
    report: &Arc<Report>,
) -> anyhow::Result<()> {
    // Nothing is asked of the archive before the scan has begun.
    let (headers, first) = begin(&mut scan)?;
    let archive = Arc::new(archive()?);
    let course = decide(&archive, args, report)?;
    if let Some(vouching) = archive.vouching().filter(|_| !course.config.full) {
        vouching.tell(report);
    }

    let mut version = Version::with(&archive, &course.chain, course.holds, report)?.exact();
    // The header lines of the version come with its first entry.
    let full = course.config.full;
    let mut known = next_known(&mut version, full)?;
    if args.parent.is_none() && !args.full {
        same_source(&headers, version.headers())?;
    }
    let mut buffer = Vec::new();
    for header in [Header::Mtree, Header::Version(VERSION)]
        .iter()
        .chain(&headers)
        .chain(&course.opening.headers())
    {
        writeln!(buffer, "{header}")?;
    }
    if let Some(head) = course.head {
        writeln!(
            buffer,
            "{}\n{}",
            Header::Compression(head.compression),
            Header::Head(head.to_string().into_bytes())
        )?;
    }
    let mut diff = Diff::new(course.config);
    headers.iter().for_each(|header| diff.handle_header(header));
    let mut own = OwnArchive::find(&args.archive, &headers)?;
    let mut next = first;
    let mut started = false;
    while let Some(effect) = diff.poll() {
        match effect {
            Effect::WantScan => {
                let line = match next.take() {
                    Some(line) => line,
                    None => next_line(&mut scan)?,
                };
                match line {
                    Line::End(end) => {
                        // Nothing may follow it.
                        scan.next_line()?;
                        diff.handle_scan_end(own.count(end));
                    }
                    Line::Entry(entry) => {
                        own.leave_out(entry, report).into_iter().for_each(|it| diff.handle_scan(it))
                    }
                    Line::Header(_) => {}
                }
            }
            Effect::WantVersion => {
                let placed = if started { next_known(&mut version, full)? } else { known.take() };
                started = true;
                match placed {
                    Some(Ok(placed)) => diff.handle_version(placed),
                    Some(Err(orphan)) => diff.handle_orphan(orphan),
                    None => diff.handle_version_end(),
                }
            }
            Effect::Record(entry) => {
                entry.write(&mut buffer);
                if buffer.len() > 64 << 10 {
                    out.write_all(&buffer).context(CANNOT_WRITE)?;
                    buffer.clear();
                }
            }
            Effect::LeftOut(path) => {
                report.warn(format_args!(
                    "{path}: not a directory in what the band has so far: left out with all below it; the next run gets it"
                ));
            }
        }
    }
    let summary = diff.finish()?;
    writeln!(buffer, "{}", summary.end)?;
    out.write_all(&buffer).context(CANNOT_WRITE)?;
    out.finish().context(CANNOT_WRITE)?;
    if let Some(vouching) = archive.vouching()
        && let Err(error) = vouching.finish(&address(&args.archive))
    {
        report.note(format_args!("cannot write the journal: {}", why(&error)));
    }
    tell(&summary, report);
    Ok(())
}

/// The version's next entry. For a full band it only serves to tell what is dropped, and ends where
/// it cannot be read.
fn next_known(version: &mut Version, full: bool) -> anyhow::Result<Option<Result<Placed, Placed>>> {
    match version.next_placed() {
        Err(_) if full => Ok(None),
        other => other.map_err(or_full),
    }
}

/// A parent that cannot be read for want of a key is no reason to have no backup.
fn or_full(error: anyhow::Error) -> anyhow::Error {
    if !is_locked(&error) {
        return error;
    }
    let hint = "give the --cache that was used when it was made, or the secret key to gpg; or make a full band: --no-resume --full";
    Hinted::wrap(anyhow!("{error:#}"), hint)
}

fn tell(summary: &Summary, report: &Report) {
    let Summary { new, changed, touched, deleted, dropped, left_out, .. } = *summary;
    report.verbose(format_args!(
        "{new} new, {changed} changed ({touched} of them probably only in time, mode or owner), {deleted} deleted"
    ));
    if dropped > 0 {
        report.note(format_args!(
            "this full band drops {dropped} entries that are excluded or unreadable now"
        ));
    }
    let counts = [
        ("new", new),
        ("changed", changed),
        ("deleted", deleted),
        ("dropped", dropped),
        ("left_out", left_out),
    ];
    report.events().emit("compared", &counts.map(|(key, count)| (key, count.into())));
}

/// The scan's header lines, and its first line that is none.
fn begin(scan: &mut Reader<impl BufRead>) -> anyhow::Result<(Vec<Header>, Option<Line>)> {
    let mut headers = Vec::new();
    loop {
        match next_line(scan)? {
            Line::Header(
                Header::Mtree | Header::Version(_) | Header::Comment | Header::Socket(_),
            ) => {}
            Line::Header(header @ (Header::Source(..) | Header::Partial | Header::Mask(_))) => {
                headers.push(header)
            }
            Line::Header(header) => bail!(
                "the listing has a `{header}` line already: use dura-index diff once in a pipe"
            ),
            line => return Ok((headers, Some(line))),
        }
    }
}

fn next_line(scan: &mut Reader<impl BufRead>) -> anyhow::Result<Line> {
    scan.next_line()?.ok_or_else(|| anyhow!("the listing has no end"))
}

/// Refuses to lay a tree over another: all that the other has would count as deleted.
fn same_source(scan: &[Header], parent: &[Header]) -> anyhow::Result<()> {
    let source = |headers: &[Header]| {
        headers.iter().find(|header| matches!(header, Header::Source(..))).cloned()
    };
    match (source(scan), source(parent)) {
        (Some(own), Some(other)) if own != other => {
            let text =
                |header: &Header| header.to_string().trim_start_matches("#source ").to_owned();
            let hint = "use an archive for each tree; or --parent BAND if it is the same tree in another place; or --full";
            Err(Hinted::wrap(
                anyhow!(
                    "the listing is of {}, but the archive's newest band is of {}",
                    text(&own),
                    text(&other)
                ),
                hint,
            ))
        }
        _ => Ok(()),
    }
}

fn decide(archive: &Archive, args: &DiffArgs, report: &Report) -> anyhow::Result<Course> {
    let (mut bands, _) = archive.known(args.tier.is_none() && args.parent.is_none())?;
    if bands.is_empty() {
        may_be_empty(archive, args)?;
    }
    let parent = args
        .parent
        .as_deref()
        .map(|text| find(&bands, text).map(|band| band.name.clone()))
        .transpose()?;
    let mut gate = Gate::open(archive, &args.archive, &bands, parent.clone(), report)?;
    let newest = gate.band_after(&bands)?;
    let wish = Wish {
        tier: args.tier,
        parent: parent.as_ref(),
        full: args.full,
        no_resume: args.no_resume,
    };
    loop {
        let target = match target(&bands, &wish) {
            Err(WishError::NoAncestor(band, above)) if gate.passes_over(&band, &above) => {
                bands.retain(|other| other.name != band);
                continue;
            }
            target => target?,
        };
        let candidate = match target {
            Target::Continue(band) => Some(&band.name),
            Target::New { parent, .. } => parent.map(|parent| &parent.name),
        };
        if let Some(name) = candidate
            && !gate.admits(name)?
        {
            let name = name.clone();
            bands.retain(|band| band.name != name);
            continue;
        }
        if candidate.is_none() && !args.full && args.tier != Some(0) {
            gate.nothing_is_left(&args.archive)?;
        }
        let course = match target {
            Target::Continue(band) => Some(resume(archive, band, report)?),
            Target::New { parent: None, .. } => Some(full(archive, &bands, newest)?),
            Target::New { parent: Some(parent), left } => {
                if let Some(left) = left {
                    report.note(format_args!("leaving {} unfinished", left.name));
                }
                let chain = archive.chain(&parent.name)?;
                let holds = side_by_side(&chain, |band| archive.holds(band)).map_err(or_full)?;
                let last = holds.last().and_then(Holds::last);
                match (last, chain.last()) {
                    (Some(last), Some(band)) => {
                        let tier = chain.len() as u8;
                        let parent =
                            Some(Parent { band: band.head.band.clone(), id: band.head.id, last });
                        let counted =
                            holds.last().map(|holds| holds.blocks.clone()).unwrap_or_default();
                        let opening = Opening::New { parent, band_after: newest, counted };
                        Some(Course {
                            opening,
                            config: Config { tier, full: false, after: None },
                            chain,
                            holds,
                            head: None,
                        })
                    }
                    _ => {
                        // Its version is that of its own parent.
                        let useless = parent.name.clone();
                        bands.retain(|band| band.name != useless);
                        None
                    }
                }
            }
        };
        if let Some(course) = course {
            return Ok(course);
        }
    }
}

/// Whether an archive without a band is to get its first one. One that has held bands may only be
/// away: a disk that is not mounted, a listing that is late.
fn may_be_empty(archive: &Archive, args: &DiffArgs) -> anyhow::Result<()> {
    let shown = &args.archive;
    if args.must_exist {
        bail!("{shown}: holds no band, and --must-exist was given");
    }
    let Some(vouching) = archive.vouching() else { return Ok(()) };
    if args.full || !vouching.journal().knows_archive(&address(shown))? {
        return Ok(());
    }
    let hint =
        "is the disk mounted, and the address right? If the archive is to begin again, give --full";
    Err(Hinted::wrap(anyhow!("{shown}: holds no band, but this host has stored some there"), hint))
}

/// A full band; what the newest version has and it will not is counted.
fn full(
    archive: &Archive,
    bands: &[Known],
    newest: Option<crate::format::time::Stamp>,
) -> anyhow::Result<Course> {
    let opening =
        Opening::New { parent: None, band_after: newest, counted: CountedBlocks::default() };
    let config = Config { tier: 0, full: true, after: None };
    let mut course = Course { opening, config, chain: Vec::new(), holds: Vec::new(), head: None };
    if let Some(band) = crate::core::chain::choice::newest(bands) {
        // Only for a warning: a version that cannot be read costs that, nothing else.
        let read = archive.chain(&band.name).and_then(|chain| {
            let holds = side_by_side(&chain, |band| archive.holds(band))?;
            Ok((chain, holds))
        });
        if let Ok((chain, holds)) = read {
            (course.chain, course.holds) = (chain, holds);
        }
    }
    Ok(course)
}

fn resume(archive: &Archive, band: &Known, report: &Report) -> anyhow::Result<Course> {
    let name = &band.name;
    let chain = archive.chain(name)?;
    let Some((own, below)) = chain.split_last() else { bail!("{name}: has no HEAD") };
    let (indexes, facts) = archive.indexes(&own.head)?;
    let counted = indexes.of_unfinished();
    let have = facts.have(&counted);
    let blocks = facts.blocks(&counted);
    let unreadable = facts.unreadable.as_ref().map(|(number, _)| *number);
    let continuation = continuation(name, Some(&own.head), &indexes, unreadable, have, blocks.clone()).map_err(|stuck| {
        let error = match facts.unreadable {
            Some((_, why)) => anyhow!("{name} cannot be continued: {why:#}"),
            None => anyhow!("{name} cannot be continued: {stuck}"),
        };
        let hint = "give the --cache that was used when it was begun, or the secret key to gpg; or begin a new band with --no-resume --full";
        Hinted::wrap(error, hint)
    })?;
    // The last index may list nothing but its end.
    let found = facts.found.iter().rev().filter(|index| counted.contains(index.number));
    let after: Option<Path> = found.filter_map(|index| index.last.clone()).next();
    report.note(format_args!(
        "continuing {name} after {}",
        after.as_ref().map_or_else(|| "its beginning".to_owned(), ToString::to_string)
    ));
    let mut holds = side_by_side(below, |band| archive.holds(band)).map_err(or_full)?;
    holds.push(Holds { numbers: counted.counted, lost: counted.lost, blocks });
    let config = Config { tier: below.len() as u8, full: false, after };
    let head = Some(own.head.clone());
    Ok(Course { opening: Opening::Continue(continuation), config, chain, holds, head })
}
