//! Detached signatures: making one, and what gpg says of one.

use std::io;

use super::handed::Handed;
use super::keys::GpgKey;
use super::trial::sample;
use super::{GpgCall, GpgError, GpgInput, Said, arguments, run_without_trust, strings};
use crate::format::openpgp::{self, KeyId};

/// Signs with one key.
#[derive(Debug, Clone)]
pub struct Signatory {
    /// What gpg is told: a fingerprint, with `!` for that part alone.
    name: String,
}

impl Signatory {
    /// One for a key, tried before it is needed: so that a passphrase is asked for at once, and
    /// that the named key signs, and no other.
    ///
    /// # Errors
    /// When gpg cannot sign with the key, or signs with others too.
    pub fn new(key: &GpgKey) -> Result<Signatory, GpgError> {
        let signatory = Signatory { name: key.name() };
        let (signature, signed_by) = signatory.sign_as_told(&sample())?;
        let ids = key.ids();
        let stranger =
            signed_by.iter().find(|by| KeyId::of(by).is_none_or(|by| !ids.contains(&by)));
        if let Some(stranger) = stranger {
            let what = format!("it signs with {stranger}, which was not requested");
            return Err(GpgError::Unusable(what));
        }
        match verify(&signature, &sample())? {
            SignatureVerdict::Signed(signers) if signers.len() == 1 => Ok(signatory),
            _ => Err(GpgError::Unusable("what it signs is not what it was given".to_owned())),
        }
    }

    /// Signs `input`. The signature is for a file of its own, as `gpg --verify` takes it.
    ///
    /// # Errors
    /// When gpg does not say that it has signed.
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, GpgError> {
        #[cfg(test)]
        if self.name == SIGNER {
            return Ok(stand_in(input));
        }
        Ok(self.sign_as_told(input)?.0)
    }

    /// The one whose signatures are [`stand_in`]s.
    #[cfg(test)]
    pub(crate) fn of_stand_in() -> Signatory {
        Signatory { name: SIGNER.to_owned() }
    }

    /// The same, with the fingerprints of the keys that gpg says it signed with.
    fn sign_as_told(&self, input: &[u8]) -> Result<(Vec<u8>, Vec<String>), GpgError> {
        let call = || {
            let mut args = strings(arguments::SIGNING);
            args.extend(strings(&["--local-user", &self.name, "--detach-sign"]));
            GpgCall::new(args, GpgInput::Bytes(input))
        };
        let outcome = run_without_trust(call)?;
        let by = outcome.said.lines("SIG_CREATED").filter_map(|words| words.last().copied());
        let by = by.map(str::to_owned).collect();
        Ok((outcome.require("SIG_CREATED")?, by))
    }
}

/// What a detached signature says of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// These keys have signed just these bytes; one at least.
    Signed(Vec<Signer>),
    /// A key has signed other bytes.
    Bad,
    /// A key has signed that the keyring does not have: its id or fingerprint.
    Unknown(String),
    /// It is no signature, or a damaged one.
    NoSignature,
}

/// Who has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Fingerprint of the key that signed, which may be a subkey.
    pub fingerprint: String,
    /// Fingerprint of the primary key, which is how keys are named.
    pub primary: String,
    /// How the key or the signature stands now.
    pub standing: SignatureStanding,
}

/// How a valid signature stands at the time it is looked at. A key that has expired since tells
/// nothing against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureStanding {
    /// Nothing is against it.
    Good,
    /// The signature or its key has expired.
    Expired,
    /// The key was revoked: it may be in other hands.
    Revoked,
}

/// Checks a detached signature of `bytes`, or several in one file. Whose signature is wanted is for
/// the caller to say: trust in keys is not asked for.
///
/// # Errors
/// When gpg cannot be run, or does not look at signatures.
pub fn verify(signature: &[u8], bytes: &[u8]) -> Result<SignatureVerdict, GpgError> {
    #[cfg(test)]
    if let Some(sum) = signature.strip_prefix(STAND_IN) {
        let (fingerprint, primary) = (SIGNER.to_owned(), SIGNER.to_owned());
        return Ok(match sum == crate::format::digest::of(bytes) {
            true => SignatureVerdict::Signed(vec![Signer {
                fingerprint,
                primary,
                standing: SignatureStanding::Good,
            }]),
            false => SignatureVerdict::Bad,
        });
    }
    if !openpgp::is_signatures(signature) {
        return Ok(SignatureVerdict::NoSignature);
    }
    // One that was made with --armor is for gpg to take apart.
    let single = openpgp::signatures(signature).unwrap_or_else(|| vec![signature]);
    let whole = look(signature, bytes)?;
    if single.len() < 2 {
        return Ok(whole);
    }
    // gpg gives up on some mixtures. Any good one counts.
    let mut signers = Vec::new();
    for signature in single {
        if let SignatureVerdict::Signed(more) = look(signature, bytes)? {
            signers.extend(more);
        }
    }
    Ok(if signers.is_empty() { whole } else { SignatureVerdict::Signed(signers) })
}

/// Who makes the signatures that stand in for those of gpg.
#[cfg(test)]
pub(crate) const SIGNER: &str = "AAAA";

#[cfg(test)]
const STAND_IN: &[u8] = b"in place of a signature: ";

/// What stands in for a signature where thousands are made: the search over orders.
#[cfg(test)]
pub(crate) fn stand_in(bytes: &[u8]) -> Vec<u8> {
    [STAND_IN, &crate::format::digest::of(bytes)].concat()
}

