//! What a run has stored itself: a file with the same content as an earlier one is a reference to
//! it.
//!
//! Lines of files lie in a scratch file; what they are found by, in memory up to a bound and then in
//! sorted tables there. Which block a line came into is known later, by whoever puts blocks
//! together: [`Borders`].

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::core::references::content_key;
use crate::edge::table::{Record, Table};
use crate::format::digest::Digest;
use crate::format::entry::Entry;

/// So many are found in memory: 16 MiB.
const RUN: usize = 1 << 19;

/// Bytes of lines after which no more files are remembered: some 10 million.
const MOST: u64 = 2 << 30;

/// Bytes that wait to be written.
const BUFFER: usize = 64 << 10;

/// Files that this run has stored.
pub(super) struct Own {
    known: HashMap<u64, u64>,
    older: Vec<Table>,
    tables: File,
    lines: File,
    /// Bytes of lines that are written.
    written: u64,
    buffer: Vec<u8>,
}

impl Own {
    /// None yet, with two scratch files.
    pub(super) fn new(tables: File, lines: File) -> Own {
        let (known, older, buffer) = (HashMap::new(), Vec::new(), Vec::new());
        Own { known, older, tables, lines, written: 0, buffer }
    }

    /// Where the next line will be.
    pub(super) fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Remembers the line of a file that is stored; false when there are too many already.
    pub(super) fn push(&mut self, sha256: &Digest, line: &[u8]) -> io::Result<bool> {
        if self.end() > MOST {
            return Ok(false);
        }
        let end = self.end();
        // The first one is taken: it is stored before all others.
        self.known.entry(content_key(sha256)).or_insert(end);
        self.buffer.extend_from_slice(line);
        if self.buffer.len() > BUFFER {
            self.lines.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        if self.known.len() >= RUN {
            let mut run: Vec<Record> = self.known.drain().collect();
            run.sort_unstable();
            self.older.push(Table::write(&self.tables, run.into_iter().map(Ok))?);
        }
        Ok(true)
    }

    /// The first file with this content, and where its line is.
    pub(super) fn find(&self, sha256: &Digest) -> io::Result<Option<(u64, Entry)>> {
        let key = content_key(sha256);
        for table in &self.older {
            if let Some(place) = table.get(key, 1)?.first() {
                return self.line(*place);
            }
        }
        self.known.get(&key).map_or(Ok(None), |place| self.line(*place))
    }

    fn line(&self, place: u64) -> io::Result<Option<(u64, Entry)>> {
        let mut line = Vec::new();
        let mut at = place;
        loop {
            let piece = match at.checked_sub(self.written) {
                Some(at) => self.buffer.get(at as usize..).unwrap_or_default().to_vec(),
                None => {
                    let mut piece = vec![0; (self.written - at).min(4096) as usize];
                    self.lines.read_exact_at(&mut piece, at)?;
                    piece
                }
            };
            at += piece.len() as u64;
            if let Some(end) = memchr::memchr(b'\n', &piece) {
                line.extend_from_slice(&piece[..end]);
                return Ok(Entry::parse(&line).ok().map(|entry| (place, entry)));
            }
            if piece.is_empty() {
                return Ok(None);
            }
            line.extend_from_slice(&piece);
        }
    }
}

/// In which blocks lines came: where the lines of each begin, ascending.
#[derive(Default)]
pub(super) struct Borders(Vec<(u64, u32)>);

impl Borders {
    /// Lines from `start` on are in this block.
    pub(super) fn push(&mut self, start: u64, number: u32) {
        if self.0.last().is_none_or(|(_, last)| *last != number) {
            self.0.push((start, number));
        }
    }

    /// The block that a line is in.
    pub(super) fn block(&self, line: u64) -> Option<u32> {
        let after = self.0.partition_point(|(start, _)| *start <= line);
        after.checked_sub(1).map(|at| self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::digest;

    fn own() -> Own {
        Own::new(tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap())
    }

    fn line(at: usize, path: &str) -> Vec<u8> {
        let sha256 = hex::encode(digest::of(&at.to_le_bytes()));
        format!("{path} type=file mode=0644 uid=0 gid=0 time=0.000000000 nlink=1 size=9 sha256digest={sha256}\n").into_bytes()
    }

    #[test]
    fn the_first_of_each_content_is_found() {
        let mut own = own();
        let count = RUN + 5000;
        for at in 0..count {
            own.push(&digest::of(&at.to_le_bytes()), &line(at, &format!("./{at}"))).unwrap();
        }
        own.push(&digest::of(&7usize.to_le_bytes()), &line(7, "./z")).unwrap();
        for at in [0, 1, 7, RUN - 1, RUN, RUN + 1, count - 1] {
            let (_, entry) = own.find(&digest::of(&at.to_le_bytes())).unwrap().unwrap();
            assert_eq!(entry.path.to_string(), format!("./{at}"));
        }
        assert!(own.find(&digest::of(b"none")).unwrap().is_none());
    }

    #[test]
    fn borders_say_the_block() {
        let mut borders = Borders::default();
        assert_eq!(borders.block(0), None);
        for (start, number) in [(0, 4), (100, 4), (200, 5), (300, 9)] {
            borders.push(start, number);
        }
        let blocks = [0, 199, 200, 299, 300, 999].map(|line| borders.block(line));
        assert_eq!(blocks, [4, 4, 5, 5, 9, 9].map(Some));
    }
}
