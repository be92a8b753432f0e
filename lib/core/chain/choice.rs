//! Choices among the bands of an archive: which one is read, built on, or continued.
//!
//! To ask about a band costs calls of the store, so a choice is made from what is known, and says
//! with [`Ask`] about which band it must know more. Whoever drives it fills in [`KnownBand::found`]
//! and decides again.

use std::cmp::Reverse;

use super::taken::TakenFrom;
use crate::format::band::{BandName, MAX_TIER};
use crate::format::digest::Digest;
use crate::format::head::Parent;
use crate::format::time::Stamp;

/// A band of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBand {
    /// Its name.
    pub name: BandName,
    /// What was found in its folder.
    pub found: BandCondition,
}

impl KnownBand {
    /// A band that nobody has asked about yet.
    pub fn new(name: BandName) -> KnownBand {
        KnownBand { name, found: BandCondition::Unasked }
    }

    /// What is known of it, if it is a band.
    pub fn facts(&self) -> Option<&ChoiceFacts> {
        match &self.found {
            BandCondition::Band(facts) => Some(facts),
            _ => None,
        }
    }

    /// Whether it is known to be complete.
    pub fn is_complete(&self) -> bool {
        self.facts().is_some_and(|facts| facts.complete)
    }
}

/// What was found in a band's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BandCondition {
    /// Nobody has asked.
    Unasked,
    /// No HEAD, no TAIL, no list, no index: what a run leaves that was killed at its start, or a
    /// removal that was cut.
    Nothing,
    /// Lists or indexes, but neither HEAD nor TAIL.
    Ruin,
    /// The HEAD of another band: somebody has renamed the folder.
    Foreign(BandName),
    /// A band.
    Band(ChoiceFacts),
}

/// What a choice goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceFacts {
    /// Whether it has a TAIL.
    pub complete: bool,
    /// When its version was current: `as-of`, or else `started`.
    pub time: Stamp,
    /// `as-of`, of a band that was taken from an old version. Only runs of that version continue
    /// it.
    pub as_of: Option<Stamp>,
    /// That version, where it was looked up: only of an unfinished band that may be continued.
    pub taken: TakenFrom,
    /// Whether a mask was used.
    pub mask: Mask,
    /// HEAD is gone, and TAIL stands in for it: the band may be about to be removed.
    pub headless: bool,
    /// TAIL is there and damaged, so the band counts as unfinished; but it cannot be continued.
    pub tail_damaged: bool,
    /// Neither HEAD nor TAIL can be read, and what is known is what its indexes tell: that is
    /// enough to read it, not to build on it.
    pub nameless: bool,
    /// Somebody who is trusted has written it. Others are neither built on nor continued.
    pub vouched: bool,
    /// None of its indexes counts, so its version is that of its own parent.
    pub empty: bool,
    /// It is unfinished and deletes more than is allowed.
    pub deletes_too_much: bool,
}

impl ChoiceFacts {
    /// A band of which all is as it should be, of the whole source.
    pub fn new(time: Stamp, complete: bool) -> ChoiceFacts {
        ChoiceFacts {
            complete,
            time,
            as_of: None,
            taken: TakenFrom::Unread,
            mask: Mask::Whole,
            headless: false,
            tail_damaged: false,
            nameless: false,
            vouched: true,
            empty: false,
            deletes_too_much: false,
        }
    }
}

/// The mask (`--only-from`) of a band or of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mask {
    /// None: the whole source.
    #[default]
    Whole,
    /// With the sha256 of its patterns, or none if that is not known: of a band whose first index
    /// was not stored yet.
    Masked(Option<Digest>),
    /// That of a band which does not say which, by an earlier release.
    Earlier,
}

impl Mask {
    /// Whether a run with the mask `run` may continue an unfinished band with this mask.
    pub fn may_be_continued_by(self, run: Mask) -> bool {
        match (self, run) {
            (Mask::Whole, Mask::Whole) | (Mask::Masked(None), Mask::Masked(_)) => true,
            (Mask::Masked(Some(own)), Mask::Masked(Some(run))) => own == run,
            _ => false,
        }
    }

    fn is_whole(self) -> bool {
        self == Mask::Whole
    }
}

/// More must be known about this band before a choice can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} was not looked at")]
pub struct Ask(pub BandName);

fn newest_first(bands: &[KnownBand]) -> Vec<&KnownBand> {
    let mut order: Vec<&KnownBand> = bands.iter().collect();
    order.sort_by_key(|band| Reverse((band.name.start(), &band.name)));
    order
}

