//! What came of the writes of a lane.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::archive::retrying::{TOLD_AFTER, waiting};
use crate::core::schedule::{After, WriteOutcome};
use crate::format::head::Tail;
use crate::format::object::Object;
use crate::ops::push::lane::Uploader;
use crate::ops::push::run::StoredHow;
use crate::ops::push::used;
use crate::ops::push::write::conflict;
use crate::report::message::why;
use crate::store::StoreError;

impl Uploader<'_> {
    pub(super) fn handle_done(
        &mut self,
        ticket: u64,
        outcome: Result<StoredHow, StoreError>,
    ) -> anyhow::Result<()> {
        let passed = match &outcome {
            Ok(StoredHow::Written | StoredHow::Same) => WriteOutcome::Stored,
            Err(error) if error.kind.may_pass() => WriteOutcome::Passing(error.retry_after),
            Ok(StoredHow::Conflict) | Err(_) => WriteOutcome::Failed,
        };
        let after = self.schedule.handle_done(ticket, passed, self.run.began.elapsed());
        if let (After::Again(wait), Err(error)) = (after, &outcome) {
            self.tell_again(error, wait);
            if let Some((_, failures)) = self.waiting.get_mut(&ticket) {
                *failures += 1;
                if *failures == TOLD_AFTER && !std::mem::replace(&mut self.waits, true) {
                    self.run.report.note(waiting(error));
                }
            }
            return Ok(());
        }
        let (object, failures) =
            self.waiting.remove(&ticket).context("a write ended that did not begin")?;
        let (name, bytes) = (object.name(), object.size());
        // What was there was read to be the same, and needs no look.
        let is_end = matches!(object.item.name.object, Object::Tail | Object::TailSig);
        let is_same = matches!(outcome, Ok(StoredHow::Same));
        if is_end && !is_same && !self.run.dry_run {
            self.ends.push(Arc::clone(&object));
        }
        let to_see = if is_end || is_same { 0 } else { bytes };
        match outcome {
            // An earlier try of ours had stored it, and only its reply was lost.
            Ok(StoredHow::Written) => self.written(&name, bytes),
            Ok(StoredHow::Same) if failures > 0 => self.written(&name, bytes),
            Ok(StoredHow::Same) => {
                self.summary.already += 1;
                self.say(format_args!("{name} already exists"));
            }
            Ok(StoredHow::Conflict) => return Err(conflict(&name)),
            Err(error) if failures > 0 => {
                return Err(anyhow::Error::new(error)
                    .context(format!("cannot store, after {} tries", failures + 1)));
            }
            Err(error) => return Err(anyhow::Error::new(error).context("cannot store")),
        }
        if object.item.name.object == Object::Tail {
            self.summary.tail = Tail::parse(&object.item.bytes).ok();
        }
        if object.item.name.object == Object::Head {
            used::note(self.run, self.place);
        }
        self.waits = false;
        self.ledger.handle_stored(&object.item.name, to_see);
        self.place.share.handle_object(bytes);
        match self.duty.sees {
            true => self.unseen.push(object.item.name),
            false => (self.confirm)(&object.item.name),
        }
        Ok(())
    }

    fn written(&mut self, name: &str, bytes: u64) {
        self.summary.stored.0 += 1;
        self.summary.stored.1 += bytes;
        let would = if self.run.dry_run { "would store " } else { "" };
        self.say(format_args!("{would}{name} {bytes} bytes"));
        self.emit("object", &[("name", name.into()), ("bytes", bytes.into())]);
    }

    fn tell_again(&self, error: &StoreError, wait: Duration) {
        let seconds = wait.as_secs_f64();
        self.say(format_args!("{}: {}: retrying in {seconds:.1} s", error.at, why(&error.source)));
        self.emit(
            "retry",
            &[
                ("at", error.at.clone().into()),
                ("why", why(&error.source).into()),
                ("seconds", seconds.into()),
            ],
        );
    }
}
