//! What a new band is called.

use crate::format::band::BandName;
use crate::format::time::Stamp;

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
    #[error("{0} cannot have a band on top of it")]
    TooDeep(BandName),
}

/// The name of a band on top of `parent`: the clock, or one second after the newest band of the
/// archive, whichever is later.
///
/// # Errors
/// If the parent is of the deepest tier, or no later time has a name.
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
