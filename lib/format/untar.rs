//! Reading the tar of a block, entry by entry, with the headers kept as they are.
//!
//! Records are read by their lengths, as POSIX says, not line by line.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::Range;

use super::path::Path;
use super::tarball::{BLOCK, MAX_MAP, checksum, newlines, padding};

/// Content is handed on in pieces of at most this size: what was just decompressed, digested and
/// written stays near the processor.
const PIECE: usize = 128 << 10;

/// Longest pax header that is taken: the writer stays below a mebibyte.
pub const MAX_RECORDS: u64 = 2 << 20;

/// Why a tar is refused.
#[derive(Debug, thiserror::Error)]
pub enum UntarError {
    /// It could not be read, or decompressed.
    #[error("cannot read the tar")]
    Io(#[from] io::Error),
    /// It ends within an entry.
    #[error("the tar is cut off at byte {0}")]
    Cut(u64),
    /// Not a header of tar, or not one that Dura writes.
    #[error("no tar header at byte {0}")]
    BadHeader(u64),
    /// A sparse file's map that is none.
    #[error("no map of a sparse file at byte {0}")]
    BadMap(u64),
    /// A name that could leave the place of recovery.
    #[error("an entry at byte {0} has a name that is not below the root")]
    BadName(u64),
}

/// An entry's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// Where it is to go.
    pub path: Path,
    /// All header bytes: the pax header, if there is one, and the entry's own.
    pub headers: Vec<u8>,
    /// Where in the headers the pax records have their keys and values.
    records: Vec<(Range<usize>, Range<usize>)>,
    /// How many bytes of content follow, without padding. For a sparse file that is map and data.
    pub stored: u64,
    /// The type flag of the header.
    pub flag: u8,
}

impl TarEntry {
    /// The pax records, key and value.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        self.records
            .iter()
            .map(|(key, value)| (&self.headers[key.clone()], &self.headers[value.clone()]))
    }

    /// The value of a pax record.
    pub fn record(&self, key: &[u8]) -> Option<&[u8]> {
        self.records().rev().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// How many bytes of content and padding follow the headers.
    pub fn padded(&self) -> u64 {
        self.stored + padding(self.stored) as u64
    }
}

/// Reads entries; the caller takes each one's content before it asks for the next, or leaves it,
/// and then it is passed over.
#[derive(Debug)]
pub struct Untar<R> {
    input: R,
    at: u64,
    /// Content and padding of the last entry that are still to come.
    left: u64,
    /// How many of these are padding.
    padding: u64,
    /// Blocks of zeros that were passed over.
    zeros: u64,
    /// Bytes of padding that are not zero.
    dirt: u64,
}

impl<R: BufRead> Untar<R> {
    /// A reader of the concatenated tars of blocks.
    pub fn new(input: R) -> Untar<R> {
        Untar { input, at: 0, left: 0, padding: 0, zeros: 0, dirt: 0 }
    }

    /// What it reads from.
    pub fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Begins anew where the input stands now: behind damage, at the begin of an entry.
    pub fn restart(&mut self) {
        self.left = 0;
    }

    /// How many blocks of zeros stood where a header could be. Dura writes none.
    pub fn zero_blocks(&self) -> u64 {
        self.zeros
    }

    /// How many bytes behind the content of entries were not zero. Dura writes none.
    pub fn dirt(&self) -> u64 {
        self.dirt
    }

