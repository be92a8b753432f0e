//! The black-box tests: they run the built programs, and the standard tools that must be able to read what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// A tree with everything that is hard, comparing trees, throwaway keys, running programs.
mod util;
