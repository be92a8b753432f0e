//! What a backup builds on. A store shows whatever somebody put there; a run builds only on what
//! this host has written itself or has taken in, as its journal says, or on what a key has signed.

/// A band that is named so many seconds ahead of the clock is not taken in without being asked for:
/// it would keep all later ones from being the newest.
const FAR: i64 = 24 * 3600;

/// How much of what an archive shows is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// There is no journal: all of it.
    Everything,
    /// The journal knows nothing of this archive yet: all of it, this once.
    Once,
    /// Only what is signed: the journal knows nothing of this archive, or there is none.
    Signed,
    /// Only what the journal or a signature vouches for.
    Vouched,
}

impl Belief {
    /// Whether only that is believed for which something vouches.
    pub fn is_strict(self) -> bool {
        matches!(self, Belief::Signed | Belief::Vouched)
    }
}

/// How much is believed: with something that vouches or without; with keys whose signatures do; and
/// whether the journal knows the archive's address or one of its bands.
pub fn belief(vouching: bool, signers: bool, knows_address: bool, knows_band: bool) -> Belief {
    match (vouching, knows_address || knows_band) {
        (false, _) => Belief::Everything,
        (true, false) if signers => Belief::Signed,
        (true, false) => Belief::Once,
        (true, true) => Belief::Vouched,
    }
}

/// Whether a band may be built on: vouched for or not, asked for by name or not, and by how many
/// seconds its name is ahead of the clock.
pub fn takes(belief: Belief, vouched: bool, asked: bool, ahead: i64) -> bool {
    vouched
        || asked
        || match belief {
            Belief::Everything => true,
            Belief::Once => ahead <= FAR,
            Belief::Signed | Belief::Vouched => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Belief::{Everything, Once, Signed, Vouched};

    #[test]
    fn what_is_known_decides() {
        for (vouching, signers, address, band, wanted) in [
            (false, false, false, false, Everything),
            (false, false, true, true, Everything),
            (true, false, false, false, Once),
            (true, true, false, false, Signed),
            (true, true, true, false, Vouched),
            // An archive that was copied to another disk, and one of which all own bands are
            // hidden.
            (true, false, false, true, Vouched),
            (true, false, true, false, Vouched),
            (true, false, true, true, Vouched),
        ] {
            assert_eq!(belief(vouching, signers, address, band), wanted);
        }
    }

    #[test]
    fn what_is_taken() {
        for (belief, vouched, asked, ahead, wanted) in [
            (Vouched, true, false, 0, true),
            (Vouched, false, false, 0, false),
            (Vouched, false, true, 0, true),
            (Signed, true, false, 0, true),
            (Signed, false, false, 0, false),
            (Signed, false, true, 0, true),
            (Vouched, true, false, 1 << 40, true),
            (Once, false, false, 0, true),
            (Once, false, false, FAR, true),
            (Once, false, false, FAR + 1, false),
            (Once, false, true, FAR + 1, true),
            (Everything, false, false, 0, true),
            (Everything, false, false, FAR + 1, true),
        ] {
            assert_eq!(
                takes(belief, vouched, asked, ahead),
                wanted,
                "{belief:?} {vouched} {asked}"
            );
        }
    }
}
