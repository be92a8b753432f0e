//! A version: the counted indexes of a chain, laid over each other.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow, bail};

use crate::archive::gaps::{GapWatch, IndexGap};
use crate::archive::index_text::first_line;
use crate::archive::kind::{is_locked, is_unreachable};
use crate::archive::named::ArchiveName;
use crate::archive::vouching::Unvouched;
use crate::archive::{Archive, BandEntries, BandInChain, Trust, side_by_side};
use crate::core::chain::ancestors::{ChainError, Extent};
use crate::core::chain::choice::{FindError, Mask, beside, find, newest, passed_masks, to_read};
use crate::core::merge::{Merge, MergeEvent, Placed};
use crate::format::band::BandName;
use crate::format::counted::CountedBlocks;
use crate::format::entry::Within;
use crate::format::listing::Header;
use crate::format::object::Object;
use crate::format::path::Path;
use crate::format::time::Stamp;
use crate::report::message::{Hinted, Report, causes};
use crate::store::{StoreError, StoreErrorKind};

/// What a band's counted indexes hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds {
    /// Their numbers.
    pub numbers: Vec<RangeInclusive<u32>>,
    /// Those that count but are lost.
    pub lost: Vec<RangeInclusive<u32>>,
    /// Those that count, with the parts of their blocks; empty where only a part was asked for.
    pub blocks: CountedBlocks,
}

impl Holds {
    /// The last index that counts.
    pub(crate) fn last(&self) -> Option<u32> {
        self.numbers.iter().map(|range| *range.end()).max()
    }
}

/// The entries of a version, in canonical order.
pub(crate) struct Version {
    merge: Merge,
    tiers: Vec<BandEntries>,
    reads: Vec<Holds>,
    /// Ends at an index that could not be asked for, instead of going on without it.
    exact: bool,
    /// How often an entry was wanted: one of each tier at first.
    wanted: usize,
    /// What could not be read before the next entry comes.
    gaps: GapWatch,
    /// Who looks whether its bands are sealed, if nothing was read that tells.
    looking: Option<JoinHandle<()>>,
    report: Arc<Report>,
}

/// Finds the band that a reader is to take, and says so if there is a newer one that is unfinished.
pub(crate) fn choose(
    archive: &Archive,
    shown: &ArchiveName,
    band: Option<&str>,
    at: Option<Stamp>,
    report: &Report,
) -> anyhow::Result<BandName> {
    let likely = band.is_none_or(|text| text == "latest") && at.is_none();
    let rows = archive.rows(likely, false);
    let mut rows = match (rows, band.and_then(|text| text.parse::<BandName>().ok())) {
        // A name in full needs no listing, which not every server gives.
        (Err(error), Some(name)) if lacks_listing(&error) && archive.ends(&name)?.0.is_some() => {
            return Ok(name);
        }
        (rows, _) => rows?,
    };
    match band {
        Some("latest") => {
            archive.settle(&mut rows, 1, report, |rows| newest(rows).err())?;
            let latest = newest(&rows)?.ok_or_else(|| FindError::None("latest".to_owned()))?;
            return Ok(latest.name.clone());
        }
        Some(text) => return Ok(find(&rows, text)?.name.clone()),
        None => {}
    }
    // The HEADs of all later names may have to be read: some at once.
    let together = if at.is_some() { 8 } else { 1 };
    archive.settle(&mut rows, together, report, |rows| to_read(rows, at).err())?;
    let Some(reading) = to_read(&rows, at)? else {
        return Err(match at.filter(|_| !rows.is_empty()) {
            Some(at) => Hinted::wrap(
                anyhow!("{shown}: the archive has no band from {} or earlier", at.to_rfc3339()),
                format!("list its bands with: dura-index bands {shown}"),
            ),
            None => no_band(shown, "the archive has no band"),
        });
    };
    let name = &reading.band.name;
    if let Some(newer) = reading.newer {
        report.note(format_args!(
            "reading {name}: the newer {} is unfinished (--band latest reads it)",
            newer.name
        ));
    } else if !reading.band.is_complete() {
        report.note(format_args!("reading {name}, which is unfinished: no band is complete"));
    }
    for masked in passed_masks(&rows, reading.band) {
        report.note(format_args!(
            "reading {name}: the newer {} was made with a mask (--band reads it)",
            masked.name
        ));
    }
    if reading.band.facts().is_some_and(|facts| facts.mask != Mask::Whole) {
        report.note(format_args!(
            "reading {name}, which was made with a mask: it does not hold the whole source"
        ));
    }
    if let Some(other) = beside(&rows, name) {
        archive.tell_of_sources(name, &other.name, report);
    }
    Ok(name.clone())
}

