//! Detached signatures: making one, and what gpg says of one.

use std::io::{self, Write};

use super::{GpgError, Input, run, strings};

/// Signs `input` with the secret key of this fingerprint. The signature is for a file of its own,
/// as `gpg --verify` takes it.
pub fn sign(fingerprint: &str, input: &[u8]) -> Result<Vec<u8>, GpgError> {
    run(
        &strings(&["--local-user", fingerprint, "--detach-sign", "--output", "-"]),
        Input::Bytes(input),
    )?
    .require("SIG_CREATED")
}

/// What a detached signature says of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
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
    pub standing: Standing,
}

/// How a valid signature stands at the time it is looked at. A key that has expired since tells
/// nothing against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is against it.
    Good,
    /// The signature or its key has expired.
    Expired,
    /// The key was revoked: it may be in other hands.
    Revoked,
}

/// Checks a detached signature of `bytes`. Whose signature is wanted is for the caller to say:
/// trust in keys is not asked for.
pub fn verify(signature: &[u8], bytes: &[u8]) -> Result<Verdict, GpgError> {
    // gpg takes only one of the two from a pipe.
    let mut file = tempfile::NamedTempFile::new().map_err(GpgError::Talk)?;
    file.write_all(signature).and_then(|()| file.flush()).map_err(GpgError::Talk)?;
    let mut args = strings(&["--trust-model", "always", "--verify", "--"]);
    args.extend([file.path().into(), "-".into()]);
    let outcome = match run(&args, Input::Bytes(bytes)) {
        // It may be through before it has read all.
        Err(GpgError::Talk(why)) if why.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(Verdict::NoSignature);
        }
        outcome => outcome?,
    };
    Ok(verdict(&outcome.status, outcome.success))
}

/// Reads the status lines; they are described in GnuPG's doc/DETAILS.
pub fn verdict(status: &[String], success: bool) -> Verdict {
    let mut standing = Standing::Revoked;
    let mut signers = Vec::new();
    let mut unknown = None;
    for line in status {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["BADSIG", ..] => return Verdict::Bad,
            ["NO_PUBKEY", key, ..] => unknown = Some(key.to_owned()),
            ["GOODSIG", ..] => standing = Standing::Good,
            ["EXPSIG" | "EXPKEYSIG", ..] => standing = Standing::Expired,
            ["REVKEYSIG", ..] => standing = Standing::Revoked,
            ["VALIDSIG", fingerprint, _, _, _, _, _, _, _, _, primary, ..] => {
                signers.push(Signer {
                    fingerprint: fingerprint.to_owned(),
                    primary: primary.to_owned(),
                    standing,
                });
                standing = Standing::Revoked;
            }
            _ => {}
        }
    }
    match (signers.is_empty(), unknown) {
        (false, _) if success => Verdict::Signed(signers),
        (_, Some(key)) => Verdict::Unknown(key),
        _ => Verdict::NoSignature,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: &str, success: bool) -> Verdict {
        verdict(&status.lines().map(str::to_owned).collect::<Vec<_>>(), success)
    }

    #[test]
    fn verdicts() {
        let valid = "VALIDSIG 99AA 2026-11-24 1795501908 0 4 0 22 8 00 11BB";
        let signed = |standing| {
            Verdict::Signed(vec![Signer {
                fingerprint: "99AA".into(),
                primary: "11BB".into(),
                standing,
            }])
        };
        assert_eq!(
            of(&format!("NEWSIG\nGOODSIG 99 Me\n{valid}\nTRUST_ULTIMATE"), true),
            signed(Standing::Good)
        );
        assert_eq!(of(&format!("EXPKEYSIG 99 Me\n{valid}"), true), signed(Standing::Expired));
        assert_eq!(of(&format!("REVKEYSIG 99 Me\n{valid}"), true), signed(Standing::Revoked));
        assert_eq!(of(&format!("GOODSIG 99 Me\n{valid}"), false), Verdict::NoSignature);
        assert_eq!(of(&format!("GOODSIG 99 Me\n{valid}\nBADSIG 98 You"), false), Verdict::Bad);
        assert_eq!(
            of("ERRSIG 99 22 8 00 1795501908 9 99AA\nNO_PUBKEY 99", false),
            Verdict::Unknown("99".into())
        );
        assert_eq!(of("NODATA 3", false), Verdict::NoSignature);
        assert_eq!(of("", true), Verdict::NoSignature);
    }
}
