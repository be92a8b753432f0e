//! A large file whose block a run has begun and not ended: the next run goes on behind the parts
//! that are stored.
//!
//! A part is the same bytes before encryption whoever sends it, but not behind it. So a number is
//! given up as soon as it is not certain what is stored under it, or as a part may be elsewhere in
//! another form: then the file is stored from its beginning, under a number of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::core::chain::counted::STRIDE;
use crate::format::counted::CountedBlocks;
use crate::format::cut::{BegunBlock, BegunFile, FileMark, PartEnd};
use crate::format::digest::Digest;
use crate::format::object::{BlockForm, Compression, Object, ObjectName};
use crate::format::sealed::SealedNote;

/// What is there of a block that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutBlock {
    /// What of it is stored.
    pub block: BegunBlock,
    /// The objects of it that were sealed more than once, with the sha256 of the first piece of what
    /// was sealed last: whether that is what is stored has to be looked at.
    pub doubtful: Vec<(ObjectName, Digest)>,
}

/// The blocks of an unfinished band that can be gone on with, by the names and sizes of its objects
/// and what this host has sealed of it: behind the last index that counts, in parts, with no index.
pub fn cut_blocks(
    objects: &[(ObjectName, u64)],
    last: Option<u32>,
    compression: Compression,
    notes: &[SealedNote],
) -> Vec<CutBlock> {
    let sealed = objects.iter().any(|(name, _)| name.encrypted);
    let indexed: BTreeSet<u32> = objects
        .iter()
        .filter_map(|(name, _)| match name.object {
            Object::Index(number) => Some(number),
            _ => None,
        })
        .collect();
    let mut noted: HashMap<ObjectName, Vec<&SealedNote>> = HashMap::new();
    let may_be_of_it =
        |note: &&SealedNote| matches!(note.member.name.object, Object::Part(..) | Object::Sums(_));
    for note in notes.iter().filter(may_be_of_it) {
        noted.entry(note.member.name).or_default().push(note);
    }
    let mut blocks: BTreeMap<u32, Option<CutBlock>> = BTreeMap::new();
    for (name, size) in objects {
        let (number, part) = match name.object {
            Object::Part(number, form, part) => (number, Some((form, part))),
            Object::Sums(number) => (number, None),
            _ => continue,
        };
        if last.is_some_and(|last| number <= last) || indexed.contains(&number) {
            continue;
        }
        let cut = blocks.entry(number).or_insert_with(|| Some(CutBlock::new(number)));
        let notes = noted.get(name).map_or(&[][..], Vec::as_slice);
        let is_as_noted = notes.last().is_none_or(|note| note.member.size == *size);
        let is_delta = part.is_some_and(|(form, _)| form == BlockForm::Delta(compression));
        let is_other = |block: &BegunBlock| {
            part.is_some_and(|(form, _)| form != BlockForm::of(compression, is_delta))
                || (part.is_some() && !block.parts.is_empty() && block.is_delta != is_delta)
        };
        let is_sealed_so = name.encrypted == sealed;
        cut.take_if(|cut| !is_sealed_so || *size == 0 || !is_as_noted || is_other(&cut.block));
        let Some(CutBlock { block, doubtful }) = cut else { continue };
        match part {
            Some((_, part)) => {
                block.is_delta = is_delta;
                block.parts.push(part);
            }
            None => block.has_sums = true,
        }
        if let [.., before, last] = notes
            && before.member.sha256 != last.member.sha256
        {
            doubtful.extend(last.member.pieces.first().map(|piece| (*name, *piece)));
        }
    }
    let mut blocks: Vec<CutBlock> = blocks.into_values().flatten().collect();
    // Sums without parts are no beginning.
    blocks.retain(|cut| !cut.block.parts.is_empty());
    blocks.iter_mut().for_each(|cut| cut.block.parts.sort_unstable());
    blocks
}

impl CutBlock {
    fn new(number: u32) -> CutBlock {
        CutBlock { block: BegunBlock { number, ..BegunBlock::default() }, doubtful: Vec::new() }
    }
}

