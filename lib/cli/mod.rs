//! One module for each program: its arguments, one call, and its exit status.

mod at;
pub mod common;
pub mod index;
pub mod pack;
pub mod prune;
pub mod push;
mod reading;
pub mod restore;
pub mod scan;
pub mod seal;
mod tips;
pub mod verify;
