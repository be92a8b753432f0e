//! Sealed objects: opened by gpg, and a missing key told from damage.
//!
//! gpg says "no secret key" also of a message whose first bytes are damaged. When other objects of
//! the band open, the key is there, and the one that does not is damaged.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;

use crate::archive::locked::locked;
use crate::archive::unlock::{MAX_OBJECT, Unlocking};
use crate::archive::{Archive, StoredObject};
use crate::edge::gpg::{self, GpgError, GpgInput, Passphrase, Unlock, Use};
use crate::format::band::BandName;
use crate::format::digest::{self, Digest};
use crate::format::object::ObjectName;
use crate::report::message::{Hinted, Report};

/// Objects of a band that are tried before it is said that no key opens it.
const TRIED: usize = 4;

type RunKeys = Result<Arc<Vec<Arc<Passphrase>>>, Arc<GpgError>>;

/// The key objects that this process has opened, or could not open, by what they hold.
#[derive(Debug, Default)]
struct OpenedKeys(Mutex<HashMap<Digest, RunKeys>>);

/// What opens objects, and what was seen of that.
pub(super) struct Opener {
    pub(super) unlock: Unlock,
    /// Bytes that any object may give.
    pub(super) limit: u64,
    pub(super) report: Option<Arc<Report>>,
    /// Key objects of runs.
    opened: OpenedKeys,
    /// Bands of which an object was opened, or none could be. Held while others are tried.
    bands: Mutex<HashMap<BandName, bool>>,
    /// Keys that have opened something.
    keys: Mutex<BTreeSet<String>>,
}

impl Default for Opener {
    fn default() -> Opener {
        Opener {
            unlock: Unlock::default(),
            limit: MAX_OBJECT,
            report: None,
            opened: OpenedKeys::default(),
            bands: Mutex::default(),
            keys: Mutex::default(),
        }
    }
}

impl Opener {
    /// Gives the bytes of a message, and says with `-v` which key has opened it.
    fn open(&self, band: &BandName, message: GpgInput<'_>) -> Result<Vec<u8>, GpgError> {
        // Objects are compressed before they are sealed, so a message does not grow; one that was
        // sealed by hand may.
        let size = message.size().map_err(GpgError::Talk)?;
        let (plain, opened) = gpg::decrypt(message, &self.unlock, self.limit.max(size))?;
        if let Ok(mut bands) = self.bands.lock() {
            match bands.get_mut(band) {
                Some(open) => *open = true,
                None => _ = bands.insert(band.clone(), true),
            }
        }
        if let (Some(report), Some((key, primary))) = (&self.report, opened.key) {
            self.tell(report, &key, &primary);
        }
        Ok(plain)
    }

    /// The keys in a key object, opened once. Held while one is opened, so no two are at a time.
    pub(super) fn keys_in(&self, shown: &str, message: &[u8]) -> RunKeys {
        let mut opened = locked(&self.opened.0);
        let known = opened.entry(digest::of(message));
        known
            .or_insert_with(|| match gpg::open_key(message, &self.unlock) {
                Ok((keys, how)) => {
                    if let Some(report) = &self.report {
                        tell(report, shown, how.key.as_ref());
                    }
                    Ok(Arc::new(keys))
                }
                Err(error) => Err(Arc::new(error)),
            })
            .clone()
    }

    fn tell(&self, report: &Report, key: &str, primary: &str) {
        let is_new =
            |mut keys: std::sync::MutexGuard<'_, BTreeSet<String>>| keys.insert(key.into());
        if !report.is_verbose() || !self.keys.lock().is_ok_and(is_new) {
            return;
        }
        let user = user_of(primary);
        report.verbose(format_args!("decrypted with the key {key} of {primary} {user}"));
    }

    /// Whether a passphrase was given.
    pub(super) fn has_passphrase(&self) -> bool {
        self.unlock.passphrase.is_some()
    }
}

/// Says with `-v` what has opened a key object.
fn tell(report: &Report, shown: &str, key: Option<&(String, String)>) {
    if !report.is_verbose() {
        return;
    }
    match key {
        Some((key, primary)) => {
            let user = user_of(primary);
            report
                .verbose(format_args!("{shown}: decrypted with the key {key} of {primary} {user}"));
        }
        None => report.verbose(format_args!("{shown}: decrypted with the passphrase")),
    }
}

/// The first user id of a key, as far as it is known.
fn user_of(primary: &str) -> String {
    let found = gpg::find(OsStr::new(primary), Use::Encrypt).unwrap_or_default();
    found.into_iter().next().map_or_else(String::new, |key| key.user)
}

/// An object is not opened: why, and what to do.
pub(super) fn with_remedy(error: GpgError, shown: &str) -> anyhow::Error {
    let hint = remedy(&error);
    let error = anyhow::Error::new(error).context(shown.to_owned());
    match hint {
        Some(hint) => Hinted::wrap(error, hint),
        None => error,
    }
}

