//! Verify's decisions: what is wrong with a band, by the names and sizes that the store lists, by
//! what HEAD, TAIL and lists say, and by what came of reading the objects.

use std::fmt;

use crate::format::band::BandName;
use crate::format::group::{List, PIECE};
use crate::format::object::{Object, ObjectName, UNSEEN};
use crate::format::path::Path;

pub mod audit;
pub mod blind;
pub mod borders;
pub mod loose;
pub mod part;
pub mod presence;
pub mod relist;
pub mod stream_order;

/// What kind of finding it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// Something should be there and is not.
    Missing,
    /// It is there, and not as it should be.
    Damaged,
    /// It is there and the store does not give it out now: nothing is known of its content.
    Unavailable,
    /// In no checksum list.
    Unlisted,
    /// No part of the version: an interrupted run left it, and the next run began again there.
    Superseded,
    /// No program of this format writes it there.
    Unexpected,
    /// A path that does not read out as its index says.
    File,
}

impl FindingKind {
    /// The word with which the line begins.
    pub fn word(self) -> &'static str {
        match self {
            FindingKind::Missing => "missing",
            FindingKind::Damaged => "damaged",
            FindingKind::Unavailable => "unavailable",
            FindingKind::Unlisted => "unlisted",
            FindingKind::Superseded => "superseded",
            FindingKind::Unexpected => "unexpected",
            FindingKind::File => "file",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<FindingKind> {
        use FindingKind::{Damaged, File, Missing, Superseded, Unavailable, Unexpected, Unlisted};
        let all = [Missing, Damaged, Unavailable, Unlisted, Superseded, Unexpected, File];
        all.into_iter().find(|kind| kind.word() == word)
    }
}

/// What a finding is about. Its text is how the line names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A band as a whole: `BAND/`.
    Band(BandName),
    /// An object: `BAND/OBJECT`.
    Object(BandName, ObjectName),
    /// A folder of numbers: `BAND/00012/`.
    Folder(BandName, u32),
    /// Something that has no object's name, shown encoded as paths are.
    Stray(BandName, String),
    /// A path of the band's version: `BAND/./PATH`.
    File(BandName, Path),
}

impl Subject {
    /// The object, if it is one.
    pub fn object(&self) -> Option<(&BandName, ObjectName)> {
        match self {
            Subject::Object(band, name) => Some((band, *name)),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Band(band) => write!(f, "{band}/"),
            Subject::Object(band, name) => write!(f, "{band}/{name}"),
            Subject::Folder(band, number) => write!(f, "{band}/{number:05}/"),
            Subject::Stray(band, name) => write!(f, "{band}/{name}"),
            Subject::File(band, path) => write!(f, "{band}/{path}"),
        }
    }
}

/// A line of verify's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// What it is about.
    pub subject: Subject,
    /// What is wrong.
    pub what: String,
    /// False for what is as it may be, such as what an interruption leaves behind. It is no
    /// finding, and shown only on request.
    pub bad: bool,
}

impl Finding {
    /// Something that should not be so.
    pub fn new(kind: FindingKind, subject: Subject, what: impl Into<String>) -> Finding {
        Finding { kind, subject, what: what.into(), bad: true }
    }

    /// An object that is not as it should be.
    pub fn of(
        kind: FindingKind,
        band: &BandName,
        name: ObjectName,
        what: impl Into<String>,
    ) -> Finding {
        Finding::new(kind, Subject::Object(band.clone(), name), what)
    }

    /// HEAD, TAIL or the signature of TAIL that is not as it should be.
    pub fn top(
        kind: FindingKind,
        band: &BandName,
        object: Object,
        what: impl Into<String>,
    ) -> Finding {
        Finding::of(kind, band, ObjectName::plain(object), what)
    }

    /// The same, if `bad`; else no more than something to know.
    pub fn bad_if(self, bad: bool) -> Finding {
        Finding { bad, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind.word(), self.subject, self.what)
    }
}

/// What is known of an object of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectState {
    /// It has the listed size, and was not read.
    Unread,
    /// All of it is as the list says.
    Good,
    /// It is not there, or has 0 bytes.
    Absent,
    /// It has another size, and was not read.
    Sized(u64),
    /// It was read: its size, and of each piece that the list names, whether it is as it says.
    Bad(u64, Vec<bool>),
    /// It could not be read: why.
    Failed(String),
    /// The store does not give it out now: why. It may be as it should be.
    Unavailable(String),
}

impl ObjectState {
    /// By the size that the store has, as far as that tells.
    pub fn by_size(listed: u64, found: Option<u64>) -> ObjectState {
        match found {
            // Nothing can be lost of it.
            _ if listed == 0 => ObjectState::Good,
            Some(found) if found == listed => ObjectState::Unread,
            None | Some(0) => ObjectState::Absent,
            Some(found) => ObjectState::Sized(found),
        }
    }

    /// True if nothing speaks against it.
    pub fn is_sound(&self) -> bool {
        matches!(self, ObjectState::Unread | ObjectState::Good)
    }

    /// True if it is to be rebuilt: it is known to be lost or damaged.
    pub fn wants_repair(&self) -> bool {
        !self.is_sound() && !matches!(self, ObjectState::Unavailable(_))
    }

    /// Whether this piece can be had.
    pub fn has_piece(&self, at: usize) -> bool {
        match self {
            ObjectState::Unread | ObjectState::Good => true,
            ObjectState::Bad(_, pieces) => pieces.get(at).copied().unwrap_or(false),
            ObjectState::Absent
            | ObjectState::Sized(_)
            | ObjectState::Failed(_)
            | ObjectState::Unavailable(_) => false,
        }
    }
}

/// What is wrong with the objects of a group; one state for each of its members, in their order.
pub fn judge(list: &List, states: &[ObjectState]) -> Vec<Finding> {
    let own = ObjectName::plain(Object::List(list.name.0, list.name.1));
    let mut found = Vec::new();
    for (member, state) in list.members.iter().zip(states) {
        let (kind, what) = match state {
            ObjectState::Unread | ObjectState::Good => continue,
            ObjectState::Absent => {
                (FindingKind::Missing, format!("{own} lists it, and it is not there"))
            }
            ObjectState::Sized(UNSEEN) => (FindingKind::Damaged, "cannot be examined".to_owned()),
            ObjectState::Sized(size) => {
                (FindingKind::Damaged, format!("has {size} bytes; {own} says {}", member.size))
            }
            ObjectState::Bad(size, _) if *size != member.size => {
                (FindingKind::Damaged, format!("has {size} bytes; {own} says {}", member.size))
            }
            ObjectState::Bad(_, pieces) => {
                let bad = pieces.iter().filter(|good| !**good).count();
                let first = pieces.iter().position(|good| !good).unwrap_or(0) * PIECE;
                let of = pieces.len();
                (
                    FindingKind::Damaged,
                    format!(
                        "{bad} of {of} pieces of 1 MiB, the first at byte {first}, are not as {own} says"
                    ),
                )
            }
            ObjectState::Failed(why) => (FindingKind::Damaged, format!("cannot be read: {why}")),
            ObjectState::Unavailable(why) => {
                (FindingKind::Unavailable, format!("cannot be read now: {why}"))
            }
        };
        found.push(Finding::of(kind, &list.band, member.name, what));
    }
    found
}
