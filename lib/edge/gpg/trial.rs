//! The trial message: before the first object, what gpg makes is looked at as packets, without the
//! secret key.
//!
//! What the encryption holds cannot be seen without that key. So it is looked at in two other
//! messages that are made in the same way: one that is not encrypted, and one under a run key that
//! was drawn for it.

use std::fmt;
use std::sync::Arc;

use super::{
    GpgCall, GpgError, GpgInput, GpgSealer, Keys, OpenedMessage, Passphrase, Strength, Unlock,
    arguments, decrypt_with, run, strings,
};
use crate::format::openpgp::{self, Derivation, Envelope, KeyId, MessageProtection, PacketError};

/// What a message is tried with: line ends, blanks, bytes that are no text, and more than fits
/// into one piece of a packet.
pub(super) fn sample() -> Vec<u8> {
    b"trial\r\n of blanks \t\n\0\xff\xfe\r\nFrom me\n- dash\n\x1a\n".repeat(50)
}

/// The weakest derivation of a passphrase that is taken: bytes that are hashed.
const MIN_COUNT: u64 = 65_536;

/// What was seen of a trial message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialMessage {
    /// Whose keys open it.
    pub recipients: Vec<KeyId>,
    /// True if a passphrase opens it.
    pub passphrase: bool,
    /// What keeps it from being changed.
    pub protection: MessageProtection,
    /// The cipher's number.
    pub cipher: u8,
}

/// Why gpg, as it is configured, must not be used to seal.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It could not be asked.
    #[error(transparent)]
    Gpg(#[from] GpgError),
    /// What it makes is not what it should be.
    #[error("its output cannot be examined")]
    Packets(#[from] PacketError),
    /// It changes what it is given.
    #[error("it changes bytes, or treats them as text")]
    Changed,
    /// The message is for a key that was not asked for.
    #[error("it encrypts to {0}, which was not requested")]
    Stranger(KeyId),
    /// The message is not for a key that was asked for.
    #[error("it does not encrypt to {0}")]
    Absent(KeyId),
    /// A passphrase opens it that was not asked for, or none does.
    #[error("a passphrase decrypts its output although none was requested, or the reverse")]
    Passphrase,
    /// The message could be changed unnoticed.
    #[error("it does not protect its output from changes")]
    Unprotected,
    /// The cipher is weak, or is not told.
    #[error("it uses a weak cipher: {}", cipher_name(*.0))]
    WeakCipher(u8),
    /// The passphrase could be guessed too easily.
    #[error("it derives too weak a key from the passphrase")]
    WeakDerivation,
}

/// The name of a cipher, by its number (RFC 9580, 9.3).
fn cipher_name(number: u8) -> &'static str {
    match number {
        1 => "IDEA",
        2 => "3DES",
        3 => "CAST5",
        4 => "Blowfish",
        7 => "AES128",
        8 => "AES192",
        9 => "AES256",
        10 => "Twofish",
        11 => "Camellia128",
        12 => "Camellia192",
        13 => "Camellia256",
        _ => "an unknown one",
    }
}

impl fmt::Display for TrialMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = |id: &KeyId| match *id {
            KeyId::HIDDEN => "a hidden key".to_owned(),
            id => id.to_string(),
        };
        let mut openers: Vec<String> = self.recipients.iter().map(to).collect();
        if self.passphrase {
            openers.push("the passphrase".to_owned());
        }
        let protection = match self.protection {
            MessageProtection::None => "not protected",
            MessageProtection::Hash => "protected from change (MDC)",
            MessageProtection::Authenticated => "protected from change (AEAD)",
        };
        let cipher = cipher_name(self.cipher);
        write!(f, "binary, {cipher}, {protection}, opened by {}", openers.join(" and "))
    }
}

/// Makes trial messages, and looks at them.
///
/// # Errors
/// When gpg fails, or when a message is not what was asked for.
pub fn trial(sealer: &GpgSealer) -> Result<TrialMessage, TrialError> {
    let sample = sample();
    std::thread::scope(|scope| {
        let stored = scope.spawn(|| store(&sample));
        let known = scope.spawn(|| under_run_key(&sample));
        let seen = look(sealer, &sample)?;
        for other in [stored, known] {
            let broken = || TrialError::Gpg(GpgError::Talk(std::io::Error::other("broken off")));
            other.join().map_err(|_| broken())??;
        }
        Ok(seen)
    })
}

