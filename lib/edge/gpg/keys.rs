//! The keys that gpg has: which one a name means, and what it can be used for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::{GpgCall, GpgError, GpgInput, GpgOutput, arguments, run, run_without_trust, strings};
use crate::format::openpgp::KeyId;

/// What a key is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Encrypting to it.
    Encrypt,
    /// Signing with its secret part.
    Sign,
}

/// A key, as far as it matters for its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpgKey {
    /// Fingerprint of the primary key.
    pub fingerprint: String,
    /// The first user id.
    pub user: String,
    /// Why it cannot be used, if it cannot.
    pub fault: Option<KeyFault>,
    /// The primary key and its subkeys, as far as they can do what the key is wanted for.
    pub parts: Vec<KeyPart>,
    /// True if the one part of it that is here was named, with a `!`, and no other is to be used.
    pub exact: bool,
}

/// A primary key or subkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Why it cannot be used, if it cannot.
    pub fault: Option<KeyFault>,
}

impl GpgKey {
    /// What gpg is to be told, so that it takes this key and no other.
    pub fn name(&self) -> String {
        match self.parts.first().filter(|_| self.exact) {
            Some(part) => format!("{}!", part.fingerprint),
            None => self.fingerprint.clone(),
        }
    }

    /// Ids of the parts that may be used.
    pub fn ids(&self) -> Vec<KeyId> {
        let usable = self.parts.iter().filter(|part| part.fault.is_none());
        usable.filter_map(|part| KeyId::of(&part.fingerprint)).collect()
    }

    /// Keeps of its parts only the one that was named.
    fn only(mut self, hex: &str) -> GpgKey {
        self.parts.retain(|part| part.fingerprint.ends_with(hex));
        self.exact = true;
        let part = self.parts.first().map(|part| part.fault);
        self.fault = part.unwrap_or(Some(KeyFault::Unable));
        self
    }
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// It expired at this second since 1970.
    Expired(Option<i64>),
    /// It was revoked.
    Revoked,
    /// Its owner disabled it in the keyring.
    Disabled,
    /// It has no part that does it.
    Unable,
}

/// The keys that the keyring has for `name`: a fingerprint, key id, mail address or part of a user
/// id; a fingerprint or id with `!` behind it is that primary key or subkey alone. None is asked
/// for elsewhere.
///
/// # Errors
/// When gpg cannot be run, or cannot look into the keyring.
pub fn find(name: &OsStr, wanted: Use) -> Result<Vec<GpgKey>, GpgError> {
    list("--list-keys", name, wanted)
}

/// The keys with that name of which the secret part is there, or on a card.
///
/// # Errors
/// When gpg cannot be run, or cannot look into the keyring.
pub fn find_secret(name: &OsStr) -> Result<Vec<GpgKey>, GpgError> {
    list("--list-secret-keys", name, Use::Sign)
}

/// The ids of all keys of which the secret part is here, or on a card.
///
/// # Errors
/// When gpg cannot be run, or cannot look into the keyring.
pub fn secret_ids() -> Result<Vec<KeyId>, GpgError> {
    let call = || GpgCall::new(listing(&["--list-secret-keys"]), GpgInput::Bytes(b""));
    let listed = found(run_without_trust(call)?)?;
    let text = String::from_utf8_lossy(&listed).into_owned();
    let id = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_here = matches!(fields[0], "sec" | "ssb") && fields.get(14) != Some(&"#");
        is_here.then(|| KeyId::of(fields.get(4)?))?
    };
    Ok(text.lines().filter_map(id).collect())
}

fn list(command: &str, name: &OsStr, wanted: Use) -> Result<Vec<GpgKey>, GpgError> {
    // Arguments are said to be UTF-8. What is not was typed in an older charset.
    let name = match std::str::from_utf8(name.as_bytes()) {
        Ok(name) => name.to_owned(),
        Err(_) => name.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
    };
    let call = || {
        let mut args = listing(&[command, "--"]);
        args.push(OsString::from(&name));
        GpgCall::new(args, GpgInput::Bytes(b""))
    };
    let mut keys = parse_keys(&found(run_without_trust(call)?)?, wanted);
    let hex = name.strip_suffix('!').map(|name| name.trim_start_matches("0x").to_uppercase());
    if let Some(hex) =
        hex.filter(|hex| hex.len() >= 8 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        keys = keys.into_iter().map(|key| key.only(&hex)).collect();
    }
    Ok(keys)
}

