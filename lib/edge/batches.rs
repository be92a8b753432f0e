//! A queue between two threads for many small things: they go in batches, for to wake a thread
//! takes longer than most of them do.

use std::iter::Flatten;
use std::sync::mpsc::{IntoIter, SyncSender, sync_channel};

use super::ordered::Gone;

/// Things that go at once.
const BATCH: usize = 128;

/// The end to put in. What is put in goes on when a batch is full, with [`Batches::flush`], and
/// when this end is dropped.
pub struct Batches<T> {
    queue: SyncSender<Vec<T>>,
    batch: Vec<T>,
}

/// The end to take from; it ends when the other one is dropped.
pub type BatchReceiver<T> = Flatten<IntoIter<Vec<T>>>;

/// A queue that holds `most` things or a few more.
pub fn batches<T>(most: usize) -> (Batches<T>, BatchReceiver<T>) {
    let (queue, taken) = sync_channel(most / BATCH);
    (Batches { queue, batch: Vec::new() }, taken.into_iter().flatten())
}

impl<T> Batches<T> {
    /// Puts in one thing; waits while the queue is full.
    ///
    /// # Errors
    /// If nobody takes things any more.
    pub fn send(&mut self, thing: T) -> Result<(), Gone> {
        self.batch.push(thing);
        if self.batch.len() < BATCH { Ok(()) } else { self.flush() }
    }

    /// Lets go what was put in. Must come before this thread waits for something that the other one
    /// does.
    ///
    /// # Errors
    /// If nobody takes things any more.
    pub fn flush(&mut self) -> Result<(), Gone> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.queue.send(batch).map_err(|_| Gone)
    }
}

impl<T> Drop for Batches<T> {
    fn drop(&mut self) {
        // Whoever took them may be gone, and then knows why.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_comes_in_order_at_the_latest_at_the_end() {
        for count in [0, 1, BATCH, 10 * BATCH + 1] {
            let (mut send, taken) = batches(4 * BATCH);
            let other =
                std::thread::spawn(move || (0..count).try_for_each(|thing| send.send(thing)));
            assert!(taken.eq(0..count));
            assert_eq!(other.join().unwrap(), Ok(()));
        }
    }

    #[test]
    fn a_flush_lets_go() {
        let (mut send, mut taken) = batches(BATCH);
        send.send(1).unwrap();
        send.flush().unwrap();
        assert_eq!(taken.next(), Some(1));
        drop(taken);
        send.send(2).unwrap();
        assert_eq!(send.flush(), Err(Gone));
    }
}
