//! What goes wrong with a store, sorted by what to do about it.

use std::io;
use std::time::Duration;

/// What went wrong, as far as it matters for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// There is one already.
    Exists,
    /// Something that may pass: a connection cut, a time-out, a server that is busy. The same call
    /// may succeed later.
    Passing,
    /// The store does not know us, or does not allow this. Of an object that is read: it may be
    /// whole, and can be read once its owner allows it.
    Denied,
    /// The clock here is too far from the server's.
    Clock,
    /// The session whose keys are used has ended.
    Session,
    /// The object is there, but lies in cold storage: it has to be asked for, and can be read hours
    /// later.
    Cold,
    /// This one object, or folder, cannot be read, and asking again does not help: the disk fails
    /// at it, or something else (a device, a FIFO, a link, a file larger than any such object) is
    /// in its place. It counts as damaged; all others may be whole.
    Damaged,
    /// The bucket or collection in which the archive should lie is not there.
    NoArchive,
    /// The store is full.
    NoSpace,
    /// The server is not whom it should be, or does not speak TLS as it should.
    Certificate,
    /// The server sends us elsewhere, where neither objects nor credentials are sent.
    Redirect,
    /// The server does not tell what it has; single objects can be read.
    NoListing,
    /// ssh could not log in, or does not know the host: it asks nobody.
    NoLogin,
    /// Another run has taken the band that is written.
    Overtaken,
    /// Anything else.
    Other,
}

impl StoreErrorKind {
    /// Whether the same call may succeed later, without anyone doing anything.
    pub fn may_pass(self) -> bool {
        self == StoreErrorKind::Passing
    }

    /// Whether an object that fails so may be whole all the same, and only cannot be read now: it
    /// lies cold, the store does not allow it, or cannot be reached. To be told as `unavailable`,
    /// never as damaged, and never rebuilt.
    pub fn is_unavailable(self) -> bool {
        !matches!(
            self,
            StoreErrorKind::NotFound
                | StoreErrorKind::Exists
                | StoreErrorKind::Damaged
                | StoreErrorKind::Other
        )
    }
}

/// What the system says of a file that it cannot read, while others can be read: EIO, ENXIO (of a
/// FIFO or device), ELOOP, EBADMSG, EUCLEAN, EREMOTEIO.
const FAILING: [i32; 6] = [5, 6, 40, 74, 117, 121];

/// A call of a store that failed.
#[derive(Debug, thiserror::Error)]
#[error("{at}")]
pub struct StoreError {
    /// What it means.
    pub kind: StoreErrorKind,
    /// The object or folder, as a person finds it.
    pub at: String,
    /// Why.
    #[source]
    pub source: io::Error,
    /// How long the server asks us to wait before the next try.
    pub retry_after: Option<Duration>,
}

impl StoreError {
    /// Something that may pass, said in words.
    pub fn passing(at: impl ToString, text: &'static str) -> StoreError {
        StoreError::of(StoreErrorKind::Passing, at, text)
    }

    /// An error of the system.
    pub(super) fn new(at: impl ToString, source: io::Error) -> StoreError {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => StoreErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => StoreErrorKind::Exists,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreErrorKind::Denied
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => StoreErrorKind::NoSpace,
            io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::StaleNetworkFileHandle => StoreErrorKind::Passing,
            io::ErrorKind::IsADirectory => StoreErrorKind::Damaged,
            _ if source.raw_os_error().is_some_and(|number| FAILING.contains(&number)) => {
                StoreErrorKind::Damaged
            }
            _ => StoreErrorKind::Other,
        };
        StoreError::of(kind, at, source)
    }

    /// An error of a kind that is known.
    pub(super) fn of(
        kind: StoreErrorKind,
        at: impl ToString,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        let source = source.into();
        let source = source.downcast::<io::Error>().map_or_else(io::Error::other, |error| *error);
        StoreError { kind, at: at.to_string(), source, retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_sorted() {
        let kinds = [
            (2, StoreErrorKind::NotFound),
            (4, StoreErrorKind::Passing),
            (5, StoreErrorKind::Damaged),
            (13, StoreErrorKind::Denied),
            (17, StoreErrorKind::Exists),
            (21, StoreErrorKind::Damaged),
            (22, StoreErrorKind::Other),
            (28, StoreErrorKind::NoSpace),
            (30, StoreErrorKind::Denied),
            (40, StoreErrorKind::Damaged),
            (74, StoreErrorKind::Damaged),
            (110, StoreErrorKind::Passing),
            (116, StoreErrorKind::Passing),
            (122, StoreErrorKind::NoSpace),
        ];
        for (number, kind) in kinds {
            let error = StoreError::new("here", io::Error::from_raw_os_error(number));
            assert_eq!(
                (error.kind, error.kind.may_pass()),
                (kind, kind == StoreErrorKind::Passing),
                "{number}"
            );
            assert_eq!(error.source.raw_os_error(), Some(number));
        }
        assert_eq!(
            StoreError::of(StoreErrorKind::Redirect, "here", "to there").source.to_string(),
            "to there"
        );
    }
}
