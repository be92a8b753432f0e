//! What came in an object stream, held against what the stream says of itself: each object against
//! the checksum list that follows it, and the whole against TAIL.
//!
//! Push stores as it reads, so a flaw is found when most of its group is stored. Then the band gets
//! no TAIL. Its list is stored all the same: it tells a verifier what is damaged, and with parity
//! that can be rebuilt.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::core::chain::counted::STRIDE;
use crate::format::band::{BandId, BandName};
use crate::format::digest::Digest;
use crate::format::group::List;
use crate::format::head::Tail;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::Preface;

/// What to do with a list or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntakeVerdict {
    /// Store it.
    Store,
    /// Leave it out: it says nothing that can be believed.
    Leave,
}

/// What is known of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureCheck {
    /// A key has signed just these bytes.
    Good,
    /// It is none, or of other bytes.
    Damaged,
    /// The key is not known, or it was not looked at.
    Unknown,
}

/// What is wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// An object is not what its list says.
    Differs(ObjectName),
    /// A list names an object that did not come.
    Absent(ObjectName),
    /// A list cannot be read, or is another band's.
    List(ObjectName),
    /// An object that no list names.
    Unlisted(ObjectName),
    /// The lists of this number are not all there: this one did not come.
    NoList(ObjectName),
    /// A list or TAIL whose signature did not come, though others are signed.
    Unsigned(ObjectName),
    /// A signature that is none of what came before it.
    Signature(ObjectName),
    /// An index that should have come at this place.
    NoIndex(u32),
    /// The table of contents that TAIL names did not come.
    NoToc(u32),
    /// TAIL ends with another index than the stream.
    Last(u32, Option<u32>),
    /// It came twice, with different content.
    Twice(ObjectName),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Differs(name) => write!(f, "{name}: does not agree with its checksum list"),
            Flaw::Absent(name) => {
                write!(f, "{name}: missing, though a checksum list names it")
            }
            Flaw::List(name) => write!(f, "{name}: not a checksum list of this band, or damaged"),
            Flaw::Unlisted(name) => write!(f, "{name}: in no checksum list"),
            Flaw::NoList(name) | Flaw::Unsigned(name) => write!(f, "{name}: missing"),
            Flaw::Signature(name) => {
                write!(f, "{name}: not a signature of this object, or damaged")
            }
            Flaw::NoIndex(number) => {
                write!(f, "{}: missing", ObjectName::plain(Object::Index(*number)))
            }
            Flaw::NoToc(number) => write!(
                f,
                "{}: missing, though TAIL names it",
                ObjectName::plain(Object::Toc(*number))
            ),
            Flaw::Last(said, came) => {
                write!(f, "TAIL: ends with index {said:09}, but ")?;
                match came {
                    Some(came) => write!(f, "the last in the stream is {came:09}"),
                    None => write!(f, "the stream has none"),
                }
            }
            Flaw::Twice(name) => write!(f, "{name}: occurs twice, with different content"),
        }
    }
}

/// The machine: `handle_object`, `handle_list` and `handle_signature` in stream order, `finish`
/// with TAIL before that is stored. The first flaws are kept.
#[derive(Debug)]
pub struct Intake {
    band: BandName,
    id: BandId,
    /// Objects that wait for their list.
    waiting: HashMap<ObjectName, (u64, Digest)>,
    /// What an earlier run left without a list, with sizes: a list may name it.
    unlisted: HashMap<ObjectName, u64>,
    /// Whether each list must have a signature; known from the first one on.
    signed: Option<bool>,
    /// Whether a signature was good, and those of which nothing is known.
    looked: (bool, Vec<ObjectName>),
    /// The list that came last, while its signature may follow.
    open: Option<ObjectName>,
    lists: u64,
    sealed: bool,
    /// The number and the counter of the last list.
    group: Option<(u32, u32)>,
    next: Option<u32>,
    /// Blocks that the run may go on with, below its own numbers.
    cut: Vec<u32>,
    last: Option<u32>,
    toc: Option<u32>,
    /// Names of the last group that were in a list, so that a second one of that name is seen.
    listed: HashSet<ObjectName>,
    flaws: Vec<Flaw>,
}

/// How many flaws are kept: the first ones tell what happened.
const KEPT: usize = 8;

impl Intake {
    /// A machine for the stream of this band.
    pub fn new(band: BandName, id: BandId, preface: &Preface) -> Intake {
        let next = preface.next.or(preface.continues.is_none().then_some(0));
        Intake {
            band,
            id,
            waiting: HashMap::new(),
            unlisted: preface.unlisted.iter().copied().collect(),
            signed: preface.sealed.map(|sealed| sealed.signed),
            looked: (false, Vec::new()),
            open: None,
            lists: 0,
            sealed: preface.sealed.is_some(),
            group: None,
            next,
            cut: preface.parts.iter().map(|block| block.number).collect(),
            last: None,
            toc: None,
            listed: HashSet::new(),
            flaws: Vec::new(),
        }
    }

    /// Whether each list is to have a signature, as far as is known.
    pub fn is_signed(&self) -> bool {
        self.signed == Some(true)
    }

    fn flaw(&mut self, flaw: Flaw) {
        if self.flaws.len() < KEPT {
            self.flaws.push(flaw);
        }
    }

