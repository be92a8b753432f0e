//! The progress line of a run with one archive or several.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::report::message::Report;
use crate::report::progress::{STORED, words};
use crate::report::units::human;

#[derive(Debug)]
struct Board {
    report: Arc<Report>,
    began: Instant,
    /// Of each archive: its label, objects and bytes.
    counts: Vec<(String, AtomicU64, AtomicU64)>,
}

/// An archive's share of the line.
#[derive(Debug)]
pub(super) struct Share {
    board: Arc<Board>,
    at: usize,
}

/// A share for each archive, by what messages call it.
pub(super) fn shares(report: &Arc<Report>, labels: &[String]) -> Vec<Arc<Share>> {
    let counts =
        labels.iter().map(|label| (label.clone(), AtomicU64::new(0), AtomicU64::new(0))).collect();
    let board = Arc::new(Board { report: Arc::clone(report), began: Instant::now(), counts });
    (0..labels.len()).map(|at| Arc::new(Share { board: Arc::clone(&board), at })).collect()
}

impl Share {
    /// An object is in the archive.
    pub(super) fn handle_object(&self, bytes: u64) {
        let counts = &self.board.counts;
        let (_, objects, sum) = &counts[self.at];
        let objects = objects.fetch_add(1, Ordering::Relaxed) + 1;
        let sum = sum.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let progress = self.board.report.progress();
        let each = |(label, _, bytes): &(String, AtomicU64, AtomicU64)| {
            format!("{label}{}", human(bytes.load(Ordering::Relaxed)))
        };
        progress.set_message(match counts.len() {
            1 => words(STORED, objects, sum, None, self.board.began.elapsed()),
            _ => counts.iter().map(each).collect::<Vec<_>>().join(", "),
        });
    }
}
