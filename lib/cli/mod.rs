//! One module per program: its arguments, its messages, its exit status, and the thin loop that
//! drives its machines.

mod archive;
mod asked;
mod at;
mod awaited;
mod caching;
pub mod common;
#[cfg(test)]
mod effort;
pub mod events;
pub mod index;
pub mod message;
mod named;
#[cfg(test)]
mod orders;
pub mod pack;
pub mod progress;
pub mod prune;
pub mod push;
pub mod restore;
mod retrying;
pub mod scan;
pub mod seal;
mod signers;
mod stores;
mod tips;
mod unlock;
pub mod verify;
mod vouching;