/// The first numbers of runs that may have gone on with a block of an earlier one, and that no index
/// of their own tells of: those of key objects behind a counted block in parts, or one that was
/// begun.
pub fn runs_in_parts(
    objects: &[(ObjectName, u64)],
    blocks: &CountedBlocks,
    begun: Option<u32>,
) -> impl Iterator<Item = u32> {
    let counted = blocks.stretches().iter().find(|stretch| stretch.parts > 1);
    let first = counted.map(|stretch| stretch.first).or(begun).unwrap_or(u32::MAX);
    objects.iter().filter_map(move |(name, _)| match name.object {
        Object::Key(number, 0, 0) => {
            Some(number).filter(|number| *number > first && number.is_multiple_of(STRIDE))
        }
        _ => None,
    })
}

/// The files that a run may go on with.
#[derive(Debug, Default)]
pub struct CutFiles {
    files: BTreeMap<u32, (BegunFile, BegunBlock)>,
}

impl CutFiles {
    /// Those of which parts are there, with what pack noted of them. One of which a part is there
    /// that was not noted is not among them.
    pub fn new(there: &[BegunBlock], mut begun: BTreeMap<u32, BegunFile>) -> CutFiles {
        let files = there.iter().filter_map(|block| {
            let file = begun.remove(&block.number)?;
            let noted = file.parts.keys().enumerate().all(|(at, part)| at as u32 == *part);
            let known = block.parts.iter().all(|part| file.parts.contains_key(part));
            let is_so = noted && known && file.mark.is_delta == block.is_delta;
            is_so.then(|| (block.number, (file, block.clone())))
        });
        CutFiles { files: files.collect() }
    }

    /// The blocks of these files, with the parts that are there.
    pub fn blocks(&self) -> Vec<BegunBlock> {
        self.files.values().map(|(_, there)| there.clone()).collect()
    }

    /// Blocks have numbers that rise, so behind any other that the run makes there is none.
    pub fn handle_other(&mut self) {
        self.files.clear();
    }

    /// How to go on with a file, if it is one of them; `is` compares it with what it was. What lies
    /// below its number is given up.
    pub fn take(&mut self, is: impl Fn(&FileMark) -> bool) -> Option<CutPlan> {
        let number = self.files.iter().find(|(_, (file, _))| is(&file.mark)).map(|(at, _)| *at)?;
        let mut files = self.files.split_off(&number);
        let (file, there) = files.remove(&number)?;
        self.files = files;
        let is_there: BTreeSet<u32> = there.parts.into_iter().collect();
        let parts = file.parts.iter().map(|(part, end)| (*end, is_there.contains(part))).collect();
        let cut = Resumed { number, is_delta: there.is_delta, has_sums: there.has_sums };
        Some(CutPlan { cut, headers: file.mark.headers, parts, at: 0, is_in_part: false })
    }
}

/// A block that a run goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Its number, which may be below those of the run.
    pub number: u32,
    /// Whether it is a delta.
    pub is_delta: bool,
    /// Whether the sums of its file are stored.
    pub has_sums: bool,
}

/// How a file is gone on with: which of its parts are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutPlan {
    /// Its block.
    pub cut: Resumed,
    /// The sha256 that its tar headers must have; of a delta, what it is made from.
    pub headers: Digest,
    parts: Vec<(PartEnd, bool)>,
    at: usize,
    /// Whether a piece of the part, or of what is behind all parts, has come.
    is_in_part: bool,
}

/// What becomes of a piece of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceUse {
    /// It is stored.
    Stored,
    /// It belongs to a part that is not there.
    Missing {
        /// The part, if it begins with this piece.
        part: Option<u32>,
        /// Whether the part ends with it.
        ends: bool,
    },
    /// It stands behind all that was noted.
    Behind {
        /// The part that it begins, if it is the first such piece.
        part: Option<u32>,
    },
    /// The file is not what it was.
    Differs,
}

impl CutPlan {
    /// How many parts are there.
    pub fn there(&self) -> usize {
        self.parts.iter().filter(|(_, there)| *there).count()
    }

    /// How many parts were noted.
    pub fn noted(&self) -> u32 {
        self.parts.len() as u32
    }

