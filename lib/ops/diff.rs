//! Of a scan's listing, what a new band must record.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use crate::archive::awaited::Awaited;
use crate::archive::blocks::BlockSource;
use crate::archive::caching;
use crate::archive::kind::is_locked;
use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::version::Version;
use crate::archive::vouching::{self, Vouching};
use crate::archive::{Archive, BandInChain};
use crate::core::chain::calendar::TierRule;
use crate::core::chain::choice::Mask;
use crate::core::diff::{
    Deletions, Diff, DiffSummary, Distrust, Effect, MaxChanged, MaxDeleted, count,
};
use crate::core::merge::Placed;
use crate::format::band::BandName;
use crate::format::head::Parent;
use crate::format::listing::{Have, Header, Line, ListingReader, VERSION};
use crate::ops::CANNOT_WRITE;
use crate::report::message::{Hinted, Report, why};
use course::{Course, decide, deletions};
use own::OwnArchive;
use scan::Scan;

mod course;
mod cut;
mod gate;
mod own;
mod scan;

/// Which band is written, and on which it builds.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// What to build on where no band is given.
    pub tier: TierRule,
    /// The band to build on, perhaps shortened; `latest` is the newest.
    pub parent: Option<String>,
    /// Make a full band.
    pub full: bool,
    /// Start a new band even though the newest is unfinished.
    pub no_resume: bool,
    /// Fail if the archive does not hold a band yet.
    pub must_exist: bool,
    /// How many entries may be deleted.
    pub max_deleted: Option<MaxDeleted>,
    /// How many may change or go until it is told.
    pub max_changed: Option<MaxChanged>,
    /// A file with findings of verify: what they name is stored anew.
    pub distrust: Option<PathBuf>,
}

impl Options {
    /// Those of a run that nothing else is asked of.
    pub fn of(archive: ArchiveName) -> Options {
        Options {
            archive,
            tier: TierRule::default(),
            parent: None,
            full: false,
            no_resume: false,
            must_exist: false,
            max_deleted: None,
            max_changed: None,
            distrust: None,
        }
    }
}

/// Reads a scan's listing, and writes what a new band must record of it. Gives what was found.
///
/// # Errors
/// What keeps it from knowing, an archive that nothing vouches for, and too many deletions.
pub fn run(
    options: &Options,
    reading: &ReadOptions,
    scan: impl BufRead,
    out: &mut dyn Write,
    report: &Arc<Report>,
) -> anyhow::Result<DiffSummary> {
    compare(
        options,
        ListingReader::new(scan),
        || {
            let (named, none) = (reading.cache.as_deref(), reading.no_cache);
            let cache = caching::to_write(named, none, report)?;
            let journal = vouching::journal(named, none, report)?;
            // Who begins again asks for nothing that was there.
            let expected =
                if options.full { Awaited::default() } else { reading.expected(&options.archive) };
            let archive =
                Archive::open(&options.archive, cache.clone(), &reading.reach, expected, report)?;
            let (archive, signed) = archive.attested(&reading.signed_by)?;
            let vouching = Vouching::new(journal, cache, signed).map(Arc::new);
            if vouching.is_none() {
                report.note("without a journal: building on whatever the archive holds");
            }
            let archive = archive.vouched_by(vouching).unlocked(&reading.unlocking, report)?;
            archive.expect(reading.expect.as_deref(), report)?;
            Ok(archive)
        },
        out,
        report,
    )
}

/// Reads findings of verify.
fn distrust(file: &Path, chain: &[BandInChain], report: &Report) -> anyhow::Result<Distrust> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| shown.clone())?;
    let names: Vec<BandName> = chain.iter().map(|band| band.head.band.clone()).collect();
    let found = Distrust::read(&text, &names).with_context(|| shown.clone())?;
    if found.is_empty() {
        report.note(format_args!(
            "{shown}: names no block or file of the bands that this one is based on"
        ));
    }
    Ok(found)
}