/// Looks at a message that is not encrypted.
fn store(sample: &[u8]) -> Result<(), TrialError> {
    let mut args = strings(arguments::ENCRYPTION);
    args.push("--store".into());
    let outcome = run(GpgCall::new(args, GpgInput::Bytes(sample)))?;
    if !outcome.success {
        return Err(GpgError::Failed(outcome.said.text()).into());
    }
    let literal = openpgp::literal(&outcome.stdout)?;
    let same = literal.mode == b'b' && literal.name.is_empty() && literal.body == sample;
    if same { Ok(()) } else { Err(TrialError::Changed) }
}

/// Looks at a message as the objects of a run are sealed, and into it.
fn under_run_key(sample: &[u8]) -> Result<(), TrialError> {
    let key = Passphrase::random().map_err(GpgError::Talk)?;
    look(&GpgSealer::new(Keys::Symmetric(Arc::new(key), Strength::RunKey)), sample).map(drop)
}

/// Draws the key of a run: gives what seals its objects, and the key object.
///
/// # Errors
/// When gpg fails, or when the key object is not what was asked for.
pub fn seal_key(to: &GpgSealer) -> Result<(GpgSealer, Vec<u8>), TrialError> {
    let key = Arc::new(Passphrase::random().map_err(GpgError::Talk)?);
    let full;
    let to = match &to.keys {
        // It is derived once a run, so there is time for all of it.
        Keys::Symmetric(passphrase, _) => {
            full = GpgSealer::new(Keys::Symmetric(Arc::clone(passphrase), Strength::Weak));
            &full
        }
        Keys::Public(_) => to,
    };
    let message = seal_keys(to, &[Arc::clone(&key)])?;
    Ok((GpgSealer::new(Keys::Symmetric(key, Strength::RunKey)), message))
}

/// A message with the keys of runs, a line each.
///
/// # Errors
/// When gpg fails, or when the message is not what was asked for.
pub fn seal_keys(to: &GpgSealer, keys: &[Arc<Passphrase>]) -> Result<Vec<u8>, TrialError> {
    let lines: Vec<_> = keys.iter().map(|key| key.line()).collect();
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(lines.iter().map(|l| l.len()).sum()));
    lines.iter().for_each(|line| text.extend_from_slice(line));
    let (message, told) = to.encrypt_as_told(&text)?;
    judge(&to.keys, &openpgp::envelope(&message)?, told.get(1).copied().unwrap_or(0))?;
    Ok(message)
}

fn comes_back(
    message: &[u8],
    passphrase: Arc<Passphrase>,
    sample: &[u8],
) -> Result<(), TrialError> {
    let unlock = Unlock { passphrase: Some(passphrase) };
    let mut args = strings(arguments::ALONE);
    args.extend(strings(arguments::DECRYPTION));
    let limit = 2 * sample.len() as u64;
    let (plain, OpenedMessage { .. }) =
        decrypt_with(args, GpgInput::Bytes(message), &unlock, limit)?;
    if plain == sample { Ok(()) } else { Err(TrialError::Changed) }
}

/// Looks at a message as the objects will be.
fn look(sealer: &GpgSealer, sample: &[u8]) -> Result<TrialMessage, TrialError> {
    let (message, told) = sealer.encrypt_as_told(sample)?;
    let envelope = openpgp::envelope(&message)?;
    let cipher = told.get(1).copied().unwrap_or(0);
    judge(&sealer.keys, &envelope, cipher)?;
    if let Keys::Symmetric(passphrase, _) = &sealer.keys {
        comes_back(&message, Arc::clone(passphrase), sample)?;
    }
    let Envelope { recipients, passphrases, protection } = envelope;
    Ok(TrialMessage { recipients, passphrase: !passphrases.is_empty(), protection, cipher })
}

