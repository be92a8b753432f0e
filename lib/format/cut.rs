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
//! tar entry before compression; its digest is that of all content up to there.

use std::collections::BTreeMap;

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
    /// The sha256 of its tar headers.
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
            CutNote::File(number, FileMark { path, size, time, ctime, inode, headers }) => {
                let headers = hex::encode(headers);
                format!("file {number:09} {size} {time} {ctime} {inode} {headers} {path}\n")
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
            ["file", of, size, time, ctime, inode, headers, path] => {
                let mark = FileMark {
                    path: Path::parse(path.as_bytes()).ok()?,
                    size: value(size)?,
                    time: Time::parse(time.as_bytes())?,
                    ctime: Time::parse(ctime.as_bytes())?,
                    inode: value(inode)?,
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

/// How many parts a line names.
const PARTS_IN_A_LINE: usize = 500;

/// Parts by the numbers of their blocks, in the pieces that lines name.
pub fn pieces(blocks: &[(u32, Vec<u32>)]) -> impl Iterator<Item = (u32, &[u32])> {
    blocks.iter().flat_map(|(number, parts)| {
        parts.chunks(PARTS_IN_A_LINE).map(move |piece| (*number, piece))
    })
}

/// Adds what the next line names.
pub fn extend(blocks: &mut Vec<(u32, Vec<u32>)>, number: u32, parts: Vec<u32>) {
    match blocks.last_mut() {
        Some((last, known)) if *last == number => known.extend(parts),
        _ => blocks.push((number, parts)),
    }
}

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

    fn notes() -> [CutNote; 3] {
        let mark = FileMark {
            path: Path::parse(b"./a\\040b").unwrap(),
            size: 7,
            time: Time { sec: -3, nsec: 5 },
            ctime: Time { sec: 1_700_000_000, nsec: 0 },
            inode: 99,
            headers: [1; 32],
        };
        let end = |place| PartEnd { place, sha256: [2; 32] };
        [CutNote::File(33, mark), CutNote::Part(33, 0, end(9)), CutNote::Part(33, 1, end(18))]
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
    fn a_file_that_is_begun_again_has_no_parts() {
        let [file, ..] = notes();
        let found = begun(notes().into_iter());
        assert_eq!(found[&33].parts.len(), 2);
        let found = begun(notes().into_iter().chain([file]));
        assert_eq!(found[&33].parts.len(), 0);
        // Parts of which nothing is known belong to no file.
        assert_eq!(begun(notes().into_iter().skip(1)).len(), 0);
    }
}
