//! Whether the store has what it confirmed.

use anyhow::anyhow;

use crate::archive::side_by_side;
use crate::core::confirm::Check;
use crate::format::object::Object;
use crate::ops::push::checks::still_there;
use crate::ops::push::confirm::confirm;
use crate::ops::push::lane::{UNSEEN, Uploader};

impl Uploader<'_> {
    /// Before TAIL: looks for all that is stored, for what the band stands on, and for TAIL itself
    /// if the store may have to, side by side.
    pub(super) fn confirm_all(&mut self) -> anyhow::Result<()> {
        let checks = self.ledger.finish();
        let tail = self.last.iter().find(|object| object.item.name.object == Object::Tail);
        let ahead = self.place.ahead.as_ref().filter(|_| !self.run.dry_run).zip(tail);
        let (reads, below) = (&self.reads, &self.duty.below);
        std::thread::scope(|scope| {
            if let Some((ahead, tail)) = ahead {
                scope.spawn(move || ahead.look_ahead(&tail.name()));
            }
            let below = tail.map(|tail| scope.spawn(|| still_there(reads, &tail.item.band, below)));
            self.look_for(&checks)?;
            below.map_or(Ok(()), |looked| {
                looked.join().unwrap_or_else(|_| Err(anyhow!("a check stopped unexpectedly")))
            })
        })?;
        self.tell_seen();
        Ok(())
    }

    /// All that is stored was seen.
    pub(super) fn tell_seen(&mut self) {
        for name in std::mem::take(&mut self.unseen) {
            (self.confirm)(&name);
        }
    }

    /// Looks for what is stored in folders that are done with, or for all when much of it waits.
    pub(super) fn confirm_done(&mut self) -> anyhow::Result<()> {
        if self.unseen.len() >= UNSEEN {
            let checks = self.ledger.take();
            self.look_for(&checks)?;
            self.tell_seen();
        }
        let checks: Vec<Check> = self.ledger.poll().into_iter().collect();
        self.look_for(&checks)
    }

    pub(super) fn look_for(&self, checks: &[Check]) -> anyhow::Result<()> {
        let Some(band) = self.band.as_ref().filter(|_| !self.run.dry_run) else { return Ok(()) };
        let (run, reads) = (self.run, &self.reads);
        side_by_side(checks, |check| confirm(run, reads, band, check)).map(drop)
    }
}