/// Judges a message: it is for those that were asked for, and well made.
fn judge(keys: &Keys, envelope: &Envelope, cipher: u8) -> Result<(), TrialError> {
    let (wanted, passphrases, least) = match keys {
        Keys::Public(recipients) => (recipients.as_slice(), 0, MIN_COUNT),
        Keys::Symmetric(_, Strength::RunKey) => (&[][..], 1, 1),
        Keys::Symmetric(..) => (&[][..], 1, MIN_COUNT),
    };
    let mut left = envelope.recipients.clone();
    for recipient in wanted {
        let hidden = [KeyId::HIDDEN];
        let ids = if recipient.hidden { &hidden[..] } else { recipient.ids.as_slice() };
        match left.iter().position(|id| ids.contains(id)) {
            Some(at) => _ = left.swap_remove(at),
            None => {
                return Err(TrialError::Absent(ids.first().copied().unwrap_or(KeyId::HIDDEN)));
            }
        }
    }
    if let Some(&stranger) = left.first() {
        return Err(TrialError::Stranger(stranger));
    }
    if envelope.passphrases.len() != passphrases {
        return Err(TrialError::Passphrase);
    }
    if envelope.protection == MessageProtection::None {
        return Err(TrialError::Unprotected);
    }
    let ciphers = envelope.passphrases.iter().map(|derivation| derivation.cipher).chain([cipher]);
    if let Some(weak) = ciphers.into_iter().find(|cipher| !(7..=13).contains(cipher)) {
        return Err(TrialError::WeakCipher(weak));
    }
    let weak = |&Derivation { salted, count, .. }: &Derivation| !salted || count < least;
    if envelope.passphrases.iter().any(weak) {
        return Err(TrialError::WeakDerivation);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Recipient;
    use super::*;

    fn to(id: u64, hidden: bool) -> Recipient {
        Recipient { key: Vec::new(), ids: vec![KeyId(id), KeyId(id + 100)], hidden }
    }

    fn seen(recipients: &[u64]) -> Envelope {
        Envelope {
            recipients: recipients.iter().map(|id| KeyId(*id)).collect(),
            passphrases: Vec::new(),
            protection: MessageProtection::Hash,
        }
    }

    #[test]
    fn the_asked_recipients_and_no_others() {
        let keys = Keys::Public(vec![to(1, false), to(2, false), to(3, true)]);
        let of = |recipients: &[u64]| judge(&keys, &seen(recipients), 9).map_err(|e| e.to_string());
        assert_eq!(of(&[1, 2, 0]), Ok(()));
        assert_eq!(of(&[0, 102, 101]), Ok(()));
        assert!(of(&[1, 2]).is_err() && of(&[1, 0]).is_err() && of(&[1, 2, 3]).is_err());
        assert_eq!(
            of(&[1, 2, 0, 9]),
            Err("it encrypts to 0000000000000009, which was not requested".to_owned())
        );
        assert!(of(&[1, 2, 0, 0]).is_err() && of(&[1, 1, 2, 0]).is_err());
        let with_passphrase = Envelope {
            passphrases: vec![Derivation { cipher: 9, salted: true, count: 1 << 20 }],
            ..seen(&[1, 2, 0])
        };
        assert!(matches!(judge(&keys, &with_passphrase, 9), Err(TrialError::Passphrase)));
    }

    #[test]
    fn well_made() {
        let keys = Keys::Public(vec![to(1, false)]);
        for cipher in [0, 1, 2, 3, 4, 14] {
            let judged = judge(&keys, &seen(&[1]), cipher);
            assert!(matches!(judged, Err(TrialError::WeakCipher(_))), "{cipher}");
        }
        let open = Envelope { protection: MessageProtection::None, ..seen(&[1]) };
        assert!(matches!(judge(&keys, &open, 9), Err(TrialError::Unprotected)));
        let keys = Keys::Symmetric(Arc::new(Passphrase::known(b"x")), Strength::Weak);
        let of = |cipher, salted, count| {
            let passphrases = vec![Derivation { cipher, salted, count }];
            judge(&keys, &Envelope { passphrases, ..seen(&[]) }, 9).is_ok()
        };
        assert!(of(9, true, 65_536) && !of(9, true, 1024) && !of(9, false, 0));
        assert!(!of(2, true, 65_536));
        let run = Keys::Symmetric(Arc::new(Passphrase::random().unwrap()), Strength::RunKey);
        let of = |salted, count| {
            let passphrases = vec![Derivation { cipher: 9, salted, count }];
            judge(&run, &Envelope { passphrases, ..seen(&[]) }, 9).is_ok()
        };
        assert!(of(true, 1088) && !of(false, 0));
        let trial = TrialMessage {
            recipients: vec![KeyId(1), KeyId(0)],
            passphrase: false,
            protection: MessageProtection::Hash,
            cipher: 9,
        };
        let told = "binary, AES256, protected from change (MDC), opened by 0000000000000001 and a \
                    hidden key";
        assert_eq!(trial.to_string(), told);
    }
}
