//! A store that notes what is asked of another one: so that tests can state what an operation
//! costs.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Store, StoreError};

/// A store with a record of the calls of it.
pub(crate) struct Recording {
    store: Arc<dyn Store>,
    calls: Mutex<Vec<String>>,
}

impl Recording {
    /// Records the calls of `store` from now on.
    pub(crate) fn new(store: Arc<dyn Store>) -> Recording {
        Recording { store, calls: Mutex::default() }
    }

    /// The calls since this was asked last, sorted: `get NAME`, `put NAME`, `replace NAME`, `range
    /// NAME`, `stat NAME`, `list FOLDER`.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut calls =
            std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner));
        calls.sort();
        calls
    }

    fn note(&self, what: &str, name: &str) -> &dyn Store {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{what} {name}"));
        self.store.as_ref()
    }
}

impl Store for Recording {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.note("put", name).put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.note("replace", name).replace(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.note("get", name).get(name)
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.note("range", name).get_range(name, start, length)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.note("stat", name).stat(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.note("list", folder).list(folder)
    }
}
