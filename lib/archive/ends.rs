//! What HEAD and TAIL of bands say, and the chains that they make.

use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::archive::locked::locked;
use crate::archive::{Archive, BandInChain, index_text, side_by_side, unzip};
use crate::core::chain::ancestors::{ChainError, Link, extents};
use crate::core::chain::ends::{BandEnds, EndPiece, ends};
use crate::format::band::BandName;
use crate::format::head::{Head, HeadError, Parent, Tail};
use crate::format::object::{Compression, Object};
use crate::report::message::{Hinted, Report};

impl Archive {
    /// The band's HEAD; none if it is not there.
    pub(crate) fn head(&self, band: &BandName) -> anyhow::Result<Option<Head>> {
        let bytes = self.once(band, "HEAD")?;
        bytes.map(|bytes| Head::parse(&bytes).with_context(|| format!("{band}/HEAD"))).transpose()
    }

    /// The band's TAIL; none if it is not there. One of another band is damage.
    pub(crate) fn tail(&self, band: &BandName) -> anyhow::Result<Option<Tail>> {
        let own =
            |tail: Tail| if tail.band == *band { Ok(tail) } else { Err(HeadError::Bad("band")) };
        let bytes = self.once(band, "TAIL")?;
        bytes
            .map(|bytes| Tail::parse(&bytes).and_then(own).with_context(|| format!("{band}/TAIL")))
            .transpose()
    }

    /// What HEAD and TAIL say, if one stands in for the other. A TAIL that repeats HEAD saves
    /// reading that, unless `both` are to be looked at. If neither can be read, the indexes tell.
    pub(crate) fn state(&self, band: &BandName, both: bool) -> anyhow::Result<BandEnds> {
        let tail =
            piece(self.once(band, "TAIL")?, Tail::parse).with_context(|| format!("{band}/TAIL"))?;
        let repeated = match &tail {
            EndPiece::Whole(tail) => tail.head.as_ref().filter(|head| head.band == *band),
            _ => None,
        };
        let head = match repeated {
            Some(_) if !both => EndPiece::Unread,
            _ => piece(self.once(band, "HEAD")?, Head::parse)
                .with_context(|| format!("{band}/HEAD"))?,
        };
        let mut found = ends(band, head, tail);
        if found.head.is_none() && found.head_damaged {
            found.head = self.head_of_indexes(band)?;
        }
        Ok(found)
    }

    /// What the indexes of a band tell of a HEAD that cannot be read.
    fn head_of_indexes(&self, band: &BandName) -> anyhow::Result<Option<Head>> {
        let objects = self.objects(band)?;
        let compression = objects.iter().find_map(|(name, _)| match name.object {
            Object::Block(_, form) | Object::Part(_, form, _) => Some(form.compression()),
            _ => None,
        });
        let mut numbers: Vec<u32> = (objects.iter())
            .filter(|(name, _)| matches!(name.object, Object::Index(_)))
            .filter_map(|(name, _)| name.number())
            .collect();
        numbers.sort_unstable();
        let parent = match band.parent() {
            None => None,
            Some(parent) => {
                let (Some(head), tail) = self.ends(&parent)? else { return Ok(None) };
                let last = match tail {
                    Some(tail) => Some(tail.last),
                    None => self.indexes(&head)?.0.of_unfinished().last(),
                };
                let Some(last) = last else { return Ok(None) };
                Some(Parent { band: parent, id: head.id, last })
            }
        };
        for number in numbers {
            let Some(bytes) = self.fetch(band, Object::Index(number))? else { continue };
            let id =
                unzip(&bytes, Object::Index(number)).ok().and_then(|text| index_text::id_of(&text));
            if let Some(id) = id {
                let (started, compression) =
                    (band.start(), compression.unwrap_or(Compression::Gzip));
                return Ok(Some(Head::new(band.clone(), id, parent, started, compression, "")));
            }
        }
        Ok(None)
    }

