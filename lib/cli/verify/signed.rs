//! Signatures of lists and TAILs: whether they are good, and whose they are.

use anyhow::{Context, anyhow, bail};

use super::super::message::{Hinted, chain};
use super::check::{Event, unreadable};
use crate::core::verify::{Finding, Kind};
use crate::edge::gpg::{self, Signer, Standing, Use, Verdict};
use crate::format::band::BandName;
use crate::format::object::{Object, ObjectName};
use crate::store::Store;

/// Whose signatures are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// Fingerprints of keys, of which one is enough, with `!` for that part of a key alone; without
    /// any, a signature need only be good.
    fingerprints: Vec<String>,
}

impl Wanted {
    /// `--signed-by`: keys of the keyring.
    pub(super) fn by(keys: &[String]) -> anyhow::Result<Wanted> {
        let fingerprints =
            keys.iter().map(|key| Wanted::one(key)).collect::<anyhow::Result<_>>()?;
        Ok(Wanted { fingerprints })
    }

    fn one(key: &str) -> anyhow::Result<String> {
        let found = gpg::find(key.as_ref(), Use::Sign);
        let found = found.with_context(|| format!("--signed-by {key}"))?;
        match found.len() {
            1 => Ok(found[0].name()),
            0 => {
                let hint = "gpg --import the public key first; and compare its fingerprint with a copy that you trust";
                Err(Hinted::wrap(anyhow!("--signed-by {key}: no such key in the keyring"), hint))
            }
            n => bail!("--signed-by {key}: may be any of {n} keys: name it by its fingerprint"),
        }
    }

    /// Whether signatures must be there.
    pub(super) fn demands(&self) -> bool {
        !self.fingerprints.is_empty()
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
            vec![Event::Found(Finding::of(kind, band, signature_of(of), what))]
        };
        let Some(sig) = sig else { return finding(Kind::Missing, "it is not signed".to_owned()) };
        let read = |name: ObjectName| {
            store.get_range(&format!("{band}/{name}"), 0, name.most().saturating_add(1))
        };
        let (signature, text) = match (read(sig), text.map_or_else(|| read(of), Ok)) {
            (Ok(signature), Ok(text)) => (signature, text),
            (Err(error), _) | (_, Err(error)) => {
                let (kind, what) = unreadable(&error);
                return finding(kind, what);
            }
        };
        match gpg::verify(&signature, &text) {
            Ok(verdict) => match self.judge(&verdict) {
                Judged::Good => vec![Event::Signed],
                Judged::Revoked(key) => {
                    let what = format!(
                        "signatures by {key}: the key was revoked: it may be in other hands"
                    );
                    vec![Event::Signed, Event::Note(what)]
                }
                Judged::Bad(what) => finding(Kind::Damaged, what),
                Judged::Open(what) => {
                    let unknown = "by a key that the keyring does not have";
                    let finding = Finding::of(Kind::Damaged, band, signature_of(of), unknown);
                    vec![Event::Unknown(finding, what)]
                }
            },
            // That is no fault of the signature.
            Err(error) => {
                let error = anyhow::Error::new(error).context("signatures were not looked at");
                vec![match self.demands() {
                    true => Event::Failed(error),
                    false => Event::Note(chain(&error)),
                }]
            }
        }
    }

    fn wants(&self, signer: &Signer) -> bool {
        self.fingerprints.iter().any(|wanted| match wanted.strip_suffix('!') {
            Some(part) => signer.fingerprint == part,
            None => signer.primary == *wanted || signer.fingerprint == *wanted,
        })
    }

    /// Whether these bytes are signed as they should be.
    pub(super) fn judge(&self, verdict: &Verdict) -> Judged {
        match (verdict, self.demands()) {
            (Verdict::Signed(signers), true) => {
                let own: Vec<&Signer> = signers.iter().filter(|by| self.wants(by)).collect();
                if own.iter().any(|signer| signer.standing != Standing::Revoked) {
                    Judged::Good
                } else if own.is_empty() {
                    let by: Vec<&str> =
                        signers.iter().map(|signer| signer.primary.as_str()).collect();
                    let wanted = self.fingerprints.join(" or ");
                    Judged::Bad(format!("signed by {}, not by {wanted}", by.join(", ")))
                } else {
                    Judged::Bad("its key was revoked: it may be in other hands".to_owned())
                }
            }
            (Verdict::Signed(signers), false) => {
                match signers.iter().find(|signer| signer.standing != Standing::Revoked) {
                    Some(_) => Judged::Good,
                    None => Judged::Revoked(
                        signers.first().map_or_else(String::new, |signer| signer.primary.clone()),
                    ),
                }
            }
            (Verdict::Bad, _) => {
                Judged::Bad("a key has signed other bytes than there are".to_owned())
            }
            (Verdict::Unknown(key), false) => Judged::Open(format!(
                "signatures by {key} were not looked at: the keyring does not have that key"
            )),
            (Verdict::Unknown(key), _) => {
                Judged::Bad(format!("signed by {key}, which the keyring does not have"))
            }
            (Verdict::NoSignature, _) => {
                Judged::Bad("it is no signature, or a damaged one".to_owned())
            }
        }
    }
}

/// The name of the signature of a list or TAIL.
fn signature_of(of: ObjectName) -> ObjectName {
    ObjectName::plain(match of.object {
        Object::List(n, c) => Object::ListSig(n, c),
        _ => Object::TailSig,
    })
}

/// What is to be said of a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is as it should be.
    Good,
    /// It is, by a key that was revoked since.
    Revoked(String),
    /// It is not: why.
    Bad(String),
    /// That cannot be known.
    Open(String),
}
