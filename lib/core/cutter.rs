//! Cuts the content of a file into chunks, as it passes by, at places that depend on the content
//! alone: so what is inserted or removed changes the chunks around it, and no others.

use fastcdc::v2020::FastCDC;

use crate::format::sums::{Chunk, ChunkHash, MAX_AVERAGE, MAX_CHUNKS, MAX_HOLE, MIN_AVERAGE};

/// About so many chunks a file has at most.
const CHUNKS: u64 = 1 << 20;

/// Chunks have between a quarter of the mean and this many times it.
const SPREAD: usize = 4;

/// The mean length of the chunks of a file of this size.
pub fn average(size: u64) -> u32 {
    let wanted = (size / CHUNKS).max(1).checked_next_power_of_two().unwrap_or(u64::MAX);
    u32::try_from(wanted).unwrap_or(u32::MAX).clamp(MIN_AVERAGE, MAX_AVERAGE)
}

/// What a chunk is known by.
pub fn chunk_hash(bytes: &[u8]) -> ChunkHash {
    let mut hash = ChunkHash::default();
    hash.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    hash
}

/// The machine: [`Cutter::handle_data`] and [`Cutter::handle_hole`] in the order of the content,
/// then [`Cutter::finish`].
#[derive(Debug)]
pub struct Cutter {
    average: u32,
    /// What has come and is in no chunk.
    open: Vec<u8>,
    chunks: Vec<Chunk>,
}

impl Cutter {
    /// One that makes chunks of this mean length.
    pub fn new(average: u32) -> Cutter {
        Cutter { average, open: Vec::new(), chunks: Vec::new() }
    }

    /// The next bytes of the content.
    pub fn handle_data(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
        self.cut(self.average as usize * SPREAD);
    }

    /// A hole. Its borders are borders of chunks.
    pub fn handle_hole(&mut self, mut len: u64) {
        self.cut(1);
        while len > 0 && self.chunks.len() <= MAX_CHUNKS {
            let piece = len.min(MAX_HOLE.into());
            self.chunks.push(Chunk { len: piece as u32, hash: None });
            len -= piece;
        }
    }

    /// Cuts as long as there are so many bytes.
    fn cut(&mut self, least: usize) {
        if self.open.len() < least {
            return;
        }
        let average = self.average as usize;
        let cutter = FastCDC::new(&self.open, average / SPREAD, average, average * SPREAD);
        let mut start = 0;
        while self.open.len() - start >= least {
            let (_, end) = cutter.cut(start, self.open.len() - start);
            let bytes = &self.open[start..end];
            // Of a file with too many chunks no more are kept.
            if self.chunks.len() <= MAX_CHUNKS {
                self.chunks.push(Chunk { len: bytes.len() as u32, hash: Some(chunk_hash(bytes)) });
            }
            start = end;
        }
        self.open.drain(..start);
    }

    /// All chunks; none if they are too many.
    pub fn finish(mut self) -> Option<Vec<Chunk>> {
        self.cut(1);
        (self.chunks.len() <= MAX_CHUNKS).then_some(self.chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not repeat.
    fn noise(len: usize, mut seed: u64) -> Vec<u8> {
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn cut(pieces: &[&[u8]]) -> Vec<Chunk> {
        let mut cutter = Cutter::new(MIN_AVERAGE);
        pieces.iter().for_each(|piece| cutter.handle_data(piece));
        cutter.finish().unwrap()
    }

    #[test]
    fn chunks_do_not_depend_on_pieces() {
        let data = noise(1 << 20, 1);
        let chunks = cut(&[&data]);
        let lens = chunks.iter().map(|chunk| chunk.len);
        assert_eq!(lens.clone().sum::<u32>(), 1 << 20);
        assert!((30..130).contains(&chunks.len()), "{}", chunks.len());
        assert!(lens.clone().all(|len| len <= 4 * MIN_AVERAGE));
        let pieces: Vec<&[u8]> = data.chunks(1000).collect();
        assert_eq!(cut(&pieces), chunks);
        assert_eq!(cut(&[&data[..77_777], &data[77_777..]]), chunks);
        assert_eq!(cut(&[]), []);
    }

    #[test]
    fn what_is_inserted_changes_what_is_around_it() {
        let data = noise(1 << 20, 2);
        let (before, after) = (cut(&[&data]), cut(&[&data[..500_000], b"new", &data[500_000..]]));
        let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
        assert!((1..=4).contains(&new), "{new}");
    }

    #[test]
    fn holes_are_chunks_of_their_own() {
        let mut cutter = Cutter::new(MIN_AVERAGE);
        cutter.handle_data(b"abc");
        cutter.handle_hole(5 << 30);
        cutter.handle_data(b"abc");
        let data = Chunk { len: 3, hash: Some(chunk_hash(b"abc")) };
        let hole = |len| Chunk { len, hash: None };
        let holes = [MAX_HOLE, MAX_HOLE, 1 << 30].map(hole);
        assert_eq!(cutter.finish().unwrap(), [&[data], &holes[..], &[data]].concat());
    }

    #[test]
    fn large_files_have_larger_chunks() {
        let sizes = [0, 16 << 30, (16 << 30) + (1 << 20), 1 << 40, u64::MAX];
        let wanted = [16 << 10, 16 << 10, 32 << 10, 1 << 20, 4 << 20];
        assert_eq!(sizes.map(average), wanted);
    }
}