    /// The next entry; none at the end, which in a block is just the end of input.
    ///
    /// # Errors
    /// What is wrong with the tar, and where.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, UntarError> {
        self.skip()?;
        // Most entries have a pax header, its records, and their own.
        let mut headers = Vec::with_capacity(3 * BLOCK);
        let mut records = Vec::new();
        loop {
            let at = self.at;
            let start = headers.len();
            if !self.block(&mut headers)? {
                return if start == 0 { Ok(None) } else { Err(UntarError::Cut(self.at)) };
            }
            let header = tar::Header::from_byte_slice(&headers[start..]);
            if headers[start..].iter().all(|&b| b == 0) && start == 0 {
                // A closing zero block: not written, but harmless.
                headers.clear();
                self.zeros += 1;
                continue;
            }
            let size = sound(header).ok_or(UntarError::BadHeader(at))?;
            let flag = headers[start + 156];
            if flag == b'x' {
                if size > MAX_RECORDS || start > 0 {
                    return Err(UntarError::BadHeader(at));
                }
                let from = headers.len();
                self.body(size, &mut headers)?;
                records = parse_records(&headers[..from + size as usize], from)
                    .ok_or(UntarError::BadHeader(at))?;
                continue;
            }
            let mut entry = TarEntry { path: Path::root(), headers, records, stored: size, flag };
            if let Some(long) = entry.record(b"size") {
                entry.stored = super::entry::number(long).ok_or(UntarError::BadHeader(at))?;
            }
            if entry.stored > u64::MAX / 2 {
                return Err(UntarError::BadHeader(at));
            }
            let name =
                entry.record(b"GNU.sparse.name").or(entry.record(b"path")).map(Cow::Borrowed);
            let name = name.unwrap_or_else(|| {
                tar::Header::from_byte_slice(&entry.headers[start..]).path_bytes()
            });
            entry.path = Path::from_typed(&name).map_err(|_| UntarError::BadName(at))?;
            self.left = entry.padded();
            self.padding = padding(entry.stored) as u64;
            return Ok(Some(entry));
        }
    }

    /// Reads the map of holes with which the content of the last entry begins, in whole blocks.
    /// Fails if it does not end where a map that Dura writes can end. [`Untar::copy`] then gives
    /// what is behind it.
    ///
    /// # Errors
    /// What is wrong with the tar, and where.
    pub fn map(&mut self, entry: &TarEntry) -> Result<Vec<u8>, UntarError> {
        let at = self.at;
        let mut map = Vec::new();
        let mut wanted = None;
        while wanted != Some(0) {
            let start = map.len();
            if entry.stored < (start + BLOCK) as u64 || start >= MAX_MAP {
                return Err(UntarError::BadMap(at));
            }
            if !self.block(&mut map)? {
                return Err(UntarError::Cut(self.at));
            }
            self.left -= BLOCK as u64;
            let came = memchr::memchr_iter(b'\n', &map[start..]).count() as u64;
            let left = wanted.or_else(|| newlines(&map)).ok_or(UntarError::BadMap(at))?;
            wanted = Some(left.checked_sub(came).ok_or(UntarError::BadMap(at))?);
        }
        Ok(map)
    }

    /// Reads the content of the last entry, or what is left of it, without padding, in pieces. Must
    /// be called at most once for an entry.
    ///
    /// # Errors
    /// What is wrong with the tar, and where; or what `take` gave.
    pub fn copy<E: From<UntarError>>(
        &mut self,
        entry: &TarEntry,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = self.left.saturating_sub(padding(entry.stored) as u64);
        while left > 0 {
            let came = self.input(left.min(PIECE as u64))?;
            take(came)?;
            let came = came.len();
            self.consume(came);
            left -= came as u64;
        }
        // Whoever has the input may hold all of its last piece until this is read. What fails here
        // fails again when the next entry is asked for.
        drop(self.skip());
        Ok(())
    }

    /// Takes the next bytes of the content of the last entry, at most so many; none behind it.
    ///
    /// # Errors
    /// What is wrong with the tar, and where.
    pub fn take<T>(
        &mut self,
        most: u64,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, UntarError> {
        let left = self.left.saturating_sub(self.padding);
        if left == 0 {
            return Ok(None);
        }
        let came = self.input(left.min(most))?;
        let (taken, came) = (take(came), came.len());
        self.consume(came);
        Ok(Some(taken))
    }

    /// How many bytes of the content of the last entry were read.
    pub fn content_read(&self, entry: &TarEntry) -> u64 {
        entry.stored - self.left.saturating_sub(padding(entry.stored) as u64).min(entry.stored)
    }

    /// Goes on with the content of the last entry, of which the input now gives what is behind its
    /// first `from` bytes.
    pub fn go_on(&mut self, entry: &TarEntry, from: u64) {
        self.left = entry.padded().saturating_sub(from);
    }

    fn skip(&mut self) -> Result<(), UntarError> {
        while self.left > 0 {
            let is_padding = self.left <= self.padding;
            let content = self.left.saturating_sub(self.padding);
            let came = self.input(if is_padding { self.left } else { content })?;
            let dirt = if is_padding { came.iter().filter(|byte| **byte != 0).count() } else { 0 };
            let came = came.len();
            self.dirt += dirt as u64;
            self.consume(came);
        }
        Ok(())
    }

    /// The next bytes of the last entry's content and padding, at least one and at most so many.
    fn input(&mut self, most: u64) -> Result<&[u8], UntarError> {
        // Asked twice, for a buffer that is handed on cannot be asked for again in the same loop.
        while let Err(error) = self.input.fill_buf() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
        let came = self.input.fill_buf()?;
        let len = usize::try_from(most).unwrap_or(usize::MAX).min(came.len());
        if len == 0 { Err(UntarError::Cut(self.at)) } else { Ok(&came[..len]) }
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.at += bytes as u64;
        self.left -= bytes as u64;
    }

    /// Appends a block; false at the end of input.
    fn block(&mut self, out: &mut Vec<u8>) -> Result<bool, UntarError> {
        let came = (&mut self.input).take(BLOCK as u64).read_to_end(out)?;
        self.at += came as u64;
        match came {
            0 => Ok(false),
            BLOCK => Ok(true),
            _ => Err(UntarError::Cut(self.at)),
        }
    }

    fn body(&mut self, size: u64, out: &mut Vec<u8>) -> Result<(), UntarError> {
        let padded = size + padding(size) as u64;
        let came = (&mut self.input).take(padded).read_to_end(out)? as u64;
        self.at += came;
        if came < padded { Err(UntarError::Cut(self.at)) } else { Ok(()) }
    }
}

