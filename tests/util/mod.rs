//! What the black-box tests share: a tree with everything that is hard, a way to compare trees,
//! throwaway keys, and ways to run programs.

pub(crate) mod backup;
pub(crate) mod dice;
pub(crate) mod forge;
pub(crate) mod gpg;
pub(crate) mod place;
#[allow(dead_code)]
pub(crate) mod proxy;
pub(crate) mod run;
#[allow(dead_code)]
pub(crate) mod servers;
pub(crate) mod small;
pub(crate) mod snapshot;
pub(crate) mod stream;
pub(crate) mod sweep;
pub(crate) mod tree;
