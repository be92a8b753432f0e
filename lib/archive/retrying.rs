//! A store whose reads are tried again when what went wrong may pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::archive::awaited::Awaited;
use crate::archive::locked::locked;
use crate::archive::reading::Reach;
use crate::core::schedule::rate::Rate;
use crate::core::schedule::retry::{Dice, Patience};
use crate::edge::signals::StopFlag;
use crate::report::message::{Report, why};
use crate::store::{Remove, Store, StoreError, StoreErrorKind};

/// How often a wait looks whether the program is asked to end.
const GLANCE: Duration = Duration::from_millis(100);

/// The store below, with patience. Writes go through as they are: whoever writes has to know how
/// often it was tried.
pub(crate) struct Retrying {
    store: Arc<dyn Store>,
    patience: Patience,
    dice: Mutex<Dice>,
    report: Arc<Report>,
    stop: StopFlag,
    /// Whether the wait that lasts was told.
    waits: AtomicBool,
    rate: Option<Mutex<Rate>>,
    expected: Awaited,
    began: Instant,
}

/// A wait is told with the failure after which it has lasted for more than a moment.
pub(crate) const TOLD_AFTER: u32 = 3;

impl Retrying {
    /// For programs that only read: ended by signals as any program is.
    pub(crate) fn reader(
        store: Arc<dyn Store>,
        reach: &Reach,
        seed: u64,
        report: &Arc<Report>,
    ) -> Retrying {
        let reader =
            Retrying::new(store, Patience::new(reach.retries), seed, report, &StopFlag::default());
        Retrying { rate: reach.limit_rate.map(Rate::new).map(Mutex::new), ..reader }
    }

    /// The same, with what its listing should have.
    pub(crate) fn expecting(self, expected: Awaited) -> Retrying {
        Retrying { expected, ..self }
    }

    /// The store, to be asked again as `patience` says. Waits end early when `stop` is set.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        patience: Patience,
        seed: u64,
        report: &Arc<Report>,
        stop: &StopFlag,
    ) -> Retrying {
        Retrying {
            store,
            patience,
            dice: Mutex::new(Dice::new(seed)),
            report: Arc::clone(report),
            stop: stop.clone(),
            waits: AtomicBool::new(false),
            rate: None,
            expected: Awaited::default(),
            began: Instant::now(),
        }
    }

    /// Waits until more may be read.
    fn pace(&self) {
        let Some(rate) = &self.rate else { return };
        let free = locked(rate).free();
        std::thread::sleep(free.saturating_sub(self.began.elapsed()));
    }

    fn came(&self, bytes: Vec<u8>) -> Vec<u8> {
        if let Some(rate) = &self.rate {
            let mut rate = locked(rate);
            rate.handle_start(bytes.len() as u64, self.began.elapsed());
        }
        bytes
    }

    /// Removes an object, with the same patience. One that is not there is gone.
    pub(crate) fn remove(&self, from: &dyn Remove, name: &str) -> Result<(), StoreError> {
        match self.ask(|_| from.remove(name)) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn ask<T>(&self, call: impl Fn(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut failures = 0;
        loop {
            let error = match call(self.store.as_ref()) {
                Err(error) if error.kind.may_pass() => error,
                other => {
                    self.waits.store(false, Ordering::Relaxed);
                    return other;
                }
            };
            failures += 1;
            let wait = {
                let mut dice = locked(&self.dice);
                self.patience.wait(failures, error.retry_after, &mut dice)
            };
            let Some(wait) = wait else { return Err(error) };
            self.report.verbose(format_args!(
                "{}: {}: retrying in {:.1} s",
                error.at,
                why(&error.source),
                wait.as_secs_f64()
            ));
            if failures == TOLD_AFTER && !self.waits.swap(true, Ordering::Relaxed) {
                self.report.note(waiting(&error));
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

/// What is said once while a store is waited for.
pub(crate) fn waiting(error: &StoreError) -> String {
    format!("waiting for {}: {}", error.at, why(&error.source))
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
        self.pace();
        self.ask(|store| store.get(name)).map(|bytes| self.came(bytes))
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.pace();
        self.ask(|store| store.get_range(name, start, length)).map(|bytes| self.came(bytes))
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.ask(|store| store.stat(name))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let listed = self.ask(|store| {
            let listed = store.list(folder)?;
            if folder.is_empty() {
                self.expected.holds(store, &listed)?;
            }
            Ok(listed)
        });
        // Whoever asked knows what an archive without bands means to it.
        listed.or_else(|error| if Awaited::is_empty(&error) { Ok(Vec::new()) } else { Err(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::faulty::{Faulty, StoreFault};
    use crate::store::memory::Memory;

    fn retrying(faults: &[(usize, StoreFault)], retries: u32) -> (Arc<Faulty<Memory>>, Retrying) {
        let store = Faulty::new(Memory::default());
        store.put_new("a", b"0123").unwrap();
        let store =
            Arc::new(faults.iter().fold(store, |store, (at, fault)| store.with(*at, *fault)));
        let (first, most) = (Duration::from_micros(1), Duration::from_micros(9));
        let report = Arc::new(Report::new("test", -1, Default::default()));
        let reader = Retrying::reader(store.clone(), &Reach::default(), 1, &report);
        (store, Retrying { patience: Patience { retries, first, most }, ..reader })
    }

    #[test]
    fn reads_are_tried_again_and_writes_are_not() {
        let passing = StoreFault::Error(StoreErrorKind::Passing);
        let faults: Vec<_> = [1, 2, 4, 6, 8, 10].map(|at| (at, passing)).to_vec();
        let (store, retrying) = retrying(&faults, 2);
        assert_eq!(retrying.get("a").unwrap(), b"0123");
        assert_eq!(retrying.stat("a").unwrap(), Some(4));
        assert_eq!(retrying.list("").unwrap().len(), 1);
        assert_eq!(retrying.get_range("a", 1, 2).unwrap(), b"12");
        assert_eq!(retrying.put_new("b", b"x").unwrap_err().kind, StoreErrorKind::Passing);
        assert_eq!(store.calls().len(), 11);
    }

    #[test]
    fn a_reader_keeps_to_its_rate() {
        let store = Arc::new(Memory::default());
        store.put_new("a", &[0; 3000]).unwrap();
        let report = Arc::new(Report::new("test", -1, Default::default()));
        let reach = Reach { limit_rate: Some(100_000), ..Reach::default() };
        let reader = Retrying::reader(store, &reach, 1, &report);
        let began = Instant::now();
        (0..3).for_each(|_| drop(reader.get("a").unwrap()));
        assert!(began.elapsed() >= Duration::from_millis(60));
    }

    #[test]
    fn patience_ends_and_what_will_not_pass_is_told_at_once() {
        let passing = StoreFault::Error(StoreErrorKind::Passing);
        let (store, reads) = retrying(&[(1, passing), (2, passing), (3, passing)], 2);
        assert_eq!(reads.get("a").unwrap_err().kind, StoreErrorKind::Passing);
        assert_eq!(store.calls().len(), 4);
        let (store, reads) = retrying(&[(1, StoreFault::Error(StoreErrorKind::Denied))], 2);
        assert_eq!(reads.get("a").unwrap_err().kind, StoreErrorKind::Denied);
        assert_eq!(store.calls().len(), 2);
    }
}
