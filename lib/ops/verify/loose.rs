//! Groups that have no list, or none that can be relied on.

use crate::core::verify::loose;
use crate::format::band::{BandId, BandName};

/// A group that is to get a list.
#[derive(Debug)]
pub(super) struct GroupToList {
    /// Its band.
    pub band: BandName,
    /// The band's id.
    pub id: BandId,
    /// What there is of it.
    pub group: loose::UnlistedGroup,
    /// True if lists of the band are signed.
    pub signed: bool,
    /// How many parity shards other groups of the band have.
    pub parity: usize,
}
