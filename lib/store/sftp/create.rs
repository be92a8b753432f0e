//! How an object comes to its name: never over another, whole, and on disk.

use std::time::Duration;

use super::files::{fetch, is_empty};
use super::link::{SshCall, SshLink, lock};
use super::packet::{PIECE, SftpAttributes, SftpReply, SftpRequest, code, free};
use super::temporary::Temporary;
use super::{
    HARD_LINK, IN_PLACE, MOVE_OVER, NO_LINK, ROOM, Sftp, SftpFailure, SftpWay, folder_of, look, one,
};
use crate::store::{StoreError, StoreErrorKind};

/// How long an empty object is looked at before it gives way, where writing is seen by others.
const SETTLES: Duration = Duration::from_secs(1);

/// How an attempt to give an object its name ended.
enum TemporaryFate {
    /// It has it, beside its temporary one.
    Linked,
    /// It has it alone.
    Moved,
    /// There is one, as this says.
    Exists(SftpAttributes),
    /// The server cannot do it in this way.
    Lacking,
}

impl Sftp {
    /// Writes an object that must not be there yet. An empty one gives way.
    pub(super) fn create(
        &self,
        link: &SshLink,
        path: &[u8],
        bytes: &[u8],
        at: &str,
    ) -> Result<(), StoreError> {
        let call = &SshCall::new(link);
        let moves = { *lock(&self.known) }.way < SftpWay::InPlace;
        if moves {
            let named = self.create_moved(call, path, bytes);
            match named.map_err(|failure| self.failed(call, path, bytes, failure, at))? {
                TemporaryFate::Linked | TemporaryFate::Moved => return Ok(()),
                TemporaryFate::Exists(there) if is_empty(there) => {
                    return self.put_over(link, path, bytes, at);
                }
                TemporaryFate::Exists(_) => return Err(exists(at)),
                TemporaryFate::Lacking => {}
            }
        }
        self.create_in_place(call, path, bytes, at)?;
        if moves {
            self.learn(SftpWay::InPlace);
        }
        Ok(())
    }

    /// Writes a file under a temporary name, and gives it its own without replacing anything.
    fn create_moved(
        &self,
        call: &SshCall<'_>,
        path: &[u8],
        bytes: &[u8],
    ) -> Result<TemporaryFate, SftpFailure> {
        let temporary = Temporary::write(self, call, path, bytes)?;
        let mut named = TemporaryFate::Lacking;
        let known = *lock(&self.known);
        if known.way == SftpWay::Linked && call.link.has(HARD_LINK) {
            named = self.link_new(call, &temporary, path, known.proven)?;
        }
        if let TemporaryFate::Lacking = named {
            named = self.move_new(call, &temporary, path, bytes)?;
        }
        match named {
            TemporaryFate::Moved => temporary.renamed(call.link),
            _ => temporary.remove(call.link)?,
        }
        Ok(named)
    }

    /// Links a file to a name that must not be there. The first time, once more: a server that
    /// replaces is seen by that, and has replaced the file by itself.
    fn link_new(
        &self,
        call: &SshCall<'_>,
        temporary: &Temporary<'_>,
        path: &[u8],
        proven: bool,
    ) -> Result<TemporaryFate, SftpFailure> {
        let fields: [&[u8]; 2] = [&temporary.path, path];
        let request = SftpRequest::Extended(HARD_LINK, &fields);
        if let Err(failure) = temporary.name(call, &request)? {
            return unnamed(call, path, failure);
        }
        if !proven {
            match one(call, &request) {
                Ok(_) => self.learn(SftpWay::InPlace),
                Err(SftpFailure::Status(..)) => lock(&self.known).proven = true,
                Err(end) => return Err(end),
            }
        }
        Ok(TemporaryFate::Linked)
    }

    /// The same by a rename, which some servers make replace: that is found out with a second file
    /// of the same bytes, after a look.
    fn move_new(
        &self,
        call: &SshCall<'_>,
        temporary: &Temporary<'_>,
        path: &[u8],
        bytes: &[u8],
    ) -> Result<TemporaryFate, SftpFailure> {
        let proven = { *lock(&self.known) }.way == SftpWay::Moved;
        let there = if proven { None } else { look(call, &SftpRequest::Look(path))? };
        if let Some(there) = there {
            return Ok(TemporaryFate::Exists(there));
        }
        if let Err(failure) = temporary.name(call, &SftpRequest::Move(&temporary.path, path))? {
            return unnamed(call, path, failure);
        }
        if !proven {
            let second = Temporary::write(self, call, path, bytes)?;
            match one(call, &SftpRequest::Move(&second.path, path)) {
                Ok(_) => {
                    self.learn(SftpWay::InPlace);
                    second.renamed(call.link);
                }
                Err(SftpFailure::Status(..)) => {
                    self.learn(SftpWay::Moved);
                    second.remove(call.link)?;
                }
                Err(end) => return Err(end),
            }
        }
        Ok(TemporaryFate::Moved)
    }

