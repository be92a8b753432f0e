//! `--signed-by`: the keys whose signatures count, looked up in the keyring in one place for all
//! programs.

use anyhow::{Context, anyhow, bail};

use crate::edge::gpg::{self, SignatureStanding, SignatureVerdict, Signer, Use};
use crate::report::message::Hinted;

/// Whose signatures count.
#[derive(Debug, Clone)]
pub(crate) struct Signers {
    /// As they were typed, for messages.
    pub shown: String,
    /// Fingerprints of keys, of which one is enough, with `!` for that part of a key alone.
    pub fingerprints: Vec<String>,
}

impl Signers {
    /// The keys that `--signed-by` names; none if it is not given.
    pub(crate) fn by(keys: &[String]) -> anyhow::Result<Option<Signers>> {
        let fingerprints =
            keys.iter().map(|key| fingerprint(key)).collect::<anyhow::Result<_>>()?;
        Ok((!keys.is_empty()).then(|| Signers { shown: keys.join(" or "), fingerprints }))
    }

    /// Whether a signer is one of them.
    pub(crate) fn wants(&self, signer: &Signer) -> bool {
        self.fingerprints.iter().any(|wanted| match wanted.strip_suffix('!') {
            Some(part) => signer.fingerprint == part,
            None => signer.primary == *wanted || signer.fingerprint == *wanted,
        })
    }

    /// Whether one of the keys has signed these bytes. A key that was revoked may be in other
    /// hands.
    pub(crate) fn have_signed(&self, signature: &[u8], bytes: &[u8]) -> bool {
        let Ok(SignatureVerdict::Signed(signers)) = gpg::verify(signature, bytes) else {
            return false;
        };
        signers.iter().any(|by| by.standing != SignatureStanding::Revoked && self.wants(by))
    }
}

fn fingerprint(key: &str) -> anyhow::Result<String> {
    let found = gpg::find(key.as_ref(), Use::Sign);
    let found = found.with_context(|| format!("--signed-by {key}"))?;
    match found.as_slice() {
        [key] => Ok(key.name()),
        [] => {
            let hint = "import the public key first with gpg --import, and compare its fingerprint with a copy that you trust";
            Err(Hinted::wrap(anyhow!("--signed-by {key}: no such key in the keyring"), hint))
        }
        _ => bail!("--signed-by {key}: matches {} keys: use a fingerprint", found.len()),
    }
}