/// The error for an archive in which nothing can be taken. Somebody may have named a band instead.
pub(crate) fn no_band(shown: &ArchiveName, why: impl Display) -> anyhow::Error {
    let shown = &shown.to_string();
    let (above, last) = shown.trim_end_matches('/').rsplit_once('/').unwrap_or((".", shown));
    match last.parse::<BandName>() {
        Ok(band) => Hinted::wrap(
            anyhow!("{shown}: is a band, not an archive"),
            format!("use the archive above it, {above}, with --band {band}"),
        ),
        Err(_) => Hinted::wrap(
            anyhow!("{shown}: {why}"),
            "name the folder that holds the bands; list them with: dura-index bands ARCHIVE",
        ),
    }
}

fn lacks_listing(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<StoreError>())
        .any(|error| error.kind == StoreErrorKind::NoListing)
}

/// An archive that must be there to be read.
pub(crate) fn must_exist(shown: &ArchiveName) -> anyhow::Result<()> {
    if let Some(path) = shown.local()? {
        let stat = std::fs::metadata(path).with_context(|| shown.to_string())?;
        if !stat.is_dir() {
            bail!("{shown}: not a directory");
        }
    }
    Ok(())
}

impl Archive {
    /// Which indexes of a band count in a version.
    pub(crate) fn holds(&self, band: &BandInChain) -> anyhow::Result<Holds> {
        let (holds, unreadable) = self.sort_out(band)?;
        // A full band none of whose indexes can be read is not an empty one; and without a key
        // nobody knows what counts. Of a layer its parent's version is left.
        let is_all = holds.numbers.is_empty() && band.head.parent.is_none();
        match unreadable.filter(|error| is_all || is_locked(error)) {
            Some(error) => Err(error),
            None => Ok(holds),
        }
    }

    /// The same for whoever takes what there is: what cannot be read is told.
    fn holds_at_least(&self, band: &BandInChain, report: &Report) -> anyhow::Result<Holds> {
        let (holds, unreadable) = self.sort_out(band)?;
        match unreadable {
            Some(error) if is_locked(&error) => return Err(error),
            Some(error) if holds.numbers.is_empty() && holds.lost.is_empty() => {
                report.warn(format_args!("{error:#}: ignoring the whole band"));
            }
            _ => {}
        }
        Ok(holds)
    }

    /// Which indexes count, and why one of them cannot be read, if that was seen.
    fn sort_out(&self, band: &BandInChain) -> anyhow::Result<(Holds, Option<anyhow::Error>)> {
        if let (Extent::UpTo(last), Some(tail)) = (band.extent, &band.tail)
            && let Some(holds) = self.by_tables(band, tail.toc, last, false)?
        {
            return Ok((holds, None));
        }
        // Of a TAIL that names no tables of the band, HEAD tells whether it is the band's at all.
        if let (Some(_), Ok(Some(head))) = (&band.tail, self.head(&band.head.band))
            && head.id != band.head.id
        {
            return Err(ChainError::Foreign(head.band, "TAIL").into());
        }
        let (indexes, facts) = match (self.indexes(&band.head), &band.tail, band.extent) {
            // Where nothing is listed, each index names the one before it.
            (Err(error), Some(tail), Extent::UpTo(last)) if lacks_listing(&error) => {
                let holds = self.by_tables(band, tail.toc, last, true)?.ok_or(error)?;
                return Ok((holds, None));
            }
            (read, ..) => read?,
        };
        let counted = match band.extent {
            Extent::UpTo(last) => indexes.up_to(last),
            Extent::Unfinished => indexes.of_unfinished(),
        };
        let mut lost = counted.lost.clone();
        // Of an unfinished band it is where the chain ends, unless a later run has gone around it.
        if let (Extent::Unfinished, Some((number, _))) = (band.extent, &facts.unreadable)
            && counted.last().is_none_or(|last| last < *number)
        {
            lost.push(*number..=*number);
        }
        let blocks = facts.blocks(&counted);
        let holds = Holds { numbers: counted.counted, lost, blocks };
        Ok((holds, facts.unreadable.map(|(_, error)| error)))
    }

