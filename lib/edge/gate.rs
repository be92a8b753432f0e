//! A gate between a thread that makes something and one that wants it.

use std::sync::{Condvar, Mutex, PoisonError};

/// Open or closed. It stays as it is until somebody changes it: to pass it takes nothing away.
#[derive(Debug)]
pub struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// A gate that is open.
    pub fn open() -> Gate {
        Gate { open: Mutex::new(true), changed: Condvar::new() }
    }

    /// Opens or closes it.
    pub fn set(&self, open: bool) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        self.changed.notify_all();
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(open, |open| !*open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_waits_and_an_open_one_stays_open() {
        let gate = Gate::open();
        gate.pass();
        gate.pass();
        gate.set(false);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.pass());
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished());
            gate.set(true);
            waiting.join().unwrap();
        });
    }
}
