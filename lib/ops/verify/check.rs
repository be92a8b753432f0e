//! Reading objects and comparing them with their lists: what the threads of a run do, and what they
//! hand to whoever tells of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::core::verify::borders::{Beginning, TELLING};
use crate::core::verify::{self, Finding, ObjectState};
use crate::format::band::BandName;
use crate::format::digest;
use crate::format::group::{GroupMember, List, PIECE};
use crate::format::object::ObjectName;
use crate::report::message::why;
use crate::store::{Store, StoreError, StoreErrorKind, UNSEEN};

/// Bytes of an object that are read at once: what it is charged for a call, against the memory that
/// each thread takes.
const AT_ONCE: u64 = 8 << 20;

/// What a run comes upon, in the order of the archive.
pub(super) enum CheckEvent {
    /// A band begins.
    Band,
    /// A folder with a band's name that is none.
    NoBand(BandName),
    /// The band has no TAIL.
    Unfinished(BandName),
    /// Something is wrong.
    Found(Finding),
    /// Worth knowing, and not wrong.
    Note(String),
    /// What was asked for cannot be done.
    Failed(anyhow::Error),
    /// What came of the next object of a group.
    Member(ObjectState),
    /// All members of the group have come.
    Group(Arc<List>),
    /// A signature is good.
    Signed,
    /// A signature is by a key that is not known: that is a finding if others of the band are good,
    /// or else a note.
    Unknown(Finding, String),
    /// A list that is gone and not needed any more: what it was of is in other lists now.
    Dropped(BandName, ObjectName),
    /// Objects that want a list.
    Loose(Box<crate::ops::verify::loose::GroupToList>),
    /// All bands were walked.
    End,
}

/// What was read, and how much may be.
#[derive(Debug, Default)]
pub(super) struct Meter {
    limit: Option<u64>,
    bytes: AtomicU64,
    objects: AtomicU64,
    members: AtomicU64,
    reached: AtomicBool,
}

impl Meter {
    /// A meter with `--limit`.
    pub(super) fn new(limit: Option<u64>) -> Meter {
        Meter { limit, ..Meter::default() }
    }

    /// Counts an object that is going to be read, if the limit allows.
    pub(super) fn spend(&self, bytes: u64) -> bool {
        let add = |so_far: u64| {
            so_far.checked_add(bytes).filter(|sum| self.limit.is_none_or(|limit| *sum <= limit))
        };
        let may = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        match may {
            true => _ = self.objects.fetch_add(1, Ordering::Relaxed),
            false => self.reached.store(true, Ordering::Relaxed),
        }
        may
    }

    /// Counts an object of a group that is read.
    pub(super) fn member(&self) {
        self.members.fetch_add(1, Ordering::Relaxed);
    }

    /// How many objects of groups were read.
    pub(super) fn members(&self) -> u64 {
        self.members.load(Ordering::Relaxed)
    }

    /// Objects and bytes that were read.
    pub(super) fn sum(&self) -> (u64, u64) {
        (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Whether the limit kept something from being read.
    pub(super) fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

/// Reads the first `size` bytes of an object, which it may turn out not to have, in pieces of
/// [`PIECE`].
pub(super) fn pieces(
    store: &dyn Store,
    name: &str,
    size: u64,
    each: &mut dyn FnMut(&[u8]),
) -> Result<u64, StoreError> {
    let mut came = 0;
    while came < size {
        let wanted = AT_ONCE.min(size - came);
        let bytes = store.get_range(name, came, wanted)?;
        bytes.chunks(PIECE).for_each(&mut *each);
        came += bytes.len() as u64;
        if (bytes.len() as u64) < wanted {
            break;
        }
    }
    Ok(came)
}

/// Compares an object of `size` bytes with what its list says.
pub(super) fn compare(
    store: &dyn Store,
    band: &BandName,
    member: &GroupMember,
    size: u64,
) -> ObjectState {
    let mut good = Vec::with_capacity(member.pieces.len());
    let mut each =
        |piece: &[u8]| good.push(member.pieces.get(good.len()) == Some(&digest::of(piece)));
    let name = format!("{band}/{}", member.name);
    // What a listing could not look at may be read all the same.
    let size = match size {
        UNSEEN => store.stat(&name).ok().flatten().unwrap_or(member.size),
        size => size,
    };
    let wanted = size.min(member.size);
    match pieces(store, &name, wanted, &mut each) {
        Ok(came) if came == wanted => {
            good.resize(member.pieces.len(), false);
            if size == member.size && good.iter().all(|good| *good) {
                ObjectState::Good
            } else {
                ObjectState::Bad(size, good)
            }
        }
        Ok(came) => {
            good.resize(member.pieces.len(), false);
            ObjectState::Bad(came, good)
        }
        Err(error) if error.kind == StoreErrorKind::NotFound => ObjectState::Absent,
        Err(error) if error.kind.is_unavailable() => ObjectState::Unavailable(why(&error.source)),
        Err(error) => ObjectState::Failed(why(&error.source)),
    }
}

/// What to say of an object that could not be read.
pub(super) fn unreadable(error: &StoreError) -> (verify::FindingKind, String) {
    let why = why(&error.source);
    match error.kind.is_unavailable() {
        true => (verify::FindingKind::Unavailable, format!("cannot be read now: {why}")),
        false => (verify::FindingKind::Damaged, format!("cannot be read: {why}")),
    }
}

/// The begin of an object, by which a group is found; none if it cannot be read.
pub(super) fn begin(store: &dyn Store, band: &BandName, name: ObjectName) -> Option<Beginning> {
    let path = format!("{band}/{name}");
    let size = store.stat(&path).ok()??;
    Some(Beginning { bytes: store.get_range(&path, 0, TELLING as u64).ok()?, size })
}

/// What is found of an object, as a list would describe it.
pub(super) fn describe(
    store: &dyn Store,
    band: &BandName,
    name: ObjectName,
) -> Result<GroupMember, StoreError> {
    use sha2::Digest as _;
    let path = format!("{band}/{name}");
    let mut whole = sha2::Sha256::new();
    let mut digests = Vec::new();
    let size = pieces(store, &path, crate::format::stream::MAX_OBJECT, &mut |piece| {
        whole.update(piece);
        digests.push(digest::of(piece));
    })?;
    Ok(GroupMember { name, size, sha256: whole.finalize().into(), pieces: digests })
}