fn look(signature: &[u8], bytes: &[u8]) -> Result<SignatureVerdict, GpgError> {
    // gpg takes only one of the two from a pipe.
    let file = Handed::new(signature).map_err(GpgError::Talk)?;
    let call = || {
        let mut args = strings(arguments::NOTHING_TO_UNLOCK);
        // Which digests are too weak is said below, not in a gpg.conf.
        args.extend(strings(&["--allow-weak-digest-algos", "--verify", "--"]));
        args.extend([file.path().into(), "-".into()]);
        GpgCall::new(args, GpgInput::Bytes(bytes))
    };
    let outcome = match run_without_trust(call) {
        // It may be through before it has read all.
        Err(GpgError::Talk(why)) if why.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(SignatureVerdict::NoSignature);
        }
        outcome => outcome?,
    };
    judge(&outcome.said)
}

/// The verdict, if gpg has looked at all.
fn judge(said: &Said) -> Result<SignatureVerdict, GpgError> {
    const LOOKED: [&str; 6] = ["NEWSIG", "GOODSIG", "BADSIG", "ERRSIG", "NODATA", "UNEXPECTED"];
    let looked = LOOKED.iter().any(|word| said.has(word)) || said.has("VALIDSIG");
    // With `multifile` it takes data for names of files.
    if !looked || said.has("FILE_START") {
        let text = said.text();
        return Err(match text.is_empty() {
            true => GpgError::Unsure,
            false => GpgError::Unusable(text),
        });
    }
    Ok(verdict(&said.status))
}

/// Reads the status lines; they are described in GnuPG's doc/DETAILS.
pub fn verdict(status: &[String]) -> SignatureVerdict {
    /// The number of MD5, of which nobody can say that it is of these bytes alone.
    const MD5: &str = "1";
    let mut standing = SignatureStanding::Revoked;
    let mut signers = Vec::new();
    let (mut bad, mut unknown) = (false, None);
    for line in status {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["BADSIG", ..] => bad = true,
            ["NO_PUBKEY", key, ..] => unknown = Some(key.to_owned()),
            ["GOODSIG", ..] => standing = SignatureStanding::Good,
            ["EXPSIG" | "EXPKEYSIG", ..] => standing = SignatureStanding::Expired,
            ["REVKEYSIG", ..] => standing = SignatureStanding::Revoked,
            ["VALIDSIG", fingerprint, _, _, _, _, _, _, digest, _, primary, ..] => {
                if digest != MD5 {
                    signers.push(Signer {
                        fingerprint: fingerprint.to_owned(),
                        primary: primary.to_owned(),
                        standing,
                    });
                }
                standing = SignatureStanding::Revoked;
            }
            _ => {}
        }
    }
    match (signers.is_empty(), bad, unknown) {
        (false, ..) => SignatureVerdict::Signed(signers),
        (true, true, _) => SignatureVerdict::Bad,
        (true, false, Some(key)) => SignatureVerdict::Unknown(key),
        (true, false, None) => SignatureVerdict::NoSignature,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: &str) -> SignatureVerdict {
        verdict(&status.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn verdicts() {
        let valid = "VALIDSIG 99AA 2026-11-24 1795501908 0 4 0 22 8 00 11BB";
        let signed = |standing| {
            SignatureVerdict::Signed(vec![Signer {
                fingerprint: "99AA".into(),
                primary: "11BB".into(),
                standing,
            }])
        };
        assert_eq!(
            of(&format!("NEWSIG\nGOODSIG 99 Me\n{valid}\nTRUST_ULTIMATE")),
            signed(SignatureStanding::Good)
        );
        assert_eq!(of(&format!("EXPKEYSIG 99 Me\n{valid}")), signed(SignatureStanding::Expired));
        assert_eq!(of(&format!("REVKEYSIG 99 Me\n{valid}")), signed(SignatureStanding::Revoked));
        // Any good one counts.
        assert_eq!(
            of(&format!("GOODSIG 99 Me\n{valid}\nBADSIG 98 You")),
            signed(SignatureStanding::Good)
        );
        assert_eq!(of("BADSIG 98 You"), SignatureVerdict::Bad);
        let md5 = valid.replace(" 8 00 ", " 1 00 ");
        assert_eq!(of(&format!("GOODSIG 99 Me\n{md5}")), SignatureVerdict::NoSignature);
        assert_eq!(
            of("ERRSIG 99 22 8 00 1795501908 9 99AA\nNO_PUBKEY 99"),
            SignatureVerdict::Unknown("99".into())
        );
        assert_eq!(
            of(&format!("NEWSIG\nERRSIG 98\nNO_PUBKEY 98\nNEWSIG\nGOODSIG 99 Me\n{valid}")),
            signed(SignatureStanding::Good)
        );
        assert_eq!(of("NODATA 3"), SignatureVerdict::NoSignature);
        assert_eq!(of(""), SignatureVerdict::NoSignature);
    }

    #[test]
    fn gpg_that_does_not_look_gives_no_verdict() {
        let of = |stderr: &str| judge(&Said::parse(stderr.as_bytes()));
        assert!(matches!(of("[GNUPG:] NODATA 4"), Ok(SignatureVerdict::NoSignature)));
        assert!(matches!(of(""), Err(GpgError::Unsure)));
        let skipped = of("gpg: signature verification suppressed");
        assert!(matches!(skipped, Err(GpgError::Unusable(_))));
        let fatal = of("gpg: Fatal: can't create directory '/x/.gnupg': Permission denied");
        assert!(matches!(fatal, Err(GpgError::Unusable(_))));
    }
}
