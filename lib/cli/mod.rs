//! One module for each program: its arguments, one call, and its exit status.

pub mod at;
pub mod common;
pub mod tips;

pub use crate::ops::{index, pack, prune, push, restore, scan, seal, verify};
