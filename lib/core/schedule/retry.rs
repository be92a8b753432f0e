//! How long to wait before something that failed is tried again, and when to give up.

use std::time::Duration;

/// A server that asks for more than this is not waited for any longer: it may be wrong, or mean
/// harm.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// How long to go on trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often something is tried again.
    pub retries: u32,
    /// The first wait; each one after it is twice as long.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Patience {
    /// Waits of half a second up to a minute.
    pub fn new(retries: u32) -> Patience {
        Patience { retries, first: Duration::from_millis(500), most: Duration::from_secs(60) }
    }

    /// The wait after so many failures, with what the server asked for; none when it is time to
    /// give up.
    ///
    /// Half of the wait is left to chance, so that many who failed together do not come back
    /// together.
    pub fn wait(
        &self,
        failures: u32,
        asked: Option<Duration>,
        dice: &mut Dice,
    ) -> Option<Duration> {
        if failures > self.retries {
            return None;
        }
        let doubled = 1u32
            .checked_shl(failures.saturating_sub(1))
            .filter(|factor| *factor > 0)
            .unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.most);
        let wait = whole / 2 + (whole / 2).mul_f64(dice.roll());
        Some(asked.map_or(wait, |asked| asked.min(LONGEST_ASKED).max(wait)))
    }
}

/// Chance from a seed: splitmix64, by Sebastiano Vigna, <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// Chance that is the same for the same seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number from 0 to 1.
    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let patience = Patience { retries: 9, ..Patience::new(9) };
        let mut dice = Dice::new(1);
        let waits: Vec<Option<Duration>> =
            (1..=10).map(|failures| patience.wait(failures, None, &mut dice)).collect();
        let most = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
        for (wait, most) in waits.iter().zip(most.map(Duration::from_millis)) {
            assert!(
                wait.is_some_and(|wait| (most / 2..=most).contains(&wait)),
                "{wait:?} of {most:?}"
            );
        }
        assert_eq!(waits[9], None);
        assert_eq!(Patience::new(0).wait(1, None, &mut dice), None);
        // No number of failures is too large to count with.
        assert!(
            Patience::new(u32::MAX)
                .wait(u32::MAX, None, &mut dice)
                .is_some_and(|wait| wait <= patience.most)
        );
    }

    #[test]
    fn what_the_server_asks_for_is_kept_within_reason() {
        let patience = Patience::new(3);
        let wait =
            |asked| patience.wait(1, Some(Duration::from_secs(asked)), &mut Dice::new(7)).unwrap();
        assert!(wait(0) >= Duration::from_millis(250));
        assert_eq!([wait(20), wait(1 << 40)], [Duration::from_secs(20), LONGEST_ASKED]);
    }

    #[test]
    fn chance_is_even() {
        let mut dice = Dice::new(42);
        let rolls: Vec<f64> = (0..1000).map(|_| dice.roll()).collect();
        assert!(rolls.iter().all(|roll| (0.0..=1.0).contains(roll)));
        assert!((rolls.iter().sum::<f64>() / 1000.0 - 0.5).abs() < 0.05);
    }
}
