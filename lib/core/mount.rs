//! What a mounted archive looks like: names, numbers and places, without the system.

pub mod course;
pub mod inodes;
pub mod layout;
pub mod tree;