/// Whether bytes begin with a tar header: an entry's, or that of its records.
pub fn begins_entry(bytes: &[u8]) -> bool {
    let header = bytes.first_chunk::<BLOCK>();
    header.is_some_and(|header| sound(tar::Header::from_byte_slice(header)).is_some())
}

/// The size field, if the header is a ustar header whose checksum is right. Tars differ in what
/// they make of other magics and versions.
fn sound(header: &tar::Header) -> Option<u64> {
    let bytes = header.as_bytes();
    (header.cksum().ok()? == checksum(bytes) && &bytes[257..265] == b"ustar\x0000")
        .then(|| header.entry_size().ok())?
}

/// The records of a pax header that ends the headers and begins at `at` there.
fn parse_records(headers: &[u8], mut at: usize) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let mut records = Vec::new();
    while at < headers.len() {
        let rest = &headers[at..];
        let blank = memchr::memchr(b' ', rest)?;
        let len: usize = super::entry::number(&rest[..blank])?;
        let record = rest.get(..len)?.get(blank + 1..)?.strip_suffix(b"\n")?;
        let key = at + blank + 1;
        let value = key + memchr::memchr(b'=', record)? + 1;
        records.push((key..value - 1, value..at + len - 1));
        at += len;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Kind, Meta};
    use super::super::tarball::{Content, Segment, TarHeader};
    use super::super::time::Time;
    use super::*;

    fn tar(
        path: &Path,
        content: Content<'_>,
        xattrs: &[(Vec<u8>, Vec<u8>)],
        data: &[u8],
    ) -> Vec<u8> {
        let meta =
            Meta { mode: 0o644, uid: 4_000_000_000, gid: 0, time: Time { sec: -6, nsec: 5 } };
        let member = TarHeader { xattrs, ..TarHeader::plain(path, Kind::File, meta, content) };
        let mut out = Vec::new();
        assert_eq!(member.write_header(&mut out).unwrap(), data.len() as u64);
        out.extend(data);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out
    }

    fn sample() -> Vec<u8> {
        let odd = Path::from_raw(&[b"dir/\xff\n".to_vec(), vec![b'n'; 300]].concat());
        let xattrs = [(b"user.x".to_vec(), b"1 2\n3=\0".to_vec())];
        let segments = [Segment { offset: 4096, len: 3 }];
        [
            tar(&Path::from_raw(b"a"), Content::Bytes(3), &[], b"abc"),
            tar(&odd, Content::Bytes(513), &xattrs, &[7; 513]),
            tar(&Path::from_raw(b"dir/s"), Content::Sparse(&segments, 1 << 20), &[], b"xyz"),
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(TarEntry, Vec<u8>)>, UntarError> {
        let mut untar = Untar::new(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = untar.next_entry()? {
            let mut data = Vec::new();
            if entry.path.raw() != b"a" {
                untar.copy(&entry, &mut |piece| {
                    data.extend(piece);
                    Ok::<(), UntarError>(())
                })?;
            }
            entries.push((entry, data));
        }
        Ok(entries)
    }

    #[test]
    fn reads_what_tarball_writes() {
        let entries = read(&sample()).unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[1].0.path.raw()[..6], *b"dir/\xff\n");
        assert_eq!(
            (entries[1].0.record(b"SCHILY.xattr.user.x").unwrap(), entries[1].1.len()),
            (&b"1 2\n3=\0"[..], 513)
        );
        assert_eq!((entries[2].0.path.raw(), entries[2].0.stored), (b"dir/s".to_vec(), 515));
        let again: Vec<u8> =
            entries.iter().skip(1).flat_map(|(entry, _)| entry.headers.clone()).collect();
        assert!(
            sample().windows(entries[1].0.headers.len()).any(|window| again.starts_with(window))
        );
    }

    #[test]
    fn cuts_and_damage_are_told() {
        let bytes = sample();
        let ends: Vec<usize> =
            (0..bytes.len()).filter(|&end| read(&bytes[..end]).is_ok()).collect();
        // Only the borders of entries look like an end: the index tells whether more had to come.
        assert_eq!(ends, [0, 2048, 2048 + 2560]);
        for i in (0..bytes.len()).step_by(7) {
            let mut bad = bytes.clone();
            bad[i] ^= 0x41;
            let _ = read(&bad);
        }
        for name in [&b"../a"[..], b"/etc/passwd", b"a/../../b"] {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name);
            header.set_size(0);
            header.set_cksum();
            assert!(matches!(read(header.as_bytes()), Err(UntarError::BadName(0))));
        }
    }

    #[test]
    fn records_go_by_their_length() {
        let read = |text: &[u8]| parse_records(text, 0);
        assert_eq!(read(b"8 a=b\nc\n11 path=x y\n"), None);
        assert_eq!(read(b"8 a=b\nc\n12 path=x y\n"), Some(vec![(2..3, 4..7), (11..15, 16..19)]));
        for bad in [
            &b"99 a=b\n"[..],
            b"x a=b\n",
            b"0 a=b\n",
            b"2 a=b\n",
            b"6 ab c\n",
            b"18446744073709551615 a=b\n",
            b"5",
        ] {
            assert_eq!(read(bad), None);
        }
    }
}
