//! Writes that are never to go over another, on servers of which some ignore the condition and
//! overwrite.
//!
//! `If-None-Match: *` asks the server to refuse a second write. Whether it does is seen by writing
//! HEAD, which is our own and new, twice with the same bytes. As long as that is not known, and
//! where the server overwrites, we look before each write; then two writers who look at the same
//! time both find nothing. So HEAD is read back before anything else of the band is written, and
//! again before TAIL makes it complete: whoever wrote HEAD first finds the other's there, if the
//! second look came before the first write and looks are followed by writes as soon as writes are
//! by reading back. For that a look holds for a moment only.
//!
//! The second write of HEAD goes beside the first of what follows HEAD, and looks beside all that
//! has to end before a write: none of this makes a run longer by a round trip.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use super::{Notice, StoreError, StoreErrorKind, Word};

/// An object that is not larger is written twice to see what the server does.
const SMALL: usize = 64 << 10;

/// How long a look that found nothing stands for the one before a write.
const LOOK_HOLDS: Duration = Duration::from_secs(1);

/// Told once, when the server turns out to overwrite.
pub(super) const WARNING: &str = "the server ignores If-None-Match: checking before each write instead (one extra request per object); this does not protect against two runs that write the same band at the same moment";

/// A store that may have to look before it writes.
pub trait LookAhead: Send + Sync {
    /// An object of that name is to be written as soon as what is under way is stored: if a look is
    /// needed, it can be had now. What fails here fails the write.
    fn look_ahead(&self, name: &str);

    /// What the server itself says of an object that is there: whether it is just these bytes. None
    /// where it does not tell.
    ///
    /// # Errors
    /// What kept the server from answering.
    fn tells(&self, name: &str, bytes: &[u8]) -> Result<Option<bool>, StoreError>;
}

/// How a conditional write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// There is an object already, of whatever size.
    Exists,
    /// The server does not know conditions, and wrote nothing.
    NotUnderstood,
}

/// A server that takes writes with a condition.
pub(super) trait Conditional: Sync {
    /// Writes an object; with `only_new` on the condition that there is none.
    fn put(&self, name: &str, bytes: &[u8], only_new: bool) -> Result<Put, StoreError>;
    /// The size of an object, which may be 0.
    fn size(&self, name: &str) -> Result<Option<u64>, StoreError>;
    /// The whole object.
    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError>;
    /// The object as a person finds it.
    fn shown(&self, name: &str) -> String;
    /// Makes what an object of that name has to lie in. A write does so, too, but later.
    fn prepare(&self, _name: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What is known of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Unknown,
    /// A writer is about to find out.
    Tried,
    Kept,
    Ignored,
    NotUnderstood,
}

/// A HEAD that we wrote.
#[derive(Debug)]
struct WrittenHead {
    name: String,
    bytes: Vec<u8>,
    /// Held while it is read back: one read serves all that wait for it.
    seen: Mutex<HeadState>,
}

/// What is known of a HEAD that we wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadState {
    NotYet,
    Ours,
    /// Our own second write of it failed: there may be a piece of it, or nothing.
    Doubtful,
}

#[derive(Debug)]
struct CreateState {
    condition: Condition,
    /// The HEADs that we wrote while the server was not known to keep conditions, by band.
    heads: HashMap<String, Arc<WrittenHead>>,
    /// What was looked for ahead of its write: when a look began that found nothing, or why it
    /// failed.
    ahead: HashMap<String, Result<Instant, StoreError>>,
}

/// Remembers for one run what the server does, and writes accordingly.
pub(super) struct CreateOnly {
    state: Mutex<CreateState>,
    notice: Notice,
}

impl fmt::Debug for CreateOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CreateOnly").field(&self.state).finish()
    }
}

impl CreateOnly {
    pub(super) fn new(notice: Notice) -> CreateOnly {
        let state = CreateState {
            condition: Condition::Unknown,
            heads: HashMap::new(),
            ahead: HashMap::new(),
        };
        CreateOnly { state: Mutex::new(state), notice }
    }

