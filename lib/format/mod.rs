//! The format: bytes to types and back, with nothing but memory. `docs/format.md` gives it in
//! prose.

pub mod acl;
pub mod band;
pub mod codec;
pub mod counted;
pub mod cut;
pub mod digest;
pub mod entry;
pub mod group;
pub mod head;
pub mod inflate;
pub mod journal;
pub mod listing;
pub mod litter;
pub mod moment;
pub mod notes;
pub mod object;
pub mod openpgp;
pub mod path;
pub mod rdiff;
pub mod sealed;
pub mod sparse;
pub mod stream;
pub mod sums;
pub mod tarball;
pub mod time;
pub mod toc;
pub mod untar;
pub mod xattr;
