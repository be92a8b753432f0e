//! The options of all readers that say how sealed objects are opened, and how much one may hold.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;

use crate::cli::common::size;
use crate::edge::gpg::{Passphrase, Unlock};
use crate::report::message::{Hinted, Report};

/// What gpg's output may hold in any case: the part size that pack has by default, and some.
pub(crate) const MAX_OBJECT: u64 = 80 << 20;

/// How sealed objects are opened.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Unlocking {
    /// Use the first line of FILE as the passphrase of the objects or of the secret key
    #[arg(long, value_name = "FILE", global = true, display_order = 890)]
    passphrase_file: Option<PathBuf>,
    /// Use the first line that COMMAND writes as the passphrase; sh runs it
    #[arg(
        long,
        value_name = "COMMAND",
        conflicts_with = "passphrase_file",
        global = true,
        display_order = 891
    )]
    passphrase_command: Option<OsString>,
    /// Accept blocks, parts and parity of up to SIZE bytes [default: 128M], and up to SIZE from an
    /// encrypted object that yields more than its own size [default: 80M]
    #[arg(long, value_name = "SIZE", value_parser = size, global = true, display_order = 892)]
    max_object: Option<u64>,
    /// Accept objects that are not encrypted in an encrypted band, and an unencrypted band that is
    /// newer than an encrypted one
    #[arg(long, global = true, display_order = 893)]
    plain: bool,
}

/// What is said where something is plain that should not be.
pub(crate) const PLAIN: &str = "--plain if that is as it should be";

impl Unlocking {
    /// Whether plain objects are taken in any case.
    pub(crate) fn plain(&self) -> bool {
        self.plain
    }

    /// What gpg is given, and how much it may give.
    pub(crate) fn open(&self, report: &Report) -> anyhow::Result<(Unlock, u64)> {
        let source =
            Source { file: self.passphrase_file.clone(), command: self.passphrase_command.clone() };
        let passphrase = source.read(report)?.map(Arc::new);
        Ok((Unlock { passphrase }, self.max_object.unwrap_or(MAX_OBJECT)))
    }

    /// The most bytes of a block, a part or a parity shard, if another number than usual.
    pub(crate) fn max_object(&self) -> Option<u64> {
        self.max_object
    }
}

/// Where a passphrase comes from; from the file that the environment names if from nowhere else.
pub(crate) struct Source {
    /// A file.
    pub(crate) file: Option<PathBuf>,
    /// A shell command.
    pub(crate) command: Option<OsString>,
}

impl Source {
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
