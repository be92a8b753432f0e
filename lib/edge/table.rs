//! Sorted tables on disk that are looked up in: 16 bytes a record, however many there are, and in
//! memory eight bytes for a page of 255.
//!
//! A table is a hint like all that a cache holds. Each page has a checksum, and one that does not
//! agree is an error: whoever asks then goes on as if there were no table.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use flate2::Crc;

/// What is looked up, and what is known of it.
pub type Record = (u64, u64);

const RECORD: usize = 16;
const PAGE: usize = 4096;
const PER_PAGE: usize = PAGE / RECORD - 1;

/// Records that are sorted in memory at a time: 8 MiB.
pub const RUN: usize = 1 << 19;

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a page of a table is damaged")
}

fn record(page: &[u8], at: usize) -> Record {
    let number = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&page[from..from + 8]);
        u64::from_le_bytes(bytes)
    };
    (number(at * RECORD), number(at * RECORD + 8))
}

/// The page's count of records, if it is as it was written.
fn checked(page: &[u8]) -> io::Result<usize> {
    let mut crc = Crc::new();
    crc.update(&page[..PER_PAGE * RECORD]);
    let (sum, count) = record(page, PER_PAGE);
    let count = usize::try_from(count).ok().filter(|count| *count <= PER_PAGE);
    count.filter(|_| sum == u64::from(crc.sum())).ok_or_else(damaged)
}

/// A sorted table in a file, from a place in it on.
#[derive(Debug)]
pub struct Table {
    file: File,
    start: u64,
    /// The first key of each page.
    keys: Vec<u64>,
}

impl Table {
    /// Writes records, which must be sorted, at the file's end.
    ///
    /// # Errors
    /// Those of `records`, and of the file.
    pub fn write(
        file: &File,
        records: impl Iterator<Item = io::Result<Record>>,
    ) -> io::Result<Table> {
        let mut out = file.try_clone()?;
        let start = out.seek(SeekFrom::End(0))?;
        let mut table = Table { file: file.try_clone()?, start, keys: Vec::new() };
        let (mut page, mut count) = (vec![0; PAGE], 0);
        let mut full = |page: &mut Vec<u8>, count: &mut usize, keys: &mut Vec<u64>| {
            let mut crc = Crc::new();
            crc.update(&page[..PER_PAGE * RECORD]);
            let end = PER_PAGE * RECORD;
            page[end..end + 8].copy_from_slice(&u64::from(crc.sum()).to_le_bytes());
            page[end + 8..].copy_from_slice(&(*count as u64).to_le_bytes());
            keys.push(record(page, 0).0);
            *count = 0;
            out.write_all(page)?;
            page.fill(0);
            io::Result::Ok(())
        };
        for next in records {
            let (key, value) = next?;
            let at = count * RECORD;
            page[at..at + 8].copy_from_slice(&key.to_le_bytes());
            page[at + 8..at + RECORD].copy_from_slice(&value.to_le_bytes());
            count += 1;
            if count == PER_PAGE {
                full(&mut page, &mut count, &mut table.keys)?;
            }
        }
        if count > 0 {
            full(&mut page, &mut count, &mut table.keys)?;
        }
        Ok(table)
    }

    /// How many pages it has in its file.
    pub fn pages(&self) -> u64 {
        self.keys.len() as u64
    }

    /// The table of so many pages from a place in a file on; gives where it ends, too.
    ///
    /// # Errors
    /// Those of the file, which may be too short.
    pub fn open(file: &File, start: u64, pages: u64) -> io::Result<(Table, u64)> {
        let mut table = Table { file: file.try_clone()?, start, keys: Vec::new() };
        let end = pages.checked_mul(PAGE as u64).and_then(|len| start.checked_add(len));
        let end = end.ok_or_else(damaged)?;
        if file.metadata()?.len() < end {
            return Err(damaged());
        }
        let mut key = [0; 8];
        for page in 0..pages {
            file.read_exact_at(&mut key, start + page * PAGE as u64)?;
            table.keys.push(u64::from_le_bytes(key));
        }
        Ok((table, end))
    }

    fn page(&self, at: usize, page: &mut [u8]) -> io::Result<usize> {
        self.file.read_exact_at(page, self.start + (at * PAGE) as u64)?;
        checked(page)
    }

    /// What is known of a key, in order: the first so many.
    ///
    /// # Errors
    /// Those of the file, and a page that is damaged.
    pub fn get(&self, key: u64, most: usize) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        let mut at = self.keys.partition_point(|first| *first < key).saturating_sub(1);
        let mut page = [0; PAGE];
        while found.len() < most && self.keys.get(at).is_some_and(|first| *first <= key) {
            let count = self.page(at, &mut page)?;
            let records = (0..count).map(|at| record(&page, at));
            found.extend(records.filter(|(other, _)| *other == key).map(|(_, value)| value));
            at += 1;
        }
        found.truncate(most);
        Ok(found)
    }

    fn records(self) -> TableRecords {
        TableRecords { table: self, page: vec![0; PAGE], next: 0, at: 0, count: 0 }
    }
}

/// A table's records, one after another.
struct TableRecords {
    table: Table,
    page: Vec<u8>,
    next: usize,
    at: usize,
    count: usize,
}

impl Iterator for TableRecords {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        if self.at == self.count {
            if self.next == self.table.keys.len() {
                return None;
            }
            (self.at, self.count) = match self.table.page(self.next, &mut self.page) {
                Ok(count) => (0, count),
                Err(error) => return Some(Err(error)),
            };
            self.next += 1;
        }
        self.at += 1;
        Some(Ok(record(&self.page, self.at - 1)))
    }
}