    fn state(&self) -> MutexGuard<'_, CreateState> {
        lock(&self.state)
    }

    /// Says something to whoever opened the store.
    pub(super) fn tell(&self, word: Word<'_>) {
        (self.notice)(word);
    }

    /// Writes an object that must not be there yet, as well as this server can.
    pub(super) fn put_new(
        &self,
        server: &dyn Conditional,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let kept = self.state().condition == Condition::Kept;
        let put = if kept {
            server.put(name, bytes, true)
        } else {
            self.look_and_put(server, name, bytes)
        }?;
        match put {
            Put::Done => Ok(()),
            Put::Exists if gives_way(server, name, bytes)? => {
                server.put(name, bytes, false).map(|_| self.wrote(name, bytes))
            }
            Put::Exists => Err(exists(server, name)),
            Put::NotUnderstood => Err(StoreError::of(
                StoreErrorKind::Other,
                server.shown(name),
                "the server refuses conditional writes",
            )),
        }
    }

    /// Looks for an object that is to be written soon, unless the server is known to refuse by
    /// itself.
    pub(super) fn look_ahead(&self, server: &dyn Conditional, name: &str) {
        if self.state().condition == Condition::Kept {
            return;
        }
        let begun = Instant::now();
        if let Some(looked) =
            self.look(server, name, false).map(|size| size.is_none().then_some(begun)).transpose()
        {
            self.state().ahead.insert(name.to_owned(), looked);
        }
    }

    /// On a server that is not known to keep the condition: looks, writes, and finds out if that is
    /// open.
    fn look_and_put(
        &self,
        server: &dyn Conditional,
        name: &str,
        bytes: &[u8],
    ) -> Result<Put, StoreError> {
        let begun = self.state().ahead.remove(name).transpose()?;
        let seen = begun.is_some_and(|begun| begun.elapsed() < LOOK_HOLDS);
        if !seen && self.look(server, name, true)?.is_some() {
            return Ok(Put::Exists);
        }
        if let Some(head) = self.head_above(name) {
            confirm(server, &head, false)?;
        }
        let put = self.put_and_try(server, name, bytes)?;
        if put == Put::Done {
            self.wrote(name, bytes);
        }
        Ok(put)
    }

    /// Remembers a HEAD that we wrote, as long as another may have written over it.
    fn wrote(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(band) =
            name.strip_suffix("/HEAD").filter(|_| state.condition != Condition::Kept)
        {
            let head = WrittenHead {
                name: name.to_owned(),
                bytes: bytes.to_vec(),
                seen: Mutex::new(HeadState::NotYet),
            };
            state.heads.insert(band.to_owned(), Arc::new(head));
        }
    }

    /// Writes what was not there a moment ago.
    fn put_and_try(
        &self,
        server: &dyn Conditional,
        name: &str,
        bytes: &[u8],
    ) -> Result<Put, StoreError> {
        let head = self.head_above(name);
        let small = bytes.len() <= SMALL && !name.ends_with("/HEAD");
        // What a second write of HEAD may leave is mended before TAIL.
        let tries =
            if head.is_some() { !name.ends_with("/TAIL") } else { small } && self.begin_trial();
        let known = self.state().condition;
        let put = std::thread::scope(|scope| {
            let trial = head
                .as_ref()
                .filter(|_| tries)
                .map(|head| scope.spawn(|| twice_head(server, head)));
            let put = match known {
                Condition::NotUnderstood => server.put(name, bytes, false),
                _ => server.put(name, bytes, true),
            };
            match (&put, trial) {
                (Ok(Put::NotUnderstood), _) => self.found(Condition::NotUnderstood),
                (_, Some(trial)) => self.found(trial.join().unwrap_or(Condition::Unknown)),
                (_, None) if tries && !matches!(put, Ok(Put::Done)) => {
                    self.found(Condition::Unknown)
                }
                _ => {}
            }
            put
        })?;
        if put == Put::Done && head.is_none() && tries {
            let again = twice(server, name, bytes);
            self.found(*again.as_ref().unwrap_or(&Condition::Unknown));
            // It may have left a piece of what was whole a moment ago, which the next try finds.
            again?;
        }
        if put == Put::NotUnderstood { server.put(name, bytes, false) } else { Ok(put) }
    }

    /// What has to be known before a write, asked side by side: the size of what is there, and that
    /// the band is still ours. What the object has to lie in can be made meanwhile.
    fn look(
        &self,
        server: &dyn Conditional,
        name: &str,
        prepare: bool,
    ) -> Result<Option<u64>, StoreError> {
        std::thread::scope(|scope| {
            let head = self.head_above(name);
            let confirmed = head
                .map(|head| scope.spawn(move || confirm(server, &head, name.ends_with("/TAIL"))));
            let prepared = prepare.then(|| scope.spawn(|| server.prepare(name)));
            let size = server.size(name);
            let ended = |thread: Option<ScopedJoinHandle<'_, Result<(), StoreError>>>| {
                let broke_off = |_| {
                    Err(StoreError::of(
                        StoreErrorKind::Other,
                        server.shown(name),
                        "a request stopped unexpectedly",
                    ))
                };
                thread.map_or(Ok(()), |thread| thread.join().unwrap_or_else(broke_off))
            };
            let (confirmed, prepared) = (ended(confirmed), ended(prepared));
            confirmed?;
            if size.as_ref().is_ok_and(Option::is_none) {
                prepared?;
            }
            size
        })
    }

    /// The HEAD that we wrote of the band in which an object other than HEAD lies.
    fn head_above(&self, name: &str) -> Option<Arc<WrittenHead>> {
        let (band, object) = name.split_once('/')?;
        self.state().heads.get(band).filter(|_| object != "HEAD").cloned()
    }

    /// True for the one writer that is to find out.
    fn begin_trial(&self) -> bool {
        let mut state = self.state();
        let open = state.condition == Condition::Unknown;
        if open {
            state.condition = Condition::Tried;
        }
        open
    }

    fn found(&self, condition: Condition) {
        let before = std::mem::replace(&mut self.state().condition, condition);
        let bad = |condition| matches!(condition, Condition::Ignored | Condition::NotUnderstood);
        if bad(condition) && !bad(before) {
            (self.notice)(Word::Note(WARNING));
        }
    }
}

