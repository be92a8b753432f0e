//! Where a group that has lost its list begins and ends among objects that follow each other, told
//! by the parity that is left of it.
//!
//! Parity is made byte by byte, so the first bytes of objects and shards are enough to try all
//! borders; whoever goes by the answer then holds all of it against the parity.

use std::ops::Range;

use crate::core::parity::{Code, add};

/// How many bytes of each object and shard tell.
pub const TELLING: usize = 1 << 10;

/// The begin of an object or shard: its first [`TELLING`] bytes, fewer only if it has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The size of all of it.
    pub size: u64,
}

/// Finds the objects that have this parity, in a code of so many slots and shards. `shards` are
/// those that are there, with their numbers. None if no range fits, or there is no such code.
pub fn find(
    objects: &[Beginning],
    shards: &[(usize, Beginning)],
    slots: usize,
    parity: usize,
) -> Option<Range<usize>> {
    let code = Code::new(slots, parity)?;
    let known: Vec<usize> = (0..slots).collect();
    let wanted: Vec<usize> = shards.iter().map(|(shard, _)| slots + shard).collect();
    let factors = code.factors(&known, &wanted).filter(|_| !shards.is_empty())?;
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let fits = |sum: &[u8], begin: &Beginning| {
        let len = begin.bytes.len();
        sum[..len] == begin.bytes[..] && is_zero(&sum[len..])
    };
    for first in 0..objects.len() {
        let mut sums = vec![vec![0; TELLING]; shards.len()];
        let mut longest = 0;
        for (slot, object) in objects[first..].iter().take(slots).enumerate() {
            add(&object.bytes, factors.iter().map(|factors| factors[slot]), &mut sums);
            longest = longest.max(object.size);
            let mut all = shards.iter().zip(&sums);
            if all.all(|((_, shard), sum)| shard.size == longest && fits(sum, shard)) {
                return Some(first..first + slot + 1);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::parity::Encoder;

    fn object(seed: usize) -> Vec<u8> {
        (0..40 + seed * 97 % 3000)
            .map(|i| (((seed * 7919 + i) * 2_654_435_761) >> 13) as u8)
            .collect()
    }

    fn begin(bytes: &[u8]) -> Beginning {
        Beginning { bytes: bytes[..bytes.len().min(TELLING)].to_vec(), size: bytes.len() as u64 }
    }

    #[test]
    fn every_border_is_found_by_any_shard() {
        let objects: Vec<Vec<u8>> = (0..9).map(object).collect();
        let begins: Vec<Beginning> = objects.iter().map(|object| begin(object)).collect();
        for first in 0..9 {
            for last in first..9.min(first + 5) {
                let mut encoder = Encoder::new(5, 2).unwrap();
                objects[first..=last].iter().for_each(|object| encoder.handle_object(object));
                let shards: Vec<(usize, Beginning)> =
                    encoder.finish().iter().map(|shard| begin(shard)).enumerate().collect();
                let find = |shards: &[(usize, Beginning)]| find(&begins, shards, 5, 2);
                assert_eq!(find(&shards), Some(first..last + 1));
                assert_eq!(find(&shards[..1]), Some(first..last + 1));
                assert_eq!(find(&shards[1..]), Some(first..last + 1));
                let mut less = begins.clone();
                less.remove(last);
                assert_eq!(super::find(&less, &shards, 5, 2), None);
            }
        }
        assert_eq!(find(&begins, &[], 5, 2), None);
        assert_eq!(find(&begins, &[(0, begins[0].clone())], 0, 2), None);
    }
}
