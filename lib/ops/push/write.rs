//! Writing one object: never over another, and sure about what is there when it is done.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};

use anyhow::anyhow;

use crate::format::object::Object;
use crate::ops::push::held::Held;
use crate::ops::push::run::{LaneEvent, StoredHow};
use crate::report::message::Hinted;
use crate::store::{LookAhead, Store, StoreError, StoreErrorKind};

/// What a writer is to do.
pub(super) enum UploadTask {
    /// To store an object.
    Write {
        /// The schedule's ticket.
        ticket: u64,
        object: Arc<Held>,
        /// Whether a try of this run has failed.
        again: bool,
    },
    /// To look for one that is stored next.
    Look { ticket: u64, ahead: Arc<dyn LookAhead>, name: String },
}

/// A writer: takes tasks until there are no more.
pub(super) fn write_tasks(
    store: &dyn Store,
    queue: &Mutex<Receiver<UploadTask>>,
    done: &Sender<LaneEvent>,
    dry_run: bool,
    reads_back: bool,
) {
    loop {
        let task = queue.lock().map(|queue| queue.recv());
        let event = match task {
            Ok(Ok(UploadTask::Write { ticket, object, again })) => LaneEvent::Done(
                ticket,
                match dry_run {
                    true => Ok(StoredHow::Written),
                    false => put(store, &object, again).and_then(|stored| match stored {
                        StoredHow::Conflict => Ok(stored),
                        stored => head_is_there(store, &object, reads_back)
                            .map(|other| other.unwrap_or(stored)),
                    }),
                },
            ),
            Ok(Ok(UploadTask::Look { ticket, ahead, name })) => {
                ahead.look_ahead(&name);
                LaneEvent::Looked(ticket)
            }
            _ => return,
        };
        if done.send(event).is_err() {
            return;
        }
    }
}

/// Reads HEAD back, before anything else is stored: a store that confirms what it does not keep is
/// not given more. A HEAD with other content is that of another run.
fn head_is_there(
    store: &dyn Store,
    object: &Held,
    reads_back: bool,
) -> Result<Option<StoredHow>, StoreError> {
    if !reads_back || object.item.name.object != Object::Head {
        return Ok(None);
    }
    let name = object.name();
    match store.get(&name) {
        Ok(there) if there == object.item.bytes => Ok(None),
        Ok(there) if !object.item.bytes.starts_with(&there) => Ok(Some(StoredHow::Conflict)),
        Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
        _ => {
            let text = "confirmed, but missing when read back";
            Err(StoreError::passing(name, text))
        }
    }
}

/// Stores an object. Whatever became of an earlier try, the bytes that are there decide: the same
/// ones are ours, or as good as ours.
fn put(store: &dyn Store, object: &Held, again: bool) -> Result<StoredHow, StoreError> {
    let (name, bytes) = (object.name(), &object.item.bytes);
    let exists = match store.put_new(&name, bytes) {
        Ok(()) => return Ok(StoredHow::Written),
        Err(error) if error.kind == StoreErrorKind::Exists => error,
        Err(error) => return Err(error),
    };
    // A store that says that it exists and then does not show it is late; the next try tells.
    let passing = |error: StoreError| StoreError { kind: StoreErrorKind::Passing, ..error };
    match store.stat(&name)? {
        None => return Err(passing(exists)),
        Some(size) if size > bytes.len() as u64 => return Ok(StoredHow::Conflict),
        Some(_) => {}
    }
    let there = match store.get(&name) {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Err(passing(error)),
        other => other?,
    };
    if there == *bytes {
        return Ok(StoredHow::Same);
    }
    // The beginning of this very object is what a write leaves that was cut off, on a store that
    // cannot undo it. But another run's shorter block begins the same way: only gpg never writes
    // the same bytes twice.
    if bytes.starts_with(&there) && (again || object.item.name.encrypted) {
        return store.replace(&name, bytes).map(|()| StoredHow::Written);
    }
    Ok(StoredHow::Conflict)
}

/// What is said of an object that is there with other bytes.
pub(super) fn conflict(name: &str) -> anyhow::Error {
    let hint = "another run writes or wrote this band, and nothing of it was changed: start the backup again, and the new band gets another name";
    Hinted::wrap(anyhow!("{name}: already exists, with other content"), hint)
}
