//! Where archives live. A store holds named objects that are written once.

use std::io;

pub mod cache;
pub mod durable;
pub mod local;
pub mod memory;

/// What a store does. Names are paths inside the archive, such as `20261101T020000Z/HEAD`.
///
/// An object of 0 bytes counts as absent everywhere: it is what a torn write leaves on some stores.
pub trait Store: Send + Sync {
    /// Stores a new object, durably, and all of it or nothing. Fails with [`Kind::Exists`] if there is one of that name.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The whole object.
    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError>;

    /// The size of an object; none if it is not there.
    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError>;

    /// The names directly in a folder (`""` is the archive itself), sorted, with sizes; folders end in `/`. Empty if there is no such folder.
    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError>;
}

/// What went wrong, as far as it matters for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such object.
    NotFound,
    /// There is one already.
    Exists,
    /// Anything else.
    Other,
}

/// A call of a store that failed.
#[derive(Debug, thiserror::Error)]
#[error("{at}")]
pub struct StoreError {
    /// What it means.
    pub kind: Kind,
    /// The object or folder, as a person finds it.
    pub at: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl StoreError {
    fn new(at: impl ToString, source: io::Error) -> StoreError {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::AlreadyExists => Kind::Exists,
            _ => Kind::Other,
        };
        StoreError { kind, at: at.to_string(), source }
    }
}

#[cfg(test)]
mod contract;