    /// The next piece, by the place behind it and the digest of the content up to there; `last` for
    /// the last one.
    pub fn handle_piece(&mut self, end: PartEnd, last: bool) -> PieceUse {
        let begins = !std::mem::replace(&mut self.is_in_part, true);
        let part = begins.then_some(self.at as u32);
        let Some((wanted, there)) = self.parts.get(self.at) else {
            return PieceUse::Behind { part };
        };
        let ends = end.place == wanted.place;
        if end.place > wanted.place || (ends && end != *wanted) || (last && !ends) {
            return PieceUse::Differs;
        }
        if ends {
            self.at += 1;
            self.is_in_part = false;
        }
        // With the last piece all must have come.
        match there {
            _ if last && self.at < self.parts.len() => PieceUse::Differs,
            true => PieceUse::Stored,
            false => PieceUse::Missing { part, ends },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::group::GroupMember;
    use crate::format::path::Path;
    use crate::format::time::Time;

    fn name(text: &str) -> ObjectName {
        ObjectName::parse(text).unwrap()
    }

    fn note(text: &str, bytes: &[u8]) -> SealedNote {
        SealedNote { group: (0, 0), member: GroupMember::of(name(text), bytes) }
    }

    fn found(objects: &[(&str, u64)], last: u32, notes: &[SealedNote]) -> Vec<CutBlock> {
        let objects: Vec<_> = objects.iter().map(|(text, size)| (name(text), *size)).collect();
        cut_blocks(&objects, Some(last), Compression::Gzip, notes)
    }

    #[test]
    fn blocks_that_can_be_gone_on_with() {
        let objects = [
            ("00000/000000001.tar.gz.000000", 5),
            ("00000/000000002.tar.gz.000000", 5),
            ("00000/000000002.mtree.gz", 5),
            ("00000/000000003.tar.gz.000002", 5),
            ("00000/000000003.tar.gz.000000", 4),
            // Empty, or with another compression.
            ("00000/000000004.tar.gz.000000", 5),
            ("00000/000000004.tar.gz.000001", 0),
            ("00000/000000005.tar.000000", 5),
            ("00000/000000006.tar.gz", 5),
            // Parts of two forms, and sums alone.
            ("00000/000000010.rdiff.gz.000000", 5),
            ("00000/000000010.tar.gz.000001", 5),
            ("00000/000000011.sums.gz", 5),
        ];
        let block = |parts: &[u32]| CutBlock {
            block: BegunBlock { number: 3, parts: parts.to_vec(), ..BegunBlock::default() },
            doubtful: Vec::new(),
        };
        assert_eq!(found(&objects, 1, &[]), [block(&[0, 2])]);
        // Deltas, and files of which the sums are there.
        let objects_of_large = [
            ("00000/000000007.rdiff.gz.000000", 5),
            ("00000/000000008.tar.gz.000000", 5),
            ("00000/000000008.sums.gz", 5),
            ("00000/000000009.sums.gz", 5),
            ("00000/000000009.rdiff.gz.000000", 5),
        ];
        let large =
            found(&objects_of_large, 1, &[]).into_iter().map(|cut| format!("{}", cut.block));
        assert_eq!(
            large.collect::<Vec<_>>(),
            ["000000007 rdiff 0", "000000008 sums 0", "000000009 rdiff sums 0"]
        );
        // Other sums than those that were sealed last.
        let sums = "00000/000000008.sums.gz";
        assert_eq!(found(&objects_of_large, 7, &[note(sums, b"four")]).len(), 1);
        let part = "00000/000000003.tar.gz.000000";
        let same = [note(part, b"four"), note(part, b"four")];
        assert_eq!(found(&objects, 1, &same), [block(&[0, 2])]);
        // What was sealed last has another size, or is one of two.
        assert_eq!(found(&objects, 1, &[note(part, b"fives")]), []);
        let twice = [note(part, b"four"), note(part, b"more")];
        let doubtful = vec![(name(part), crate::format::digest::of(b"more"))];
        assert_eq!(found(&objects, 1, &twice), [CutBlock { doubtful, ..block(&[0, 2]) }]);
        // In a band that is sealed, plain parts are nobody's.
        let sealed = [&objects[..], &[("00000/000000000.mtree.gz.gpg", 5)]].concat();
        assert_eq!(found(&sealed, 1, &[]), []);
    }

    #[test]
    fn runs_that_only_went_on() {
        let keys =
            ["00000/000000000-0", "00000/000000033-0", "00000/000000064-0", "00000/000000064-1"];
        let objects = keys.map(|key| (name(&format!("{key}.key.gpg")), 9));
        let runs = |counted: &str, begun| {
            let counted = CountedBlocks::parse(counted.as_bytes()).unwrap();
            runs_in_parts(&objects, &counted, begun).collect::<Vec<u32>>()
        };
        assert_eq!(runs("0-3:1", None), [0; 0]);
        assert_eq!(runs("0-3:1 4-4:2", None), [64]);
        assert_eq!(runs("0-3:1", Some(4)), [64]);
        assert_eq!(runs("0-3:1", Some(70)), [0; 0]);
    }

    fn end(place: u64) -> PartEnd {
        PartEnd { place, sha256: [place as u8; 32] }
    }

    fn begun(path: &str, places: &[u64]) -> BegunFile {
        let time = Time { sec: 0, nsec: 0 };
        let path = Path::parse(path.as_bytes()).unwrap();
        let is_delta = path.to_string() == "./d";
        let mark =
            FileMark { path, size: 9, time, ctime: time, inode: 1, is_delta, headers: [7; 32] };
        let parts = places.iter().enumerate().map(|(at, place)| (at as u32, end(*place)));
        BegunFile { mark, parts: parts.collect() }
    }

    fn files() -> CutFiles {
        let begun = [
            (3, begun("./a", &[2, 4, 6])),
            (4, begun("./b", &[2])),
            (5, begun("./c", &[2])),
            (7, begun("./d", &[2])),
            (8, begun("./d", &[2])),
        ];
        let there = ["3 0 2", "4 0", "5 0 1", "6 0", "7 0", "8 rdiff sums 0"].map(|text| {
            let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            BegunBlock::parse(&words).unwrap()
        });
        CutFiles::new(&there, BTreeMap::from(begun))
    }

    fn take(files: &mut CutFiles, path: &str) -> Option<u32> {
        files.take(|mark| mark.path.to_string() == path).map(|plan| plan.cut.number)
    }

    #[test]
    fn numbers_rise() {
        assert_eq!(take(&mut files(), "./x"), None);
        // A part of it is there that nobody noted.
        assert_eq!(take(&mut files(), "./c"), None);
        // It was begun as a delta, and its parts are no tar.
        let delta = files().take(|mark| mark.path.to_string() == "./d").unwrap();
        assert_eq!(delta.cut, Resumed { number: 8, is_delta: true, has_sums: true });
        let mut both = files();
        assert_eq!((take(&mut both, "./a"), take(&mut both, "./b")), (Some(3), Some(4)));
        let mut second = files();
        assert_eq!((take(&mut second, "./b"), take(&mut second, "./a")), (Some(4), None));
        let mut none = files();
        none.handle_other();
        assert_eq!(take(&mut none, "./a"), None);
    }

    #[test]
    fn what_is_there_is_left_out() {
        use PieceUse::{Behind, Differs, Missing, Stored};
        let plan = || files().take(|mark| mark.path.to_string() == "./a").unwrap();
        assert_eq!((plan().there(), plan().noted()), (2, 3));
        let pieces = |ends: &[(u64, bool)]| -> Vec<PieceUse> {
            let mut plan = plan();
            ends.iter().map(|(place, last)| plan.handle_piece(end(*place), *last)).collect()
        };
        let missing = |part, ends| Missing { part, ends };
        let all = [1, 2, 3, 4, 5, 6, 7, 8].map(|place| (place, place == 8));
        let wanted = [
            Stored,
            Stored,
            missing(Some(1), false),
            missing(None, true),
            Stored,
            Stored,
            Behind { part: Some(3) },
            Behind { part: None },
        ];
        assert_eq!(pieces(&all), wanted);
        // It ends with the last part.
        assert_eq!(pieces(&[(2, false), (4, false), (6, true)])[2], Stored);
        // Other borders, a file that ends before, other content.
        assert_eq!(pieces(&[(3, false)]), [Differs]);
        assert_eq!(pieces(&[(2, true)]), [Differs]);
        assert_eq!(pieces(&[(1, true)]), [Differs]);
        let other = PartEnd { place: 2, sha256: [9; 32] };
        assert_eq!(plan().handle_piece(other, false), Differs);
    }
}