/// The keys in a file, by its bytes.
///
/// # Errors
/// When gpg cannot be run.
pub fn find_in_file(bytes: &[u8]) -> Result<Vec<GpgKey>, GpgError> {
    let mut args = strings(arguments::ALONE);
    args.extend(listing(&["--show-keys"]));
    Ok(parse_keys(&run(GpgCall::new(args, GpgInput::Bytes(bytes)))?.stdout, Use::Encrypt))
}

/// The public key, as gpg would import it; of one that was named with `!`, with that part alone.
///
/// # Errors
/// When gpg cannot be run, or gives no key.
pub fn export(key: &GpgKey) -> Result<Vec<u8>, GpgError> {
    let call = || {
        let mut args = strings(arguments::NOTHING_TO_UNLOCK);
        // It is read for each object: without what others have certified of it.
        args.extend(strings(&["--allow-weak-digest-algos", "--export-options", "export-minimal"]));
        args.extend(["--export".into(), "--".into()]);
        args.push(key.name().into());
        GpgCall::new(args, GpgInput::Bytes(b""))
    };
    let outcome = run_without_trust(call)?;
    match outcome.stdout.is_empty() {
        false => Ok(outcome.stdout),
        true => Err(GpgError::Failed(outcome.said.text())),
    }
}

fn listing(rest: &[&str]) -> Vec<OsString> {
    let mut args = strings(arguments::NOTHING_TO_UNLOCK);
    // Keys are the user's own; which digests they were certified with is not asked here.
    args.extend(strings(&["--allow-weak-digest-algos", "--with-colons", "--fixed-list-mode"]));
    args.extend(strings(&["--with-subkey-fingerprint"]));
    args.extend(strings(rest));
    args
}

/// The list of keys; gpg exits with 2 when there is none, but also when it cannot look.
fn found(outcome: GpgOutput) -> Result<Vec<u8>, GpgError> {
    // What it says when there is none, and what it says of a home that it has just made.
    const NONE: [&str; 5] = ["No public key", "No secret key", "Not found", "not found", "created"];
    let none = |line: &str| {
        NONE.iter().any(|end| line.ends_with(end))
            || ["Note:", "WARNING:"].iter().any(|start| line.starts_with(start))
    };
    let listed = outcome.stdout.windows(4).any(|word| word == b"pub:" || word == b"sec:");
    if listed || outcome.success || outcome.said.others().all(none) {
        return Ok(outcome.stdout);
    }
    Err(GpgError::Unusable(outcome.said.text()))
}

