//! Which objects a run looks at that looks only at a part of them.

/// A part of all objects: a share of them, another one for each seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectSample {
    seed: u64,
    share: f64,
}

impl ObjectSample {
    /// A share from 0 to 1.
    pub fn new(seed: u64, share: f64) -> ObjectSample {
        ObjectSample { seed, share }
    }

    /// True if the object of this name is looked at.
    pub fn has(&self, name: &str) -> bool {
        if self.share >= 1.0 {
            return true;
        }
        // FNV-1a over the name, mixed with the seed as splitmix64 does: names differ little, the
        // results much.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let mut mixed = hash ^ self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
        }
        ((mixed >> 11) as f64) < self.share * (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_share_and_seeds_differ() {
        let names: Vec<String> =
            (0..20_000).map(|n| format!("20261101T020000Z/00000/{n:09}.tar.gz.gpg")).collect();
        let part = |seed, share| {
            names.iter().filter(|name| ObjectSample::new(seed, share).has(name)).collect::<Vec<_>>()
        };
        for (share, least, most) in
            [(0.0, 0, 0), (0.05, 850, 1150), (0.5, 9700, 10_300), (1.0, 20_000, 20_000)]
        {
            let count = part(7, share).len();
            assert!((least..=most).contains(&count), "{share}: {count}");
        }
        let (one, two) = (part(1, 0.1), part(2, 0.1));
        assert_eq!(one, part(1, 0.1));
        let both = one.iter().filter(|name| two.contains(name)).count();
        assert!((100..300).contains(&both), "{both} of {} in both", one.len());
        // Every object has its turn.
        assert!(
            names
                .iter()
                .take(100)
                .all(|name| (0..200).any(|seed| ObjectSample::new(seed, 0.1).has(name)))
        );
    }
}