    /// An object that a list will name.
    pub fn handle_object(&mut self, name: ObjectName, size: u64, sha256: Digest) {
        self.close_list();
        if self.listed.contains(&name) {
            self.flaw(Flaw::Twice(name));
        }
        self.sealed |= name.encrypted;
        match name.object {
            Object::Index(number) => self.handle_index(number),
            Object::Toc(number) => self.toc = Some(number),
            _ => {}
        }
        if self.waiting.insert(name, (size, sha256)).is_some_and(|before| before != (size, sha256))
        {
            self.flaw(Flaw::Twice(name));
        }
    }

    /// Numbers of indexes rise by one; the first is that with which the run begins.
    fn handle_index(&mut self, number: u32) {
        let begins = self.next.is_none_or(|next| number < next);
        if begins && self.cut.contains(&number) && self.last.is_none_or(|last| last < number) {
            self.last = Some(number);
            return;
        }
        match self.next {
            Some(next) if next == number => {}
            Some(next) => self.flaw(Flaw::NoIndex(next)),
            None if number.is_multiple_of(STRIDE) => {}
            None => self.flaw(Flaw::NoIndex(number / STRIDE * STRIDE)),
        }
        self.next = number.checked_add(1);
        self.last = Some(number);
    }

    /// A list, as far as it can be read.
    pub fn handle_list(&mut self, name: ObjectName, list: Option<&List>) -> IntakeVerdict {
        self.close_list();
        self.lists += 1;
        let own =
            |list: &&List| (&list.band, list.id, list.object()) == (&self.band, self.id, name);
        let Some(list) = list.filter(own) else {
            self.flaw(Flaw::List(name));
            return IntakeVerdict::Leave;
        };
        self.open = Some(name);
        // Lists of one number are counted from 0.
        let wanted = match self.group {
            Some((number, counter)) if number == list.name.0 => counter + 1,
            _ => 0,
        };
        if list.name.1 != wanted {
            let absent = ObjectName::plain(Object::List(list.name.0, wanted));
            self.flaw(Flaw::NoList(absent));
        }
        self.group = Some(list.name);
        self.listed.clear();
        for member in &list.members {
            self.listed.insert(member.name);
            match self.waiting.remove(&member.name) {
                Some(came) if came == (member.size, member.sha256) => {}
                Some(_) => self.flaw(Flaw::Differs(member.name)),
                None if self.unlisted.remove(&member.name) == Some(member.size) => {}
                None => self.flaw(Flaw::Absent(member.name)),
            }
        }
        IntakeVerdict::Store
    }

    /// The signature of a list, and what is known of it.
    pub fn handle_signature(&mut self, name: ObjectName, look: SignatureCheck) -> IntakeVerdict {
        let of = match name.object {
            Object::ListSig(number, counter) => ObjectName::plain(Object::List(number, counter)),
            _ => name,
        };
        let expected = self.open.take() == Some(of);
        match self.signed {
            None | Some(true) if expected => {
                self.signed = Some(true);
                self.look(name, look)
            }
            // That of a list which was left out, or of none.
            _ => {
                self.flaw(Flaw::NoList(of));
                IntakeVerdict::Leave
            }
        }
    }

    /// One that is damaged can look like one by a key that is not known: among good ones it is
    /// taken for that.
    fn look(&mut self, name: ObjectName, look: SignatureCheck) -> IntakeVerdict {
        match look {
            SignatureCheck::Good => self.looked.0 = true,
            SignatureCheck::Unknown if self.looked.1.len() < KEPT => self.looked.1.push(name),
            SignatureCheck::Unknown => {}
            SignatureCheck::Damaged => {
                self.flaw(Flaw::Signature(name));
                return IntakeVerdict::Leave;
            }
        }
        IntakeVerdict::Store
    }

    /// Something else than its signature follows a list.
    fn close_list(&mut self) {
        let Some(list) = self.open.take() else { return };
        if *self.signed.get_or_insert(false) {
            let Object::List(number, counter) = list.object else { return };
            self.flaw(Flaw::Unsigned(ObjectName::plain(Object::ListSig(number, counter))));
        }
    }

    /// The end of the stream: what is wrong with it, with TAIL and the signature of that, if one
    /// came.
    pub fn finish(mut self, tail: Option<&Tail>, signature: Option<SignatureCheck>) -> Vec<Flaw> {
        self.close_list();
        if let Some(look) = signature {
            self.look(ObjectName::plain(Object::TailSig), look);
        }
        if let (true, unknown) = std::mem::take(&mut self.looked) {
            unknown.into_iter().for_each(|name| self.flaw(Flaw::Signature(name)));
        }
        if let Some(tail) = tail {
            if self.last != Some(tail.last) {
                self.flaw(Flaw::Last(tail.last, self.last));
            }
            if self.toc != Some(tail.toc) {
                self.flaw(Flaw::NoToc(tail.toc));
            }
            if self.signed == Some(true) && signature.is_none() {
                self.flaw(Flaw::Unsigned(ObjectName::plain(Object::TailSig)));
            }
        }
        // A stream of pack's own has no lists.
        if self.sealed || self.lists > 0 {
            let mut waiting: Vec<ObjectName> = self.waiting.keys().copied().collect();
            waiting.sort_by_key(ToString::to_string);
            waiting.into_iter().for_each(|name| self.flaw(Flaw::Unlisted(name)));
        }
        self.flaws
    }
}

#[cfg(test)]
mod tests;
