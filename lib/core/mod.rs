//! The decisions, as machines without I/O: they take events and return effects, so they are tested
//! as tables.

pub mod assemble;
pub mod chain;
pub mod confirm;
pub mod diff;
pub mod expire;
pub mod filter;
pub mod fit;
pub mod groups;
pub mod intake;
pub mod links;
pub mod merge;
pub mod parity;
pub mod patterns;
pub mod place;
pub mod planner;
pub mod prune;
pub mod repair;
pub mod resend;
pub mod restore;
pub mod runs;
pub mod schedule;
pub mod selection;
pub mod unlisted;
pub mod verify;
