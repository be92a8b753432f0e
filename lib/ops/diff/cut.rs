//! Blocks that earlier runs have begun and not ended, for pack to go on with.

use crate::archive::{Archive, side_by_side};
use crate::core::cut::CutBlock;
use crate::format::band::BandName;
use crate::format::digest::Digest;
use crate::format::listing::Header;
use crate::format::object::ObjectName;

/// The lines that tell pack of these blocks.
pub(super) fn headers(begun: Vec<CutBlock>) -> Vec<Header> {
    begun.into_iter().flat_map(|cut| cut.block.pieces()).map(Header::Parts).collect()
}

/// Parts of which it is not known what is stored, since they were sealed twice: these are looked
/// at. Gives those that are not what was sealed last; their blocks are given up.
pub(super) fn not_as_sealed(
    archive: &Archive,
    band: &BandName,
    begun: &mut Vec<CutBlock>,
) -> anyhow::Result<Vec<ObjectName>> {
    let doubtful: Vec<(ObjectName, Digest)> =
        begun.iter_mut().flat_map(|block| std::mem::take(&mut block.doubtful)).collect();
    let looked = side_by_side(&doubtful, |(name, piece)| archive.begins_with(band, *name, piece))?;
    let others: Vec<ObjectName> = doubtful
        .into_iter()
        .zip(looked)
        .filter(|(_, is_last)| !is_last)
        .map(|((name, _), _)| name)
        .collect();
    begun.retain(|cut| !others.iter().any(|name| name.number() == Some(cut.block.number)));
    Ok(others)
}
