//! Which band a run of diff writes, and what the scan is compared with.

use std::sync::Arc;

use anyhow::{anyhow, bail};

use crate::archive::kind::is_locked;
use crate::archive::version::{Holds, Version};
use crate::archive::{Archive, BandInChain, IndexFindings, side_by_side};
use crate::core::chain::ancestors::continuation;
use crate::core::chain::calendar::{self, TierRule};
use crate::core::chain::choice::{
    self, Ask, BandCondition, BandToWrite, BandWish, KnownBand, Mask, WishError, find, newest,
    passed_masks, target, too_deep_to_build_on,
};
use crate::core::chain::counted::never_ended;
use crate::core::chain::taken::TakenFrom;
use crate::core::cut::{cut_blocks, runs_in_parts};
use crate::core::diff::{Deletions, DiffConfig, DiffSummary, MaxDeleted, Opening};
use crate::core::merge::Placed;
use crate::core::unlisted::left;
use crate::edge::clock;
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::head::Parent;
use crate::format::listing::{End, Header, Line};
use crate::format::path::Path;
use crate::format::time::Stamp;
use crate::ops::diff::cut;
use crate::ops::diff::gate::OwnArchiveGate;
use crate::ops::diff::scan::summary;
use crate::ops::diff::{Options, or_full};
use crate::report::message::{Hinted, Report};

/// What the run is to write, and what it compares with.
pub(super) struct Course {
    pub opening: Opening,
    pub config: DiffConfig,
    /// The chain whose version the scan is compared with; empty for none.
    pub chain: Vec<BandInChain>,
    pub holds: Vec<Holds>,
    /// Whether an unfinished band is continued.
    pub continues: bool,
    /// More header lines for pack.
    pub headers: Vec<Header>,
    /// How much may be deleted.
    pub limit: MaxDeleted,
    /// What the band that is continued deletes already, where that was counted.
    pub earlier: Option<Deletions>,
    /// The `source-id` that a new band inherits.
    pub source_id: Option<BandId>,
}

/// What the scan brings, all in all, if it is compared with this version.
type ScanTotals<'a> = &'a mut dyn FnMut(DiffConfig, &mut Version) -> anyhow::Result<DiffSummary>;

/// Decides which band the run writes.
pub(super) fn decide(
    archive: &Arc<Archive>,
    options: &Options,
    (mask, version): (Mask, Option<&Parent>),
    ahead: ScanTotals<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<Course> {
    // The newest is what is built on anyway; but when it is too deep, the one below it is taken.
    let parent = options.parent.as_deref().filter(|text| *text != "latest");
    let newest = options.tier == TierRule::Newest && parent.is_none();
    let mut rows = archive.rows(newest, true)?;
    if rows.is_empty() {
        may_be_empty(archive, options)?;
    }
    let parent = parent.map(|text| find(&rows, text).map(|band| band.name.clone())).transpose()?;
    let is_free = parent.is_none() && mask == Mask::Whole && !options.full;
    let by_calendar = options.tier == TierRule::Calendar && is_free;
    let mut tier = match options.tier {
        TierRule::Below(tier) => Some(tier),
        TierRule::Newest | TierRule::Calendar => None,
    };
    if by_calendar {
        let now = clock::stamp()?;
        archive.settle(&mut rows, 1, report, |rows| calendar::tier(rows, now).err())?;
        tier = calendar::tier(&rows, now)?;
    }
    let wish = BandWish {
        tier,
        deeper: by_calendar,
        parent: parent.as_ref(),
        full: options.full,
        no_resume: options.no_resume,
        mask,
        version,
    };
    let limit = match options.max_deleted {
        // What is newer than an old version is none of its business.
        None if (options.full || wish.tier == Some(0)) && version.is_some() => MaxDeleted::Any,
        limit => limit.unwrap_or_default(),
    };
    let mut gate = OwnArchiveGate::open(archive, &options.archive, &rows, parent.clone(), report)?;
    if !options.full {
        gate.misses(&options.archive, &rows)?;
    }
    let after = gate.band_after(&rows)?;
    loop {
        settle(archive, &mut rows, &wish, &mut gate, report)?;
        let (name, outcome) = match target(&rows, &wish)? {
            BandToWrite::Continue(band) => {
                let address = options.archive.address()?;
                (band.name.clone(), resume(archive, &address, band, limit, ahead, report)?)
            }
            BandToWrite::New { parent: None, left } => {
                if !options.full && tier != Some(0) {
                    gate.nothing_is_left(&options.archive)?;
                }
                leaving(left, report);
                return full(archive, rows, after, limit, report);
            }
            BandToWrite::New { parent: Some(parent), left } => {
                let built = build_on(archive, parent, after, limit, report)?;
                if matches!(built, BandOutcome::Course(_)) {
                    leaving(left, report);
                    passing(&rows, parent, &wish, report)?;
                }
                (parent.name.clone(), built)
            }
        };
        match outcome {
            BandOutcome::Course(course) => return Ok(*course),
            BandOutcome::Empty => facts_of(&mut rows, &name)?.empty = true,
            BandOutcome::DeletesTooMuch => facts_of(&mut rows, &name)?.deletes_too_much = true,
        }
    }
}

/// What is known of a band, to add to it.
fn facts_of<'a>(
    rows: &'a mut [KnownBand],
    name: &BandName,
) -> anyhow::Result<&'a mut choice::ChoiceFacts> {
    match rows.iter_mut().find(|row| row.name == *name).map(|row| &mut row.found) {
        Some(BandCondition::Band(facts)) => Ok(facts),
        _ => bail!("{name}: lost while it was read"),
    }
}