    /// The same by tables of contents alone; none if they do not reach back to the first index, as
    /// where a run was cut before its table, unless each index is asked for the one `before` it.
    fn by_tables(
        &self,
        band: &BandInChain,
        toc: u32,
        last: u32,
        before: bool,
    ) -> anyhow::Result<Option<Holds>> {
        let Ok(Some(newest)) = self.toc(&band.head, toc) else { return Ok(None) };
        let mut rows = Vec::new();
        for earlier in &newest.earlier {
            let Ok(Some(toc)) = self.toc(&band.head, earlier.number) else { return Ok(None) };
            rows.extend(toc.rows);
        }
        rows.extend(newest.rows);
        let Some(first) = rows.first().map(|row| row.number) else { return Ok(None) };
        let mut numbers: Vec<RangeInclusive<u32>> = Vec::new();
        if first > 0 {
            let mut at = first;
            while let Some(number) = match self.after(band, at)? {
                Some(after) => after,
                None => return Ok(None),
            } {
                if !before {
                    return Ok(None);
                }
                at = number;
                match numbers.last_mut() {
                    Some(range) if number + 1 == *range.start() => *range = number..=*range.end(),
                    _ => numbers.push(number..=number),
                }
            }
            numbers.reverse();
        }
        let mut blocks = CountedBlocks::default();
        for (number, parts) in rows.iter().map(|row| (row.number, row.parts)) {
            if number > last {
                continue;
            }
            blocks.push(number, parts);
            match numbers.last_mut() {
                Some(range) if number <= *range.end() => return Ok(None),
                Some(range) if *range.end() + 1 == number => *range = *range.start()..=number,
                _ => numbers.push(number..=number),
            }
        }
        let whole = numbers.last().is_some_and(|range| *range.end() == last);
        Ok(whole.then_some(Holds { numbers, lost: Vec::new(), blocks }))
    }

    /// What an index says that it comes after; none if it does not say.
    fn after(&self, band: &BandInChain, number: u32) -> anyhow::Result<Option<Option<u32>>> {
        let text = match self.text_kept(&band.head, Object::Index(number), Trust::Complete) {
            Err(error) if is_unreachable(&error) => return Err(error),
            read => read.ok().flatten().unwrap_or_default(),
        };
        let said = first_line(&text, band.head.id).ok().flatten();
        let fits = |(said, after): &(u32, Option<u32>)| {
            *said == number && after.is_none_or(|after| after < number)
        };
        Ok(said.filter(fits).map(|(_, after)| after))
    }
}

/// What each band of a chain holds: all that counts, as `whole` finds it out, or only what may
/// concern these paths.
fn held(
    archive: &Archive,
    chain: &[BandInChain],
    paths: Option<&[Path]>,
    whole: impl Fn(&BandInChain) -> anyhow::Result<Holds> + Sync,
) -> anyhow::Result<Vec<Holds>> {
    archive.reads_part(paths.is_some());
    side_by_side(chain, |band| {
        let part = paths.map_or(Ok(None), |paths| archive.holds_part(band, paths))?;
        part.map_or_else(|| whole(band), Ok)
    })
}

impl Version {
    /// Starts to read the version of a chain; tells of indexes that are lost.
    pub(crate) fn open(
        archive: &Arc<Archive>,
        chain: &[BandInChain],
        report: &Arc<Report>,
    ) -> anyhow::Result<Version> {
        Version::open_part(archive, chain, None, report)
    }

