//! What gpg's status lines say of a message that it was to decrypt. They are described in GnuPG's
//! doc/DETAILS.
//!
//! The exit status alone tells too little: gpg exits with 0 and writes nothing of some damaged
//! files, and with 2 although every byte came when it tried other keys first.

use super::{GpgError, Said};

/// How a message was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenedMessage {
    /// Fingerprint of the key that opened it, and of its primary key; none for a passphrase.
    pub key: Option<(String, String)>,
}

/// Codes of libgpg-error that tell of the message, not of the key or of who holds it: algorithm,
/// signature, checksum, wrong key, number, object, lengths, data.
const OF_THE_MESSAGE: [u32; 11] = [4, 8, 10, 18, 30, 65, 66, 67, 68, 79, 89];

const NO_SECRET_KEY: u32 = 17;
const BAD_PASSPHRASE: u32 = 11;

/// Judges what gpg said of a message, and what it wrote of it: so many bytes.
pub(super) fn judge(said: &Said, written: usize) -> Result<OpenedMessage, GpgError> {
    if is_whole(said, written) {
        let key = said.lines("DECRYPTION_KEY").find_map(|words| match words[..] {
            [key, primary, ..] => Some((key.to_owned(), primary.to_owned())),
            _ => None,
        });
        return Ok(OpenedMessage { key });
    }
    if said.has("DECRYPTION_OKAY") && said.has("GOODMDC") && !said.has("PLAINTEXT") {
        return Err(GpgError::Unusable(
            "it decrypted the message but wrote no plain text".to_owned(),
        ));
    }
    let looked = ["ENC_TO", "NEED_PASSPHRASE_SYM", "BEGIN_DECRYPTION", "NODATA", "UNEXPECTED"];
    if !looked.iter().any(|word| said.has(word)) {
        return Err(match said.text() {
            text if text.is_empty() => GpgError::Unsure,
            text => GpgError::Unusable(text),
        });
    }
    if said.has("DECRYPTION_KEY") || said.has("DECRYPTION_OKAY") || said.has("BADMDC") {
        return Err(GpgError::Damaged(said.text()));
    }
    why_not_opened(said)
}

/// Whether all of a message came, unchanged.
fn is_whole(said: &Said, written: usize) -> bool {
    let authenticated =
        said.lines("DECRYPTION_INFO").any(|words| words.get(2).is_some_and(|mode| *mode != "0"));
    let length = said.lines("PLAINTEXT_LENGTH").next();
    let length = length.and_then(|words| words.first()?.parse::<usize>().ok());
    said.has("DECRYPTION_OKAY")
        && (said.has("GOODMDC") || authenticated)
        && said.has("END_DECRYPTION")
        && said.lines("PLAINTEXT").count() == 1
        && !["DECRYPTION_FAILED", "BADMDC", "NODATA", "UNEXPECTED"].iter().any(|bad| said.has(bad))
        // An empty message is no sign of success by itself: gpg gives that for some cut files.
        && written > 0
        && length.is_none_or(|length| length == written)
}

