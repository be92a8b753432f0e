//! One module for each deed: what it does with archives, sources and streams, called with plain
//! options and a report.

pub(crate) mod asked;
#[cfg(test)]
mod effort;
pub mod index;
#[cfg(test)]
mod orders;
pub mod pack;
pub mod prune;
pub mod push;
pub mod restore;
pub(crate) mod room;
pub mod scan;
pub mod seal;
pub mod verify;
