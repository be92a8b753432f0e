//! A store whose reads are tried again when what went wrong may pass.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::message::{Report, why};
use crate::core::schedule::retry::{Dice, Patience};
use crate::edge::signals::Stop;
use crate::store::{Store, StoreError};

/// How often a wait looks whether the program is asked to end.
const GLANCE: Duration = Duration::from_millis(100);

/// The store below, with patience. Writes go through as they are: whoever writes has to know how often it was tried.
pub(super) struct Retrying {
    store: Arc<dyn Store>,
    patience: Patience,
    dice: Mutex<Dice>,
    report: Arc<Report>,
    stop: Stop,
}

impl Retrying {
    /// The store, to be asked again as `patience` says. Waits end early when `stop` is set.
    pub(super) fn new(store: Arc<dyn Store>, patience: Patience, seed: u64, report: &Arc<Report>, stop: &Stop) -> Retrying {
        Retrying { store, patience, dice: Mutex::new(Dice::new(seed)), report: Arc::clone(report), stop: stop.clone() }
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
            self.report.verbose(format_args!(
                "{}: {}: trying again in {:.1} s",
                error.at,
                why(&error.source),
                wait.as_secs_f64()
            ));
            let until = Instant::now() + wait;
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
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
