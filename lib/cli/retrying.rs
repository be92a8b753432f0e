//! A store whose reads are tried again when what went wrong may pass.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::message::{Report, why};
use crate::core::schedule::retry::{Dice, Patience};
use crate::edge::signals::Stop;
use crate::store::{Store, StoreError};

/// How often a wait looks whether the program is asked to end.
const GLANCE: Duration = Duration::from_millis(100);

/// The store below, with patience. Writes go through as they are: whoever writes has to know how
/// often it was tried.
pub(super) struct Retrying {
    store: Arc<dyn Store>,
    patience: Patience,
    dice: Mutex<Dice>,
    report: Option<Arc<Report>>,
    stop: Stop,
}

/// How often a reader asks again.
const READER_RETRIES: u32 = 6;

impl Retrying {
    /// For programs that only read: silent, and ended by signals as any program is.
    pub(super) fn reader(store: Arc<dyn Store>, seed: u64) -> Retrying {
        let (patience, dice) = (Patience::new(READER_RETRIES), Mutex::new(Dice::new(seed)));
        Retrying { store, patience, dice, report: None, stop: Stop::default() }
    }

    /// The store, to be asked again as `patience` says. Waits end early when `stop` is set.
    pub(super) fn new(
        store: Arc<dyn Store>,
        patience: Patience,
        seed: u64,
        report: &Arc<Report>,
        stop: &Stop,
    ) -> Retrying {
        Retrying {
            store,
            patience,
            dice: Mutex::new(Dice::new(seed)),
            report: Some(Arc::clone(report)),
            stop: stop.clone(),
        }
    }

    fn ask<T>(&self, call: impl Fn(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut failures = 0;
        loop {
            let error = match call(self.store.as_ref()) {
                Err(error) if error.kind.may_pass() => error,
                other => return other,
            };
            failures += 1;
            let wait = {
                let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
                self.patience.wait(failures, error.retry_after, &mut dice)
            };
            let Some(wait) = wait else { return Err(error) };
            if let Some(report) = &self.report {
                report.verbose(format_args!(
                    "{}: {}: trying again in {:.1} s",
                    error.at,
                    why(&error.source),
                    wait.as_secs_f64()
                ));
            }
            let until = Instant::now() + wait;
            while let Some(left) =
                until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            {
                if self.stop.is_set() {
                    return Err(error);
                }
                std::thread::sleep(left.min(GLANCE));
            }
        }
    }
}

impl Store for Retrying {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.put_new(name, bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        // The same bytes once more do no harm.
        self.ask(|store| store.replace(name, bytes))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.ask(|store| store.get(name))
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.ask(|store| store.get_range(name, start, length))
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.ask(|store| store.stat(name))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.ask(|store| store.list(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;
    use crate::store::faulty::{Fault, Faulty};
    use crate::store::memory::Memory;

    fn retrying(faults: &[(usize, Fault)], retries: u32) -> (Arc<Faulty<Memory>>, Retrying) {
        let store = Faulty::new(Memory::default());
        store.put_new("a", b"0123").unwrap();
        let store =
            Arc::new(faults.iter().fold(store, |store, (at, fault)| store.with(*at, *fault)));
        let (first, most) = (Duration::from_micros(1), Duration::from_micros(9));
        let reader = Retrying::reader(store.clone(), 1);
        (store, Retrying { patience: Patience { retries, first, most }, ..reader })
    }

    #[test]
    fn reads_are_tried_again_and_writes_are_not() {
        let passing = Fault::Error(Kind::Passing);
        let faults: Vec<_> = [1, 2, 4, 6, 8, 10].map(|at| (at, passing)).to_vec();
        let (store, retrying) = retrying(&faults, 2);
        assert_eq!(retrying.get("a").unwrap(), b"0123");
        assert_eq!(retrying.stat("a").unwrap(), Some(4));
        assert_eq!(retrying.list("").unwrap().len(), 1);
        assert_eq!(retrying.get_range("a", 1, 2).unwrap(), b"12");
        assert_eq!(retrying.put_new("b", b"x").unwrap_err().kind, Kind::Passing);
        assert_eq!(store.calls().len(), 11);
    }

    #[test]
    fn patience_ends_and_what_will_not_pass_is_told_at_once() {
        let passing = Fault::Error(Kind::Passing);
        let (store, reads) = retrying(&[(1, passing), (2, passing), (3, passing)], 2);
        assert_eq!(reads.get("a").unwrap_err().kind, Kind::Passing);
        assert_eq!(store.calls().len(), 4);
        let (store, reads) = retrying(&[(1, Fault::Error(Kind::Denied))], 2);
        assert_eq!(reads.get("a").unwrap_err().kind, Kind::Denied);
        assert_eq!(store.calls().len(), 2);
    }
}
