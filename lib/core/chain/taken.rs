//! Which runs may continue a band that was taken from an old version (`dura-pack --from`).

use crate::format::head::Parent;

/// The version of an archive that an unfinished band was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TakenFrom {
    /// Nobody has looked.
    #[default]
    Unread,
    /// This one.
    Version(Parent),
    /// No index says it: none was stored yet, or none can be read.
    Unknown,
}

impl TakenFrom {
    /// Whether a run that takes `version` from an archive, or none, may continue an unfinished band:
    /// one from files, or, as `has_as_of` says, from an archive. One that nobody has looked at may
    /// be.
    pub fn may_be_continued_by(&self, version: Option<&Parent>, has_as_of: bool) -> bool {
        match (version, self) {
            (None, _) => !has_as_of,
            (Some(_), TakenFrom::Unread) => has_as_of,
            (Some(version), TakenFrom::Version(own)) => has_as_of && own == version,
            (Some(_), TakenFrom::Unknown) => false,
        }
    }
}
