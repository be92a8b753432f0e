//! Tips for people who come from other programs: what they ask for, in the words of this one.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};

/// Subcommands that restic, borg and others have, and what to type here.
const COMMANDS: &[(&str, &str)] = &[
    ("snapshots", LIST_BANDS),
    ("backups", LIST_BANDS),
    ("archives", LIST_BANDS),
    ("info", LIST_BANDS),
    ("stats", LIST_BANDS),
    ("backup", MAKE),
    ("create", MAKE),
    ("init", "an archive needs no preparation: dura-push ARCHIVE makes it"),
    ("restore", RESTORE),
    ("extract", RESTORE),
    ("dump", "to read one file: dura-restore ARCHIVE PATH | tar -xOf -"),
    ("check", "to find damage: dura-verify ARCHIVE"),
    ("verify", "to find damage: dura-verify ARCHIVE"),
];

/// The same for options.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("dura-scan", "-e", "to leave files out: --exclude PATTERN"),
    ("dura-scan", "--iexclude", "to leave files out: --exclude PATTERN"),
    ("dura-scan", "--exclude-file", "to read patterns from a file: --exclude-from FILE"),
    ("dura-scan", "--one-file-system", "to stay on one file system: -x"),
    ("dura-restore", "--target", RESTORE),
    ("dura-restore", "-t", RESTORE),
    ("dura-restore", "--include", "to restore a part: dura-restore ARCHIVE PATH …"),
    ("dura-restore", "-i", "to restore a part: dura-restore ARCHIVE PATH …"),
    ("", "-r", "name the archive as an argument, without an option: ARCHIVE"),
    ("", "--repo", "name the archive as an argument, without an option: ARCHIVE"),
];

const LIST_BANDS: &str = "to list what was backed up: dura-index bands ARCHIVE";
const MAKE: &str = "to make a backup: dura-scan DIR | dura-index diff ARCHIVE | dura-pack | dura-seal | dura-push ARCHIVE";
const RESTORE: &str =
    "to restore: dura-restore ARCHIVE | tar --xattrs --xattrs-include='*' --acls -xpf - -C DIR";

/// Replaces clap's tip to write an unknown option as a value, which never helps here, by one of
/// ours if there is one.
pub(super) fn add(program: &str, error: &mut clap::Error) {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => Some(name.clone()),
        _ => None,
    };
    let tip = if let Some(option) = named(ContextKind::InvalidArg) {
        error.remove(ContextKind::Suggested);
        (OPTIONS.iter())
            .find(|(of, name, _)| (of.is_empty() || *of == program) && *name == option)
            .map(|(.., tip)| *tip)
    } else {
        let command = named(ContextKind::InvalidSubcommand);
        command
            .and_then(|command| COMMANDS.iter().find(|(name, _)| *name == command))
            .map(|(_, tip)| *tip)
    };
    if let Some(tip) = tip {
        let tips = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tips);
    }
}