/// Lets through of a scan what a new band in the archive must record.
pub(crate) fn compare(
    options: &Options,
    mut scan: ListingReader<impl BufRead>,
    archive: impl FnOnce() -> anyhow::Result<Archive>,
    out: &mut dyn Write,
    report: &Arc<Report>,
) -> anyhow::Result<DiffSummary> {
    // Nothing is asked of the archive before the scan has begun.
    let (headers, first) = begin(&mut scan)?;
    let piped = headers.iter().find_map(|header| match header {
        Header::Stdin(path, _) => Some(path.clone()),
        _ => None,
    });
    // Nobody can begin in the middle of what comes through a pipe.
    let no_resume = options.no_resume || piped.is_some();
    let options = &Options { no_resume, ..options.clone() };
    let mut scan = Scan::new(scan, first);
    let archive = Arc::new(archive()?);
    let taken = taken_from(&headers);
    let course = decide(
        &archive,
        options,
        (mask_of(&headers), taken.as_ref()),
        &mut |config, version| scan.ahead(config, &headers, version),
        report,
    )?;
    if let Some(vouching) = archive.vouching().filter(|_| !course.config.full) {
        vouching.tell(report);
    }
    let Course { continues, limit, earlier, source_id, .. } = course;
    let (chain, holds) = (course.chain.clone(), course.holds.clone());

    let mut version = Version::with(&archive, &course.chain, course.holds, report)?.exact();
    // The header lines of the version come with its first entry.
    let full = course.config.full;
    let mut known = next_known(&mut version, full)?;
    let is_same = same_source(&headers, version.headers());
    // A full band may be of another source, and then begins its own row of bands.
    let source_id = source_id.filter(|_| !full || is_same.is_ok());
    if options.parent.is_none() && !options.full {
        is_same?;
    }
    let lost = options.distrust.as_deref().map(|file| distrust(file, &chain, report));
    let lost = lost.transpose()?.unwrap_or_default();
    let mut buffer = Vec::new();
    for header in [Header::Mtree, Header::Version(VERSION)]
        .iter()
        .chain(&headers)
        .chain(&course.opening.headers())
        .chain(&source_id.map(Header::SourceId))
        .chain(&(options.max_deleted == Some(MaxDeleted::Any)).then_some(Header::DeletesMeant))
        .chain(&lost.headers().collect::<Vec<_>>())
        .chain(&course.headers)
    {
        writeln!(buffer, "{header}")?;
    }
    let mut diff = Diff::new(course.config);
    headers.iter().for_each(|header| diff.handle_header(header));
    let blocks = (!lost.is_empty()).then(|| BlockSource::of_chain(&archive, &chain));
    let is_lost = |delta: &Placed| -> anyhow::Result<bool> {
        let Some(blocks) = &blocks else { return Ok(false) };
        match blocks.delta_links(delta.data(), delta.name_in_block()) {
            Err(error) if is_locked(&error) => Err(error),
            links => Ok(links.map_or(true, |links| lost.refuses_delta(&links))),
        }
    };
    *diff.distrust() = lost.clone();
    // What an archive holds was not walked.
    let walked = if taken.is_none() { &headers[..] } else { &[] };
    let mut own = OwnArchive::find(&options.archive, walked)?;
    let mut started = false;
    let mut recorded = Have::default();
    while let Some(effect) = diff.poll() {
        match effect {
            Effect::WantScan => {
                match scan.next()? {
                    Line::End(end) => diff.handle_scan_end(own.count(end)),
                    Line::Entry(entry) => {
                        own.leave_out(entry, report).into_iter().for_each(|it| diff.handle_scan(it))
                    }
                    Line::Header(_) => {}
                }
            }
            Effect::WantVersion => {
                let placed = if started { next_known(&mut version, full)? } else { known.take() };
                started = true;
                if let Some(Ok(placed)) = &placed
                    && placed.entry.deltas > 0
                    && is_lost(placed)?
                {
                    diff.distrust().push(placed.data());
                }
                match placed {
                    Some(Ok(placed)) => diff.handle_version(placed),
                    Some(Err(orphan)) => diff.handle_orphan(orphan),
                    None => diff.handle_version_end(),
                }
            }
            Effect::Record(entry) => {
                entry.write(&mut buffer);
                count(&mut recorded, &entry);
                let is_awaited = piped.as_ref() == Some(&entry.path);
                if is_awaited || buffer.len() > 64 << 10 {
                    out.write_all(&buffer).context(CANNOT_WRITE)?;
                    buffer.clear();
                }
                // The scan goes on only when pack has read all of it.
                if is_awaited {
                    out.flush().context(CANNOT_WRITE)?;
                }
            }
            Effect::PassedOver(path) => report.warn(format_args!(
                "{path}: two runs were interrupted while they stored it: skipped, so that the rest is stored; the next band tries again"
            )),
            Effect::LeftOut(path) => {
                report.warn(format_args!(
                    "{path}: not a directory in what the band has so far: left out with everything below; the next run stores it"
                ));
            }
        }
    }
    let summary = diff.finish()?;
    let mut deleted = Deletions { unfinished: continues, ..summary.deletions };
    if let Some(earlier) = earlier {
        deleted = deleted.after(earlier);
    } else if chain.len() > 1 && continues && !deleted.is_all() && !limit.allows(deleted) {
        // What the band has already may be new to its parent, and make up for what goes.
        let own = deletions(&archive, &chain, &holds, report)?.new;
        deleted.new += own.saturating_sub(summary.gone_before);
    }
    if !limit.allows(deleted) {
        out.write_all(&buffer).context(CANNOT_WRITE)?;
        return Err(too_many(deleted, limit));
    }
    let Deletions { gone, of, .. } = summary.deletions;
    let changed = summary.changed + gone;
    if let Some(limit) = options.max_changed.filter(|limit| limit.is_exceeded(changed, of)) {
        report.warn(format_args!(
            "{changed} of {of} entries have changed or are gone: more than --max-changed {limit}: check whether somebody has encrypted the files"
        ));
    }
    let counts =
        [summary.tree.map(Header::Tree), continues.then_some(Header::Behind(summary.behind))];
    for header in counts.iter().flatten() {
        writeln!(buffer, "{header}")?;
    }
    writeln!(buffer, "{}", summary.end)?;
    out.write_all(&buffer).context(CANNOT_WRITE)?;
    out.flush().context(CANNOT_WRITE)?;
    if let Some(vouching) = archive.vouching()
        && let Err(error) = vouching.finish(
            &options.archive.address()?,
            chain.last().filter(|_| !full).map(|band| &band.head.band),
        )
    {
        report.note(format_args!("cannot write the journal: {}", why(&error)));
    }
    tell(&summary, recorded, report);
    Ok(summary)
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
    let hint = "give the --cache that was used when it was made, or import the secret key; or make a full band: --no-resume --full";
    Hinted::wrap(anyhow!("{error:#}"), hint)
}

