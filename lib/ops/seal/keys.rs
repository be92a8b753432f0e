//! What a run encrypts with, settled before the first object.

use std::sync::Arc;

use anyhow::anyhow;

use crate::archive::unlock;
use crate::edge::gpg::{GpgSealer, Keys, Strength};
use crate::ops::keyring::{to_keys, tried};
use crate::ops::seal::Options;
use crate::report::message::{Hinted, Report};

/// A passphrase of so many bytes is taken for a random key, which needs no slow derivation.
const STRONG: usize = 32;

/// Finds the keys, and looks at what gpg makes for them; none when nothing is to be encrypted.
pub(super) fn resolve(options: &Options, report: &Report) -> anyhow::Result<Option<GpgSealer>> {
    if options.symmetric {
        return tried(symmetric(options, report)?, report).map(Some);
    }
    let hidden = &options.hidden_recipient;
    if options.recipient.is_empty() && hidden.is_empty() && options.recipient_file.is_empty() {
        return Ok(None);
    }
    to_keys(&options.recipient, hidden, &options.recipient_file, report).map(Some)
}

/// The passphrase, and whether it is long enough to need no slow derivation.
fn symmetric(options: &Options, report: &Report) -> anyhow::Result<Keys> {
    let unlock = unlock::PassphraseSource {
        file: options.passphrase_file.clone(),
        command: options.passphrase_command.clone(),
    };
    let passphrase = unlock.read(report)?.ok_or_else(|| {
        Hinted::wrap(
            anyhow!("--symmetric needs a passphrase"),
            "give --passphrase-file FILE or --passphrase-command COMMAND, or set DURA_PASSPHRASE_FILE",
        )
    })?;
    let strength = if passphrase.len() >= STRONG { Strength::Strong } else { Strength::Weak };
    Ok(Keys::Symmetric(Arc::new(passphrase), strength))
}
