//! Files with holes as tar stores them: what their content is, and the map that stands before it.

use std::convert::Infallible;

use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::entry::{self, Entry as Line};
use super::sums::Chunk;
use super::tarball::{MAX_MAP, Segment, padding, sparse_map};
use super::untar::TarEntry;

/// Whether an entry's content begins with a map of its holes, in the form that GNU tar calls 1.0.
pub fn is_sparse(stored: &TarEntry) -> bool {
    stored.record(b"GNU.sparse.name").is_some() && stored.record(b"GNU.sparse.major") == Some(b"1")
}

/// Holes up to this size cost a tenth of a second to digest.
const FEW_HOLES: u64 = 128 << 20;

/// Holes of so many times the data take about as long to digest as the data to compress.
const HOLES_PER_DATA: u64 = 8;

/// Whether a file of `size` bytes of which so many are data is so sparse that its line has
/// `body:` in the place of `sha256digest=`: to digest the zeros of its holes would take longer than
/// all else.
pub fn is_nearly_all_holes(size: u64, data: u64) -> bool {
    let holes = size.saturating_sub(data);
    holes > FEW_HOLES && holes > data.saturating_mul(HOLES_PER_DATA)
}

/// The digest of a file's content as it is stored, with or without a map of holes.
#[derive(Debug)]
pub struct Digester {
    sha256: Sha256,
    map: Option<Map>,
    /// How far into the file the digest has come.
    at: u64,
    /// The file's size. No hole that a map names goes further, nor back: it would cost who reads it
    /// years.
    size: u64,
    /// Zeros of holes that may still be digested.
    holes: u64,
}

/// The map at the begin of a sparse file's content.
#[derive(Debug, Default)]
struct Map {
    text: Vec<u8>,
    newlines: usize,
    /// Segments that are still to come, the first one last; none while the map is not whole.
    segments: Option<Vec<(u64, u64)>>,
    broken: bool,
}

/// Zeros of holes that are digested for one file: more takes hours, and who writes a line costs
/// whoever reads it nothing but them.
const MAX_HOLES: u64 = 1 << 40;

impl Digester {
    /// The one for what an index line says of its file, with a map if it is stored as sparse; none
    /// if the line has no digest.
    pub fn of_line(line: &Line, sparse: bool) -> Option<Digester> {
        line.digest()?;
        // `body:` is of the stored bytes as they are.
        let sparse = sparse && line.body.is_none();
        Some(Digester::new(sparse, line.size.unwrap_or(0)))
    }

    /// Of the content of a file of this size, with a map if it is sparse.
    pub fn new(sparse: bool, size: u64) -> Digester {
        Digester {
            sha256: Sha256::new(),
            map: sparse.then(Map::default),
            at: 0,
            size,
            holes: MAX_HOLES,
        }
    }

    /// The next bytes of the content.
    pub fn update(&mut self, piece: &[u8]) {
        let Some(mut map) = self.map.take() else { return self.sha256.update(piece) };
        match map.read(piece) {
            Some(data) => self.data(&mut map, &data),
            None if map.segments.is_some() => self.data(&mut map, piece),
            None => {}
        }
        self.map = Some(map);
    }

    fn data(&mut self, map: &mut Map, mut piece: &[u8]) {
        while !piece.is_empty() {
            let next = map.segments.as_mut().and_then(Vec::pop);
            let next = next.filter(|(offset, len)| *offset >= self.at && offset + len <= self.size);
            let Some((offset, len)) = next else {
                map.broken = true;
                return;
            };
            if !self.zeros(offset) {
                map.broken = true;
                return;
            }
            let now = piece.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.sha256.update(&piece[..now]);
            self.at = offset + now as u64;
            piece = &piece[now..];
            if let (true, Some(segments)) = (len > now as u64, &mut map.segments) {
                segments.push((self.at, len - now as u64));
            }
        }
    }

    /// Digests zeros up to there; false if they are too many.
    fn zeros(&mut self, until: u64) -> bool {
        let Some(left) = self.holes.checked_sub(until.saturating_sub(self.at)) else {
            return false;
        };
        self.holes = left;
        hash_zeros(&mut self.sha256, until.saturating_sub(self.at));
        self.at = self.at.max(until);
        true
    }