/// A source disk that is not mounted looks like one whose files were all deleted.
fn too_many(deleted: Deletions, limit: MaxDeleted) -> anyhow::Error {
    let Deletions { gone, new, of, .. } = deleted;
    let hint = "check whether a disk of the source is not mounted; if all these entries were really deleted: --max-deleted none";
    Hinted::wrap(
        anyhow!(
            "{gone} of {of} entries are deleted and {new} are new: more than --max-deleted {limit} allows"
        ),
        hint,
    )
}

fn tell(summary: &DiffSummary, recorded: Have, report: &Report) {
    let DiffSummary { new, changed, touched, deleted, dropped, left_out, behind, .. } = *summary;
    if behind > 0 {
        report.warn(format_args!(
            "{behind} entries changed after an earlier run had stored them: the next run stores the changes"
        ));
    }
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
        ("behind", behind),
        ("entries", recorded.entries),
        ("bytes", recorded.bytes),
    ];
    report.events().emit("compared", &counts.map(|(key, count)| (key, count.into())));
}

/// The scan's header lines, and its first line that is none.
fn begin(scan: &mut ListingReader<impl BufRead>) -> anyhow::Result<(Vec<Header>, Option<Line>)> {
    let mut headers = Vec::new();
    loop {
        match next_line(scan)? {
            Line::Header(
                Header::Mtree | Header::Version(_) | Header::Comment | Header::Socket(_),
            ) => {}
            Line::Header(
                header @ (Header::Source(..)
                | Header::Taken(..)
                | Header::Partial
                | Header::Stdin(..)
                | Header::Mask(_)),
            ) => headers.push(header),
            Line::Header(header) => bail!(
                "the listing already has a `{header}` line: use dura-index diff only once in a pipeline"
            ),
            line => return Ok((headers, Some(line))),
        }
    }
}

/// The mask that the scan was made with.
fn mask_of(headers: &[Header]) -> Mask {
    let mask = headers.iter().find_map(|header| match header {
        Header::Mask(mask) => Some(*mask),
        _ => None,
    });
    if mask.is_some() || headers.contains(&Header::Partial) {
        Mask::Masked(mask)
    } else {
        Mask::Whole
    }
}

/// The version that the listing is of, and not of files.
fn taken_from(headers: &[Header]) -> Option<Parent> {
    headers.iter().find_map(|header| match header {
        Header::Taken(band, id, last) => Some(Parent { band: band.clone(), id: *id, last: *last }),
        _ => None,
    })
}

fn next_line(scan: &mut ListingReader<impl BufRead>) -> anyhow::Result<Line> {
    scan.next_line()?.ok_or_else(|| anyhow!("the listing has no #end line"))
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
            let other_host =
                matches!((&own, &other), (Header::Source(_, a), Header::Source(_, b)) if a == b);
            let hint = match other_host {
                true => {
                    "if it is the same host under a new name: dura-scan --host NAME; otherwise use an archive for each tree, or --parent BAND, or --full"
                }
                false => {
                    "use an archive for each tree; or --parent BAND if it is the same tree in another place; or --full"
                }
            };
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
