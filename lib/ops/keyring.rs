//! Keys of the keyring and of files, looked up and tried before they are used.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::edge::gpg::{
    self, GpgError, GpgKey, GpgSealer, KeyFault, Keys, Recipient, Signatory, TrialError, Use,
};
use crate::format::time::Stamp;
use crate::report::message::{Hinted, Report};

/// What seals to these keys: of the keyring, those that messages do not name, and of files.
pub(crate) fn to_keys(
    named: &[OsString],
    hidden: &[OsString],
    files: &[PathBuf],
    report: &Report,
) -> anyhow::Result<GpgSealer> {
    let mut recipients = Vec::new();
    for name in named {
        recipients.push(in_keyring(name, false, report)?);
    }
    for name in hidden {
        recipients.push(in_keyring(name, true, report)?);
    }
    for file in files {
        recipients.push(in_file(file, report)?);
    }
    tried(Keys::Public(recipients), report)
}

/// The sealer, once a trial message is as it should be.
pub(crate) fn tried(keys: Keys, report: &Report) -> anyhow::Result<GpgSealer> {
    let sealer = GpgSealer::new(keys);
    let seen = gpg::trial(&sealer).map_err(not_to_be_used)?;
    report.verbose(format_args!("a trial message is correct: {seen}"));
    Ok(sealer)
}

/// Draws a key for the run: gives what seals its objects, and the key object.
pub(crate) fn of_run(to: &GpgSealer, report: &Report) -> anyhow::Result<(GpgSealer, Vec<u8>)> {
    let made = gpg::seal_key(to).map_err(not_to_be_used)?;
    report.verbose(format_args!("the run has a key of its own, in {} bytes", made.1.len()));
    Ok(made)
}

/// Why gpg is not used: it failed, or it made something else than was asked for.
pub(crate) fn not_to_be_used(error: TrialError) -> anyhow::Error {
    let failed = "a trial encryption failed";
    match error {
        TrialError::Gpg(error) => anyhow::Error::new(error).context(failed),
        error => Hinted::wrap(
            anyhow::Error::new(error).context("gpg must not be used as it is set up here"),
            "nothing was encrypted; check which gpg runs (type gpg), and gpg --version",
        ),
    }
}

fn in_keyring(name: &OsString, hidden: bool, report: &Report) -> anyhow::Result<Recipient> {
    let shown = name.to_string_lossy();
    let found = gpg::find(name, Use::Encrypt).map_err(|error| cannot_look(&shown, error))?;
    let key = one_key(&shown, &found, Use::Encrypt, || no_public(name))?;
    let how = if hidden { " (hidden)" } else { "" };
    report.done(format_args!("encrypting to {} {}{how}", key.name(), key.user));
    let bytes = gpg::export(key).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("{shown}: cannot be exported"));
        let hint = format!("check gpg --export {} and gpg.conf", key.name());
        Hinted::wrap(error, hint)
    })?;
    Ok(Recipient { key: bytes, ids: key.ids(), hidden })
}

fn in_file(file: &Path, report: &Report) -> anyhow::Result<Recipient> {
    let shown = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| shown.clone())?;
    let none = || {
        Hinted::wrap(
            anyhow!("{shown}: no public key in it"),
            "export one with: gpg --export KEY > FILE",
        )
    };
    let found = gpg::find_in_file(&bytes)?;
    let key = one_key(&shown, &found, Use::Encrypt, none)?;
    report.done(format_args!("encrypting to {} {}", key.fingerprint, key.user));
    Ok(Recipient { ids: key.ids(), key: bytes, hidden: false })
}

/// gpg could not say which keys there are.
fn cannot_look(shown: &str, error: GpgError) -> anyhow::Error {
    let hint = match error {
        GpgError::Unusable(_) => {
            "check gpg --list-keys; with --recipient-file FILE no keyring is needed"
        }
        _ => return anyhow::Error::new(error).context(shown.to_owned()),
    };
    Hinted::wrap(anyhow::Error::new(error).context(shown.to_owned()), hint)
}

fn no_public(name: &OsStr) -> anyhow::Error {
    let hint = format!(
        "check gpg --list-keys, and import the key of {} with gpg --import FILE, or use --recipient-file FILE",
        name.display()
    );
    Hinted::wrap(anyhow!("{}: no such public key", name.display()), hint)
}

/// The key that signs, tried once: so a passphrase is asked for now and not in the middle of the
/// run.
pub(crate) fn signer(name: &OsStr, report: &Report) -> anyhow::Result<Signatory> {
    let shown = name.to_string_lossy();
    let found = gpg::find_secret(name).map_err(|error| cannot_look(&shown, error))?;
    let public = if found.is_empty() {
        gpg::find(name, Use::Sign).map_err(|error| cannot_look(&shown, error))?
    } else {
        Vec::new()
    };
    let key = one_key(&shown, &found, Use::Sign, || match public.first() {
        Some(key) => {
            let text = anyhow!(
                "{shown}: only the public part of the key {} is here, and signing needs the secret one",
                key.fingerprint
            );
            Hinted::wrap(
                text,
                "import it with gpg --import FILE, or sign with another key; check gpg --list-secret-keys",
            )
        }
        None => {
            Hinted::wrap(anyhow!("{shown}: no such secret key"), "check gpg --list-secret-keys")
        }
    })?;
    report.verbose(format_args!("signing with {} {}", key.name(), key.user));
    Signatory::new(key).map_err(|error| {
        let hint = match error {
            GpgError::Unusable(_) => "check gpg.conf".to_owned(),
            _ => format!(
                "gpg needs the key's secret part and its passphrase; try: echo | gpg -u {} -b > /dev/null",
                key.name()
            ),
        };
        let text = format!("{shown}: a trial signature failed");
        Hinted::wrap(anyhow::Error::new(error).context(text), hint)
    })
}

/// The one key that can be used.
fn one_key<'a>(
    name: &str,
    keys: &'a [GpgKey],
    wanted: Use,
    none: impl FnOnce() -> anyhow::Error,
) -> anyhow::Result<&'a GpgKey> {
    let usable: Vec<&GpgKey> = keys.iter().filter(|key| key.fault.is_none()).collect();
    match (usable.as_slice(), keys) {
        ([key], _) => Ok(key),
        ([], []) => Err(none()),
        ([], [GpgKey { fault: Some(fault), fingerprint, .. }, ..]) => {
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

fn describe(fault: &KeyFault, fingerprint: &str, wanted: Use) -> (String, String) {
    let (other, does) = match wanted {
        Use::Encrypt => ("encrypt to another key", "encrypts"),
        Use::Sign => ("sign with another key", "signs"),
    };
    match fault {
        KeyFault::Expired(at) => {
            let at = at
                .and_then(Stamp::from_unix)
                .map_or_else(String::new, |at| format!(" on {}", &at.to_rfc3339()[..10]));
            let hint = format!(
                "extend it with: gpg --quick-set-expire {fingerprint} 2y (and again with '*' added for its subkeys), or {other}"
            );
            (format!("the key expired{at}"), hint)
        }
        KeyFault::Revoked => ("the key was revoked".to_owned(), other.to_owned()),
        KeyFault::Disabled => (
            "the key is disabled".to_owned(),
            format!("enable it with: gpg --edit-key {fingerprint} enable"),
        ),
        KeyFault::Unable => (format!("the key has no part that {does}"), other.to_owned()),
    }
}
