//! Choices among the bands of an archive, by their names and whether they are complete.

use crate::format::band::{BandName, MAX_TIER};
use crate::format::time::Stamp;

/// A band of the archive, as its name and the presence of TAIL tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: BandName,
    /// Whether it has a TAIL.
    pub complete: bool,
}

/// The newest band: the one that was started last. Of two that were started in the same second, by
/// different writers, all readers take the same.
pub fn newest(bands: &[Known]) -> Option<&Known> {
    bands.iter().max_by_key(|band| (band.name.start(), &band.name))
}

/// What `#band-after` says: the latest start of all bands.
pub fn band_after(bands: &[Known]) -> Option<Stamp> {
    newest(bands).map(|band| band.name.start())
}

/// The band that a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The band. If it is unfinished, there was no complete one to take.
    pub band: &'a Known,
    /// The newest band, if it was passed over because it is unfinished.
    pub newer: Option<&'a Known>,
}

/// The band that a reader takes who was given none: the newest complete one, or the newest if none
/// is complete; with `at`, among those started at that time or before. None if there is none.
pub fn to_read(bands: &[Known], at: Option<Stamp>) -> Option<Reading<'_>> {
    let started = |band: &&Known| at.is_none_or(|at| band.name.start() <= at);
    let latest = |wanted: &dyn Fn(&Known) -> bool| {
        bands
            .iter()
            .filter(started)
            .filter(|band| wanted(band))
            .max_by_key(|band| (band.name.start(), &band.name))
    };
    let newest = latest(&|_| true)?;
    let band = latest(&|band| band.complete).unwrap_or(newest);
    Some(Reading { band, newer: (band != newest).then_some(newest) })
}

/// Why `--band` names no band.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The archive has none.
    #[error("the archive has no band `{0}`")]
    None(String),
    /// It has several.
    #[error("`{0}` may be any of {n} bands: {first}, {second}{more}", n = .1.len(), first = .1[0], second = .1[1],
        more = if .1.len() > 2 { ", …" } else { "" })]
    Several(String, Vec<BandName>),
}

/// The band that `--band` names: `latest` for the newest, a whole name, or a beginning of one that
/// no other band has. A beginning may leave the band's ancestors out, but must reach its own stamp:
/// `20261108` is the band started on that day, not one on top of it.
pub fn find<'a>(bands: &'a [Known], text: &str) -> Result<&'a Known, FindError> {
    if text == "latest" {
        return newest(bands).ok_or_else(|| FindError::None(text.to_owned()));
    }
    if let Some(band) = bands.iter().find(|band| band.name.to_string() == text) {
        return Ok(band);
    }
    let found: Vec<&Known> = bands.iter().filter(|band| is_short_for(text, &band.name)).collect();
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
pub struct Wish<'a> {
    /// `--tier`: the parent is the newest band of a lower tier.
    pub tier: Option<u8>,
    /// `--parent`: this band.
    pub parent: Option<&'a BandName>,
    /// `--full`: no parent; goes before the other two.
    pub full: bool,
    /// `--no-resume`: an unfinished band is not continued.
    pub no_resume: bool,
}

/// Why no band can be written as wished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// The parent is of the deepest tier.
    #[error("{0} can have no band on top of it: it is of tier {MAX_TIER}, the deepest")]
    TooDeep(BandName),
    /// The parent is not in the archive.
    #[error("the archive has no band {0}")]
    NoBand(BandName),
    /// A band on top of the parent would be of a deeper tier than asked for.
    #[error("a band on top of {0} would be of tier {above}, deeper than {1}", above = .0.tier() + 1)]
    NotBelow(BandName, u8),
    /// An ancestor of the parent is not in the archive.
    #[error("{0} can not be read: its ancestor {1} is not in the archive")]
    NoAncestor(BandName, BandName),
}

/// The band that the run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A new one.
    New {
        /// The band below; none for a full band.
        parent: Option<&'a Known>,
        /// The newest band, if it is unfinished and the options would have another one than its
        /// continuation.
        left: Option<&'a Known>,
    },
    /// The newest band, which is unfinished.
    Continue(&'a Known),
}

/// Decides which band the run writes.
///
/// The newest band, if unfinished, is continued unless the options ask for another kind of band:
/// `--full` and `--tier 0` for a full one, `--tier N` for one of tier N or less, `--parent` for one
/// on that band. Should the parent turn out to have no counted index, leave it out of `bands` and
/// decide again: its version is that of its own parent. The same with a newest band without HEAD,
/// whose first object never came. [`band_after`] is still to be asked with all of them.
pub fn target<'a>(bands: &'a [Known], wish: &Wish) -> Result<Target<'a>, WishError> {
    let unfinished = newest(bands).filter(|band| !band.complete);
    if let Some(band) = unfinished.filter(|band| !wish.no_resume && is_wished(&band.name, wish)) {
        whole_chain(bands, &band.name)?;
        return Ok(Target::Continue(band));
    }
    Ok(Target::New { parent: parent(bands, wish)?, left: unfinished })
}

fn is_wished(band: &BandName, wish: &Wish) -> bool {
    let tier = match wish.tier {
        _ if wish.full => band.tier() == 0,
        Some(tier) => band.tier() <= tier,
        None => true,
    };
    tier && (wish.full || wish.parent.is_none_or(|parent| band.parent().as_ref() == Some(parent)))
}

/// The parent of a new band; none for a full one.
fn parent<'a>(bands: &'a [Known], wish: &Wish) -> Result<Option<&'a Known>, WishError> {
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
            Some(parent)
        }
        None => {
            let lower = bands.iter().filter(|band| band.name.tier() < deepest);
            lower.max_by_key(|band| (band.name.start(), &band.name))
        }
    };
    if let Some(parent) = parent {
        whole_chain(bands, &parent.name)?;
    }
    Ok(parent)
}

/// All ancestors must be there, or no version can be read from the band.
fn whole_chain(bands: &[Known], name: &BandName) -> Result<(), WishError> {
    let mut ancestor = name.parent();
    while let Some(above) = ancestor {
        if !bands.iter().any(|band| band.name == above) {
            return Err(WishError::NoAncestor(name.clone(), above));
        }
        ancestor = above.parent();
    }
    Ok(())
}

/// A new band's name, and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: BandName,
    /// By how many seconds the name is later than the clock: 0 unless two bands are started in a
    /// second, or the clock went back.
    pub ahead: i64,
}

/// Why a band has no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoName {
    /// The name would need a year over 9999.
    #[error("no band can be started after {0}")]
    EndOfTime(Stamp),
    /// The parent is of the deepest tier.
    #[error("{0} can have no band on top of it")]
    TooDeep(BandName),
}

/// The name of a band on top of `parent`: the clock, or one second after the newest band of the
/// archive, whichever is later.
pub fn name(
    parent: Option<&BandName>,
    band_after: Option<Stamp>,
    clock: Stamp,
) -> Result<Named, NoName> {
    let start = match band_after.max(parent.map(BandName::start)) {
        Some(after) if after >= clock => {
            Stamp::from_unix(after.unix() + 1).ok_or(NoName::EndOfTime(after))?
        }
        _ => clock,
    };
    let name = match parent {
        Some(parent) => parent.child(start).ok_or_else(|| NoName::TooDeep(parent.clone()))?,
        None => BandName::full(start),
    };
    Ok(Named { name, ahead: start.unix() - clock.unix() })
}
