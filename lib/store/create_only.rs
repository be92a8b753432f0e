//! Writes that are never to go over another, on servers of which some ignore the condition and overwrite.
//!
//! `If-None-Match: *` asks the server to refuse a second write. Whether it does is seen by writing a small object of our own twice, with the
//! same bytes. Where it does not, we look before each write; then two writers who look at the same time both find nothing, so HEAD is
//! read back after it was written, and again before TAIL makes the band complete.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Kind, StoreError};

/// An object that is not larger is written twice to see what the server does.
const SMALL: usize = 64 << 10;

/// Told once, when the server turns out to overwrite.
pub(super) const WARNING: &str = "the server does not refuse to overwrite: dura-push looks before each write, \
    which costs a request for each object and is no guard against two runs that write the same band in the same moment";

/// Who is told that.
pub type Notice = Box<dyn Fn(&str) + Send + Sync>;

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
pub(super) trait Conditional {
    /// Writes an object; with `only_new` on the condition that there is none.
    fn put(&self, name: &str, bytes: &[u8], only_new: bool) -> Result<Put, StoreError>;
    /// The size of an object, which may be 0.
    fn size(&self, name: &str) -> Result<Option<u64>, StoreError>;
    /// The whole object.
    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError>;
    /// The object as a person finds it.
    fn shown(&self, name: &str) -> String;
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

#[derive(Debug)]
struct State {
    condition: Condition,
    /// The HEADs that we wrote, by name, while the server is not known to keep conditions.
    heads: HashMap<String, Vec<u8>>,
}

/// Remembers for one run what the server does, and writes accordingly.
pub(super) struct CreateOnly {
    state: Mutex<State>,
    notice: Notice,
}

impl fmt::Debug for CreateOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CreateOnly").field(&self.state).finish()
    }
}

impl CreateOnly {
    pub(super) fn new(notice: Notice) -> CreateOnly {
        let state = State { condition: Condition::Unknown, heads: HashMap::new() };
        CreateOnly { state: Mutex::new(state), notice }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an object that must not be there yet, as well as this server can.
    pub(super) fn put_new(&self, server: &dyn Conditional, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let condition = self.state().condition;
        let put = match condition {
            Condition::Kept => server.put(name, bytes, true)?,
            _ => self.look_and_put(server, name, bytes, condition)?,
        };
        match put {
            Put::Done => Ok(()),
            Put::Exists if gives_way(server, name, bytes)? => server.put(name, bytes, false).map(drop),
            Put::Exists => Err(exists(server, name)),
            Put::NotUnderstood => Err(StoreError::of(Kind::Other, server.shown(name), "the server refuses conditional writes")),
        }
    }

    /// On a server that is not known to keep the condition: looks, writes, and finds out if that is open.
    fn look_and_put(&self, server: &dyn Conditional, name: &str, bytes: &[u8], mut known: Condition) -> Result<Put, StoreError> {
        if let Some(band) = name.strip_suffix("/TAIL") {
            self.confirm(server, &format!("{band}/HEAD"))?;
        }
        match server.size(name)? {
            Some(_) => return Ok(Put::Exists),
            None if known == Condition::NotUnderstood => return server.put(name, bytes, false),
            None => {}
        }
        let tries = bytes.len() <= SMALL && self.begin_trial();
        let mut put = server.put(name, bytes, true);
        if let Ok(Put::NotUnderstood) = put {
            known = Condition::NotUnderstood;
            put = server.put(name, bytes, false);
            self.found(known);
        } else if tries {
            let again = matches!(put, Ok(Put::Done)).then(|| server.put(name, bytes, true));
            known = match (&put, &again) {
                (Ok(Put::Exists), _) | (_, Some(Ok(Put::Exists))) => Condition::Kept,
                (_, Some(Ok(_))) => Condition::Ignored,
                _ => Condition::Unknown,
            };
            // It may have left a piece of what was whole a moment ago, which the next try finds.
            if let Some(Err(error)) = again {
                put = Err(error);
            }
            self.found(known);
        }
        if put.as_ref().is_ok_and(|put| *put == Put::Done) && name.ends_with("/HEAD") && known != Condition::Kept {
            self.state().heads.insert(name.to_owned(), bytes.to_vec());
            self.confirm(server, name)?;
        }
        put
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
            (self.notice)(WARNING);
        }
    }

    /// Fails if the HEAD that we wrote has become another's.
    fn confirm(&self, server: &dyn Conditional, head: &str) -> Result<(), StoreError> {
        let Some(ours) = self.state().heads.get(head).cloned() else { return Ok(()) };
        match server.read(head) {
            Ok(bytes) if bytes != ours => Err(exists(server, head)),
            // Not to be seen yet.
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }
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
