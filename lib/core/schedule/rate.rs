//! A bound on bytes a second: a bucket that objects are poured into whole, and that has to be empty
//! before the next one.

use std::time::Duration;

/// The bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    bytes_a_second: u64,
    free: Duration,
}

impl Rate {
    /// An empty bucket that leaks so many bytes a second.
    pub fn new(bytes_a_second: u64) -> Rate {
        Rate { bytes_a_second: bytes_a_second.max(1), free: Duration::ZERO }
    }

    /// When the next object may start.
    pub fn free(&self) -> Duration {
        self.free
    }

    /// An object of so many bytes starts.
    pub fn handle_start(&mut self, bytes: u64, now: Duration) {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_a_second);
        self.free = self.free.max(now) + Duration::from_nanos(nanos.min(u64::MAX.into()) as u64);
    }
}