/// The band with the latest of these times among those that are wanted; of two with one time the
/// later name.
///
/// None of the times is later than the start in the band's name. So names that are not later than
/// the best time found need not be asked about.
fn latest(
    bands: &[KnownBand],
    time: impl Fn(&KnownBand, &ChoiceFacts) -> Stamp,
    wanted: impl Fn(&KnownBand, Option<&ChoiceFacts>) -> bool,
) -> Result<Option<&KnownBand>, Ask> {
    let mut best: Option<(Stamp, &KnownBand)> = None;
    for band in newest_first(bands).into_iter().filter(|band| wanted(band, None)) {
        if best.is_some_and(|(time, _)| band.name.start() <= time) {
            break;
        }
        match &band.found {
            BandCondition::Unasked => return Err(Ask(band.name.clone())),
            BandCondition::Band(facts) if wanted(band, Some(facts)) => {
                let time = time(band, facts).min(band.name.start());
                if best.is_none_or(|(latest, _)| time > latest) {
                    best = Some((time, band));
                }
            }
            _ => {}
        }
    }
    Ok(best.map(|(_, band)| band))
}

/// What makes a band newer than another: its name, which always is later than those before it,
/// whatever the clock said; but for a band that was taken from an old version, when that was
/// current.
fn age(band: &KnownBand, facts: &ChoiceFacts) -> Stamp {
    facts.as_of.unwrap_or(band.name.start())
}

/// The newest band. One with a mask only if there are no others.
///
/// # Errors
/// The band whose HEAD has to be read first.
pub fn newest(bands: &[KnownBand]) -> Result<Option<&KnownBand>, Ask> {
    let whole = latest(bands, age, |_, facts| facts.is_none_or(|facts| facts.mask.is_whole()))?;
    match whole {
        Some(band) => Ok(Some(band)),
        None => latest(bands, age, |_, _| true),
    }
}

/// The band that a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BandToRead<'a> {
    /// The band. If it is unfinished, there was no complete one to take.
    pub band: &'a KnownBand,
    /// The newest band, if it was passed over because it is unfinished.
    pub newer: Option<&'a KnownBand>,
}

/// The band that a reader takes who was given none: the newest complete one without a mask, or with
/// one; or the newest if none is complete; with `at`, among those of that time or before. None if
/// there is none.
///
/// # Errors
/// The band whose HEAD has to be read first.
pub fn to_read(bands: &[KnownBand], at: Option<Stamp>) -> Result<Option<BandToRead<'_>>, Ask> {
    let find = |complete: bool, whole: bool| {
        let time = |band: &KnownBand, facts: &ChoiceFacts| match at {
            Some(_) => facts.time,
            None => age(band, facts),
        };
        latest(bands, time, |_, facts| {
            facts.is_none_or(|facts| {
                at.is_none_or(|at| facts.time <= at)
                    && (facts.complete || !complete)
                    && (facts.mask.is_whole() || !whole)
            })
        })
    };
    let mut band = None;
    for (complete, whole) in [(true, true), (true, false), (false, true), (false, false)] {
        band = band.or(find(complete, whole)?);
    }
    let Some(band) = band else { return Ok(None) };
    let newer = find(false, true)?.filter(|newer| {
        !newer.is_complete() && *newer != band && newer.name.start() > band.name.start()
    });
    Ok(Some(BandToRead { band, newer }))
}

/// Bands with a mask that were passed over though they are newer than the one that was taken.
pub fn passed_masks<'a>(
    bands: &'a [KnownBand],
    taken: &KnownBand,
) -> impl Iterator<Item = &'a KnownBand> {
    let is_passed = taken.facts().is_some_and(|facts| facts.mask.is_whole());
    let after = taken.name.start();
    bands.iter().filter(move |band| {
        is_passed
            && band.name.start() > after
            && band.facts().is_some_and(|facts| !facts.mask.is_whole())
    })
}

/// The newest band that does not stand in the chain of this one, and is not above it: one of the
/// same source, if the archive is of one.
pub fn beside<'a>(bands: &'a [KnownBand], taken: &BandName) -> Option<&'a KnownBand> {
    let chain = taken.chain();
    let is_beside =
        |band: &&&KnownBand| !chain.contains(&band.name) && !band.name.chain().contains(taken);
    newest_first(bands).iter().find(is_beside).copied()
}

/// Why `--band` names no band.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The archive has none.
    #[error("the archive has no band `{0}`")]
    None(String),
    /// It has several.
    #[error("`{0}` matches {n} bands: {first}, {second}{more}", n = .1.len(), first = .1[0], second = .1[1],
        more = if .1.len() > 2 { ", …" } else { "" })]
    Several(String, Vec<BandName>),
}

