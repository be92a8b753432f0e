//! Parity: the Reed-Solomon code over a group's objects, shard by shard as they stream past.
//!
//! The field and the matrix are those of `reed-solomon-erasure`. Instead of whole groups it is
//! given unit vectors: what it makes of them are the factors with which known shards add up to the
//! others. So encoder and repair take shards one at a time, need no zeros for slots that are empty
//! or objects that are short, and keep only what they write.

use reed_solomon_erasure::galois_8::{ReedSolomon, mul_slice_xor};

use crate::format::group::MAX_SHARDS;

/// How much of a shard is added to each sum before the next part of it: it stays in the processor's
/// first cache.
const STRIDE: usize = 16 << 10;

/// The code of groups with some number of slots and parity shards. Shards count from 0: the slots,
/// then the parity.
#[derive(Debug)]
pub struct Code {
    slots: usize,
    code: ReedSolomon,
}

impl Code {
    /// None when there is no such code: both must be 1 at least, and together [`MAX_SHARDS`] at
    /// most.
    pub fn new(slots: usize, parity: usize) -> Option<Code> {
        let fits = slots.checked_add(parity).is_some_and(|all| all <= MAX_SHARDS);
        Some(Code { slots, code: fits.then(|| ReedSolomon::new(slots, parity).ok())?? })
    }

    /// For each of the `wanted` shards the factors by which the `known` ones add up to it. None
    /// unless as many different shards are known as there are slots, and all exist.
    pub fn factors(&self, known: &[usize], wanted: &[usize]) -> Option<Vec<Vec<u8>>> {
        if known.len() != self.slots {
            return None;
        }
        let mut shards: Vec<Option<Vec<u8>>> = vec![None; self.code.total_shard_count()];
        for (at, shard) in known.iter().enumerate() {
            let unit = (0..self.slots).map(|i| u8::from(i == at)).collect();
            if shards.get_mut(*shard)?.replace(unit).is_some() {
                return None;
            }
        }
        self.code.reconstruct(&mut shards).ok()?;
        wanted.iter().map(|shard| shards.get(*shard)?.clone()).collect()
    }
}

/// Adds the shard to each sum, multiplied with that sum's factor. What of the shard is longer than
/// a sum is left out.
pub fn add(shard: &[u8], factors: impl Iterator<Item = u8> + Clone, sums: &mut [Vec<u8>]) {
    for (at, part) in shard.chunks(STRIDE).enumerate() {
        for (sum, factor) in sums.iter_mut().zip(factors.clone()) {
            let sum = sum.get_mut(at * STRIDE..).unwrap_or_default();
            let len = part.len().min(sum.len());
            mul_slice_xor(factor, &part[..len], &mut sum[..len]);
        }
    }
}

/// The machine that makes parity: `handle_object` for each object of a group in its order, then
/// `finish`, and it begins anew.
#[derive(Debug)]
pub struct Encoder {
    /// For each parity shard a factor for each slot.
    factors: Vec<Vec<u8>>,
    sums: Vec<Vec<u8>>,
    filled: usize,
}

impl Encoder {
    /// None when there is no such code, as with [`Code::new`].
    pub fn new(slots: usize, parity: usize) -> Option<Encoder> {
        let code = Code::new(slots, parity)?;
        let all: Vec<usize> = (0..slots + parity).collect();
        let (known, wanted) = all.split_at(slots);
        let factors = code.factors(known, wanted)?;
        Some(Encoder { sums: vec![Vec::new(); parity], factors, filled: 0 })
    }

    /// Takes the object of the next slot. There must be one.
    pub fn handle_object(&mut self, bytes: &[u8]) {
        for sum in &mut self.sums {
            if sum.len() < bytes.len() {
                sum.reserve_exact(bytes.len() - sum.len());
                sum.resize(bytes.len(), 0);
            }
        }
        let slot = self.filled;
        add(bytes, self.factors.iter().map(|factors| factors[slot]), &mut self.sums);
        self.filled += 1;
    }