/// Why gpg did not come as far as a session key.
fn why_not_opened(said: &Said) -> Result<OpenedMessage, GpgError> {
    if said.others().any(|line| line.contains("connect to the agent")) {
        return Err(GpgError::Locked(said.text()));
    }
    // Where the recipient is hidden, each key is tried, and fails in its own way.
    let hidden = said.lines("ENC_TO").any(|words| words.first() == Some(&"0000000000000000"));
    for code in said.errors("pkdecrypt_failed").filter(|_| !hidden) {
        match code {
            NO_SECRET_KEY => {}
            BAD_PASSPHRASE => return Err(GpgError::WrongPassphrase),
            code if OF_THE_MESSAGE.contains(&code) => {
                return Err(GpgError::Damaged(said.text()));
            }
            _ => return Err(GpgError::Locked(said.text())),
        }
    }
    if said.errors("symkey_decrypt.maybe_error").any(|code| code == BAD_PASSPHRASE) {
        return Err(GpgError::WrongPassphrase);
    }
    let asked = said.has("NEED_PASSPHRASE_SYM");
    if asked && (said.errors("get_passphrase").next().is_some() || said.has("CANCELED_BY_USER")) {
        return Err(GpgError::Locked(said.text()));
    }
    let only_begun = said.has("BEGIN_DECRYPTION") && !said.has("DECRYPTION_FAILED");
    let bad = ["NO_SECKEY", "NODATA", "UNEXPECTED"].iter().any(|bad| said.has(bad));
    if only_begun && !bad {
        return Err(GpgError::Unusable("it read the message but did not decrypt it".to_owned()));
    }
    if said.has("NO_SECKEY") || said.has("ENC_TO") {
        let ids = said.lines("ENC_TO").filter_map(|words| words.first().map(ToString::to_string));
        return Err(GpgError::NoSecretKey(ids.collect()));
    }
    if asked {
        // With a passphrase that is wrong gpg may say no more than this.
        return Err(GpgError::WrongPassphrase);
    }
    Err(GpgError::Damaged(said.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stderr: &str, written: usize) -> Result<OpenedMessage, String> {
        judge(&Said::parse(stderr.as_bytes()), written).map_err(|error| {
            let text = format!("{error:?}");
            text.split(['(', '"']).next().unwrap_or_default().to_owned()
        })
    }

    const GOOD: &str = "[GNUPG:] BEGIN_DECRYPTION\n[GNUPG:] DECRYPTION_INFO 2 9 0\n\
        [GNUPG:] PLAINTEXT 62 1795824720 \n[GNUPG:] DECRYPTION_OKAY\n[GNUPG:] GOODMDC\n\
        [GNUPG:] END_DECRYPTION\n";

    #[test]
    fn all_came() {
        let key = "[GNUPG:] ENC_TO 0F351A80D9B0371E 18 0\n[GNUPG:] DECRYPTION_KEY AA BB u\n";
        let opened = OpenedMessage { key: Some(("AA".into(), "BB".into())) };
        assert_eq!(of(&format!("{key}{GOOD}"), 9), Ok(opened.clone()));
        // Other keys were tried before.
        let others = "[GNUPG:] ENC_TO 0000000000000000 18 0\n\
            gpg: error getting version from 'scdaemon': No SmartCard daemon\n\
            gpg: ecdh failed in gcry_cipher_decrypt: Checksum error\n";
        assert_eq!(of(&format!("{others}{key}{GOOD}"), 9), Ok(opened));
        let authenticated = GOOD.replace("2 9 0", "0 9 2").replace("[GNUPG:] GOODMDC\n", "");
        assert_eq!(of(&authenticated, 9), Ok(OpenedMessage::default()));
        let length = GOOD.replace("1795824720 \n", "1795824720 \n[GNUPG:] PLAINTEXT_LENGTH 9\n");
        assert_eq!(of(&length, 9), Ok(OpenedMessage::default()));
        assert_eq!(of(&length, 8), Err("Damaged".into()));
    }

    #[test]
    fn not_all_came() {
        for (from, to) in [
            ("GOODMDC", "BADMDC"),
            ("[GNUPG:] GOODMDC\n", ""),
            ("[GNUPG:] END_DECRYPTION\n", ""),
            ("END_DECRYPTION", "END_DECRYPTION\n[GNUPG:] NODATA 3"),
            ("END_DECRYPTION", "DECRYPTION_FAILED"),
            ("BEGIN_DECRYPTION", "BEGIN_DECRYPTION\n[GNUPG:] PLAINTEXT 62 1 "),
        ] {
            assert_eq!(of(&GOOD.replace(from, to), 9), Err("Damaged".into()), "{from} {to}");
        }
        assert_eq!(of(GOOD, 0), Err("Damaged".into()));
        assert_eq!(of("[GNUPG:] NODATA 3", 0), Err("Damaged".into()));
        assert_eq!(of("", 0), Err("Unsure".into()));
    }

    #[test]
    fn the_key_or_the_message() {
        let to = "[GNUPG:] ENC_TO 0F351A80D9B0371E 18 0\n";
        let failed = "[GNUPG:] BEGIN_DECRYPTION\n[GNUPG:] DECRYPTION_FAILED\n\
            gpg: decryption failed: No secret key\n[GNUPG:] END_DECRYPTION\n";
        let absent = "[GNUPG:] NO_SECKEY 0F351A80D9B0371E\n";
        let error = |code: u32| format!("[GNUPG:] ERROR pkdecrypt_failed {}\n", (4 << 24) | code);
        let agent = "gpg: can't connect to the agent: Permission denied\n";
        let symmetric = "[GNUPG:] NEED_PASSPHRASE_SYM 9 3 2\n";
        let hidden = "[GNUPG:] ENC_TO 0000000000000000 18 0\n";
        for (said, kind) in [
            (format!("{to}{absent}"), "NoSecretKey"),
            (format!("{to}{}", error(17)), "NoSecretKey"),
            (format!("{to}{}", error(85)), "Locked"),
            (format!("{to}{}", error(99)), "Locked"),
            (format!("{to}{}", error(0x8066)), "Locked"),
            (format!("{agent}{to}{absent}"), "Locked"),
            (format!("{to}{}", error(11)), "WrongPassphrase"),
            (format!("{to}{}", error(10)), "Damaged"),
            (format!("{to}{}", error(65)), "Damaged"),
            (format!("{hidden}{}", error(10)), "NoSecretKey"),
            (
                format!("{symmetric}[GNUPG:] ERROR symkey_decrypt.maybe_error 11_BAD_PASSPHRASE\n"),
                "WrongPassphrase",
            ),
            (
                format!(
                    "{symmetric}[GNUPG:] ERROR get_passphrase 32870\n[GNUPG:] CANCELED_BY_USER\n"
                ),
                "Locked",
            ),
        ] {
            assert_eq!(of(&format!("{said}{failed}"), 0), Err(kind.into()), "{said}");
        }
        let fatal = "gpg: Fatal: can't create directory '/nonexistent/.gnupg'";
        assert_eq!(of(fatal, 0), Err("Unusable".into()));
        let list_only = format!("{to}[GNUPG:] BEGIN_DECRYPTION\n[GNUPG:] END_DECRYPTION\n");
        assert_eq!(of(&list_only, 0), Err("Unusable".into()));
        let unwrapped = GOOD.replace("[GNUPG:] PLAINTEXT 62 1795824720 \n", "");
        assert_eq!(of(&unwrapped, 9), Err("Unusable".into()));
    }
}
