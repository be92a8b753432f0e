//! Signatures of lists and TAILs: whether they are good, and whose they are.

use anyhow::{Context, anyhow, bail};

use super::super::message::{Hinted, why};
use super::check::Event;
use crate::core::verify::{Finding, Kind};
use crate::edge::gpg::{self, GpgError, Standing, Verdict};
use crate::format::band::BandName;
use crate::format::object::ObjectName;
use crate::store::Store;

/// Whose signatures are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// Fingerprint of the key; without one, a signature need only be good.
    fingerprint: Option<String>,
}

impl Wanted {
    /// `--signed-by`: a key of the keyring.
    pub(super) fn by(key: Option<&str>) -> anyhow::Result<Wanted> {
        let Some(key) = key else { return Ok(Wanted::default()) };
        let mut found = gpg::find(key.as_ref()).with_context(|| format!("--signed-by {key}"))?;
        match found.len() {
            1 => Ok(Wanted { fingerprint: found.pop().map(|key| key.fingerprint) }),
            0 => {
                let hint = "gpg --import the public key first; and compare its fingerprint with a copy that you trust";
                Err(Hinted::wrap(anyhow!("--signed-by {key}: no such key in the keyring"), hint))
            }
            n => bail!("--signed-by {key}: may be any of {n} keys: name it by its fingerprint"),
        }
    }

    /// Whether signatures must be there.
    pub(super) fn demands(&self) -> bool {
        self.fingerprint.is_some()
    }

    /// Looks at the signature of an object. `text` is what the object holds, if that was read
    /// already.
    pub(super) fn look(
        &self,
        store: &dyn Store,
        band: &BandName,
        of: ObjectName,
        sig: Option<ObjectName>,
        text: Option<Vec<u8>>,
    ) -> Vec<Event> {
        let finding = |kind, what: String| {
            vec![Event::Found(Finding::new(kind, band, format_args!("{of}.sig"), what))]
        };
        let Some(sig) = sig else { return finding(Kind::Missing, "it is not signed".to_owned()) };
        let read = |name: ObjectName| store.get(&format!("{band}/{name}"));
        let (signature, text) = match (read(sig), text.map_or_else(|| read(of), Ok)) {
            (Ok(signature), Ok(text)) => (signature, text),
            (Err(error), _) | (_, Err(error)) => {
                return finding(
                    Kind::Damaged,
                    format!("cannot be looked at: {}", why(&error.source)),
                );
            }
        };
        match gpg::verify(&signature, &text) {
            Ok(verdict) => match self.judge(&verdict) {
                Judged::Good => vec![Event::Signed],
                Judged::Bad(what) => finding(Kind::Damaged, what),
                Judged::Open(what) => {
                    let object = format_args!("{of}.sig");
                    vec![Event::Unknown(
                        Finding::new(
                            Kind::Damaged,
                            band,
                            object,
                            "by a key that the keyring does not have",
                        ),
                        what,
                    )]
                }
            },
            Err(GpgError::Start(error)) => {
                vec![Event::Note(format!(
                    "signatures were not looked at: cannot run gpg: {}",
                    why(&error)
                ))]
            }
            Err(error) => finding(Kind::Damaged, format!("cannot be looked at: {error}")),
        }
    }

    /// Whether these bytes are signed as they should be.
    pub(super) fn judge(&self, verdict: &Verdict) -> Judged {
        match (verdict, &self.fingerprint) {
            (Verdict::Signed(signers), Some(wanted)) => {
                let own = signers
                    .iter()
                    .find(|signer| signer.primary == *wanted || signer.fingerprint == *wanted);
                match own.map(|signer| signer.standing) {
                    Some(Standing::Good | Standing::Expired) => Judged::Good,
                    Some(Standing::Revoked) => {
                        Judged::Bad("its key was revoked: it may be in other hands".to_owned())
                    }
                    None => {
                        let by: Vec<&str> =
                            signers.iter().map(|signer| signer.primary.as_str()).collect();
                        Judged::Bad(format!("signed by {}, not by {wanted}", by.join(", ")))
                    }
                }
            }
            (Verdict::Signed(_), None) => Judged::Good,
            (Verdict::Bad, _) => {
                Judged::Bad("a key has signed other bytes than there are".to_owned())
            }
            (Verdict::Unknown(key), Some(_)) => {
                Judged::Bad(format!("signed by {key}, which the keyring does not have"))
            }
            (Verdict::Unknown(key), None) => Judged::Open(format!(
                "signatures by {key} were not looked at: the keyring does not have that key"
            )),
            (Verdict::NoSignature, _) => {
                Judged::Bad("it is no signature, or a damaged one".to_owned())
            }
        }
    }
}

/// What is to be said of a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is as it should be.
    Good,
    /// It is not: why.
    Bad(String),
    /// That cannot be known.
    Open(String),
}
