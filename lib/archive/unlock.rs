//! The options of all readers that say how sealed objects are opened, and how much one may hold.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::edge::gpg::{Passphrase, Unlock};
use crate::report::message::{Hinted, Report};

/// What gpg's output may hold in any case: the part size that pack has by default, and some.
pub(crate) const MAX_OBJECT: u64 = 80 << 20;

/// How sealed objects are opened.
#[derive(Debug, Clone, Default)]
pub struct Unlocking {
    /// The file whose first line is the passphrase of the objects or of the secret key.
    pub passphrase_file: Option<PathBuf>,
    /// The command whose first line is the passphrase.
    pub passphrase_command: Option<OsString>,
    /// The most bytes of a block, a part or a parity shard, if another number than usual.
    pub max_object: Option<u64>,
    /// Plain objects count in any case.
    pub plain: bool,
}

/// What is said where something is plain that should not be.
pub(crate) const PLAIN: &str = "--plain if that is as it should be";

impl Unlocking {
    /// What gpg is given, and how much it may give.
    pub(crate) fn open(&self, report: &Report) -> anyhow::Result<(Unlock, u64)> {
        let source = PassphraseSource {
            file: self.passphrase_file.clone(),
            command: self.passphrase_command.clone(),
        };
        let passphrase = source.read(report)?.map(Arc::new);
        Ok((Unlock { passphrase }, self.max_object.unwrap_or(MAX_OBJECT)))
    }
}

/// Where a passphrase comes from; from the file that the environment names if from nowhere else.
pub(crate) struct PassphraseSource {
    /// A file.
    pub(crate) file: Option<PathBuf>,
    /// A shell command.
    pub(crate) command: Option<OsString>,
}

impl PassphraseSource {
    /// Reads it, once for the whole run.
    pub(crate) fn read(self, report: &Report) -> anyhow::Result<Option<Passphrase>> {
        if let Some(command) = &self.command {
            let passphrase = Passphrase::from_command(command).context("--passphrase-command")?;
            return not_empty("--passphrase-command", passphrase).map(Some);
        }
        let named = || std::env::var_os("DURA_PASSPHRASE_FILE").filter(|name| !name.is_empty());
        let Some(file) = self.file.or_else(|| named().map(PathBuf::from)) else { return Ok(None) };
        let shown = file.display().to_string();
        let passphrase = Passphrase::from_file(&file).with_context(|| shown.clone())?;
        let meta = std::fs::metadata(&file).with_context(|| shown.clone())?;
        if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
            report.note(format_args!(
                "{shown}: others on this machine can read the passphrase: chmod 600 it"
            ));
        }
        not_empty(&shown, passphrase).map(Some)
    }
}

fn not_empty(shown: &str, passphrase: Passphrase) -> anyhow::Result<Passphrase> {
    if !passphrase.is_empty() {
        return Ok(passphrase);
    }
    Err(Hinted::wrap(
        anyhow!("{shown}: the passphrase is empty"),
        "make one with: head -c 32 /dev/urandom | base64 > FILE",
    ))
}
