//! A store in memory, for tests and trials.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Remove, Store, StoreError};

/// Objects in a map.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut objects = self.objects();
        if objects.get(name).is_some_and(|known| !known.is_empty()) {
            return Err(StoreError::new(name, ErrorKind::AlreadyExists.into()));
        }
        objects.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.objects().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let found = self.objects().get(name).filter(|bytes| !bytes.is_empty()).cloned();
        found.ok_or_else(|| StoreError::new(name, Error::from(ErrorKind::NotFound)))
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.get(name)?;
        let at = |offset: u64| {
            usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()))
        };
        Ok(bytes[at(start)..at(start.saturating_add(length))].to_vec())
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.objects().get(name).map(|bytes| bytes.len() as u64).filter(|len| *len > 0))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut found: Vec<(String, u64)> = Vec::new();
        for (name, bytes) in self.objects().range(prefix.clone()..) {
            let Some(rest) = name.strip_prefix(&prefix) else { break };
            let (name, size) = match rest.split_once('/') {
                Some((folder, _)) => (format!("{folder}/"), 0),
                None => (rest.to_owned(), bytes.len() as u64),
            };
            if found.last().is_none_or(|(last, _)| *last != name) {
                found.push((name, size));
            }
        }
        Ok(found)
    }
}

impl Remove for Memory {
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let gone = self.objects().remove(name);
        gone.map(drop).ok_or_else(|| StoreError::new(name, Error::from(ErrorKind::NotFound)))
    }
}
