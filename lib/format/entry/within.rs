//! Where content lies that a line does not store itself.

use crate::format::path::Path;

/// Where unchanged content lies: `in:TIER/NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Within {
    /// The tier of the band in the chain, 0 to 9.
    pub tier: u8,
    /// The number of its block.
    pub block: u32,
}

impl Within {
    /// Reads `TIER/NUMBER`.
    pub(crate) fn parse(text: &[u8]) -> Option<Within> {
        let (tier, block) = super::pair(text, b'/')?;
        Some(Within { tier: super::number(tier)?, block: super::number(block)? })
            .filter(|it| it.tier <= 9)
    }
}

/// Where the content of a file is that this line does not store: `of:` and `as:`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// `of:` for a person: the content is that of this path, in the version below the band if `in:`
    /// names an older tier, else in the band itself.
    pub of: Option<Path>,
    /// `as:` the path under which the block has the content, if that is not `of`, or without `of`
    /// the line's own.
    pub name: Option<Path>,
}

impl Reference {
    /// The path under which the block has the content, if that is not the line's own.
    pub fn name_in_block(&self) -> Option<&Path> {
        self.name.as_ref().or(self.of.as_ref())
    }

    /// To content that its block has under another path than the line's own, as before.
    pub fn under(name: Path) -> Box<Reference> {
        Box::new(Reference { of: None, name: Some(name) })
    }
}

/// Where a file's content is that another line stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentPlace {
    /// Its block or delta.
    pub within: Within,
    /// Its paths there and by hand.
    pub reference: Reference,
    /// How many deltas lie over each other there.
    pub deltas: u8,
}

/// What a delta is laid over: the content of a file in the version below the band.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaBase {
    /// `in:` its block, or its own delta.
    pub within: Within,
    /// `of:` and `as:` its path there, and in the block.
    pub reference: Reference,
}