/// The band that `--band` names: `latest` for that of the latest name ([`newest`] says which is the
/// newest by what is in it), a whole name, or a beginning of one that
/// no other band has. A beginning may leave the band's ancestors out, but must reach its own stamp:
/// `20261108` is the band started on that day, not one on top of it.
///
/// # Errors
/// If no band has that name, or several have that beginning.
pub fn find<'a>(bands: &'a [KnownBand], text: &str) -> Result<&'a KnownBand, FindError> {
    if text == "latest" {
        let newest = newest_first(bands).first().copied();
        return newest.ok_or_else(|| FindError::None(text.to_owned()));
    }
    if let Some(band) = bands.iter().find(|band| band.name.to_string() == text) {
        return Ok(band);
    }
    let found: Vec<&KnownBand> =
        bands.iter().filter(|band| is_short_for(text, &band.name)).collect();
    match found.as_slice() {
        [] => Err(FindError::None(text.to_owned())),
        [band] => Ok(band),
        _ => Err(FindError::Several(
            text.to_owned(),
            found.iter().map(|band| band.name.clone()).collect(),
        )),
    }
}

fn is_short_for(text: &str, name: &BandName) -> bool {
    let name = name.to_string();
    let own = name.len() - Stamp::LEN;
    // Every stamp of the chain is as long, and a `-` stands between.
    (0..=own)
        .step_by(Stamp::LEN + 1)
        .any(|at| at + text.len() > own && name[at..].starts_with(text))
}

/// What the options say about the band to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BandWish<'a> {
    /// `--tier`: the parent is the newest band of a lower tier.
    pub tier: Option<u8>,
    /// A band of a higher tier is continued all the same.
    pub deeper: bool,
    /// `--parent`: this band.
    pub parent: Option<&'a BandName>,
    /// `--full`: no parent; goes before the other two.
    pub full: bool,
    /// `--no-resume`: an unfinished band is not continued.
    pub no_resume: bool,
    /// The mask of the run.
    pub mask: Mask,
    /// The version whose contents the run takes from an archive.
    pub version: Option<&'a Parent>,
}

/// Why no band can be written as wished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// Nothing can be said yet.
    #[error(transparent)]
    Ask(#[from] Ask),
    /// The parent is of the deepest tier.
    #[error("{0} cannot have a band on top of it: it has tier {MAX_TIER}, the highest")]
    TooDeep(BandName),
    /// The parent is not in the archive.
    #[error("the archive has no band {0}")]
    NoBand(BandName),
    /// A band on top of the parent would be of a deeper tier than asked for.
    #[error("a band on top of {0} would have tier {above}, higher than {1}", above = .0.tier() + 1)]
    NotBelow(BandName, u8),
    /// An ancestor of the parent is not in the archive.
    #[error("{0} cannot be read: its ancestor {1} is not in the archive")]
    NoAncestor(BandName, BandName),
}

/// The band that the run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BandToWrite<'a> {
    /// A new one.
    New {
        /// The band below; none for a full band.
        parent: Option<&'a KnownBand>,
        /// The newest band that the run might continue, if the options would have another one.
        left: Option<&'a KnownBand>,
    },
    /// An unfinished one.
    Continue(&'a KnownBand),
}

/// Decides which band the run writes.
///
/// The newest band by name of the run's mask and version, if unfinished, is continued unless the options ask
/// for another kind of band: `--full` and `--tier 0` for a full one, `--tier N` for one of tier N
/// or less, `--parent` for one on that band. A parent that turns out to have no counted index is
/// [`ChoiceFacts::empty`]: its version is that of its own parent.
///
/// # Errors
/// If there is no such band, or it cannot be built on, or a HEAD has to be read first.
pub fn target<'a>(bands: &'a [KnownBand], wish: &BandWish) -> Result<BandToWrite<'a>, WishError> {
    let unfinished = newest_of_kind(bands, wish)?.filter(|band| !band.is_complete());
    let may_go_on = |band: &&KnownBand| {
        let is_open = |facts: &ChoiceFacts| !facts.tail_damaged && !facts.nameless;
        !wish.no_resume && is_wished(&band.name, wish) && band.facts().is_some_and(is_open)
    };
    if let Some(band) = unfinished.filter(may_go_on) {
        whole_chain(bands, &band.name)?;
        return Ok(BandToWrite::Continue(band));
    }
    Ok(BandToWrite::New { parent: parent(bands, wish)?, left: unfinished })
}