    /// The same, or of it only the indexes that may concern these paths, with all below them and
    /// the directories above.
    pub(crate) fn open_part(
        archive: &Arc<Archive>,
        chain: &[BandInChain],
        paths: Option<&[Path]>,
        report: &Arc<Report>,
    ) -> anyhow::Result<Version> {
        let whole = |band: &BandInChain| archive.holds(band);
        Version::with(archive, chain, held(archive, chain, paths, whole)?, report)
    }

    /// The same for whoever takes what there is: of a block whose index is lost the entries come by
    /// its own headers, without a digest. It is told.
    pub(crate) fn salvage(
        archive: &Arc<Archive>,
        chain: &[BandInChain],
        paths: Option<&[Path]>,
        report: &Arc<Report>,
    ) -> anyhow::Result<Version> {
        let whole = |band: &BandInChain| archive.holds_at_least(band, report);
        Version::start(archive, chain, held(archive, chain, paths, whole)?, true, report)
    }

    /// The same for whoever shows what there is and says where it is not all: see
    /// [`Version::take_gaps`]. Fails where that cannot be said.
    pub(crate) fn open_with_gaps(
        archive: &Arc<Archive>,
        chain: &[BandInChain],
        report: &Arc<Report>,
    ) -> anyhow::Result<Version> {
        let whole = |band: &BandInChain| {
            let (mut holds, unreadable) = archive.sort_out(band)?;
            let knows_none = holds.numbers.is_empty() && holds.lost.is_empty();
            if let Some(error) = unreadable.filter(|error| knows_none || is_locked(error)) {
                return Err(error);
            }
            // They are asked for, and fail where they would stand.
            holds.numbers.append(&mut holds.lost);
            holds.numbers.sort_by_key(|range| *range.start());
            Ok(holds)
        };
        let version = Version::with(archive, chain, held(archive, chain, None, whole)?, report)?;
        Ok(version.exact())
    }

    /// The same, when it is known already what counts.
    pub(crate) fn with(
        archive: &Arc<Archive>,
        chain: &[BandInChain],
        holds: Vec<Holds>,
        report: &Arc<Report>,
    ) -> anyhow::Result<Version> {
        Version::start(archive, chain, holds, false, report)
    }

    fn start(
        archive: &Arc<Archive>,
        chain: &[BandInChain],
        holds: Vec<Holds>,
        salvage: bool,
        report: &Arc<Report>,
    ) -> anyhow::Result<Version> {
        let looking = archive.look_at_chain(chain);
        let mut tiers = Vec::new();
        for (band, held) in chain.iter().zip(&holds) {
            let mut numbers = held.numbers.clone();
            if salvage {
                numbers.extend(held.lost.iter().cloned());
                numbers.sort_by_key(|range| *range.start());
            }
            let lost = held.lost.iter().filter(|_| !salvage);
            for number in lost.cloned().flatten() {
                let name = archive.likely_name(&band.head.band, Object::Index(number));
                report.warn(format_args!("{name}: lost: its entries are not known"));
            }
            archive.tell_of_damaged_ends(&band.head.band, report);
            archive.tell_of_ruin(&band.head.band, report);
            // What counts of an unfinished band was listed or read just now.
            let trust = if band.tail.is_some() { Trust::Complete } else { Trust::Listed(u64::MAX) };
            let head = Arc::new(band.head.clone());
            tiers.push(BandEntries::start_with(
                archive,
                &head,
                numbers,
                trust,
                chain.len(),
                salvage,
            )?);
        }
        Ok(Version {
            merge: Merge::new(chain.len() as u8),
            tiers,
            reads: holds,
            exact: false,
            wanted: 0,
            gaps: GapWatch::default(),
            looking,
            report: Arc::clone(report),
        })
    }

    /// The same for whoever records what is different: what is gone of an index that was not looked
    /// at would not be seen to be gone.
    pub(crate) fn exact(self) -> Version {
        Version { exact: true, ..self }
    }

