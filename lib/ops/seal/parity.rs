//! The thread that computes parity, while the objects that follow are encrypted and written.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context;

use crate::core::parity::Encoder;
use crate::edge::budget::Budget;

enum ParityTask {
    /// The group's next object.
    Add(Vec<u8>),
    /// That was its last.
    Finish,
}

/// The thread's two ends.
pub(super) struct Parity {
    tasks: SyncSender<ParityTask>,
    shards: Receiver<Vec<Vec<u8>>>,
}

const BROKE_OFF: &str = "the computation of parity stopped unexpectedly";

impl Parity {
    /// Starts the thread, which gives back to the budget what it has taken in.
    pub(super) fn start(
        slots: usize,
        parity: usize,
        budget: Arc<Budget>,
    ) -> anyhow::Result<Parity> {
        let mut encoder = Encoder::new(slots, parity)
            .with_context(|| format!("no code has {slots} + {parity} shards"))?;
        // The budget bounds what waits here, not this number.
        let (tasks, queue) = sync_channel(slots);
        let (send, shards) = sync_channel(1);
        std::thread::spawn(move || {
            for task in queue {
                match task {
                    ParityTask::Add(bytes) => {
                        encoder.handle_object(&bytes);
                        budget.adjust(bytes.len() as u64, 0);
                    }
                    // Nobody waits for it any more when the run has failed.
                    ParityTask::Finish => drop(send.send(encoder.finish())),
                }
            }
        });
        Ok(Parity { tasks, shards })
    }

    /// Takes the group's next object.
    pub(super) fn add(&self, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.tasks.send(ParityTask::Add(bytes)).context(BROKE_OFF)
    }

    /// Ends the group, and gives its parity.
    pub(super) fn finish(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        self.tasks.send(ParityTask::Finish).context(BROKE_OFF)?;
        self.shards.recv().context(BROKE_OFF)
    }
}