    /// The digest; none if the map is broken, or its holes are larger than any that are digested.
    pub fn finish(mut self) -> Option<Digest> {
        if let Some(map) = &self.map {
            let whole = !map.broken && map.segments.is_some();
            if !whole || !self.zeros(self.size) {
                return None;
            }
        }
        Some(self.sha256.finalize().into())
    }
}

/// Puts so many zeros, in pieces.
///
/// # Errors
/// Those of `put`.
pub fn zeros<E>(mut left: u64, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while left > 0 {
        let now = left.min(ZEROS.len() as u64);
        put(&ZEROS[..now as usize])?;
        left -= now;
    }
    Ok(())
}

/// Digests so many zeros.
pub fn hash_zeros(sha256: &mut Sha256, len: u64) {
    let Ok(()) = zeros(len, &mut |piece| {
        sha256.update(piece);
        Ok::<(), Infallible>(())
    });
}

/// The segments of a map as Dura writes it, byte for byte, for a file of `size` bytes that stores
/// `data` bytes. Tars differ in what they make of any other map: of those there are none.
pub fn segments(map: &[u8], data: u64, size: u64) -> Option<Vec<Segment>> {
    let mut numbers = map.split(|&byte| byte == b'\n').map(entry::number::<u64>);
    let mut next = || numbers.next().flatten();
    let count = next()?;
    let (mut segments, mut at, mut sum) = (Vec::new(), 0, 0u64);
    for _ in 0..count {
        let (offset, len) = (next()?, next()?);
        at = offset.checked_add(len).filter(|end| offset >= at && *end <= size)?;
        sum += len;
        segments.push(Segment { offset, len });
    }
    (sum == data && sparse_map(&segments) == map).then_some(segments)
}

/// The map of a file with these chunks of data and holes, and how many bytes are data; none if it
/// has no holes.
pub fn map_of(chunks: &[Chunk]) -> Option<(Vec<Segment>, u64)> {
    let (mut segments, mut at, mut data) = (Vec::<Segment>::new(), 0, 0);
    for chunk in chunks {
        let len = u64::from(chunk.len);
        if chunk.hash.is_some() {
            match segments.last_mut() {
                Some(last) if last.offset + last.len == at => last.len += len,
                _ => segments.push(Segment { offset: at, len }),
            }
            data += len;
        }
        at += len;
    }
    if segments.last().is_none_or(|last| last.offset + last.len < at) {
        segments.push(Segment { offset: at, len: 0 });
    }
    (data < at).then_some((segments, data))
}