impl Archive {
    /// The same archive, with what the options say of opening its objects.
    pub(crate) fn unlocked(
        mut self,
        options: &Unlocking,
        report: &Arc<Report>,
    ) -> anyhow::Result<Archive> {
        let (unlock, limit) = options.open(report)?;
        let report = Some(Arc::clone(report));
        self.opener = Arc::new(Opener { unlock, limit, report, ..Opener::default() });
        self.max_object = options.max_object;
        self.plain_is_meant = options.plain;
        Ok(self)
    }

    /// The same archive, its objects opened as those of the other.
    pub(crate) fn unlocked_as(mut self, other: &Archive) -> Archive {
        self.opener = Arc::clone(&other.opener);
        self.max_object = other.max_object;
        self.plain_is_meant = other.plain_is_meant;
        self
    }

    /// The plain bytes of a sealed object.
    pub(super) fn open_sealed(
        &self,
        band: &BandName,
        name: ObjectName,
        stored: StoredObject,
    ) -> anyhow::Result<Vec<u8>> {
        if let Some(plain) = self.open_with_run_key(band, name, &stored)? {
            return Ok(plain);
        }
        let opened = match stored {
            StoredObject::File(mut file) => {
                let rewound = std::io::Seek::rewind(&mut file).map_err(GpgError::Talk);
                rewound.and_then(|()| self.opener.open(band, GpgInput::File(file)))
            }
            StoredObject::Bytes(bytes) => match self.opener.open(band, GpgInput::Bytes(&bytes)) {
                Err(error) if is_of_the_message(&error) => {
                    // It may have changed on the way.
                    let again =
                        self.get(&format!("{band}/{name}"), self.most(name))?.context("gone")?;
                    if again == bytes {
                        Err(error)
                    } else {
                        self.opener.open(band, GpgInput::Bytes(&again))
                    }
                }
                opened => opened,
            },
        };
        opened.map_err(|error| self.locked_or_damaged(band, name, error))
    }

    fn locked_or_damaged(
        &self,
        band: &BandName,
        name: ObjectName,
        error: GpgError,
    ) -> anyhow::Error {
        let shown = format!("{band}/{name}");
        let is_key = matches!(error, GpgError::NoSecretKey(_) | GpgError::WrongPassphrase);
        if is_key && self.others_open(band, name) {
            let what = "no key decrypts it, although other objects of the band can be decrypted"
                .to_owned();
            return anyhow::Error::new(GpgError::Damaged(what)).context(shown);
        }
        with_remedy(error, &shown)
    }

    /// Whether other objects of the band can be opened.
    fn others_open(&self, band: &BandName, name: ObjectName) -> bool {
        let known = |bands: &HashMap<BandName, bool>| bands.get(band).copied();
        let Ok(mut bands) = self.opener.bands.lock() else { return false };
        if let Some(open) = known(&bands) {
            return open;
        }
        let mut objects = self.objects(band).unwrap_or_default();
        objects.retain(|(other, _)| other.encrypted && *other != name);
        objects.sort_by_key(|(_, size)| *size);
        let opens = |other: &ObjectName| {
            let message = match self.stored(band, *other) {
                Ok(Some(stored)) => stored,
                _ => return false,
            };
            let input = match &message {
                StoredObject::Bytes(bytes) => GpgInput::Bytes(bytes),
                StoredObject::File(file) => match file.try_clone() {
                    Ok(file) => GpgInput::File(file),
                    Err(_) => return false,
                },
            };
            let limit = input.size().unwrap_or(0).max(self.opener.limit);
            gpg::decrypt(input, &self.opener.unlock, limit).is_ok()
        };
        let open = objects.iter().take(TRIED).any(|(other, _)| opens(other));
        bands.insert(band.clone(), open);
        open
    }
}

/// Whether the bytes of the message may be why it was not opened.
fn is_of_the_message(error: &GpgError) -> bool {
    !matches!(error, GpgError::Start(_) | GpgError::Unusable(_) | GpgError::Locked(_))
}

fn remedy(error: &GpgError) -> Option<&'static str> {
    Some(match error {
        GpgError::NoSecretKey(_) => {
            "import the secret key for which the band was encrypted (gpg --import), or name the cache of the host that wrote it (--cache); a backup that has neither can be a full one (--full)"
        }
        GpgError::WrongPassphrase => {
            "use the passphrase with which the band was encrypted, or that of the secret key"
        }
        GpgError::Locked(said) if said.contains("agent") => {
            "run gpg-connect-agent /bye: it needs a GNUPGHOME or a /run/user/UID in which it can create its socket"
        }
        GpgError::Locked(_) => {
            "unlock the key first, or give its passphrase with --passphrase-file FILE or --passphrase-command COMMAND; on a terminal, gpg needs a pinentry and GPG_TTY"
        }
        GpgError::Unusable(_) => "check gpg --list-keys and gpg.conf",
        GpgError::Start(_) => "install gpg (GnuPG), or add it to the PATH",
        GpgError::TooLarge(_) => "if it is meant to be this large, use --max-object SIZE",
        _ => return None,
    })
}
