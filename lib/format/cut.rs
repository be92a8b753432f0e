//! What dura-pack notes of a large file while it is stored in parts: what it was, and how far each
//! part reaches. When the run is cut, the next one goes on behind what is stored.
//!
//! One file for each band, of lines that are only ever appended:
//!
//! ```text
//! file 000000033 SIZE TIME CTIME INODE SHA256 PATH
//! part 000000033 4 335544320 SHA256
//! ```
//!
//! The digest of a file is that of its tar headers. A part ends at a place, in bytes of the file's
//! tar entry before compression; its digest is that of all content up to there. A file of which a
//! delta is stored has `delta` for `file`, and in all places the delta for its tar entry; its digest
//! is that of what the delta is made from.

use std::collections::BTreeMap;
use std::fmt;

use super::digest::{self, Digest};
use super::entry::number;
use super::path::Path;
use super::time::Time;

/// What tells that a file is still the one that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMark {
    /// Its path.
    pub path: Path,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was changed last.
    pub time: Time,
    /// When anything of it was changed last.
    pub ctime: Time,
    /// Its inode.
    pub inode: u64,
    /// Whether its delta is stored, and not itself.
    pub is_delta: bool,
    /// The sha256 of its tar headers; of a delta, of what it is made from.
    pub headers: Digest,
}

/// How far a part reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartEnd {
    /// The place behind it, in bytes of the file's tar entry.
    pub place: u64,
    /// The sha256 of the content up to there.
    pub sha256: Digest,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutNote {
    /// A file is begun under this number.
    File(u32, FileMark),
    /// A part of it leaves.
    Part(u32, u32, PartEnd),
}

impl CutNote {
    /// The line, with its newline.
    pub fn line(&self) -> String {
        match self {
            CutNote::File(
                number,
                FileMark { path, size, time, ctime, inode, is_delta, headers },
            ) => {
                let word = if *is_delta { "delta" } else { "file" };
                let headers = hex::encode(headers);
                format!("{word} {number:09} {size} {time} {ctime} {inode} {headers} {path}\n")
            }
            CutNote::Part(number, part, PartEnd { place, sha256 }) => {
                format!("part {number:09} {part} {place} {}\n", hex::encode(sha256))
            }
        }
    }

    /// Reads a line; none for anything else, such as one that was cut.
    pub fn parse(line: &str) -> Option<CutNote> {
        let words: Vec<&str> = line.strip_suffix('\n')?.split(' ').collect();
        let value = |word: &str| number::<u64>(word.as_bytes());
        match words[..] {
            [word @ ("file" | "delta"), of, size, time, ctime, inode, headers, path] => {
                let mark = FileMark {
                    path: Path::parse(path.as_bytes()).ok()?,
                    size: value(size)?,
                    time: Time::parse(time.as_bytes())?,
                    ctime: Time::parse(ctime.as_bytes())?,
                    inode: value(inode)?,
                    is_delta: word == "delta",
                    headers: digest::parse(headers.as_bytes())?,
                };
                Some(CutNote::File(number(of.as_bytes())?, mark))
            }
            ["part", of, part, place, sha256] => {
                let end =
                    PartEnd { place: value(place)?, sha256: digest::parse(sha256.as_bytes())? };
                Some(CutNote::Part(number(of.as_bytes())?, number(part.as_bytes())?, end))
            }
            _ => None,
        }
    }
}

/// A block that an earlier run began and did not finish, by what of it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BegunBlock {
    /// Its number.
    pub number: u32,
    /// Whether it is a delta.
    pub is_delta: bool,
    /// Whether the sums of its file are there.
    pub has_sums: bool,
    /// Its parts, by number.
    pub parts: Vec<u32>,
}

impl BegunBlock {
    /// Reads the words behind `#parts`: the number, `rdiff` and `sums` where they are, the parts.
    pub fn parse(words: &[&[u8]]) -> Option<BegunBlock> {
        let (of, mut rest) = words.split_first()?;
        let mut is = |word: &[u8]| {
            let is = rest.first().is_some_and(|first| *first == word);
            rest = if is { &rest[1..] } else { rest };
            is
        };
        let (is_delta, has_sums) = (is(b"rdiff"), is(b"sums"));
        let parts = rest.iter().map(|part| number(part)).collect::<Option<Vec<u32>>>()?;
        Some(BegunBlock { number: number(of)?, is_delta, has_sums, parts })
    }

