//! What a band lacks of what its run saw, as its TAIL tells: the one place that makes words
//! and the exit status of it.

use crate::format::head::Tail;
use crate::report::message::Report;

/// The counts of TAIL that make push end with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shortfall {
    skipped: u64,
    behind: u64,
    unattributed: u64,
}

impl Shortfall {
    /// What this TAIL says; nothing where none was stored.
    pub(super) fn of(tail: Option<&Tail>) -> Shortfall {
        tail.map_or_else(Shortfall::default, |tail| Shortfall {
            skipped: tail.skipped,
            behind: tail.behind.unwrap_or(0),
            unattributed: tail.unattributed,
        })
    }

    /// Of the same band in several archives.
    pub(super) fn max(self, other: Shortfall) -> Shortfall {
        Shortfall {
            skipped: self.skipped.max(other.skipped),
            behind: self.behind.max(other.behind),
            unattributed: self.unattributed.max(other.unattributed),
        }
    }

    /// Of several bands.
    pub(super) fn add(&mut self, other: Shortfall) {
        self.skipped += other.skipped;
        self.behind += other.behind;
        self.unattributed += other.unattributed;
    }

    /// Reports it, which makes the exit status 1; says nothing where there is none.
    pub(super) fn report(self, report: &Report) {
        let entries = |n| if n == 1 { "entry" } else { "entries" };
        let see = "see the messages of dura-scan and dura-pack";
        if let n @ 1.. = self.skipped {
            report.warn(format_args!("the band lacks {n} {} that were skipped: {see}", entries(n)));
        }
        if let n @ 1.. = self.behind {
            let entries = entries(n);
            report.warn(format_args!(
                "the band lacks changes to {n} {entries} that were made after an interrupted run: the next run stores them"
            ));
        }
        if let n @ 1.. = self.unattributed {
            let entries = entries(n);
            report.warn(format_args!("the band has {n} {entries} without all attributes: {see}"));
        }
    }
}
