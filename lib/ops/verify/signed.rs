//! Signatures of lists and TAILs: whether they are good, and whose they are.

use crate::archive::signers::Signers;
use crate::core::verify::{Finding, FindingKind};
use crate::edge::gpg::{self, SignatureStanding, SignatureVerdict, Signer};
use crate::format::band::BandName;
use crate::format::object::{Object, ObjectName};
use crate::ops::verify::check::{CheckEvent, unreadable};
use crate::report::message::chain;
use crate::store::Store;

/// Whose signatures are wanted; without any, a signature need only be good.
#[derive(Debug, Clone, Default)]
pub(super) struct WantedSignatures(pub(super) Option<Signers>);

impl WantedSignatures {
    /// `--signed-by`: keys of the keyring.
    pub(super) fn by(keys: &[String]) -> anyhow::Result<WantedSignatures> {
        Signers::by(keys).map(WantedSignatures)
    }

    /// Whether signatures must be there.
    pub(super) fn demands(&self) -> bool {
        self.0.is_some()
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
    ) -> Vec<CheckEvent> {
        let finding = |kind, what: String| {
            vec![CheckEvent::Found(Finding::of(kind, band, signature_of(of), what))]
        };
        let Some(sig) = sig else {
            return finding(FindingKind::Missing, "it is not signed".to_owned());
        };
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
                Judged::Good => vec![CheckEvent::Signed],
                Judged::Revoked(key) => {
                    let what = format!(
                        "signatures by {key}: the key was revoked: it may be in other hands"
                    );
                    vec![CheckEvent::Signed, CheckEvent::Note(what)]
                }
                Judged::Bad(what) => finding(FindingKind::Damaged, what),
                Judged::Open(what) => {
                    let unknown = "by a key that the keyring does not have";
                    let finding =
                        Finding::of(FindingKind::Damaged, band, signature_of(of), unknown);
                    vec![CheckEvent::Unknown(finding, what)]
                }
            },
            // That is no fault of the signature.
            Err(error) => {
                let error = anyhow::Error::new(error).context("signatures were not checked");
                vec![match self.demands() {
                    true => CheckEvent::Failed(error),
                    false => CheckEvent::Note(chain(&error)),
                }]
            }
        }
    }

    /// Whether these bytes are signed as they should be.
    pub(super) fn judge(&self, verdict: &SignatureVerdict) -> Judged {
        match (verdict, &self.0) {
            (SignatureVerdict::Signed(signers), Some(keys)) => {
                let own: Vec<&Signer> = signers.iter().filter(|by| keys.wants(by)).collect();
                if own.iter().any(|signer| signer.standing != SignatureStanding::Revoked) {
                    Judged::Good
                } else if own.is_empty() {
                    let by: Vec<&str> =
                        signers.iter().map(|signer| signer.primary.as_str()).collect();
                    let wanted = keys.fingerprints.join(" or ");
                    Judged::Bad(format!("signed by {}, not by {wanted}", by.join(", ")))
                } else {
                    Judged::Bad("its key was revoked: it may be in other hands".to_owned())
                }
            }
            (SignatureVerdict::Signed(signers), None) => {
                match signers.iter().find(|signer| signer.standing != SignatureStanding::Revoked) {
                    Some(_) => Judged::Good,
                    None => Judged::Revoked(
                        signers.first().map_or_else(String::new, |signer| signer.primary.clone()),
                    ),
                }
            }
            (SignatureVerdict::Bad, _) => {
                Judged::Bad("a key has signed other bytes than there are".to_owned())
            }
            (SignatureVerdict::Unknown(key), None) => Judged::Open(format!(
                "signatures by {key} were not checked: the keyring does not have that key"
            )),
            (SignatureVerdict::Unknown(key), _) => {
                Judged::Bad(format!("signed by {key}, which the keyring does not have"))
            }
            (SignatureVerdict::NoSignature, _) => {
                Judged::Bad("it is not a signature, or a damaged one".to_owned())
            }
        }
    }
}

/// The name of the signature of a list or TAIL.
fn signature_of(of: ObjectName) -> ObjectName {
    of.signature().unwrap_or(ObjectName::plain(Object::TailSig))
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