/// Reads `--with-colons` output; the fields are described in GnuPG's doc/DETAILS.
pub fn parse_keys(output: &[u8], wanted: Use) -> Vec<GpgKey> {
    // A small letter is what a part can do, a capital what the whole key can now.
    let (part, whole) = match wanted {
        Use::Encrypt => ('e', 'E'),
        Use::Sign => ('s', 'S'),
    };
    let mut keys: Vec<GpgKey> = Vec::new();
    // Whether the fingerprint that comes next is that of a part that is kept.
    let mut kept = false;
    for line in String::from_utf8_lossy(output).lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let of_part = || match field(1) {
            "r" => Some(KeyFault::Revoked),
            "e" => Some(KeyFault::Expired(field(6).parse().ok())),
            "i" | "d" => Some(KeyFault::Disabled),
            _ => None,
        };
        if matches!(field(0), "pub" | "sec") {
            let abilities = field(11);
            let fault = match of_part() {
                Some(fault @ (KeyFault::Revoked | KeyFault::Expired(_))) => Some(fault),
                _ if abilities.contains('D') => Some(KeyFault::Disabled),
                _ if !abilities.contains(whole) => Some(KeyFault::Unable),
                _ => None,
            };
            let (fingerprint, user) = (String::new(), String::new());
            keys.push(GpgKey { fingerprint, user, fault, parts: Vec::new(), exact: false });
        }
        let Some(key) = keys.last_mut() else { continue };
        match field(0) {
            "pub" | "sec" | "sub" | "ssb" => {
                kept = field(11).contains(part);
                if kept {
                    let fingerprint = String::new();
                    key.parts.push(KeyPart { fingerprint, fault: of_part() });
                    // A key of which only the part that matters has expired: say when.
                    if let (Some(KeyFault::Unable), Some(fault @ KeyFault::Expired(_))) =
                        (key.fault, of_part())
                    {
                        key.fault = Some(fault);
                    }
                }
            }
            "fpr" => {
                if key.fingerprint.is_empty() {
                    key.fingerprint = field(9).to_owned();
                }
                if let Some(part) = key.parts.last_mut().filter(|_| std::mem::take(&mut kept)) {
                    part.fingerprint = field(9).to_owned();
                }
            }
            "uid" if key.user.is_empty() => key.user = field(9).replace("\\x3a", ":"),
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &[u8] = b"tru::1:1:0:3:1:5
pub:u:255:22:AAAA:1700000000:::u:::scESC:::::ed25519:::0:
fpr:::::::::0123AA:
uid:u::::1700000000::HASH::Me \\x3a <me@example.org>::::::::::0:
sub:u:255:18:BBBB:1700000000::::::e:::::cv25519::
fpr:::::::::9999:
sub:e:255:18:BBBC:1600000000:1650000000:::::e:::::cv25519::
fpr:::::::::9998:
pub:e:255:22:CCCC:1500000000:1600000000::u:::sc:::::ed25519:::0:
fpr:::::::::4567BB:
pub:u:255:22:DDDD:1500000000:::u:::scSC:::::ed25519:::0:
fpr:::::::::89ABCC:
sub:e:255:18:EEEE:1500000000:1650000000:::::e:::::cv25519::
fpr:::::::::77:
pub:r:255:22:FFFF:1500000000:::u:::sc:::::ed25519:::0:
pub:u:255:22:FFFF:1500000000:::u:::scSCED:::::ed25519:::0:
";

    #[test]
    fn keys_and_their_faults() {
        let keys = parse_keys(LISTING, Use::Encrypt);
        assert_eq!(
            (keys[0].fingerprint.as_str(), keys[0].user.as_str(), keys[0].fault),
            ("0123AA", "Me : <me@example.org>", None)
        );
        let part = |fingerprint: &str, fault| KeyPart { fingerprint: fingerprint.into(), fault };
        let expired = |at| Some(KeyFault::Expired(Some(at)));
        assert_eq!(keys[0].parts, [part("9999", None), part("9998", expired(1_650_000_000))]);
        let faults: Vec<_> = keys[1..].iter().map(|key| key.fault).collect();
        assert_eq!(
            faults,
            [
                expired(1_600_000_000),
                expired(1_650_000_000),
                Some(KeyFault::Revoked),
                Some(KeyFault::Disabled)
            ]
        );
        let signing = parse_keys(LISTING, Use::Sign);
        assert_eq!(signing[0].parts, [part("0123AA", None)]);
    }

    #[test]
    fn one_part_alone() {
        let key = || parse_keys(LISTING, Use::Encrypt).remove(0);
        assert_eq!(key().name(), "0123AA");
        let one = key().only("9999");
        assert_eq!((one.name().as_str(), one.fault), ("9999!", None));
        let one = key().only("9998");
        assert_eq!(
            (one.name().as_str(), one.fault),
            ("9998!", Some(KeyFault::Expired(Some(1_650_000_000))))
        );
        assert_eq!(key().only("0123AA").fault, Some(KeyFault::Unable));
    }
}