/// Whether an archive without a band is to get its first one. One that has held bands may only be
/// away: a disk that is not mounted, a listing that is late.
fn may_be_empty(archive: &Archive, options: &Options) -> anyhow::Result<()> {
    let shown = &options.archive;
    if options.must_exist {
        bail!("{shown}: holds no band, and --must-exist was given");
    }
    let Some(vouching) = archive.vouching() else { return Ok(()) };
    if options.full || !vouching.has_seen_bands(&shown.address()?)? {
        return Ok(());
    }
    let hint =
        "check that the disk is mounted and the address is right; to start again there, use --full";
    Err(Hinted::wrap(anyhow!("{shown}: holds no band, but this host has stored bands there"), hint))
}

/// What came of a band that was to be built on or continued.
enum BandOutcome {
    Course(Box<Course>),
    /// Nothing in it counts.
    Empty,
    /// It deletes more than is allowed, and was not finished.
    DeletesTooMuch,
}

/// Looks at all bands that the choice needs to know about, whether something vouches for the one
/// that it falls on, and its mask too if the run has one.
fn settle(
    archive: &Archive,
    rows: &mut [KnownBand],
    wish: &BandWish,
    gate: &mut OwnArchiveGate<'_>,
    report: &Report,
) -> anyhow::Result<()> {
    loop {
        archive.settle(rows, 1, report, |rows| asked(rows, wish))?;
        let (band, continues) = match target(rows, wish) {
            Err(WishError::NoAncestor(band, above)) if gate.passes_over(&band, &above) => {
                facts_of(rows, &band)?.vouched = false;
                continue;
            }
            target => match target? {
                BandToWrite::Continue(band) => (band, true),
                BandToWrite::New { parent: Some(parent), .. } => (parent, false),
                BandToWrite::New { parent: None, .. } => return Ok(()),
            },
        };
        let name = band.name.clone();
        let is_open = band.facts().is_some_and(|facts| facts.mask == Mask::Masked(None));
        if !gate.admits(&name)? {
            facts_of(rows, &name)?.vouched = false;
            continue;
        }
        // Which version it was taken from is read only where the run may continue it.
        if continues && wish.version.is_some() && facts_of(rows, &name)?.taken == TakenFrom::Unread
        {
            facts_of(rows, &name)?.taken = archive.taken_from(&name)?;
            continue;
        }
        // Which mask an unfinished band has is read only where the run has one itself.
        if wish.mask == Mask::Whole || !continues || !is_open {
            return Ok(());
        }
        let mask = archive.mask(&name)?;
        facts_of(rows, &name)?.mask = mask;
        if mask == Mask::Masked(None) {
            return Ok(());
        }
    }
}

