//! One module for each deed: what it does with archives, sources and streams, called with plain
//! options and a report.

#[cfg(test)]
mod answers;
pub(crate) mod asked;
pub mod bands;
pub mod changes;
pub mod diff;
#[cfg(test)]
mod effort;
pub mod expire;
pub mod filter;
pub mod find;
pub(crate) mod keyring;
pub mod keys;
pub mod list;
pub mod locate;
pub mod ls;
pub mod mount;
#[cfg(test)]
mod orders;
pub mod pack;
pub mod prune;
pub mod push;
pub mod records;
pub mod restore;
pub(crate) mod room;
pub mod scan;
pub mod seal;
pub mod verify;

/// Why a deed that writes text ends.
pub(crate) const CANNOT_WRITE: &str = "cannot write the output";