    fn learn(&self, way: SftpWay) {
        let mut known = lock(&self.known);
        known.way = way.max(known.way);
        drop(known);
        self.tell(if way == SftpWay::Moved { NO_LINK } else { IN_PLACE });
    }

    /// Writes an object under its own name, if there is none, and reads it back.
    fn create_in_place(
        &self,
        call: &SshCall<'_>,
        path: &[u8],
        bytes: &[u8],
        at: &str,
    ) -> Result<(), StoreError> {
        let failed = |failure: SftpFailure| self.failed(call, path, bytes, failure, at);
        match look(call, &SftpRequest::Look(path)).map_err(failed)? {
            None => {}
            // Another may have made it a moment ago, and is about to write it.
            Some(there) if is_empty(there) => {
                std::thread::sleep(SETTLES);
                match look(call, &SftpRequest::Look(path)).map_err(failed)? {
                    Some(there) if !is_empty(there) => return Err(exists(at)),
                    _ => drop(one(call, &SftpRequest::Remove(path)).map_err(failed)?),
                }
            }
            Some(_) => return Err(exists(at)),
        }
        let opened = match self.open_new(call, path) {
            // Another was faster.
            Err(failure @ SftpFailure::Status(..)) => {
                return match look(call, &SftpRequest::Look(path)).map_err(failed)? {
                    Some(_) => Err(exists(at)),
                    None => Err(failed(failure)),
                };
            }
            opened => opened.map_err(failed)?,
        };
        let stored = self.fill(call, &opened, bytes).map_err(failed).and_then(|()| {
            match bytes.is_empty() || fetch(call.link, path, at, 0, None, u64::MAX)? == bytes {
                true => Ok(()),
                false => {
                    let text = "differs from what was written when read back";
                    Err(StoreError::of(StoreErrorKind::Passing, at, text))
                }
            }
        });
        // What is there otherwise may be another's: it stays.
        stored.and_then(|()| {
            let folder = folder_of(path).unwrap_or(b".");
            self.flush_folder(call, folder).map_err(failed)
        })
    }

    /// Puts an object in place of another or none.
    pub(super) fn put_over(
        &self,
        link: &SshLink,
        path: &[u8],
        bytes: &[u8],
        at: &str,
    ) -> Result<(), StoreError> {
        let call = &SshCall::new(link);
        let put = || {
            let temporary = Temporary::write(self, call, path, bytes)?;
            let fields: [&[u8]; 2] = [&temporary.path, path];
            let request = match link.has(MOVE_OVER) {
                true => SftpRequest::Extended(MOVE_OVER, &fields),
                false => {
                    // The one that is there was found damaged, and this one is whole already.
                    link.tell(&SftpRequest::Remove(path));
                    SftpRequest::Move(&temporary.path, path)
                }
            };
            match temporary.name(call, &request)? {
                Ok(()) => temporary.renamed(link),
                Err(failure) => {
                    temporary.remove(link)?;
                    return Err(failure);
                }
            }
            Ok(())
        };
        put().map_err(|failure| self.failed(call, path, bytes, failure, at))
    }

    /// What a failed write means: version 3 has no word for a disk that is full.
    fn failed(
        &self,
        call: &SshCall<'_>,
        path: &[u8],
        bytes: &[u8],
        failure: SftpFailure,
        at: &str,
    ) -> StoreError {
        if failure.code() == code::FAILURE && call.link.has(ROOM) {
            let folder = folder_of(path).unwrap_or(b".");
            if let Ok(SftpReply::Extended(room)) =
                one(call, &SftpRequest::Extended(ROOM, &[folder]))
                && free(&room).is_some_and(|free| free < bytes.len() as u64 + PIECE as u64)
            {
                return StoreError::new(at, std::io::ErrorKind::StorageFull.into());
            }
        }
        failure.at(at)
    }
}

/// Why an object did not get its name: there is one, or the server cannot do this.
fn unnamed(
    call: &SshCall<'_>,
    path: &[u8],
    failure: SftpFailure,
) -> Result<TemporaryFate, SftpFailure> {
    let lacking = [code::DENIED, code::FAILURE, code::BAD, code::UNSUPPORTED];
    match look(call, &SftpRequest::Look(path))? {
        Some(there) => Ok(TemporaryFate::Exists(there)),
        None if lacking.contains(&failure.code()) => Ok(TemporaryFate::Lacking),
        None => Err(failure),
    }
}

fn exists(at: &str) -> StoreError {
    StoreError::new(at, std::io::ErrorKind::AlreadyExists.into())
}