/// Tables merged into one order.
struct Merged {
    tables: Vec<TableRecords>,
    heads: BinaryHeap<Reverse<(Record, usize)>>,
    failed: Option<io::Error>,
}

impl Merged {
    fn new(tables: Vec<Table>) -> Merged {
        let tables: Vec<TableRecords> = tables.into_iter().map(Table::records).collect();
        let mut merged = Merged { heads: BinaryHeap::new(), failed: None, tables };
        (0..merged.tables.len()).for_each(|at| merged.advance(at));
        merged
    }

    fn advance(&mut self, at: usize) {
        match self.tables[at].next() {
            Some(Ok(record)) => self.heads.push(Reverse((record, at))),
            Some(Err(error)) => self.failed = Some(error),
            None => {}
        }
    }
}

impl Iterator for Merged {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        if let Some(error) = self.failed.take() {
            self.heads.clear();
            return Some(Err(error));
        }
        let Reverse((record, at)) = self.heads.pop()?;
        self.advance(at);
        Some(Ok(record))
    }
}

/// Records in any order, sorted in runs on the way.
#[derive(Debug)]
pub struct Sorter {
    run: Vec<Record>,
    runs: Vec<Table>,
    scratch: File,
}

impl Sorter {
    /// A sorter whose runs lie in a scratch file, which nobody else uses.
    pub fn new(scratch: File) -> Sorter {
        Sorter { run: Vec::new(), runs: Vec::new(), scratch }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn push(&mut self, record: Record) -> io::Result<()> {
        self.run.push(record);
        if self.run.len() == RUN { self.spill() } else { Ok(()) }
    }

    fn sort(&mut self) {
        self.run.sort_unstable();
        self.run.dedup();
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let records = self.run.drain(..).map(Ok);
        self.runs.push(Table::write(&self.scratch, records)?);
        Ok(())
    }

    /// Writes all into a table at the end of a file.
    ///
    /// # Errors
    /// Those of both files.
    pub fn write(mut self, file: &File) -> io::Result<Table> {
        if self.runs.is_empty() {
            self.sort();
            return Table::write(file, self.run.into_iter().map(Ok));
        }
        self.spill()?;
        let mut last = None;
        let distinct = Merged::new(self.runs).filter(|record| {
            let again = record.as_ref().is_ok_and(|record| last == Some(*record));
            last = record.as_ref().ok().copied();
            !again
        });
        Table::write(file, distinct)
    }
}

/// A file without a name in a directory, gone with its last user.
///
/// # Errors
/// Those of the directory.
pub fn scratch(dir: &std::path::Path) -> io::Result<File> {
    tempfile::tempfile_in(dir)
}

/// Reads a file's begin into numbers: what [`put_numbers`] wrote there.
///
/// # Errors
/// Those of the file, which may be too short.
pub fn get_numbers<const N: usize>(file: &mut File) -> io::Result<[u64; N]> {
    let mut numbers = [0; N];
    file.seek(SeekFrom::Start(0))?;
    for number in &mut numbers {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes)?;
        *number = u64::from_le_bytes(bytes);
    }
    Ok(numbers)
}

/// Writes numbers at a file's begin.
///
/// # Errors
/// Those of the file.
pub fn put_numbers(file: &File, numbers: &[u64]) -> io::Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    file.write_all_at(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        tempfile::tempfile().unwrap()
    }

    #[test]
    fn what_was_put_is_found_again() {
        for count in [0u64, 1, 254, 255, 256, 1000, RUN as u64 + 700, 2 * RUN as u64] {
            let mut sorter = Sorter::new(file());
            // Every key is there twice, in no order.
            let spread = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
            for at in 0..count {
                sorter.push((spread(at / 2), at)).unwrap();
            }
            let into = file();
            put_numbers(&into, &[7]).unwrap();
            let table = sorter.write(&into).unwrap();
            let (again, _) = Table::open(&into, 8, table.pages()).unwrap();
            for at in (0..count).step_by(count as usize / 50 + 1) {
                let both: Vec<u64> =
                    [at & !1, at | 1].into_iter().filter(|at| *at < count).collect();
                assert_eq!(table.get(spread(at / 2), 9).unwrap(), both, "{count}");
                assert_eq!(again.get(spread(at / 2), 9).unwrap(), both, "{count}");
            }
            assert_eq!(table.get(3, 9).unwrap(), [] as [u64; 0]);
            assert_eq!(get_numbers(&mut into.try_clone().unwrap()).unwrap(), [7]);
        }
    }

    #[test]
    fn equal_keys_may_fill_pages() {
        let records = (0..1000).map(|at| Ok((5, at)));
        let table = Table::write(&file(), records).unwrap();
        assert_eq!(table.get(5, 2000).unwrap().len(), 1000);
        assert_eq!(table.get(5, 300).unwrap(), (0..300).collect::<Vec<u64>>());
        assert_eq!(table.get(4, 9).unwrap().len() + table.get(6, 9).unwrap().len(), 0);
    }

    #[test]
    fn a_damaged_page_is_no_answer() {
        let into = file();
        let table = Table::write(&into, (0..600).map(|at| Ok((at, at)))).unwrap();
        into.write_all_at(b"\xff", 100).unwrap();
        assert!(table.get(3, 9).is_err() && table.get(590, 9).is_ok());
        assert!(Table::open(&into, 0, 9).is_err() && Table::open(&into, 8, u64::MAX).is_err());
    }
}
