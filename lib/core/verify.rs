//! Verify's decisions: what is wrong with a band, by the names and sizes that the store lists, by
//! what HEAD, TAIL and lists say, and by what came of reading the objects.

use std::fmt;

use crate::format::band::BandName;
use crate::format::group::{List, PIECE};
use crate::format::object::{Object, ObjectName, UNSEEN};

pub mod audit;
pub mod loose;
pub mod part;
pub mod relist;

/// What kind of finding it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Something should be there and is not.
    Missing,
    /// It is there, and not as it should be.
    Damaged,
    /// In no checksum list.
    Unlisted,
    /// No part of the version: an interrupted run left it, and the run after it began anew there.
    Superseded,
    /// No program of this format writes it there.
    Unexpected,
    /// A path that does not read out as its index says.
    File,
}

impl Kind {
    /// The word with which the line begins.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Damaged => "damaged",
            Kind::Unlisted => "unlisted",
            Kind::Superseded => "superseded",
            Kind::Unexpected => "unexpected",
            Kind::File => "file",
        }
    }
}

/// A line of verify's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// Where: the band and the object, or the path.
    pub name: String,
    /// What is wrong.
    pub what: String,
    /// Whether it should not be so. An interruption leaves behind what is told and is nobody's
    /// fault.
    pub bad: bool,
}

impl Finding {
    /// A finding about an object, that should not be so.
    pub fn new(
        kind: Kind,
        band: &BandName,
        object: impl fmt::Display,
        what: impl Into<String>,
    ) -> Finding {
        Finding { kind, name: format!("{band}/{object}"), what: what.into(), bad: true }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind.word(), self.name, self.what)
    }
}

/// What is known of an object of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
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
}

impl State {
    /// By the size that the store has, as far as that tells.
    pub fn by_size(listed: u64, found: Option<u64>) -> State {
        match found {
            // Nothing can be lost of it.
            _ if listed == 0 => State::Good,
            Some(found) if found == listed => State::Unread,
            None | Some(0) => State::Absent,
            Some(found) => State::Sized(found),
        }
    }

    /// True if nothing speaks against it.
    pub fn is_sound(&self) -> bool {
        matches!(self, State::Unread | State::Good)
    }

    /// Whether this piece can be had.
    pub fn has_piece(&self, at: usize) -> bool {
        match self {
            State::Unread | State::Good => true,
            State::Bad(_, pieces) => pieces.get(at).copied().unwrap_or(false),
            State::Absent | State::Sized(_) | State::Failed(_) => false,
        }
    }
}

/// What is wrong with the objects of a group; one state for each of its members, in their order.
pub fn judge(list: &List, states: &[State]) -> Vec<Finding> {
    let own = ObjectName::plain(Object::List(list.name.0, list.name.1));
    let mut found = Vec::new();
    for (member, state) in list.members.iter().zip(states) {
        let (kind, what) = match state {
            State::Unread | State::Good => continue,
            State::Absent => (Kind::Missing, format!("{own} lists it, and it is not there")),
            State::Sized(UNSEEN) => (Kind::Damaged, "cannot be looked at".to_owned()),
            State::Sized(size) => {
                (Kind::Damaged, format!("has {size} bytes; {own} says {}", member.size))
            }
            State::Bad(size, _) if *size != member.size => {
                (Kind::Damaged, format!("has {size} bytes; {own} says {}", member.size))
            }
            State::Bad(_, pieces) => {
                let bad = pieces.iter().filter(|good| !**good).count();
                let first = pieces.iter().position(|good| !good).unwrap_or(0) * PIECE;
                let of = pieces.len();
                (
                    Kind::Damaged,
                    format!(
                        "{bad} of {of} pieces of 1 MiB, the first at byte {first}, are not as {own} says"
                    ),
                )
            }
            State::Failed(why) => (Kind::Damaged, format!("cannot be read: {why}")),
        };
        found.push(Finding::new(kind, &list.band, member.name, what));
    }
    found
}
