//! An archive on a host with an SSH server: SFTP through the system's `ssh`.
//!
//! Version 3 of the protocol says "failure" to most of what can go wrong, so what a failure means is
//! looked up: whether the object exists, whether the disk is full.
//!
//! Whoever can log in may put anything in the place of an object: what is there is looked at before
//! it is read, and has to be a regular file.

use std::sync::Mutex;
use std::time::Duration;

use super::{Notice, Remove, Store, StoreError, StoreErrorKind, Word, most};
use address::{BadSshAddress, SshAddress};
use link::{LinkEnd, SshCall, SshLink, lock};
use links::{Dial, Links};
use packet::{SftpAttributes, SftpReply, SftpRequest, code};

pub mod address;
mod create;
mod files;
mod link;
mod links;
mod names;
pub mod packet;
mod temporary;

/// Links a file under another name, which must not be there.
const HARD_LINK: &str = "hardlink@openssh.com";
/// Renames a file over whatever is there.
const MOVE_OVER: &str = "posix-rename@openssh.com";
/// Flushes a file, or a folder, to the disk.
const FLUSH: &str = "fsync@openssh.com";
/// Tells how much room there is.
const ROOM: &str = "statvfs@openssh.com";

/// Prefix of temporary names.
const TEMPORARY: &str = ".dura-";

const NO_FLUSH: &str = "the server cannot flush files and folders (fsync@openssh.com): the last objects can be lost in a power failure";
const NO_LINK: &str =
    "the server has no hard links (hardlink@openssh.com): using its rename, which does not replace";
const IN_PLACE: &str = "the server has neither hard links (hardlink@openssh.com) nor a rename that never replaces: writing each object under its own name and reading it back; a run that is killed can leave a part of one, which the next run replaces, and two runs that write the same band at the same moment are not protected from each other";
const NO_REMOVAL: &str =
    "the server does not allow removing files: a temporary name (.dura-…) of each object stays";

/// How a new object comes to its name, the best way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SftpWay {
    /// A whole file is linked.
    Linked,
    /// A whole file is renamed over nothing.
    Moved,
    /// It is written under its name, and read back.
    InPlace,
}

/// What is known of a server.
#[derive(Debug, Clone, Copy)]
struct SftpKnown {
    way: SftpWay,
    /// It was seen to refuse what would replace an object.
    proven: bool,
}

/// A directory on a host. It need not be there before the first write.
pub struct Sftp {
    links: Links,
    /// The archive's directory, as the server knows it.
    root: Vec<u8>,
    /// The same as a person finds it.
    shown: String,
    known: Mutex<SftpKnown>,
    /// Temporary files that a broken connection has left.
    litter: Mutex<Vec<Vec<u8>>>,
    /// Whether the server allows removing, as far as that is known.
    removes: Mutex<Option<bool>>,
    told: Mutex<Vec<&'static str>>,
    notice: Notice,
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sftp").field("at", &self.shown).finish_non_exhaustive()
    }
}

/// How long a connection may stay silent, unless the user says otherwise.
const IDLE: Duration = Duration::from_secs(60);

/// What went wrong with a request.
enum SftpFailure {
    /// There is no connection, or no more.
    Link(LinkEnd),
    /// The server's own word.
    Status(u32, String),
}

impl From<LinkEnd> for SftpFailure {
    fn from(end: LinkEnd) -> SftpFailure {
        SftpFailure::Link(end)
    }
}

impl SftpFailure {
    /// The number that the server gave.
    fn code(&self) -> u32 {
        match self {
            SftpFailure::Link(_) => code::CONNECTION_LOST,
            SftpFailure::Status(code, _) => *code,
        }
    }

    /// Sorted by what to do about it.
    fn at(self, at: &str) -> StoreError {
        use std::io::Error;
        let (code, words) = match self {
            SftpFailure::Link(end) => return end.at(at),
            SftpFailure::Status(code, words) => (code, super::http::printable(&words)),
        };
        let said = if words.is_empty() { format!("status {code}") } else { words };
        match code {
            // As a system says it whose own file it is.
            code::NO_SUCH_FILE => StoreError::new(at, Error::from_raw_os_error(2)),
            code::DENIED => StoreError::new(at, Error::from_raw_os_error(13)),
            code::EXISTS => StoreError::new(at, Error::from_raw_os_error(17)),
            code::NO_SPACE | code::QUOTA => StoreError::new(at, Error::from_raw_os_error(28)),
            code::NO_CONNECTION | code::CONNECTION_LOST => {
                StoreError::of(StoreErrorKind::Passing, at, format!("the server says: {said}"))
            }
            _ => StoreError::of(StoreErrorKind::Other, at, format!("the server says: {said}")),
        }
    }
}

/// Asks one thing, and waits.
fn one(call: &SshCall<'_>, request: &SftpRequest<'_>) -> Result<SftpReply, SftpFailure> {
    call.ask(request)?;
    sound(call.next()?.1)
}

/// An answer, unless it is of a failure.
fn sound(reply: SftpReply) -> Result<SftpReply, SftpFailure> {
    match reply {
        SftpReply::Status(code, words) if code != code::OK => Err(SftpFailure::Status(code, words)),
        other => Ok(other),
    }
}

/// The server answers something else than was asked: nothing it says can be believed.
fn senseless(link: &SshLink) -> SftpFailure {
    let end = LinkEnd::wrong("the server answers what was not requested");
    link.end(end.clone());
    SftpFailure::Link(end)
}