    /// It in pieces, of which each fits into a line.
    pub fn pieces(self) -> impl Iterator<Item = BegunBlock> {
        let BegunBlock { number, is_delta, has_sums, parts } = self;
        let pieces: Vec<Vec<u32>> = parts.chunks(PARTS_IN_A_LINE).map(<[u32]>::to_vec).collect();
        pieces.into_iter().map(move |parts| BegunBlock { number, is_delta, has_sums, parts })
    }

    /// Adds what the next line names.
    pub fn extend(blocks: &mut Vec<BegunBlock>, next: BegunBlock) {
        match blocks.last_mut() {
            Some(last) if last.number == next.number => last.parts.extend(next.parts),
            _ => blocks.push(next),
        }
    }
}

impl fmt::Display for BegunBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:09}", self.number)?;
        f.write_str(if self.is_delta { " rdiff" } else { "" })?;
        f.write_str(if self.has_sums { " sums" } else { "" })?;
        self.parts.iter().try_for_each(|part| write!(f, " {part}"))
    }
}

/// How many parts a line names.
const PARTS_IN_A_LINE: usize = 500;

/// A file that was begun under a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunFile {
    /// What it was.
    pub mark: FileMark,
    /// The parts of it that have left pack, by number.
    pub parts: BTreeMap<u32, PartEnd>,
}

/// What the notes of a band say, by the numbers of blocks.
pub fn begun(notes: impl Iterator<Item = CutNote>) -> BTreeMap<u32, BegunFile> {
    let mut begun = BTreeMap::new();
    for note in notes {
        match note {
            CutNote::File(number, mark) => {
                begun.insert(number, BegunFile { mark, parts: BTreeMap::new() });
            }
            CutNote::Part(number, part, end) => {
                if let Some(file) = begun.get_mut(&number) {
                    file.parts.insert(part, end);
                }
            }
        }
    }
    begun
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> [CutNote; 4] {
        let mark = FileMark {
            path: Path::parse(b"./a\\040b").unwrap(),
            size: 7,
            time: Time { sec: -3, nsec: 5 },
            ctime: Time { sec: 1_700_000_000, nsec: 0 },
            inode: 99,
            is_delta: false,
            headers: [1; 32],
        };
        let end = |place| PartEnd { place, sha256: [2; 32] };
        let part = |part, place| CutNote::Part(33, part, end(place));
        let delta = FileMark { is_delta: true, ..mark.clone() };
        [CutNote::File(33, mark), part(0, 9), part(1, 18), CutNote::File(34, delta)]
    }

    #[test]
    fn a_line_comes_back_and_a_cut_one_does_not() {
        for note in notes() {
            let line = note.line();
            assert_eq!(CutNote::parse(&line), Some(note), "{line}");
            for end in 0..line.len() {
                assert_eq!(CutNote::parse(&line[..end]), None, "{end}");
            }
        }
    }

    #[test]
    fn a_begun_block_comes_back() {
        for text in ["000000003", "000000003 0 1 7", "000000004 rdiff sums 0", "000000004 sums 2"] {
            let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            let block = BegunBlock::parse(&words).unwrap();
            assert_eq!(block.to_string(), text);
        }
        for text in ["", "x", "3 sums rdiff 0", "3 0 sums", "3 x"] {
            let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            assert_eq!(BegunBlock::parse(&words), None, "{text}");
        }
        let block =
            BegunBlock { number: 5, is_delta: true, has_sums: false, parts: (0..1200).collect() };
        let (mut pieces, mut again) = (0, Vec::new());
        for piece in block.clone().pieces() {
            BegunBlock::extend(&mut again, piece);
            pieces += 1;
        }
        assert_eq!((pieces, again), (3, vec![block]));
    }

    #[test]
    fn a_file_that_is_begun_again_has_no_parts() {
        let [file, ..] = notes();
        let found = begun(notes().into_iter());
        assert_eq!(found[&33].parts.len(), 2);
        let found = begun(notes().into_iter().chain([file]));
        assert_eq!(found[&33].parts.len(), 0);
        // Parts of which nothing is known belong to no file.
        assert!(!begun(notes().into_iter().skip(1)).contains_key(&33));
    }
}
