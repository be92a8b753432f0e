//! The order of a band's objects in the stream, by their names and sizes: groups follow it.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::object::{Object, ObjectName};

/// The header of a file whose length was not known beforehand is part 0 of its block, and stands
/// behind the other parts. It is smaller than this, and than some other part. (Part 0 of other
/// blocks is as large as parts may be, less a member of the tar.)
const MAX_HEADER: u64 = 16 << 10;

/// Where an object stands in its band's stream; lists, parity and signatures of a number stand
/// behind its other objects.
pub type StreamPosition = (u32, u8, u32, u32, bool);

/// The place of an object.
pub fn place(name: &ObjectName) -> StreamPosition {
    let number = name.number().unwrap_or(u32::MAX);
    let (class, first, second) = match name.object {
        Object::Head => (0, 0, 0),
        // In the first group it stands behind HEAD, in all others first.
        Object::Key(_, c, m) => (1, c, m),
        Object::Note(note) => (
            2,
            crate::format::object::NOTES.iter().position(|known| *known == note).unwrap_or(0)
                as u32,
            0,
        ),
        Object::Block(..) => (3, 0, 0),
        Object::Part(_, _, part) => (4, part, 0),
        Object::Sums(_) => (5, 0, 0),
        Object::Index(_) => (6, 0, 0),
        Object::Toc(_) => (7, 0, 0),
        Object::List(_, c) => (8, c, 0),
        Object::ListSig(_, c) => (9, c, 0),
        Object::Parity(_, c, j) => (10, c, j),
        Object::KeyList(_, c, m) => (11, c, m),
        Object::KeyListSig(_, c, m) => (12, c, m),
        Object::Tail => (13, 0, 0),
        Object::TailSig => (14, 0, 0),
    };
    (number, class, first, second, name.encrypted)
}

/// Names of objects with their sizes, in the order of the stream.
pub type ObjectSizes = BTreeMap<StreamPosition, (ObjectName, u64)>;

/// The place of an object, if it is the header of such a file.
pub fn place_of_late_header(name: &ObjectName) -> StreamPosition {
    let (number, class, _, second, encrypted) = place(name);
    (number, class, u32::MAX, second, encrypted)
}

/// The blocks whose header stands behind the content.
pub fn headed_late(objects: impl Iterator<Item = (ObjectName, u64)>) -> BTreeSet<u32> {
    let mut parts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for (name, size) in objects {
        let Object::Part(number, _, part) = name.object else { continue };
        let (first, largest) = parts.entry(number).or_insert((u64::MAX, 0));
        match part {
            0 => *first = size,
            _ => *largest = size.max(*largest),
        }
    }
    let is_late = |(first, largest): &(u64, u64)| *first <= MAX_HEADER && first < largest;
    parts.into_iter().filter(|(_, sizes)| is_late(sizes)).map(|(number, _)| number).collect()
}

/// The place of an object, where these blocks have their header last.
pub fn position(name: &ObjectName, late: &BTreeSet<u32>) -> StreamPosition {
    match name.object {
        Object::Part(number, _, 0) if late.contains(&number) => place_of_late_header(name),
        _ => place(name),
    }
}

/// Objects with their sizes, in the order of the stream.
pub fn in_order(objects: &ObjectSizes) -> Vec<(StreamPosition, ObjectName, u64)> {
    let late = headed_late(objects.values().copied());
    let placed = objects.values().map(|(name, size)| (position(name, &late), *name, *size));
    let mut all: Vec<_> = placed.collect();
    all.sort_unstable_by_key(|(at, ..)| *at);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_came_last_stands_last() {
        let order = |sizes: &[u64]| {
            let parts = sizes.iter().enumerate().map(|(part, size)| {
                let name = ObjectName::parse(&format!("00000/000000001.tar.gz.{part:06}")).unwrap();
                (place(&name), (name, *size))
            });
            let index = ObjectName::parse("00000/000000001.mtree.gz").unwrap();
            let all = parts.chain([(place(&index), (index, 9))]).collect();
            in_order(&all).into_iter().map(|(_, _, size)| size).collect::<Vec<_>>()
        };
        assert_eq!(order(&[200, 1 << 20, 70]), [1 << 20, 70, 200, 9]);
        // Small parts, a large first one.
        assert_eq!(order(&[200, 200, 70]), [200, 200, 70, 9]);
        assert_eq!(order(&[20 << 10, 1 << 20]), [20 << 10, 1 << 20, 9]);
    }
}
