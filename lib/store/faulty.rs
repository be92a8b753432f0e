//! A store whose calls go wrong as told, for tests: by the number of the call, so that a sweep can
//! try each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Store, StoreError, StoreErrorKind};

/// What goes wrong with a call. What does not fit the call (a torn read, a stale write) is an error
/// instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// Nothing is done, and the call fails.
    Error(StoreErrorKind),
    /// Nothing is done, and the server asks to wait.
    Busy(Duration),
    /// A write leaves only so many bytes, and fails.
    Torn(usize),
    /// The call is carried out, and fails all the same: the reply is lost.
    LostReply,
    /// A listing or a look does not show what was written last.
    Stale,
    /// A listing lacks its second half.
    LostPage,
    /// What is read or written has a flipped bit, at this share (of 256) of its length.
    Flipped(u8),
    /// What is read ends early, without an error.
    Short,
}

/// What was asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum StoreCall {
    /// `put_new`
    PutNew,
    /// `replace`
    Replace,
    /// `get`
    Get,
    /// `get_range`
    GetRange,
    /// `stat`
    Stat,
    /// `list`
    List,
}

#[derive(Debug, Default)]
struct FaultState {
    faults: BTreeMap<usize, StoreFault>,
    calls: Vec<(StoreCall, String)>,
    /// The name that was written last.
    last: Option<String>,
}

/// A store with faults around another. Calls are numbered from 0, in the order in which they begin.
#[derive(Debug)]
pub(crate) struct Faulty<S> {
    inner: S,
    state: Mutex<FaultState>,
}

impl<S: Store> Faulty<S> {
    /// Without faults: only counts.
    pub(crate) fn new(inner: S) -> Faulty<S> {
        Faulty { inner, state: Mutex::default() }
    }

    /// Call `number` goes wrong.
    pub(crate) fn with(self, number: usize, fault: StoreFault) -> Faulty<S> {
        self.state().faults.insert(number, fault);
        self
    }

    /// What was asked so far.
    pub(crate) fn calls(&self) -> Vec<(StoreCall, String)> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, FaultState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and tells what is to go wrong with it.
    fn begin(&self, call: StoreCall, name: &str) -> Option<StoreFault> {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push((call, name.to_owned()));
        state.faults.get(&number).copied()
    }

    fn write(
        &self,
        call: StoreCall,
        name: &str,
        bytes: &[u8],
        put: impl Fn(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let done = match self.begin(call, name) {
            None => put(bytes),
            Some(StoreFault::LostReply) => {
                put(bytes).and_then(|()| Err(failed(name, StoreErrorKind::Passing)))
            }
            Some(StoreFault::Torn(size)) => put(&bytes[..size.min(bytes.len())])
                .and_then(|()| Err(failed(name, StoreErrorKind::Passing))),
            Some(StoreFault::Flipped(share)) => put(&flipped(bytes, share)),
            Some(fault) => Err(plain(name, fault)),
        };
        if done.is_ok() {
            self.state().last = Some(name.to_owned());
        }
        done
    }

    fn read(
        &self,
        call: StoreCall,
        name: &str,
        get: impl Fn() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        match self.begin(call, name) {
            None => get(),
            Some(StoreFault::Flipped(share)) => Ok(flipped(&get()?, share)),
            Some(StoreFault::Short) => get().map(|bytes| bytes[..bytes.len() / 2].to_vec()),
            Some(StoreFault::Stale) if self.state().last.as_deref() == Some(name) => {
                Err(failed(name, StoreErrorKind::NotFound))
            }
            Some(StoreFault::Stale) => get(),
            Some(fault) => Err(plain(name, fault)),
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(StoreCall::PutNew, name, bytes, |bytes| self.inner.put_new(name, bytes))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(StoreCall::Replace, name, bytes, |bytes| self.inner.replace(name, bytes))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.read(StoreCall::Get, name, || self.inner.get(name))
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.read(StoreCall::GetRange, name, || self.inner.get_range(name, start, length))
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        match self.begin(StoreCall::Stat, name) {
            None => self.inner.stat(name),
            Some(StoreFault::Stale) if self.state().last.as_deref() == Some(name) => Ok(None),
            Some(StoreFault::Stale) => self.inner.stat(name),
            Some(fault) => Err(plain(name, fault)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let fault = self.begin(StoreCall::List, folder);
        if let Some(fault) =
            fault.filter(|fault| !matches!(fault, StoreFault::Stale | StoreFault::LostPage))
        {
            return Err(plain(folder, fault));
        }
        let mut found = self.inner.list(folder)?;
        match fault {
            Some(StoreFault::LostPage) => found.truncate(found.len() / 2),
            Some(_) => {
                let last = self.state().last.clone().unwrap_or_default();
                let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                found.retain(|(name, _)| format!("{prefix}{name}") != last);
            }
            None => {}
        }
        Ok(found)
    }
}

fn failed(name: &str, kind: StoreErrorKind) -> StoreError {
    StoreError::of(kind, name, "a fault that was asked for")
}

fn plain(name: &str, fault: StoreFault) -> StoreError {
    match fault {
        StoreFault::Error(kind) => failed(name, kind),
        StoreFault::Busy(wait) => {
            StoreError { retry_after: Some(wait), ..failed(name, StoreErrorKind::Passing) }
        }
        _ => failed(name, StoreErrorKind::Passing),
    }
}

fn flipped(bytes: &[u8], share: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() * usize::from(share) / 256;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[test]
    fn each_call_goes_wrong_as_told() {
        let faults = [
            (1, StoreFault::Error(StoreErrorKind::NoSpace)),
            (2, StoreFault::Busy(Duration::from_secs(7))),
            (3, StoreFault::LostReply),
            (5, StoreFault::Torn(2)),
            (7, StoreFault::Stale),
            (9, StoreFault::LostPage),
            (10, StoreFault::Flipped(255)),
            (11, StoreFault::Short),
        ];
        let store = faults
            .into_iter()
            .fold(Faulty::new(Memory::default()), |store, (at, fault)| store.with(at, fault));
        store.put_new("a", b"0123").unwrap();
        assert_eq!(store.put_new("b", b"0123").unwrap_err().kind, StoreErrorKind::NoSpace);
        assert_eq!(
            store.put_new("b", b"0123").unwrap_err().retry_after,
            Some(Duration::from_secs(7))
        );
        assert_eq!(store.put_new("b", b"0123").unwrap_err().kind, StoreErrorKind::Passing);
        assert_eq!(store.put_new("b", b"0123").unwrap_err().kind, StoreErrorKind::Exists);
        assert_eq!(store.put_new("c", b"0123").unwrap_err().kind, StoreErrorKind::Passing);
        store.put_new("d", b"0123").unwrap();
        assert_eq!(store.list("").unwrap().len(), 3);
        assert_eq!(store.stat("c").unwrap(), Some(2));
        assert_eq!(store.list("").unwrap().len(), 2);
        assert_eq!(store.get("a").unwrap(), b"0122");
        assert_eq!(store.get_range("a", 0, 4).unwrap(), b"01");
        assert_eq!(store.get("a").unwrap(), b"0123");
        assert_eq!(store.calls().len(), 13);
        assert_eq!(store.calls()[12], (StoreCall::Get, "a".to_owned()));
    }
}