    /// The parity shards of the group, each as long as its longest object.
    pub fn finish(&mut self) -> Vec<Vec<u8>> {
        self.filled = 0;
        let none = vec![Vec::new(); self.sums.len()];
        std::mem::replace(&mut self.sums, none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(slots: usize, parity: usize, objects: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(slots, parity).unwrap();
        objects.iter().for_each(|object| encoder.handle_object(object));
        encoder.finish()
    }

    /// Bytes that look like chance.
    fn noise(seed: usize, len: usize) -> Vec<u8> {
        (0..len).map(|i| (((seed * 7919 + i) * 2_654_435_761) >> 13) as u8).collect()
    }

    /// What Backblaze's JavaReedSolomon and klauspost/reedsolomon have in their tests for 5 + 5.
    #[test]
    fn the_known_vector() {
        let objects: [&[u8]; 5] = [&[0, 1], &[4, 5], &[2, 3], &[6, 7], &[8, 9]];
        assert_eq!(encode(5, 5, &objects), [[12, 13], [10, 11], [14, 15], [90, 91], [94, 95]]);
    }

    #[test]
    fn it_is_the_code_of_the_crate() {
        for (slots, parity, filled) in
            [(1, 1, 1), (4, 2, 4), (10, 2, 7), (32, 2, 32), (20, 4, 13), (128, 8, 128), (255, 1, 3)]
        {
            let longest = 2 * STRIDE + 77;
            let objects: Vec<Vec<u8>> =
                (0..filled).map(|i| noise(i, if i == 1 { 0 } else { longest - 13 * i })).collect();
            let mut shards: Vec<Vec<u8>> = objects.clone();
            shards.resize(slots + parity, Vec::new());
            shards.iter_mut().for_each(|shard| shard.resize(longest, 0));
            ReedSolomon::new(slots, parity).unwrap().encode(&mut shards).unwrap();
            let objects: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
            assert!(encode(slots, parity, &objects) == shards[slots..], "{slots}+{parity}");
        }
    }

    #[test]
    fn an_encoder_begins_anew() {
        let mut encoder = Encoder::new(2, 1).unwrap();
        encoder.handle_object(b"first group");
        let first = encoder.finish();
        encoder.handle_object(b"x");
        assert_eq!(
            (first, encoder.finish()),
            (encode(2, 1, &[b"first group"]), encode(2, 1, &[b"x"]))
        );
        assert_eq!(encoder.finish(), [b""]);
    }

    #[test]
    fn factors_rebuild_what_is_gone() {
        let code = Code::new(3, 2).unwrap();
        let objects: [&[u8]; 3] = [&noise(1, 50), &noise(2, 40), &noise(3, 50)];
        let shards: Vec<Vec<u8>> =
            objects.iter().map(|object| object.to_vec()).chain(encode(3, 2, &objects)).collect();
        for known in [[0, 1, 2], [4, 3, 0], [1, 3, 4], [2, 4, 1]] {
            let wanted: Vec<usize> = (0..5).collect();
            let factors = code.factors(&known, &wanted).unwrap();
            let mut sums = vec![vec![0; 50]; 5];
            for (at, shard) in known.iter().enumerate() {
                add(&shards[*shard], factors.iter().map(|factors| factors[at]), &mut sums);
            }
            sums[1].truncate(40);
            assert_eq!(sums, shards, "{known:?}");
        }
        for bad in [&[0, 1][..], &[0, 1, 1], &[0, 1, 5], &[0, 1, 2, 3]] {
            assert_eq!(code.factors(bad, &[0]), None, "{bad:?}");
        }
        assert_eq!(code.factors(&[0, 1, 2], &[5]), None);
    }

    #[test]
    fn codes_that_are_none() {
        for (slots, parity) in
            [(0, 1), (1, 0), (255, 2), (256, 1), (1, 256), (usize::MAX, 1), (1, usize::MAX)]
        {
            assert!(Code::new(slots, parity).is_none(), "{slots}+{parity}");
        }
        assert!(Code::new(255, 1).is_some() && Code::new(1, 255).is_some());
    }
}