/// Writes our own object once more, to see what the server does.
fn twice(server: &dyn Conditional, name: &str, bytes: &[u8]) -> Result<Condition, StoreError> {
    Ok(match server.put(name, bytes, true)? {
        Put::Exists => Condition::Kept,
        Put::Done => Condition::Ignored,
        Put::NotUnderstood => Condition::NotUnderstood,
    })
}

/// The same with HEAD. What a write that fails may leave of it is found when it is read back.
fn twice_head(server: &dyn Conditional, head: &WrittenHead) -> Condition {
    twice(server, &head.name, &head.bytes).unwrap_or_else(|_| {
        *lock(&head.seen) = HeadState::Doubtful;
        Condition::Unknown
    })
}

/// Reads back the HEAD that we wrote, unless that was done and is not to be done `again`. Fails if
/// it has become another's.
fn confirm(server: &dyn Conditional, head: &WrittenHead, again: bool) -> Result<(), StoreError> {
    let mut seen = lock(&head.seen);
    if *seen == HeadState::Ours && !again {
        return Ok(());
    }
    let read = || match server.read(&head.name) {
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        there => there.map(Some),
    };
    let is_piece = |there: &[u8]| head.bytes.len() > there.len() && head.bytes.starts_with(there);
    let mut there = read()?;
    // Our own second write may have been cut off.
    if there.as_ref().map_or(*seen == HeadState::Doubtful, |there| is_piece(there)) {
        server.put(&head.name, &head.bytes, false)?;
        there = read()?;
    }
    let (kind, text) = match there {
        Some(there) if there == head.bytes => {
            *seen = HeadState::Ours;
            return Ok(());
        }
        // Not to be seen yet; or a store that confirms what it does not keep.
        None => (StoreErrorKind::Passing, "confirmed, but missing when read back"),
        Some(there) if is_piece(&there) => {
            (StoreErrorKind::Passing, "confirmed, but cut when read back")
        }
        Some(_) => (
            StoreErrorKind::Overtaken,
            "it was replaced by that of another run, which writes the same band",
        ),
    };
    Err(StoreError::of(kind, server.shown(&head.name), text))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether what is there is empty, or the beginning of what is to be written.
fn gives_way(server: &dyn Conditional, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
    match server.size(name)? {
        Some(0) => Ok(true),
        Some(size) if size < bytes.len() as u64 => Ok(bytes.starts_with(&server.read(name)?)),
        _ => Ok(false),
    }
}

fn exists(server: &dyn Conditional, name: &str) -> StoreError {
    StoreError::new(server.shown(name), std::io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests;
