//! Which keys a run encrypts to and signs with, settled before the first object.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};

use super::super::message::{Hinted, Report};
use super::SealArgs;
use crate::edge::gpg::{self, Fault, Key, Keys, Use};
use crate::format::time::Stamp;

/// A passphrase of so many bytes is taken for a random key, which needs no slow derivation.
const STRONG: usize = 32;

/// Finds the keys and tries them; none when nothing is to be encrypted.
pub(super) fn resolve(args: &SealArgs, report: &Report) -> anyhow::Result<Option<Keys>> {
    let keys = if let Some(file) = &args.passphrase_file {
        symmetric(file, report)?
    } else if args.recipient.is_empty() && args.recipient_file.is_empty() {
        return Ok(None);
    } else {
        let mut fingerprints = Vec::new();
        for name in &args.recipient {
            let found = gpg::find(name)?;
            let key = one_key(&name.to_string_lossy(), &found, Use::Encrypt, || no_public(name))?;
            report.verbose(format_args!("encrypting to {} {}", key.fingerprint, key.user));
            fingerprints.push(key.fingerprint.clone());
        }
        for file in &args.recipient_file {
            let shown = file.display().to_string();
            let bytes = std::fs::read(file).with_context(|| shown.clone())?;
            let none = || {
                Hinted::wrap(
                    anyhow!("{shown}: no public key in it"),
                    "export one with: gpg --export KEY > FILE",
                )
            };
            one_key(&shown, &gpg::find_in_file(&bytes)?, Use::Encrypt, none)?;
        }
        Keys::Public(fingerprints, args.recipient_file.clone())
    };
    gpg::encrypt(&keys, b"trial").context("a trial encryption failed")?;
    Ok(Some(keys))
}

fn no_public(name: &OsStr) -> anyhow::Error {
    let hint = format!(
        "see gpg --list-keys, and import the key of {} with gpg --import FILE, or use --recipient-file FILE",
        name.display()
    );
    Hinted::wrap(anyhow!("{}: no such public key", name.display()), hint)
}

/// The fingerprint of the key that signs, tried once: so a passphrase is asked for now and not in
/// the middle of the run.
pub(super) fn signer(name: &OsStr, report: &Report) -> anyhow::Result<String> {
    let shown = name.to_string_lossy();
    let found = gpg::find_secret(name)?;
    let public = if found.is_empty() { gpg::find(name)? } else { Vec::new() };
    let key = one_key(&shown, &found, Use::Sign, || match public.first() {
        Some(key) => {
            let text = anyhow!(
                "{shown}: only the public part of the key {} is here, and signing needs the secret one",
                key.fingerprint
            );
            Hinted::wrap(
                text,
                "import it with: gpg --import FILE, or sign with another key; see gpg --list-secret-keys",
            )
        }
        None => Hinted::wrap(anyhow!("{shown}: no such secret key"), "see gpg --list-secret-keys"),
    })?;
    report.verbose(format_args!("signing with {} {}", key.fingerprint, key.user));
    gpg::sign(&key.fingerprint, b"trial").map_err(|error| {
        let hint =
            format!("gpg needs the key's secret part and its passphrase; try: echo | gpg -u {} -b > /dev/null", key.fingerprint);
        Hinted::wrap(anyhow::Error::new(error).context(format!("{shown}: a trial signature failed")), hint)
    })?;
    Ok(key.fingerprint.clone())
}

/// The one key that can be used.
fn one_key<'a>(
    name: &str,
    keys: &'a [Key],
    wanted: Use,
    none: impl FnOnce() -> anyhow::Error,
) -> anyhow::Result<&'a Key> {
    let usable: Vec<&Key> = keys.iter().filter(|key| key.fault.is_none()).collect();
    match (usable.as_slice(), keys) {
        ([key], _) => Ok(key),
        ([], []) => Err(none()),
        ([], [Key { fault: Some(fault), fingerprint, .. }, ..]) => {
            let (text, hint) = describe(fault, fingerprint, wanted);
            Err(Hinted::wrap(anyhow!("{name}: {text}"), hint))
        }
        _ => {
            let all: Vec<&str> = usable.iter().map(|key| key.fingerprint.as_str()).collect();
            Err(Hinted::wrap(
                anyhow!("{name}: {} keys have that name", all.len()),
                format!("give the fingerprint of one: {}", all.join(" or ")),
            ))
        }
    }
}

fn describe(fault: &Fault, fingerprint: &str, wanted: Use) -> (String, String) {
    let (other, does) = match wanted {
        Use::Encrypt => ("encrypt to another key", "encrypts"),
        Use::Sign => ("sign with another key", "signs"),
    };
    match fault {
        Fault::Expired(at) => {
            let at = at
                .and_then(Stamp::from_unix)
                .map_or_else(String::new, |at| format!(" on {}", &at.to_rfc3339()[..10]));
            let hint = format!(
                "extend it with: gpg --quick-set-expire {fingerprint} 2y (and once more with '*' behind it for its subkeys), or {other}"
            );
            (format!("the key expired{at}"), hint)
        }
        Fault::Revoked => ("the key was revoked".to_owned(), other.to_owned()),
        Fault::Disabled => (
            "the key is disabled".to_owned(),
            format!("enable it with: gpg --edit-key {fingerprint} enable"),
        ),
        Fault::Unable => (format!("the key has no part that {does}"), other.to_owned()),
    }
}

fn symmetric(file: &Path, report: &Report) -> anyhow::Result<Keys> {
    let shown = file.display().to_string();
    let text = std::fs::read(file).with_context(|| shown.clone())?;
    let first = text.split(|&b| b == b'\n').next().unwrap_or_default();
    if first.is_empty() {
        return Err(Hinted::wrap(
            anyhow!("{shown}: the passphrase is empty"),
            "make one with: head -c 32 /dev/urandom | base64 > FILE",
        ));
    }
    let mode = std::fs::metadata(file).with_context(|| shown.clone())?.permissions().mode();
    if mode & 0o077 != 0 {
        report.note(format_args!(
            "{shown}: others on this machine can read the passphrase: chmod 600 it"
        ));
    }
    Ok(Keys::Symmetric(file.to_owned(), first.len() >= STRONG))
}
