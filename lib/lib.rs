//! Dura: backup in tiny Unix programs, whose archives can be read back by hand.
//!
//! In reading order, and with imports that point inwards only: [`mod@format`] holds bytes and
//! types, [`core`] the decisions as machines without I/O, [`store`] where archives live, [`edge`]
//! all else that touches the world, [`report`] what a run says and counts, [`archive`] the library
//! that reads archives, [`ops`] one module for each deed, [`cli`] the arguments of each program.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod archive;
pub mod cli;
pub mod core;
pub mod edge;
pub mod format;
pub mod ops;
pub mod report;
pub mod store;
