//! Throwaway keys in homes of their own, made once per test process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::run::{Share, Shell, bare, base, give};

/// Who the archive is for.
pub(crate) const KEY: &str = "first@dura.invalid";
/// Somebody else whose secret key is there too.
pub(crate) const OTHER: &str = "second@dura.invalid";
/// A key that expired years ago.
pub(crate) const EXPIRED: &str = "expired@dura.invalid";

/// A GNUPGHOME. Its agent is stopped, and it is removed, when the test process has ended.
pub(crate) struct Home {
    /// The directory, for `GNUPGHOME`.
    pub(crate) dir: PathBuf,
    /// A file with a passphrase, which plain `gpg -d` in this home takes without asking.
    pub(crate) passphrase: PathBuf,
    user: bool,
}

/// The home with keys; it belongs to whoever runs the tests.
pub(crate) fn home() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.shared(|| Home::new("gpg.r", false))
}

/// The ordinary user's home, with keys of its own under the same names.
pub(crate) fn user_home() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.shared(|| Home::new("gpg.u", true))
}

/// A home that knows the public key and no secret one, as a host that is backed up should.
pub(crate) fn public() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.shared(|| {
        let dir = base().join("gpg.p");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let key = home().with(bare(&format!("gpg --export {KEY}"))).ok().stdout;
        bare("gpg -q --batch --import").var("GNUPGHOME", &dir).input(&key).ok();
        Home { dir, passphrase: home().passphrase.clone(), user: false }
    })
}

impl Home {
    fn new(name: &str, user: bool) -> Home {
        let dir = base().join(name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let passphrase = dir.join("passphrase");
        fs::write(&passphrase, "a phrase that nobody guesses, as long as a random one\n").unwrap();
        fs::write(
            dir.join("gpg.conf"),
            format!("pinentry-mode loopback\npassphrase-file {}\n", passphrase.display()),
        )
        .unwrap();
        // Or gpg takes half a second of work to try the passphrase, whenever it decrypts.
        fs::write(dir.join("gpg-agent.conf"), "s2k-count 65536\n").unwrap();
        if user {
            [&dir, &passphrase, &dir.join("gpg.conf"), &dir.join("gpg-agent.conf")]
                .into_iter()
                .for_each(|path| give(path));
        }
        let home = Home { dir, passphrase, user };
        let make = "gpg --batch --no-tty -q --passphrase '' --pinentry-mode loopback";
        home.with(bare(&format!(
            "{make} --quick-generate-key 'First <{KEY}>' future-default default never &&
             {make} --quick-generate-key 'Second <{OTHER}>' future-default default never &&
             {make} --faked-system-time 20200101T000000 --quick-generate-key 'Expired <{EXPIRED}>' future-default default 1d"
        )))
        .ok();
        home
    }

    /// The shell in this home.
    pub(crate) fn with(&self, shell: Shell) -> Shell {
        shell.var("GNUPGHOME", &self.dir).user(self.user)
    }
}
