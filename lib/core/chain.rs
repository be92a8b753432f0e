//! Which bands: the newest, the one to read, the parent, the one to continue; which of their
//! indexes count; what a new one is called.
//!
//! All of it is decided from names and small facts, so that nothing needs to be read that is not
//! used: [`choice`] from the names of the bands, [`counted`] from the numbers and links of a band's
//! indexes, [`ends`] from HEAD and TAIL of a band, [`ancestors`] from those of each band of a
//! chain, [`calendar`] from the dates in names, [`level`] from what another archive has,
//! [`kept_up`] from what the band below is sealed with, [`sealing`] from what is sealed and what is
//! plain, [`taken`] from the version that a band was taken from.

pub mod ancestors;
pub mod attribution;
pub mod calendar;
pub mod choice;
pub mod counted;
pub mod ends;
pub mod kept_up;
pub mod lag;
pub mod level;
pub mod naming;
pub mod sealing;
pub mod taken;

#[cfg(test)]
mod tests;
