//! What gpg is called with, so that nothing in a gpg.conf changes bytes, recipients, or what is
//! understood of what it says. Each option stands here because a sweep over all options of gpg
//! found that its opposite did.

use super::Strength;

/// For every call.
pub(super) const COMMON: &[&str] = &[
    "--batch",
    "--no-tty",
    "--no-verbose",
    // (Not --logger-fd: where a gpg.conf has one, gpg closes that file for another, and may write
    // its output into its own trust database.)
    "--status-fd",
    "2",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
    "--disable-dirmngr",
    // What is asked of a key is asked by Dura; a trust database may be missing or broken.
    "--trust-model",
    "always",
    "--no-permission-warning",
    // It would be written at each call.
    "--no-random-seed-file",
    // Nothing of the home is changed, and what gpg changes there it puts in place by a rename. The
    // files of a lock come and go in the home, under a backup of it.
    "--lock-never",
    // Arguments are UTF-8 whatever the locale.
    "--utf8-strings",
    "--display-charset",
    "utf-8",
    "--gnupg",
    "--no-groups",
    "--no-textmode",
    "--no-armor",
    "--no-for-your-eyes-only",
    "--no-use-embedded-filename",
    "--no-skip-hidden-recipients",
    "--max-output",
    "0",
    "--output",
    "-",
];

/// Where only what stands in the arguments is needed: no configuration and no keyring, so that no
/// home has to be there.
pub(super) const ALONE: &[&str] = &["--no-options", "--no-keyring"];

/// For a trust database that is broken: none, and none is made there.
pub(super) const WITHOUT_TRUST: &[&str] = &["--trustdb-name", "/nonexistent/trustdb.gpg"];

/// For encryption, with public keys handed over as files. Objects are compressed already; no file
/// name goes into the message; the cipher is one that every OpenPGP program of the last twenty
/// years knows.
pub(super) const ENCRYPTION: &[&str] = &[
    "--no-options",
    "--no-keyring",
    "--allow-weak-digest-algos",
    "--compress-algo",
    "none",
    "--set-filename",
    "",
    "--cipher-algo",
    "AES256",
    "--no-encrypt-to",
    "--no-default-recipient",
    "--no-throw-keyids",
];

/// For a passphrase that comes through a file descriptor, which is said by its number.
pub(super) const WITH_PASSPHRASE: &[&str] = &["--pinentry-mode", "loopback"];

/// How a passphrase is made into a key. The count is said, or gpg would ask an agent for it.
pub(super) fn derivation(strength: Strength) -> &'static [&'static str] {
    const COMMON: [&str; 7] = [
        "--s2k-mode",
        "3",
        "--s2k-digest-algo",
        "SHA256",
        "--s2k-cipher-algo",
        "AES256",
        "--s2k-count",
    ];
    const FULL: [&str; 8] = with(COMMON, "65011712");
    const SHORT: [&str; 8] = with(COMMON, "65536");
    // The lowest that is heeded: 1024 means "choose one yourself" to gpg.
    const NONE: [&str; 8] = with(COMMON, "1088");
    match strength {
        Strength::Weak => &FULL,
        Strength::Strong => &SHORT,
        Strength::RunKey => &NONE,
    }
}

const fn with(common: [&'static str; 7], count: &'static str) -> [&'static str; 8] {
    let [a, b, c, d, e, f, g] = common;
    [a, b, c, d, e, f, g, count]
}

/// For decryption. Of a message that names its recipients, only their keys are tried.
pub(super) const DECRYPTION: &[&str] =
    &["--no-allow-multiple-messages", "--override-session-key-fd", "-1"];

/// Where nothing is unlocked: what would be read from standard input in the place of data.
pub(super) const NOTHING_TO_UNLOCK: &[&str] =
    &["--passphrase-fd", "-1", "--override-session-key-fd", "-1"];

/// For signing.
pub(super) const SIGNING: &[&str] = &[
    "--allow-weak-digest-algos",
    "--digest-algo",
    "SHA256",
    "--default-sig-expire",
    "0",
    "--no-include-key-block",
];
