//! Whether a run keeps up what the band below it has: a layer that is not encrypted, not signed or
//! without parity, on a band that is, was most likely not meant.

use crate::format::stream::SealedAs;

/// What the one who runs push lets pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waived {
    /// `--plain`
    pub plain: bool,
    /// `--unsigned`
    pub unsigned: bool,
    /// `--no-parity`
    pub no_parity: bool,
}

/// A thing that can be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// The band below is encrypted.
    Encryption,
    /// Its lists are signed.
    Signature,
    /// It has parity.
    Parity,
}

impl Forgotten {
    /// What the band below is, the options that the run lacks, and the option that lets it pass.
    pub fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Forgotten::Encryption => ("encrypted", "-r KEY or --symmetric", "--plain"),
            Forgotten::Signature => ("signed", "--sign KEY", "--unsigned"),
            Forgotten::Parity => ("protected by parity", "--parity M", "--no-parity"),
        }
    }
}

/// What has to be asked of the band below: what the run lacks and nobody waived.
pub fn questions(run: SealedAs, waived: Waived) -> Vec<Forgotten> {
    let lacks = [
        (Forgotten::Encryption, !run.encrypted && !waived.plain),
        (Forgotten::Signature, !run.signed && !waived.unsigned),
        (Forgotten::Parity, run.parity == 0 && !waived.no_parity),
    ];
    lacks.into_iter().filter(|(_, lacks)| *lacks).map(|(what, _)| what).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_lacking_is_asked() {
        let all = SealedAs { encrypted: true, signed: true, parity: 2 };
        let none = SealedAs { encrypted: false, signed: false, parity: 0 };
        let waive = Waived { plain: true, unsigned: true, no_parity: true };
        assert_eq!(questions(all, Waived::default()), []);
        assert_eq!(questions(none, waive), []);
        let every = [Forgotten::Encryption, Forgotten::Signature, Forgotten::Parity];
        assert_eq!(questions(none, Waived::default()), every);
        let plain = Waived { plain: true, ..Waived::default() };
        assert_eq!(questions(none, plain), every[1..]);
        let unsigned = SealedAs { signed: false, ..all };
        assert_eq!(questions(unsigned, Waived::default()), [Forgotten::Signature]);
    }
}