    /// Reports a HEAD or TAIL that is damaged, as far as they were read.
    /// Each is reported once.
    pub(crate) fn tell_of_damaged_ends(&self, band: &BandName, report: &Report) {
        if report.is_silent() {
            return;
        }
        let seen = |object: &str| self.kept.get(&format!("{band}/{object}"));
        let head = seen("HEAD").map_or(Ok(EndPiece::Unread), |bytes| piece(bytes, Head::parse));
        let tail = seen("TAIL").map_or(Ok(EndPiece::Unread), |bytes| piece(bytes, Tail::parse));
        let (Ok(head), Ok(tail)) = (head, tail) else { return };
        let found = ends(band, head, tail);
        let is_first = |object: &str| {
            let mut told = locked(&self.told);
            told.insert(format!("{band}/{object}"))
        };
        if found.tail_damaged && is_first("TAIL") {
            let why = if found.disagree {
                format!("of another band than {band}/HEAD")
            } else {
                "damaged".to_owned()
            };
            report.warn(format_args!("{band}/TAIL: {why}: reading the band as unfinished"));
        }
        if found.head_damaged && is_first("HEAD") {
            let instead = if found.tail.is_some() { "TAIL" } else { "its indexes" };
            report.warn(format_args!("{band}/HEAD: damaged: reading {instead} instead"));
        }
    }

    /// Reports a band that is read though neither its HEAD nor its TAIL is there.
    pub(crate) fn tell_of_ruin(&self, band: &BandName, report: &Report) {
        let is_absent =
            |object: &str| matches!(self.kept.get(&format!("{band}/{object}")), Some(None));
        if is_absent("HEAD") && is_absent("TAIL") {
            report.warn(format_args!(
                "{band}: has neither HEAD nor TAIL: reading its indexes instead"
            ));
        }
    }

    /// The band's HEAD and TAIL, as far as they are there; see [`Archive::state`].
    pub(crate) fn ends(&self, band: &BandName) -> anyhow::Result<(Option<Head>, Option<Tail>)> {
        let found = self.state(band, false)?;
        Ok((found.head, found.tail))
    }

    /// The chain that ends in `band`, oldest first, its bands asked for side by side.
    pub(crate) fn chain(&self, band: &BandName) -> anyhow::Result<Vec<BandInChain>> {
        // If it is no chain, a TAIL may be another's: HEAD tells.
        self.chain_of(band, false, true).or_else(|error| match error.is::<ChainError>() {
            true => self.chain_of(band, true, true),
            false => Err(error),
        })
    }

    /// The same for a run that builds on the band: each of them must have its HEAD, too.
    pub(crate) fn chain_to_build_on(&self, band: &BandName) -> anyhow::Result<Vec<BandInChain>> {
        let names = band.chain();
        for (name, found) in names.iter().zip(side_by_side(&names, |name| self.state(name, true))?)
        {
            if found.headless {
                let hint = "if nobody is removing the band, restore HEAD: dura-verify --repair ARCHIVE | dura-push --replace ARCHIVE; or make a full band: --no-resume --full";
                return Err(Hinted::wrap(
                    anyhow!(
                        "{name}/HEAD: missing, though the band is complete: cannot build on it"
                    ),
                    hint,
                ));
            }
        }
        self.chain_of(band, true, false)
    }

    /// The same whether or not all have their HEAD, with what each HEAD says where it is.
    pub(crate) fn chain_by_heads(&self, band: &BandName) -> anyhow::Result<Vec<BandInChain>> {
        self.chain_of(band, true, false)
    }

    /// With `ruins`, a band below that has lost HEAD and TAIL is taken to be what its indexes tell.
    fn chain_of(
        &self,
        band: &BandName,
        both: bool,
        ruins: bool,
    ) -> anyhow::Result<Vec<BandInChain>> {
        let names = band.chain();
        let found = side_by_side(&names, |name| {
            let mut ends = self.state(name, both)?;
            if ruins && name != band && ends.is_nothing() {
                ends.head = self.head_of_indexes(name)?;
            }
            Ok(ends)
        })?;
        let links: Vec<Link<'_>> = names
            .iter()
            .zip(&found)
            .map(|(name, ends)| Link { name, head: ends.head.as_ref(), tail: ends.tail.as_ref() })
            .collect();
        let extents = extents(&links)?;
        Ok(found
            .into_iter()
            .zip(extents)
            .filter_map(|(ends, extent)| {
                Some(BandInChain { head: ends.head?, tail: ends.tail, extent })
            })
            .collect())
    }
}

/// HEAD or TAIL as it was found; fails for one of a later format.
pub(crate) fn piece<T>(
    bytes: Option<Arc<Vec<u8>>>,
    parse: impl Fn(&[u8]) -> Result<T, HeadError>,
) -> Result<EndPiece<T>, HeadError> {
    match bytes.map(|bytes| parse(&bytes)) {
        None => Ok(EndPiece::Absent),
        Some(Ok(found)) => Ok(EndPiece::Whole(found)),
        Some(Err(error @ (HeadError::Newer(_) | HeadError::Uses(_)))) => Err(error),
        Some(Err(_)) => Ok(EndPiece::Damaged),
    }
}