fn asked(rows: &[KnownBand], wish: &BandWish) -> Option<Ask> {
    match target(rows, wish) {
        Err(WishError::Ask(ask)) => Some(ask),
        _ => too_deep_to_build_on(rows, wish).err(),
    }
}

fn leaving(left: Option<&KnownBand>, report: &Report) {
    if let Some(left) = left {
        report.note(format_args!("leaving {} unfinished", left.name));
    }
}

/// Reports what is newer than the parent and was passed over.
fn passing(
    rows: &[KnownBand],
    parent: &KnownBand,
    wish: &BandWish,
    report: &Report,
) -> anyhow::Result<()> {
    for masked in passed_masks(rows, parent).filter(|_| wish.parent.is_none()) {
        report.note(format_args!(
            "building on {}: {} was made with a mask, and is ignored",
            parent.name, masked.name
        ));
    }
    let deepest = too_deep_to_build_on(rows, wish)?;
    if let Some(deepest) = deepest.filter(|_| wish.parent.is_none()) {
        report.note(format_args!(
            "{} has tier 9, the highest: building on {} (to keep chains short, make a full band now and then: --tier 0)",
            deepest.name, parent.name
        ));
    }
    Ok(())
}

/// A new band on top of this one.
fn build_on(
    archive: &Arc<Archive>,
    parent: &KnownBand,
    band_after: Option<Stamp>,
    limit: MaxDeleted,
    report: &Arc<Report>,
) -> anyhow::Result<BandOutcome> {
    let chain = archive.chain_to_build_on(&parent.name)?;
    let holds = side_by_side(&chain, |band| archive.holds(band)).map_err(or_full)?;
    let (Some(last), Some(band)) = (holds.last().and_then(Holds::last), chain.last()) else {
        return Ok(BandOutcome::Empty);
    };
    if band.tail.is_none() && limit != MaxDeleted::Any {
        let (_, facts) = archive.indexes(&band.head)?;
        let deleted = unmeant(archive, &chain, &holds, &facts, limit, report)?;
        if deleted.is_some_and(|deleted| !limit.allows(deleted)) {
            return Ok(BandOutcome::DeletesTooMuch);
        }
    }
    let counted = holds.last().map(|holds| holds.blocks.clone()).unwrap_or_default();
    let own = Parent { band: band.head.band.clone(), id: band.head.id, last };
    Ok(BandOutcome::Course(Box::new(Course {
        source_id: band.head.source_id,
        opening: Opening::New { parent: Some(own), band_after, counted },
        config: DiffConfig { tier: chain.len() as u8, full: false, pass_over: None, after: None },
        chain,
        holds,
        continues: false,
        headers: Vec::new(),
        limit,
        earlier: None,
    })))
}

/// A full band; what the newest version has and it will not is counted.
fn full(
    archive: &Archive,
    mut rows: Vec<KnownBand>,
    band_after: Option<Stamp>,
    limit: MaxDeleted,
    report: &Report,
) -> anyhow::Result<Course> {
    let mut course = Course {
        opening: Opening::New { parent: None, band_after, counted: CountedBlocks::default() },
        config: DiffConfig { tier: 0, full: true, pass_over: None, after: None },
        chain: Vec::new(),
        holds: Vec::new(),
        continues: false,
        headers: Vec::new(),
        limit,
        earlier: None,
        source_id: None,
    };
    // Only to compare with: a version that cannot be read costs that, nothing else.
    let settled = archive.settle(&mut rows, 1, report, |rows| newest(rows).err());
    let Some(band) = settled.ok().and_then(|()| newest(&rows).ok().flatten()) else {
        return Ok(course);
    };
    let read = archive.chain(&band.name).and_then(|chain| {
        let holds = side_by_side(&chain, |band| archive.holds(band))?;
        // Without the key, what this host does not know cannot be examined.
        let is_blind = holds.iter().all(|held| held.numbers.is_empty() && !held.lost.is_empty());
        if is_blind {
            bail!("none of its indexes can be read");
        }
        Ok((chain, holds))
    });
    match read {
        Ok((chain, holds)) => {
            course.source_id = chain.last().and_then(|band| band.head.source_id);
            (course.chain, course.holds) = (chain, holds);
        }
        Err(error) => report.note(format_args!(
            "cannot compare with {}, so --max-deleted is not checked: {error:#}",
            band.name
        )),
    }
    Ok(course)
}

