//! Work on all cores whose results come out in the order in which it went in, with a bound on what
//! is under way.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// A pool of `jobs` threads with an end to put work in ([`Submit`]) and an end to take results from
/// ([`Results`]).
pub struct Ordered;

/// Takes work; waits while as much is under way as may be.
pub struct Submit<T> {
    pool: ThreadPool,
    queue: SyncSender<Receiver<T>>,
}

/// Gives results in the order of their submission, and ends when the [`Submit`] is dropped.
pub struct Results<T> {
    queue: Receiver<Receiver<T>>,
}

/// The other end is gone: whoever took the results has failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

impl Ordered {
    /// Starts the threads; at most `ahead` pieces of work are queued, running or waiting to be
    /// taken.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start<T: Send + 'static>(
        jobs: usize,
        ahead: usize,
    ) -> io::Result<(Submit<T>, Results<T>)> {
        let pool = ThreadPoolBuilder::new().num_threads(jobs).build().map_err(io::Error::other)?;
        let (send, receive) = sync_channel(ahead);
        Ok((Submit { pool, queue: send }, Results { queue: receive }))
    }
}

impl<T: Send + 'static> Submit<T> {
    /// Queues `work`.
    ///
    /// # Errors
    /// If nobody takes results any more.
    pub fn submit(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<(), Gone> {
        let (send, receive) = sync_channel(1);
        self.queue.send(receive).map_err(|_| Gone)?;
        self.pool.spawn_fifo(move || {
            // Nobody waits for the result any more when the run has failed.
            let _ = send.send(work());
        });
        Ok(())
    }

    /// Queues a result that is there already.
    ///
    /// # Errors
    /// If nobody takes results any more.
    pub fn ready(&self, result: T) -> Result<(), Gone> {
        let (send, receive) = sync_channel(1);
        send.send(result).map_err(|_| Gone)?;
        self.queue.send(receive).map_err(|_| Gone)
    }
}

impl<T> Iterator for Results<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        // A worker that panics drops its sender: the run ends here, and whoever counts on an end
        // does not see one.
        self.queue.recv().ok()?.recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let (submit, results) = Ordered::start(4, 8).unwrap();
        let worker = std::thread::spawn(move || {
            for i in 0..1000u64 {
                let turn = move || {
                    std::hint::black_box((0..(i % 7) * 1000).sum::<u64>());
                    i
                };
                if i % 10 == 0 { submit.ready(i).unwrap() } else { submit.submit(turn).unwrap() }
            }
        });
        assert!(results.eq(0..1000));
        worker.join().unwrap();
    }

    #[test]
    fn a_taker_that_stops_stops_the_giver() {
        let (submit, results) = Ordered::start::<u64>(2, 2).unwrap();
        drop(results);
        assert_eq!(submit.submit(|| 1), Err(Gone));
    }
}
