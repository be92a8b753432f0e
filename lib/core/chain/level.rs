//! Whether an archive has all that a run builds on: what diff counted in one archive must be in
//! each that the run is stored in, or the band would be complete there without it.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::counted::{CountedBlocks, Stretch};
use crate::format::cut::BegunBlock;
use crate::format::object::{FOLDER, Object, ObjectName};

/// Something that counts and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// The index with this number.
    Index(u32),
    /// The block with this number, which is one object.
    Block(u32),
    /// A part of the block with this number.
    Part(u32, u32),
    /// The sums beside the block with this number.
    Sums(u32),
}

/// The folders that hold what counts and what is there of blocks that are not ended, by number, in
/// order: each is to be listed.
pub fn folders(counted: &CountedBlocks, begun: &[BegunBlock]) -> Vec<u32> {
    let of = |stretch: &Stretch| stretch.first / FOLDER..=stretch.last / FOLDER;
    let begun = begun.iter().map(|block| block.number / FOLDER);
    let all: BTreeSet<u32> = counted.stretches().iter().flat_map(of).chain(begun).collect();
    all.into_iter().collect()
}

/// What counts of a folder, or is there of blocks that are not ended, and is not among the names of
/// its objects, in the order of numbers.
pub fn lacking<'a>(
    counted: &CountedBlocks,
    begun: &[BegunBlock],
    folder: u32,
    names: impl Iterator<Item = &'a ObjectName>,
) -> Vec<Lack> {
    let mut indexes = BTreeSet::new();
    let (mut blocks, mut sums) = (BTreeSet::new(), BTreeSet::new());
    let mut parts: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for name in names {
        match name.object {
            Object::Index(number) => _ = indexes.insert(number),
            Object::Block(number, _) => _ = blocks.insert(number),
            Object::Part(number, _, part) => _ = parts.entry(number).or_default().insert(part),
            Object::Sums(number) => _ = sums.insert(number),
            _ => {}
        }
    }
    let has = |number: u32, part: u32| parts.get(&number).is_some_and(|it| it.contains(&part));
    let (low, high) = (folder.saturating_mul(FOLDER), folder.saturating_mul(FOLDER) + (FOLDER - 1));
    let mut lacks = Vec::new();
    for stretch in counted.stretches() {
        for number in stretch.first.max(low)..=stretch.last.min(high) {
            if !indexes.contains(&number) {
                lacks.push(Lack::Index(number));
            }
            match stretch.parts {
                0 => {}
                1 if !blocks.contains(&number) => lacks.push(Lack::Block(number)),
                1 => {}
                wanted => {
                    let absent = (0..wanted).filter(|part| !has(number, *part));
                    lacks.extend(absent.map(|part| Lack::Part(number, part)));
                }
            }
        }
    }
    for block in begun.iter().filter(|block| block.number / FOLDER == folder) {
        let absent = block.parts.iter().filter(|part| !has(block.number, **part));
        lacks.extend(absent.map(|part| Lack::Part(block.number, *part)));
        if block.has_sums && !sums.contains(&block.number) {
            lacks.push(Lack::Sums(block.number));
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(counted: &str, folder: u32, names: &str) -> Vec<Lack> {
        let counted = CountedBlocks::parse(counted.as_bytes()).unwrap();
        let names: Vec<ObjectName> =
            names.split_whitespace().map(|name| ObjectName::parse(name).unwrap()).collect();
        lacking(&counted, &[], folder, names.iter())
    }

    #[test]
    fn each_object_that_counts_must_be_there() {
        let all = "00000/000000000.tar.gz 00000/000000000.mtree.gz 00000/000000001.mtree.gz.gpg \
            00000/000000002.tar.zst.000000 00000/000000002.tar.zst.000001 00000/000000002.mtree.gz";
        let counted = "0-0:1 1-1:0 2-2:2";
        assert_eq!(lacks(counted, 0, all), []);
        for (gone, lack) in [
            ("00000/000000000.tar.gz ", Lack::Block(0)),
            ("00000/000000000.mtree.gz ", Lack::Index(0)),
            ("00000/000000001.mtree.gz.gpg ", Lack::Index(1)),
            ("00000/000000002.tar.zst.000000 ", Lack::Part(2, 0)),
            ("00000/000000002.tar.zst.000001 ", Lack::Part(2, 1)),
        ] {
            assert_eq!(lacks(counted, 0, &all.replace(gone, "")), [lack], "{gone}");
        }
        // A part is no block, and a block no part.
        assert_eq!(lacks("2-2:1", 0, all), [Lack::Block(2)]);
        assert_eq!(lacks("0-0:2", 0, all), [Lack::Part(0, 0), Lack::Part(0, 1)]);
    }

    #[test]
    fn folders_are_looked_at_one_by_one() {
        let counted = CountedBlocks::parse(b"9999-10001:0 30000-30000:0").unwrap();
        let begun = |number, has_sums, parts: &[u32]| BegunBlock {
            number,
            has_sums,
            parts: parts.to_vec(),
            ..BegunBlock::default()
        };
        assert_eq!(folders(&counted, &[begun(70_000, false, &[0])]), [0, 1, 3, 7]);
        let names = [ObjectName::parse("00001/000010000.mtree.gz").unwrap()];
        assert_eq!(lacking(&counted, &[], 1, names.iter()), [Lack::Index(10_001)]);
        assert_eq!(lacking(&counted, &[], 2, names.iter()), []);
        assert_eq!(lacking(&counted, &[], 0, [].iter()), [Lack::Index(9999)]);
        // What a run goes on with.
        let begun = [begun(10_001, true, &[0, 2]), begun(30_000, true, &[1])];
        let names = ["00001/000010001.mtree.gz", "00001/000010001.tar.gz.000002"];
        let names = names.map(|name| ObjectName::parse(name).unwrap());
        let lacks = lacking(&CountedBlocks::default(), &begun, 1, names.iter());
        assert_eq!(lacks, [Lack::Part(10_001, 0), Lack::Sums(10_001)]);
        assert_eq!(folders(&CountedBlocks::default(), &[]), [0; 0]);
    }
}
