//! A bound on the bytes that are under way between a thread that reads and one that writes.

use std::sync::{Condvar, Mutex};

/// How many bytes are taken. Something larger than the whole budget goes alone.
#[derive(Debug)]
pub struct Budget {
    most: u64,
    state: Mutex<BudgetState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BudgetState {
    taken: u64,
    /// What is in use, and will be given back whether or not more is taken.
    used: u64,
    closed: bool,
}

impl Budget {
    /// A budget of `most` bytes.
    pub fn new(most: u64) -> Budget {
        Budget { most, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until there is room; false once the budget is closed.
    pub fn take(&self, bytes: u64) -> bool {
        let Ok(state) = self.state.lock() else { return false };
        let full = |state: &mut BudgetState| {
            !state.closed && state.taken > 0 && state.taken + state.used + bytes > self.most
        };
        let Ok(mut state) = self.changed.wait_while(state, full) else { return false };
        state.taken += bytes;
        !state.closed
    }

    /// What took `before` bytes takes `after` now.
    pub fn adjust(&self, before: u64, after: u64) {
        if let Ok(mut state) = self.state.lock() {
            state.taken = (state.taken + after).saturating_sub(before);
        }
        self.changed.notify_all();
    }

    /// Of what was taken, so many bytes come into use: nothing waits for them alone any more.
    pub fn turn_to(&self, bytes: u64) {
        if let Ok(mut state) = self.state.lock() {
            state.taken = state.taken.saturating_sub(bytes);
            state.used += bytes;
        }
        self.changed.notify_all();
    }

    /// So many bytes are in use no more.
    pub fn leave(&self, bytes: u64) {
        if let Ok(mut state) = self.state.lock() {
            state.used = state.used.saturating_sub(bytes);
        }
        self.changed.notify_all();
    }

    /// There will be no more room: whoever waits for it is told.
    pub fn close(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.closed = true;
        }
        self.changed.notify_all();
    }

    /// A guard that closes the budget when the side that gives back ends, however it ends.
    pub fn closing(&self) -> Closing<'_> {
        Closing(self)
    }
}

/// Closes a [`Budget`] when dropped: whoever waits for room is told that there will be none.
#[derive(Debug)]
pub struct Closing<'a>(&'a Budget);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_counts_while_something_is_taken() {
        let budget = Budget::new(10);
        assert!(budget.take(8));
        budget.turn_to(8);
        // Alone, it goes whatever is in use.
        assert!(budget.take(8));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(2));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished());
            budget.leave(8);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn a_full_budget_waits_and_a_closed_one_refuses() {
        let budget = Budget::new(10);
        assert!(budget.take(25), "one that is too large goes alone");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(5));
            budget.adjust(25, 6);
            budget.adjust(6, 5);
            assert!(waiting.join().unwrap());
            let waiting = scope.spawn(|| budget.take(5));
            drop(budget.closing());
            assert!(!waiting.join().unwrap());
        });
    }
}