    /// The next entry of the version, or of what no directory of it holds (as the inner `Err`).
    /// Fails when an index is there that cannot be decrypted: what it says is not lost.
    pub(crate) fn next_placed(&mut self) -> anyhow::Result<Option<Result<Placed, Placed>>> {
        loop {
            let Some(event) = self.merge.poll() else {
                drop(self.looking.take().map(JoinHandle::join));
                return Ok(None);
            };
            match event {
                MergeEvent::Want(tier) => {
                    let entries = &mut self.tiers[usize::from(tier)];
                    let next = entries.next_entry();
                    let path = next.as_ref().map(|(_, entry)| (&entry.path, entries.is_above));
                    self.gaps.handle_next(tier, !entries.failed.is_empty(), path);
                    for (_, error) in entries.failed.drain(..) {
                        let unvouched = causes(&error).iter().any(|cause| cause.is::<Unvouched>());
                        if is_locked(&error) || unvouched || self.exact && is_unreachable(&error) {
                            return Err(error);
                        }
                        self.report.warn(format_args!("{error:#}: its entries are not known"));
                    }
                    for (_, error) in entries.salvaged.drain(..) {
                        self.report.warn(format_args!(
                            "{error:#}: restoring its block unchecked, from its own headers"
                        ));
                    }
                    self.wanted += 1;
                    if self.wanted == self.tiers.len() {
                        self.tell_of_sources();
                    }
                    match next {
                        Some((number, entry)) => self.merge.handle_entry(number, entry),
                        None => self.merge.handle_end(),
                    }
                }
                MergeEvent::Entry(placed) => return Ok(Some(Ok(placed))),
                MergeEvent::Orphan(placed) => return Ok(Some(Err(placed))),
                MergeEvent::OutOfOrder(placed) => {
                    let index = self.tiers[usize::from(placed.at.tier)].name(placed.at.block);
                    self.report.warn(format_args!(
                        "{index}: {}: out of order: ignored",
                        placed.entry.path
                    ));
                }
            }
        }
    }

    /// Tells if a band of the chain is of another source than the newest: nothing but its name
    /// binds it to the others. Each says so before its first entry.
    fn tell_of_sources(&self) {
        let source = |entries: &BandEntries| {
            entries.headers().iter().find(|header| matches!(header, Header::Source(..))).cloned()
        };
        let Some((top, newest)) = self.tiers.last().and_then(|tier| Some((tier, source(tier)?)))
        else {
            return;
        };
        for tier in &self.tiers {
            if let Some(other) = source(tier).filter(|source| *source != newest) {
                let (own, above) = (tier.band_name(), top.band_name());
                self.report.note(format_args!("{own} is of {other}, but {above} of {newest}"));
            }
        }
    }

    /// What could not be read of what stands before the entry that came last, or the end.
    pub(crate) fn take_gaps(&mut self) -> Vec<IndexGap> {
        self.gaps.take()
    }

    /// The next entry; what no directory holds is told and left out.
    pub(crate) fn next_entry(&mut self) -> anyhow::Result<Option<Placed>> {
        loop {
            match self.next_placed()? {
                None => return Ok(None),
                Some(Ok(placed)) => return Ok(Some(placed)),
                Some(Err(orphan)) => self.report.warn(format_args!(
                    "{}: its directory is not listed: left out",
                    orphan.entry.path
                )),
            }
        }
    }

    /// The indexes that it reads.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = Within> {
        let of = |(tier, held): (usize, &Holds)| (tier as u8, held.numbers.clone());
        let tiers: Vec<_> = self.reads.iter().enumerate().map(of).collect();
        tiers.into_iter().flat_map(|(tier, numbers)| {
            numbers.into_iter().flatten().map(move |block| Within { tier, block })
        })
    }

    /// The tier of the newest band of which any index counts, and the last one that does.
    pub(crate) fn last(&self) -> Option<(usize, u32)> {
        let mut tiers = self.reads.iter().enumerate().rev();
        tiers.find_map(|(tier, held)| held.last().map(|last| (tier, last)))
    }

    /// The header lines that came so far of the newest band.
    pub(crate) fn headers(&self) -> &[Header] {
        self.tiers.last().map_or(&[], BandEntries::headers)
    }
}