/// The rest of an unfinished band.
fn resume(
    archive: &Arc<Archive>,
    address: &str,
    band: &KnownBand,
    limit: MaxDeleted,
    ahead: ScanTotals<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<BandOutcome> {
    let name = &band.name;
    let chain = archive.chain_to_build_on(name)?;
    let Some((own, below)) = chain.split_last() else { bail!("{name}: has no HEAD") };
    let (indexes, mut facts) = archive.indexes(&own.head)?;
    let counted = indexes.of_unfinished();
    let have = facts.have(&counted);
    let blocks = facts.blocks(&counted);
    // One that is damaged ends what counts, and is superseded. One that only cannot be decrypted
    // may be whole.
    if let Some((number, why)) = facts.unreadable.take_if(|(_, why)| !is_locked(why)) {
        report.warn(format_args!(
            "index {number:09} of {name}: {why:#}: continuing from the one before it"
        ));
    }
    let unreadable = facts.unreadable.as_ref().map(|(number, _)| *number);
    let continuation = continuation(name, Some(&own.head), &indexes, unreadable, have, blocks.clone()).map_err(|stuck| {
        let error = match &facts.unreadable {
            Some((_, why)) => anyhow!("{name} cannot be continued: {why:#}"),
            None => anyhow!("{name} cannot be continued: {stuck}"),
        };
        let hint = "give the --cache that was used when it was started, or import the secret key; or start a new band with --no-resume --full";
        Hinted::wrap(error, hint)
    })?;
    let counts = |number: u32| counted.contains(number);
    let meant = facts.found.iter().any(|index| counts(index.number) && index.deletes_meant);
    let limit = if meant { MaxDeleted::Any } else { limit };
    // The last index may list nothing but its end.
    let found = facts.found.iter().rev().filter(|index| counts(index.number));
    let after: Option<Path> = found.filter_map(|index| index.last.clone()).next();
    let objects = archive.objects(name)?;
    let counted_last = counted.last();
    let pass_over = never_ended(&objects, counted_last);
    let mut runs: Vec<u32> = facts
        .found
        .iter()
        .filter(|index| counts(index.number) && index.begins_run)
        .map(|index| index.number)
        .collect();
    runs.extend(counted.counted.iter().map(|range| *range.start()));
    let notes = archive.sealed_notes(own.head.id);
    let mut begun = cut_blocks(&objects, counted_last, own.head.compression, &notes);
    let others = cut::not_as_sealed(archive, name, &mut begun)?;
    let first = begun.first().map(|cut| cut.block.number);
    runs.extend(runs_in_parts(&objects, &blocks, first).filter(|number| !counts(*number)));
    runs.sort_unstable();
    runs.dedup();

    let mut holds = side_by_side(below, |band| archive.holds(band)).map_err(or_full)?;
    holds.push(Holds { numbers: counted.counted, lost: counted.lost, blocks });
    let earlier = unmeant(archive, &chain, &holds, &facts, limit, report)?;
    let config =
        DiffConfig { tier: below.len() as u8, full: false, pass_over, after: after.clone() };
    let mut too_much = earlier.filter(|deleted| !limit.allows(*deleted));
    if let Some(earlier) = too_much {
        // What comes behind the cut may be new, and make up for it: folders that were renamed.
        let mut version = Version::with(archive, &chain, holds.clone(), report)?.exact();
        let scan = ahead(config.clone(), &mut version)?;
        let rest = Deletions {
            gone: scan.deletions.gone - scan.gone_before,
            new: scan.deletions.new - scan.new_before,
            of: earlier.of,
            unfinished: true,
        };
        too_much = Some(rest.after(earlier)).filter(|deleted| !limit.allows(*deleted));
    }
    if let Some(Deletions { gone, of, .. }) = too_much {
        report.note(format_args!(
            "leaving {name} unfinished: it deletes {gone} of {of} entries, more than --max-deleted {limit} allows (--max-deleted none continues it)"
        ));
        return Ok(BandOutcome::DeletesTooMuch);
    }
    report.note(format_args!(
        "continuing {name} after {}",
        after.as_ref().map_or_else(|| "its beginning".to_owned(), ToString::to_string)
    ));
    let mut headers = vec![
        Header::Compression(own.head.compression),
        Header::Head(own.head.to_string().into_bytes()),
    ];
    headers.extend((!runs.is_empty()).then_some(Header::Runs(runs)));
    let mut left = left(&objects, &notes);
    left.retain(|(name, _)| !others.contains(name));
    headers.extend(left.into_iter().map(|(name, size)| Header::Unlisted(name, size)));
    // What another archive has of a part may be another message.
    if archive.vouching().is_some_and(|known| known.is_stored_alone(own.head.id, address)) {
        headers.extend(cut::headers(begun));
    }
    Ok(BandOutcome::Course(Box::new(Course {
        opening: Opening::Continue(continuation),
        config,
        chain,
        holds,
        continues: true,
        headers,
        limit,
        earlier,
        source_id: None,
    })))
}

/// What the last band of a chain deletes of the version below it, if it is unfinished, deletes
/// anything at all, and was not told that it may.
fn unmeant(
    archive: &Arc<Archive>,
    chain: &[BandInChain],
    holds: &[Holds],
    facts: &IndexFindings,
    limit: MaxDeleted,
    report: &Arc<Report>,
) -> anyhow::Result<Option<Deletions>> {
    let (Some(own), Some(held)) = (chain.last(), holds.last()) else { return Ok(None) };
    if limit == MaxDeleted::Any || own.head.parent.is_none() {
        return Ok(None);
    }
    let counted = |number: u32| held.numbers.iter().any(|range| range.contains(&number));
    let those = || facts.found.iter().filter(|index| counted(index.number));
    if those().any(|index| index.deletes_meant) || !those().any(|index| index.deletes) {
        return Ok(None);
    }
    deletions(archive, chain, holds, report).map(Some)
}

/// What the last band of a chain deletes of the version below it, and what it adds.
pub(super) fn deletions(
    archive: &Arc<Archive>,
    chain: &[BandInChain],
    holds: &[Holds],
    report: &Arc<Report>,
) -> anyhow::Result<Deletions> {
    let below = chain.len().saturating_sub(1);
    let open = |bands: usize| {
        Version::with(archive, &chain[..bands], holds[..bands].to_vec(), report).map(Version::exact)
    };
    let (mut with, mut without) = (open(chain.len())?, open(below)?);
    let config = DiffConfig { tier: below as u8, full: false, pass_over: None, after: None };
    let line = || {
        Ok(match whole(&mut with)? {
            Some(placed) => Line::Entry(placed.entry),
            None => Line::End(End::default()),
        })
    };
    Ok(summary(config, &[], line, || Ok(whole(&mut without)?.map(Ok)))?.deletions)
}

/// The version's next entry that has its place.
fn whole(version: &mut Version) -> anyhow::Result<Option<Placed>> {
    loop {
        match version.next_placed()? {
            Some(Err(_)) => {}
            Some(Ok(placed)) => return Ok(Some(placed)),
            None => return Ok(None),
        }
    }
}