impl Map {
    /// Takes bytes until the map is whole; then gives those behind it, once.
    fn read(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        if self.segments.is_some() || self.broken {
            return None;
        }
        self.newlines += piece.iter().filter(|&&byte| byte == b'\n').count();
        self.text.extend(piece);
        self.broken = self.text.len() > MAX_MAP;
        let mut lines = self.text.split(|&byte| byte == b'\n');
        let count: usize = lines.next().filter(|_| self.newlines > 0).and_then(entry::number)?;
        if self.newlines < count.checked_mul(2)?.checked_add(1)? {
            return None;
        }
        let mut numbers = (0..count * 2).map(|_| lines.next().and_then(entry::number::<u64>));
        let mut segments = Vec::new();
        while let Some(offset) = numbers.next() {
            match (offset, numbers.next().flatten()) {
                (Some(offset), Some(len)) if offset.checked_add(len).is_some() => {
                    segments.push(Segment { offset, len })
                }
                _ => self.broken = true,
            }
        }
        drop(numbers);
        let rest: usize = lines.map(|line| line.len() + 1).sum::<usize>().saturating_sub(1);
        let end = self.text.len() - rest;
        let end = end + padding(end as u64);
        if end > self.text.len() {
            return None;
        }
        // Tars read numbers in ways of their own: only what Dura writes is read alike by all.
        self.broken |= sparse_map(&segments) != self.text[..end];
        // An empty segment holds no byte that would take it.
        let mut segments: Vec<(u64, u64)> = segments
            .into_iter()
            .filter(|segment| segment.len > 0)
            .map(|segment| (segment.offset, segment.len))
            .collect();
        segments.reverse();
        self.segments = Some(segments);
        Some(std::mem::take(&mut self.text).split_off(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_files_are_digested_with_their_holes() {
        let map = b"3\n512\n3\n2048\n5\n4096\n0\n";
        let mut stored = map.to_vec();
        stored.resize(512, 0);
        stored.extend(b"abcdefgh");
        let mut file = vec![0; 4096];
        file[512..515].copy_from_slice(b"abc");
        file[2048..2053].copy_from_slice(b"defgh");
        let wanted: Digest = Sha256::digest(&file).into();
        for step in [1, 7, 511, 512, 514, 4096] {
            let mut digester = Digester::new(true, 4096);
            stored.chunks(step).for_each(|piece| digester.update(piece));
            assert_eq!(digester.finish(), Some(wanted), "{step}");
        }
        let mut digester = Digester::new(true, 4096);
        digester.update(b"1\nx\n");
        assert_eq!(digester.finish(), None);
    }

    #[test]
    fn chunks_make_the_map() {
        let chunk = |len, is_data: bool| Chunk { len, hash: is_data.then_some([1; 16]) };
        let [data, hole] = [chunk(10, true), chunk(20, false)];
        let made = |chunks: &[Chunk]| {
            let (segments, data) = map_of(chunks)?;
            let size = chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
            let map = sparse_map(&segments);
            assert_eq!(super::segments(&map, data, size), Some(segments.clone()));
            Some(segments.iter().map(|it| (it.offset, it.len)).collect::<Vec<_>>())
        };
        assert_eq!(made(&[data, data]), None);
        assert_eq!(made(&[data, data, hole, data]), Some(vec![(0, 20), (40, 10)]));
        assert_eq!(made(&[hole, data, hole, hole]), Some(vec![(20, 10), (70, 0)]));
        assert_eq!(made(&[hole]), Some(vec![(20, 0)]));
    }

    #[test]
    fn only_holes_that_cost_more_than_the_data_go_undigested() {
        let (k, m, g) = (1 << 10, 1 << 20, 1 << 30);
        for (size, data, wanted) in [
            (54 * g, 12 * k, true),
            (8192 * g, 0, true),
            (100 * g, 10 * g, true),
            (100 * g, 12 * g, false),
            (128 * m, 0, false),
            (129 * m, 0, true),
            (g, g, false),
            (0, 0, false),
            (0, 5, false),
        ] {
            assert_eq!(is_nearly_all_holes(size, data), wanted, "{size} {data}");
        }
    }

    #[test]
    fn a_line_says_what_is_digested() {
        use super::super::entry::{EntryState, Kind, Meta};
        let mut line = Line::new(
            super::super::path::Path::from_raw(b"f"),
            Kind::File,
            EntryState::Present(Meta {
                mode: 0,
                uid: 0,
                gid: 0,
                time: super::super::time::Time { sec: 0, nsec: 0 },
            }),
        );
        line.size = Some(4096);
        assert!(Digester::of_line(&line, true).is_none());
        let stored = [&b"1\n4096\n0\n"[..], &[0; 503]].concat();
        let digest = |line: &Line| {
            let mut digester = Digester::of_line(line, true).unwrap();
            digester.update(&stored);
            digester.finish()
        };
        line.body = Some(Sha256::digest(&stored).into());
        assert_eq!(digest(&line), line.body);
        line.sha256 = Some(Sha256::digest([0; 4096]).into());
        line.body = None;
        assert_eq!(digest(&line), line.sha256);
    }

    #[test]
    fn a_map_leads_neither_back_nor_behind_the_end() {
        // Nor is it written in another way than pack does.
        for map in [
            "01\n0\n1\n",
            "1\n00\n1\n",
            "1\n+0\n1\n",
            "1\n4095\n2\n",
            "1\n18446744073709551600\n1\n",
            "2\n9\n4000\n0\n4\n",
        ] {
            let mut stored = map.as_bytes().to_vec();
            stored.resize(512, 0);
            stored.extend([7; 4096]);
            let mut digester = Digester::new(true, 4096);
            digester.update(&stored);
            assert_eq!(digester.finish(), None, "{map}");
        }
    }
}