/// The newest band by name that a run with this mask, or of this version, would continue if it were
/// unfinished.
fn newest_of_kind<'a>(
    bands: &'a [KnownBand],
    wish: &BandWish,
) -> Result<Option<&'a KnownBand>, Ask> {
    for band in newest_first(bands) {
        match &band.found {
            BandCondition::Unasked => return Err(Ask(band.name.clone())),
            BandCondition::Band(facts)
                if facts.vouched
                    && !facts.deletes_too_much
                    && is_of_version(facts, wish.version)
                    && facts.mask.may_be_continued_by(wish.mask) =>
            {
                return Ok(Some(band));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A complete band of a version is not looked at: no run of it continues anything.
fn is_of_version(facts: &ChoiceFacts, version: Option<&Parent>) -> bool {
    (version.is_none() || !facts.complete)
        && facts.taken.may_be_continued_by(version, facts.as_of.is_some())
}

fn is_wished(band: &BandName, wish: &BandWish) -> bool {
    let tier = match wish.tier {
        _ if wish.full => band.tier() == 0,
        Some(tier) => wish.deeper || band.tier() <= tier,
        None => true,
    };
    tier && (wish.full || wish.parent.is_none_or(|parent| band.parent().as_ref() == Some(parent)))
}

/// Whether a band can be built on that nobody has named with `--parent`.
fn is_parent(facts: &ChoiceFacts) -> bool {
    facts.vouched
        && !facts.empty
        && !facts.nameless
        && !facts.deletes_too_much
        && (facts.complete || facts.as_of.is_none())
}

/// The newest band that a run may build on, whatever its tier; for one without a mask a band with a
/// mask only if there are no others.
fn newest_parent(bands: &[KnownBand], mask: Mask, below: u8) -> Result<Option<&KnownBand>, Ask> {
    let lower = |band: &KnownBand| band.name.tier() < below;
    if mask.is_whole() {
        let found = latest(bands, age, |band, facts| {
            lower(band) && facts.is_none_or(|facts| is_parent(facts) && facts.mask.is_whole())
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    latest(bands, age, |band, facts| lower(band) && facts.is_none_or(is_parent))
}

/// The newest band, if a run would build on it were it not of the deepest tier.
///
/// # Errors
/// The band whose HEAD has to be read first.
pub fn too_deep_to_build_on<'a>(
    bands: &'a [KnownBand],
    wish: &BandWish,
) -> Result<Option<&'a KnownBand>, Ask> {
    let newest = newest_parent(bands, wish.mask, u8::MAX)?;
    Ok(newest.filter(|band| wish.tier.is_none() && band.name.tier() >= MAX_TIER))
}

/// The parent of a new band; none for a full one.
fn parent<'a>(bands: &'a [KnownBand], wish: &BandWish) -> Result<Option<&'a KnownBand>, WishError> {
    if wish.full {
        return Ok(None);
    }
    let deepest = wish.tier.unwrap_or(MAX_TIER).min(MAX_TIER);
    let parent = match wish.parent {
        Some(name) => {
            let parent = bands
                .iter()
                .find(|band| band.name == *name)
                .ok_or_else(|| WishError::NoBand(name.clone()))?;
            if name.tier() >= MAX_TIER {
                return Err(WishError::TooDeep(name.clone()));
            }
            if name.tier() >= deepest {
                return Err(WishError::NotBelow(name.clone(), deepest));
            }
            match &parent.found {
                BandCondition::Unasked => return Err(Ask(name.clone()).into()),
                // Its version is that of its own parent.
                BandCondition::Band(facts) if facts.empty => match name.parent() {
                    Some(above) => {
                        return self::parent(bands, &BandWish { parent: Some(&above), ..*wish });
                    }
                    None => return Ok(None),
                },
                BandCondition::Band(_) => Some(parent),
                _ => return Err(WishError::NoBand(name.clone())),
            }
        }
        None => newest_parent(bands, wish.mask, deepest)?,
    };
    if let Some(parent) = parent {
        whole_chain(bands, &parent.name)?;
    }
    Ok(parent)
}

/// All ancestors must be there, or no version can be read from the band.
fn whole_chain(bands: &[KnownBand], name: &BandName) -> Result<(), WishError> {
    let mut ancestor = name.parent();
    while let Some(above) = ancestor {
        let is_there = |band: &KnownBand| {
            band.name == above
                && matches!(band.found, BandCondition::Unasked | BandCondition::Band(_))
        };
        if !bands.iter().any(is_there) {
            return Err(WishError::NoAncestor(name.clone(), above));
        }
        ancestor = above.parent();
    }
    Ok(())
}
