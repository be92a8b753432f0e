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
    ("dump", READ),
    ("check", "to find damage: dura-verify ARCHIVE"),
    ("verify", "to find damage: dura-verify ARCHIVE"),
    ("repair", "to rebuild it: dura-verify --repair ARCHIVE | dura-push --replace ARCHIVE"),
    ("forget", EXPIRE),
    ("prune", EXPIRE),
    ("delete", "to remove bands: dura-prune ARCHIVE BAND …"),
    ("copy", "to bring all to another archive: dura-push --from ARCHIVE ANOTHER"),
    ("cat", READ),
    ("key", "to see which keys open it, or to add one: dura-index keys ARCHIVE"),
    ("unlock", "an archive has no lock"),
    ("mount", "to see its versions as directories: dura-mount ARCHIVE DIR"),
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
    ("dura-prune", "--keep-", EXPIRE),
    ("", "-r", "name the archive as an argument, without an option: ARCHIVE"),
    ("", "--repo", "name the archive as an argument, without an option: ARCHIVE"),
];

const LIST_BANDS: &str = "to list what was backed up: dura-index bands ARCHIVE";
const MAKE: &str = "to make a backup: dura-scan DIR | dura-index diff ARCHIVE | dura-pack | dura-seal | dura-push ARCHIVE";
const RESTORE: &str =
    "to restore: dura-restore ARCHIVE | tar --xattrs --xattrs-include='*' --acls -xpf - -C DIR";
const READ: &str = "to read one file: dura-restore ARCHIVE PATH | tar -xOf -";
const EXPIRE: &str =
    "to remove old bands: dura-index expire --keep-daily N ARCHIVE | dura-prune ARCHIVE";

/// Replaces clap's tips by ours if there is one: to write an unknown option as a value never helps
/// here, nor does a word that only looks alike.
pub(super) fn add(program: &str, error: &mut clap::Error) {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => Some(name.clone()),
        _ => None,
    };
    let (tip, alike) = if let Some(option) = named(ContextKind::InvalidArg) {
        error.remove(ContextKind::Suggested);
        let fits = |name: &str| match name.ends_with('-') {
            true => option.starts_with(name),
            false => option == name,
        };
        let tip = (OPTIONS.iter())
            .find(|(of, name, _)| (of.is_empty() || *of == program) && fits(name))
            .map(|(.., tip)| *tip);
        (tip, ContextKind::SuggestedArg)
    } else {
        let command = named(ContextKind::InvalidSubcommand);
        let tip = command
            .and_then(|command| COMMANDS.iter().find(|(name, _)| *name == command))
            .map(|(_, tip)| *tip);
        (tip, ContextKind::SuggestedSubcommand)
    };
    if let Some(tip) = tip {
        if error.remove(alike).is_some() {
            // It is that of the word that only looks alike.
            error.remove(ContextKind::Usage);
        }
        let tips = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tips);
    }
}
