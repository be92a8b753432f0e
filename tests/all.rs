//! The black-box tests: they run the built programs, and the standard tools that must be able to read what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// A tree with everything that is hard, comparing trees, throwaway keys, running programs.
mod util;

// What was backed up comes back exactly, by tar, gzip and gpg alone, and by the script in the band.
mod recovery;

// Input that is cut off, output that goes nowhere, writers that meet.
mod cuts;

// Object streams that lie.
mod hostile;

// Damage in a block costs no more than the gzip member it lies in.
mod damage;

// Files that change, vanish or turn into something else under pack's hands.
mod pack_files;
