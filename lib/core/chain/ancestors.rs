//! Whether the bands of a chain belong together, and how much of each counts.

use crate::core::diff::Continuation;
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::head::{Head, Tail};
use crate::format::listing::Have;

use super::counted::Indexes;

/// A band of a chain, as far as it was found.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Its name.
    pub name: &'a BandName,
    /// Its HEAD, if it is there.
    pub head: Option<&'a Head>,
    /// Its TAIL, if it is complete.
    pub tail: Option<&'a Tail>,
}

impl<'a> Link<'a> {
    /// Its HEAD. Both HEAD and TAIL must be the band's.
    ///
    /// # Errors
    /// If one of the two is missing, damaged or of another band.
    pub fn own(&self) -> Result<&'a Head, ChainError> {
        let foreign = |object| ChainError::Foreign(self.name.clone(), object);
        let head = self.head.ok_or_else(|| ChainError::NoHead(self.name.clone()))?;
        if head.band != *self.name {
            return Err(foreign("HEAD"));
        }
        if self.tail.is_some_and(|tail| (&tail.band, tail.id) != (&head.band, head.id)) {
            return Err(foreign("TAIL"));
        }
        Ok(head)
    }
}

/// How much of a band counts in a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The chain of indexes from this one back: see [`Indexes::up_to`]. It must be there, or the
    /// version is not whole.
    UpTo(u32),
    /// What an unfinished band has: see [`Indexes::of_unfinished`].
    Unfinished,
}

/// Why bands are no chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A band is not there, or was never begun.
    #[error("{0}/HEAD: missing")]
    NoHead(BandName),
    /// HEAD or TAIL is another band's.
    #[error("{0}/{1}: belongs to another band")]
    Foreign(BandName, &'static str),
    /// A band stands on a band of the same name that is another one.
    #[error("{parent}/HEAD: id {found}, but {band} is on top of a band with id {wanted}")]
    OtherParent {
        /// The band on top.
        band: BandName,
        /// Its parent's name.
        parent: BandName,
        /// The parent's id as the band's HEAD says.
        wanted: BandId,
        /// The parent's id as its own HEAD says.
        found: BandId,
    },
    /// A band stands on more of its parent than there is.
    #[error(
        "{parent}/TAIL: ends with index {found:09}, but {band} is on top of it up to {wanted:09}"
    )]
    ShortParent {
        /// The band on top.
        band: BandName,
        /// Its parent's name.
        parent: BandName,
        /// The parent's last index as the band's HEAD says.
        wanted: u32,
        /// The parent's last index as its TAIL says.
        found: u32,
    },
}

/// Checks a chain, oldest band first, and says how much of each band counts, in the same order.
///
/// The same check serves readers and push, which asks before it stores a band whether the archive
/// has the ancestors that it was made on. That the index named in [`Extent::UpTo`] is there is left
/// to the caller, because it takes a call of the store.
///
/// # Errors
/// The first band that is not the one on which the next was made.
pub fn extents(chain: &[Link]) -> Result<Vec<Extent>, ChainError> {
    let mut extents = Vec::with_capacity(chain.len());
    let mut above: Option<&Head> = None;
    for link in chain.iter().rev() {
        let head = link.own()?;
        extents.push(match above {
            Some(above) => below(above, head, link.tail)?,
            None => link.tail.map_or(Extent::Unfinished, |tail| Extent::UpTo(tail.last)),
        });
        above = Some(head);
    }
    if let Some(parent) = above.and_then(|full| full.parent.as_ref()) {
        return Err(ChainError::NoHead(parent.band.clone()));
    }
    extents.reverse();
    Ok(extents)
}

/// How much of a parent counts for the band on top of it.
fn below(band: &Head, parent: &Head, tail: Option<&Tail>) -> Result<Extent, ChainError> {
    let Some(wanted) = band.parent.as_ref().filter(|wanted| wanted.band == parent.band) else {
        return Err(ChainError::Foreign(band.band.clone(), "HEAD"));
    };
    let (name, under) = (|| band.band.clone(), || parent.band.clone());
    if wanted.id != parent.id {
        return Err(ChainError::OtherParent {
            band: name(),
            parent: under(),
            wanted: wanted.id,
            found: parent.id,
        });
    }
    match tail {
        Some(tail) if tail.last < wanted.last => Err(ChainError::ShortParent {
            band: name(),
            parent: under(),
            wanted: wanted.last,
            found: tail.last,
        }),
        _ => Ok(Extent::UpTo(wanted.last)),
    }
}

/// Why an unfinished band can not be continued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// There is no HEAD, so the band has no id to go on with.
    #[error("{0} has no HEAD")]
    NoHead(BandName),
    /// Where it ends can not be told.
    #[error("index {1:09} of {0} can be read neither from the store nor from the cache")]
    Unreadable(BandName, u32),
    /// No numbers are left.
    #[error("{0} has used up all numbers of nine digits")]
    Full(BandName),
}

/// What the continuation of an unfinished band begins with.
///
/// `unreadable` is the first index in the store that could not be read, for want of a key or
/// because it is damaged: where it stands in the chain is not known then, so what it lists might be
/// lost or stored twice. `have` is the count of the indexes that count, `counted` which ones they
/// are.
///
/// # Errors
/// Why the band cannot be continued.
pub fn continuation(
    band: &BandName,
    head: Option<&Head>,
    indexes: &Indexes,
    unreadable: Option<u32>,
    have: Have,
    counted: CountedBlocks,
) -> Result<Continuation, Stuck> {
    let head = head.ok_or_else(|| Stuck::NoHead(band.clone()))?;
    if let Some(number) = unreadable {
        return Err(Stuck::Unreadable(band.clone(), number));
    }
    let next = indexes.next_number().ok_or_else(|| Stuck::Full(band.clone()))?;
    Ok(Continuation {
        band: band.clone(),
        id: head.id,
        next,
        after: indexes.of_unfinished().last(),
        have,
        counted,
    })
}
