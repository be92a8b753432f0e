//! Where archives live. A store holds named objects that are written once.

pub mod cache;
mod create_only;
pub mod cut;
pub mod dav;
pub mod durable;
mod error;
#[cfg(test)]
pub(crate) mod faulty;
pub mod http;
pub mod journal;
pub mod local;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod recording;
pub mod s3;
pub mod sealed;
pub mod sftp;
mod xml;

pub use create_only::LookAhead;
pub use error::{StoreError, StoreErrorKind};

pub use crate::format::object::UNSEEN;

use std::sync::Arc;

use crate::format::object::ObjectName;
use crate::format::stream::MAX_OBJECT;

/// What a store does. Names are paths inside the archive, such as `20261101T020000Z/HEAD`.
///
/// An object of 0 bytes counts as absent everywhere: it is what a torn write leaves on some stores.
pub trait Store: Send + Sync {
    /// Stores a new object, durably, and all of it or nothing. Fails with
    /// [`StoreErrorKind::Exists`] if there is one of that name.
    ///
    /// Whoever lost the reply to a write and tries again is told [`StoreErrorKind::Exists`], and
    /// has to look whose bytes are there.
    ///
    /// # Errors
    /// [`StoreErrorKind::Exists`], or what kept the store from storing it.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Stores an object whatever is there, as durably as a new one: afterwards there is the old one
    /// or this, whole. Only for objects that were found damaged, and rebuilt.
    ///
    /// # Errors
    /// What kept the store from storing it.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The whole object. One that is larger than [any of its kind](most) is not read, and
    /// [damaged](StoreErrorKind::Damaged).
    ///
    /// # Errors
    /// What kept the store from answering; [`StoreErrorKind::NotFound`] where nothing is there.
    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError>;

    /// The bytes of an object from `start` on: `length` of them, fewer only where the object ends,
    /// none behind its end.
    ///
    /// # Errors
    /// What kept the store from answering; [`StoreErrorKind::NotFound`] where nothing is there.
    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError>;

    /// The size of an object; none if it is not there.
    ///
    /// # Errors
    /// What kept the store from answering.
    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError>;

    /// The names directly in a folder (`""` is the archive itself), sorted, with sizes; folders end
    /// in `/`. Empty if there is no such folder.
    ///
    /// An entry that cannot be examined is listed with the size [`UNSEEN`], and told to whoever
    /// opened the store as [`Word::Flaw`]: it costs nothing else of the listing.
    ///
    /// # Errors
    /// What kept the store from answering.
    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError>;
}

/// The folder that a listed entry is: one that cannot be examined may be one.
pub fn as_folder((name, size): &(String, u64)) -> Option<&str> {
    name.strip_suffix('/').or_else(|| (*size == UNSEEN).then_some(name))
}

/// A longer name in a listing is none of Dura's, and not kept.
const MAX_NAME: usize = 255;

/// The most bytes that an object of this name has, `BAND/OBJECT`, as stored: what a reader makes
/// room for.
pub fn most(name: &str) -> u64 {
    let object = name.split_once('/').and_then(|(_, object)| ObjectName::parse(object));
    // How large blocks may be is for the reader to say, who knows `--max-object`.
    object.map_or(MAX_OBJECT, |object| object.most_of_all())
}

/// What a store has to say besides the outcome of its calls.
#[derive(Debug, Clone, Copy)]
pub enum Word<'a> {
    /// Worth knowing for the person who relies on the store; said once.
    Note(&'a str),
    /// Something is not as it should be, though the call goes on without it: the run is to end with
    /// status 1.
    Flaw(&'a StoreError),
}

/// Who is told.
pub type Notice = Arc<dyn Fn(Word<'_>) + Send + Sync>;

/// A notice for those who need none.
pub fn unheard() -> Notice {
    Arc::new(|_| ())
}

/// What can take objects away again. Nothing that only stores backups may have one.
pub trait Remove: Store {
    /// Removes an object. Folders that this leaves empty may stay where removing them could take
    /// more with it. Fails with [`StoreErrorKind::NotFound`] if it is not there.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`], or what kept the store from removing it.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod hostile;