fn handle(link: &SshLink, reply: SftpReply) -> Result<Vec<u8>, SftpFailure> {
    match reply {
        SftpReply::Handle(handle) => Ok(handle),
        _ => Err(senseless(link)),
    }
}

fn done(link: &SshLink, reply: SftpReply) -> Result<(), SftpFailure> {
    match reply {
        SftpReply::Status(..) => Ok(()),
        _ => Err(senseless(link)),
    }
}

/// What is at a path; none if nothing is.
fn look(
    call: &SshCall<'_>,
    request: &SftpRequest<'_>,
) -> Result<Option<SftpAttributes>, SftpFailure> {
    match one(call, request) {
        Ok(SftpReply::Attributes(found)) => Ok(Some(found)),
        Ok(_) => Err(senseless(call.link)),
        Err(failure) if failure.code() == code::NO_SUCH_FILE => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The folder in which a path lies.
fn folder_of(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|byte| *byte == b'/')? {
        0 => (path != b"/").then_some(b"/"),
        end => Some(&path[..end]),
    }
}

impl Sftp {
    /// The archive at an address. No connection is made before something is asked.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn open(name: &str, idle: Option<Duration>, notice: Notice) -> Result<Sftp, BadSshAddress> {
        let ssh = std::env::var("DURA_SSH").ok().filter(|ssh| !ssh.trim().is_empty());
        Sftp::with(name, ssh, idle, notice)
    }

    /// The same with a program, and its first arguments, in place of `ssh`.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn with(
        name: &str,
        ssh: Option<String>,
        idle: Option<Duration>,
        notice: Notice,
    ) -> Result<Sftp, BadSshAddress> {
        let (address, idle) = (SshAddress::parse(name)?, idle.unwrap_or(IDLE));
        let shown = name.trim_end_matches('/').to_owned();
        let dial = links::dial(address.clone(), ssh, idle);
        let sftp = Sftp::over(address.path, shown, dial, idle, notice);
        sftp.links.begin();
        Ok(sftp)
    }

    /// The same over connections that are made in another way.
    fn over(root: Vec<u8>, shown: String, dial: Box<Dial>, idle: Duration, notice: Notice) -> Sftp {
        Sftp {
            links: Links::new(dial, idle),
            root,
            shown,
            known: Mutex::new(SftpKnown { way: SftpWay::Linked, proven: false }),
            litter: Mutex::default(),
            removes: Mutex::default(),
            told: Mutex::default(),
            notice,
        }
    }

    fn path(&self, name: &str) -> Vec<u8> {
        let slash: &[u8] = if name.is_empty() { b"" } else { b"/" };
        [&self.root, slash, name.as_bytes()].concat()
    }

    fn shown(&self, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{}{slash}{name}", self.shown)
    }

    /// Says something, once.
    fn tell(&self, text: &'static str) {
        let mut told = lock(&self.told);
        if !told.contains(&text) {
            told.push(text);
            (self.notice)(Word::Note(text));
        }
    }

    /// Carries out something over a connection.
    fn over_link<T>(
        &self,
        name: &str,
        deed: impl FnOnce(&SshCall<'_>) -> Result<T, SftpFailure>,
    ) -> Result<T, StoreError> {
        let at = self.shown(name);
        let link = self.links.get().map_err(|end| end.at(&at))?;
        deed(&SshCall::new(&link)).map_err(|failure| failure.at(&at))
    }
}

impl Store for Sftp {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (at, path) = (self.shown(name), self.path(name));
        let link = self.links.get().map_err(|end| end.at(&at))?;
        self.create(&link, &path, bytes, &at)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (at, path) = (self.shown(name), self.path(name));
        let link = self.links.get().map_err(|end| end.at(&at))?;
        self.put_over(&link, &path, bytes, &at)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let at = self.shown(name);
        let link = self.links.get().map_err(|end| end.at(&at))?;
        files::fetch(&link, &self.path(name), &at, 0, None, most(name))
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let at = self.shown(name);
        let link = self.links.get().map_err(|end| end.at(&at))?;
        files::fetch(&link, &self.path(name), &at, start, Some(length), u64::MAX)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let seen = self.over_link(name, |call| look(call, &SftpRequest::Look(&self.path(name))))?;
        let is_object = |seen: &SftpAttributes| seen.is_file() && seen.size != Some(0);
        seen.filter(is_object).map(|seen| files::size(seen, &self.shown(name))).transpose()
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let (found, unseen) =
            self.over_link(folder, |call| names::names(call, &self.path(folder)))?;
        for name in unseen {
            let at = self.shown(&if folder.is_empty() { name } else { format!("{folder}/{name}") });
            let text = "the server lists it, but does not say what it is";
            (self.notice)(Word::Flaw(&StoreError::of(StoreErrorKind::Damaged, at, text)));
        }
        Ok(found)
    }
}

impl Remove for Sftp {
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        self.over_link(name, |call| {
            done(call.link, one(call, &SftpRequest::Remove(&path))?)?;
            let folder = folder_of(&path).unwrap_or(b".");
            self.flush_folder(call, folder)?;
            // Up to the archive itself, and no further; a folder that is not empty stays.
            let mut folder = folder;
            while folder.len() > self.root.len() {
                call.link.tell(&SftpRequest::RemoveFolder(folder));
                folder = folder_of(folder).unwrap_or_default();
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
