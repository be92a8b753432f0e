//! Push's order: what each object of a band waits for.
//!
//! 1. HEAD is stored before anything else of its band, and the run's first key object, by which a
//!    second writer of the same numbers is refused, before all else but HEAD.
//! 2. An index is stored after its block.
//! 3. The first index of a run, and each whose number is a multiple of [`STRIDE`], is a gate: it is
//!    stored after all indexes before it, and those behind it after it. See [`STRIDE`] for why.
//! 4. A checksum list is stored after all objects before it, parity too. Its signature comes before
//!    it and waits for HEAD alone: see [`SignedFirst`].
//! 5. TAIL is stored after everything, and its signature after it.
//!
//! A table of contents waits for HEAD alone: nobody reads one before TAIL names it.

use std::collections::BTreeSet;

use crate::core::chain::counted::STRIDE;
use crate::format::object::{Object, ObjectName};

/// The number of an index; none for other objects.
pub(super) fn index(name: &ObjectName) -> Option<u32> {
    match name.object {
        Object::Index(number) => Some(number),
        _ => None,
    }
}

/// The place of a key object of a run; none for other objects.
pub(super) fn key(name: &ObjectName) -> Option<(u32, u32)> {
    match name.object {
        Object::Key(number, counter, 0) => Some((number, counter)),
        _ => None,
    }
}

/// The objects of a stream in the order in which they are given to the schedule: a list behind its
/// signature, which follows it in the stream. A run that is cut between the two leaves a signature
/// of nothing, which nobody misses; a list without one could never be signed again, for the run
/// that continues the band knows what the list names, and not what it says.
#[derive(Debug)]
pub struct SignedFirst<T> {
    signed: bool,
    list: Option<T>,
}

impl<T> SignedFirst<T> {
    /// Of a stream that is signed, or, as far as is known, not.
    pub fn new(signed: bool) -> SignedFirst<T> {
        SignedFirst { signed, list: None }
    }

    /// The next object of the stream: gives what may go on.
    pub fn handle_object(
        &mut self,
        name: &ObjectName,
        object: T,
    ) -> impl Iterator<Item = T> + use<T> {
        let before = self.list.take();
        let (first, second) = match name.object {
            Object::List(..) if self.signed => {
                self.list = Some(object);
                (before, None)
            }
            Object::ListSig(..) => {
                self.signed = true;
                (Some(object), before)
            }
            _ => (before, Some(object)),
        };
        first.into_iter().chain(second)
    }

    /// The next object is left out: gives what waited for it.
    pub fn handle_left_out(&mut self) -> Option<T> {
        self.list.take()
    }
}

/// What stands before an object in the stream and is not stored yet.
#[derive(Debug)]
pub struct OpenOrder {
    first_index: Option<u32>,
    first_key: Option<(u32, u32)>,
    any: bool,
    head: bool,
    key: bool,
    gate: bool,
    index: bool,
    /// Blocks, by number.
    blocks: BTreeSet<u32>,
    /// What a checksum list waits for.
    summed: bool,
}

impl OpenOrder {
    /// Nothing yet; `first_index` is the number of the run's first index, `first_key` the place of
    /// its first key object.
    pub fn new(first_index: Option<u32>, first_key: Option<(u32, u32)>) -> OpenOrder {
        OpenOrder {
            first_index,
            first_key,
            any: false,
            head: false,
            key: false,
            gate: false,
            index: false,
            blocks: BTreeSet::new(),
            summed: false,
        }
    }

    fn is_gate(&self, number: u32) -> bool {
        number.is_multiple_of(STRIDE) || self.first_index == Some(number)
    }

    /// Takes the next object in stream order that is not stored.
    pub fn handle_open(&mut self, name: &ObjectName) {
        self.any = true;
        match name.object {
            Object::Head => self.head = true,
            Object::Key(..) => self.key |= key(name).is_some_and(|it| self.first_key == Some(it)),
            Object::Block(number, _) | Object::Part(number, ..) => _ = self.blocks.insert(number),
            Object::Index(number) => {
                self.index = true;
                self.gate |= self.is_gate(number);
            }
            _ => {}
        }
        self.summed |= !matches!(name.object, Object::List(..));
    }

    /// Whether an object has to wait for one of those taken so far.
    pub fn holds_back(&self, name: &ObjectName) -> bool {
        self.head
            || self.key
            || match name.object {
                Object::Index(number) => {
                    self.blocks.contains(&number)
                        || if self.is_gate(number) { self.index } else { self.gate }
                }
                Object::List(..) => self.summed,
                Object::Tail | Object::TailSig => self.any,
                _ => false,
            }
    }
}
