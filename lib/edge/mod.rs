//! The only code that touches the world, but for the stores: walking, reading files, gpg, the
//! clock, pipes and threads.

pub mod ahead;
pub mod attributes;
pub mod background;
pub mod batches;
pub mod budget;
pub mod clock;
pub mod gate;
pub mod gpg;
pub mod handover;
pub mod hashing;
pub mod look;
pub mod memory;
pub mod mounts;
mod near;
pub mod ordered;
pub mod pipe;
pub mod privilege;
pub mod resolve;
pub mod signals;
pub mod source;
pub mod table;
pub mod unmount;
pub mod users;
pub mod walk;
