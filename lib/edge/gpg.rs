//! gpg as a child: one process for each object, and its word on which keys can be used.
//!
//! Success needs exit status 0 and the status line that says so: gpg has been seen to exit with 0
//! and write nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::pipe;

mod signature;

pub use signature::{Signer, Standing, Verdict, sign, verdict, verify};

/// What gpg encrypts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Fingerprints of keys in the keyring, and files that hold a key each.
    Public(Vec<String>, Vec<PathBuf>),
    /// A passphrase in a file. True if it is long enough that it needs no slow derivation.
    Symmetric(PathBuf, bool),
}

/// Why gpg did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GpgError {
    /// It could not be started.
    #[error("cannot run gpg")]
    Start(#[source] io::Error),
    /// It did not take its input or give its output.
    #[error("cannot talk to gpg")]
    Talk(#[source] io::Error),
    /// It failed; what it said.
    #[error("gpg failed: {0}")]
    Failed(String),
    /// None of the secret keys that could decrypt is there.
    #[error("no secret key that decrypts it")]
    NoSecretKey,
    /// It did not fail, but its status does not say that it succeeded.
    #[error("gpg gave no sign of success")]
    Unsure,
}

/// What gpg is to read.
#[derive(Debug)]
pub enum Input<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// All of a file, which it reads by itself: nothing is copied to it.
    File(File),
}

/// What a child gave.
struct Outcome {
    stdout: Vec<u8>,
    /// The `[GNUPG:]` lines, without that word.
    status: Vec<String>,
    /// All else from stderr.
    said: Vec<String>,
    success: bool,
}

/// Runs gpg with `input`, its three streams served at once.
fn run(args: &[OsString], input: Input<'_>) -> Result<Outcome, GpgError> {
    let (stdin, bytes, len) = match input {
        Input::Bytes(bytes) => (Stdio::piped(), bytes, bytes.len() as u64),
        Input::File(file) => {
            let len = file.metadata().map_err(GpgError::Talk)?.len();
            (file.into(), &b""[..], len)
        }
    };
    let mut command = Command::new("gpg");
    command.args([
        "--batch",
        "--no-tty",
        "--quiet",
        "--status-fd",
        "2",
        "--no-auto-key-locate",
        "--no-auto-key-retrieve",
    ]);
    command
        .args(args)
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(GpgError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    stdin.iter().for_each(pipe::widen);
    stdout.iter().for_each(pipe::widen);
    let (written, stdout, stderr) = std::thread::scope(|scope| {
        let errors = scope.spawn(move || read_all(stderr));
        let writer = stdin.map(|stdin| scope.spawn(move || pipe::write_all(stdin, bytes)));
        let stdout = read_much(stdout, len);
        let broken = || Err(io::Error::other("a thread broke off"));
        let written = writer.map_or(Ok(()), |writer| writer.join().unwrap_or_else(|_| broken()));
        (written, stdout, errors.join().unwrap_or_else(|_| broken().map(|()| Vec::new())))
    });
    let success = child.wait().map_err(GpgError::Talk)?.success();
    let stderr = String::from_utf8_lossy(&stderr.map_err(GpgError::Talk)?).into_owned();
    let mut outcome = Outcome {
        stdout: stdout.map_err(GpgError::Talk)?,
        status: Vec::new(),
        said: Vec::new(),
        success,
    };
    for line in stderr.lines() {
        match line.strip_prefix("[GNUPG:] ") {
            Some(status) => outcome.status.push(status.to_owned()),
            None => outcome.said.push(line.strip_prefix("gpg: ").unwrap_or(line).to_owned()),
        }
    }
    // A child that ends early closes its stdin: then its own words matter more than the broken
    // pipe.
    if success {
        written.map_err(GpgError::Talk)?;
    }
    Ok(outcome)
}

/// Reads what is probably as long as this. gpg writes some kilobytes at a time: where much comes, a
/// pause lets more come.
fn read_much(stream: Option<impl Read + AsFd>, probably: u64) -> io::Result<Vec<u8>> {
    const LITTLE: u64 = 64 << 10;
    let mut bytes = Vec::with_capacity(usize::try_from(probably).unwrap_or(0));
    let Some(mut stream) = stream else { return Ok(bytes) };
    loop {
        let there = rustix::io::ioctl_fionread(&stream).unwrap_or(0).max(LITTLE);
        let came = (&mut stream).take(there).read_to_end(&mut bytes)? as u64;
        if came < there {
            return Ok(bytes);
        }
        std::thread::sleep(pipe::PAUSE);
    }
}

fn read_all(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.map_or(Ok(0), |mut stream| stream.read_to_end(&mut bytes))?;
    Ok(bytes)
}

impl Outcome {
    /// The output, if gpg succeeded and says `sign`.
    fn require(self, sign: &str) -> Result<Vec<u8>, GpgError> {
        if !self.success {
            return Err(GpgError::Failed(self.said.join("; ")));
        }
        let signed = self.status.iter().any(|line| line.split(' ').next() == Some(sign));
        if signed && !self.stdout.is_empty() { Ok(self.stdout) } else { Err(GpgError::Unsure) }
    }
}

fn strings(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

/// Encrypts `input` as one message.
pub fn encrypt(keys: &Keys, input: &[u8]) -> Result<Vec<u8>, GpgError> {
    // Objects are compressed already; and no file name goes into the message.
    let mut args = strings(&[
        "--trust-model",
        "always",
        "--compress-algo",
        "none",
        "--set-filename",
        "",
        "--output",
        "-",
    ]);
    match keys {
        Keys::Public(fingerprints, files) => {
            for fingerprint in fingerprints {
                args.extend(["--recipient".into(), OsString::from(fingerprint)]);
            }
            for file in files {
                args.extend(["--recipient-file".into(), file.clone().into_os_string()]);
            }
            args.push("--encrypt".into());
        }
        Keys::Symmetric(file, strong) => {
            args.extend(strings(&[
                "--pinentry-mode",
                "loopback",
                "--cipher-algo",
                "AES256",
                "--passphrase-file",
            ]));
            args.push(file.clone().into_os_string());
            if *strong {
                args.extend(strings(&["--s2k-count", "65536"]));
            }
            args.push("--symmetric".into());
        }
    }
    run(&args, Input::Bytes(input))?.require("END_ENCRYPTION")
}

/// Decrypts one message.
pub fn decrypt(input: Input<'_>) -> Result<Vec<u8>, GpgError> {
    let outcome = run(&strings(&["--decrypt", "--output", "-"]), input)?;
    let keyless = |line: &String| line.starts_with("NO_SECKEY") || line.ends_with("No secret key");
    if !outcome.success && outcome.status.iter().chain(&outcome.said).any(keyless) {
        return Err(GpgError::NoSecretKey);
    }
    // An empty message is no sign of success by itself: gpg gives that for some cut files, too.
    outcome.require("GOODMDC")
}

/// What a key is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Encrypting to it.
    Encrypt,
    /// Signing with its secret part.
    Sign,
}

/// A key, as far as it matters for its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Fingerprint of the primary key.
    pub fingerprint: String,
    /// The first user id.
    pub user: String,
    /// Why it cannot be used, if it cannot.
    pub fault: Option<Fault>,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It expired at this second since 1970.
    Expired(Option<i64>),
    /// It was revoked.
    Revoked,
    /// Its owner disabled it in the keyring.
    Disabled,
    /// It has no part that does it.
    Unable,
}

/// The keys that the keyring has for `name`: a fingerprint, key id, mail address or part of a user
/// id. None is asked for elsewhere.
pub fn find(name: &OsStr) -> Result<Vec<Key>, GpgError> {
    let mut args = strings(&["--with-colons", "--fixed-list-mode", "--list-keys", "--"]);
    args.push(name.to_owned());
    // gpg exits with 2 when there is none.
    Ok(parse_keys(&run(&args, Input::Bytes(b""))?.stdout, Use::Encrypt))
}

/// The keys with that name of which the secret part is there, or on a card.
pub fn find_secret(name: &OsStr) -> Result<Vec<Key>, GpgError> {
    let mut args = strings(&["--with-colons", "--fixed-list-mode", "--list-secret-keys", "--"]);
    args.push(name.to_owned());
    Ok(parse_keys(&run(&args, Input::Bytes(b""))?.stdout, Use::Sign))
}

/// The keys in a file, by its bytes.
pub fn find_in_file(bytes: &[u8]) -> Result<Vec<Key>, GpgError> {
    let args = strings(&["--with-colons", "--fixed-list-mode", "--show-keys"]);
    Ok(parse_keys(&run(&args, Input::Bytes(bytes))?.stdout, Use::Encrypt))
}

/// Reads `--with-colons` output; the fields are described in GnuPG's doc/DETAILS.
pub fn parse_keys(output: &[u8], wanted: Use) -> Vec<Key> {
    // A small letter is what a part can do, a capital what the whole key can now.
    let (part, whole) = match wanted {
        Use::Encrypt => ('e', 'E'),
        Use::Sign => ('s', 'S'),
    };
    let mut keys: Vec<Key> = Vec::new();
    for line in String::from_utf8_lossy(output).lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match (field(0), keys.last_mut()) {
            ("pub" | "sec", _) => {
                let abilities = field(11);
                let fault = match field(1) {
                    "r" => Some(Fault::Revoked),
                    "e" => Some(Fault::Expired(field(6).parse().ok())),
                    _ if abilities.contains('D') => Some(Fault::Disabled),
                    _ if !abilities.contains(whole) => Some(Fault::Unable),
                    _ => None,
                };
                keys.push(Key { fingerprint: String::new(), user: String::new(), fault });
            }
            ("fpr", Some(key)) if key.fingerprint.is_empty() => {
                key.fingerprint = field(9).to_owned()
            }
            ("uid", Some(key)) if key.user.is_empty() => key.user = field(9).replace("\\x3a", ":"),
            // A key of which only the part that matters has expired: say when.
            ("sub" | "ssb", Some(key))
                if field(1) == "e"
                    && field(11).contains(part)
                    && key.fault == Some(Fault::Unable) =>
            {
                key.fault = Some(Fault::Expired(field(6).parse().ok()));
            }
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_their_faults() {
        let listing = b"tru::1:1:0:3:1:5
pub:u:255:22:AAAA:1700000000:::u:::scESC:::::ed25519:::0:
fpr:::::::::0123AA:
uid:u::::1700000000::HASH::Me \\x3a <me@example.org>::::::::::0:
sub:u:255:18:BBBB:1700000000::::::e:::::cv25519::
fpr:::::::::9999:
pub:e:255:22:CCCC:1500000000:1600000000::u:::sc:::::ed25519:::0:
fpr:::::::::4567BB:
pub:u:255:22:DDDD:1500000000:::u:::scSC:::::ed25519:::0:
fpr:::::::::89ABCC:
sub:e:255:18:EEEE:1500000000:1650000000:::::e:::::cv25519::
pub:r:255:22:FFFF:1500000000:::u:::sc:::::ed25519:::0:
pub:u:255:22:FFFF:1500000000:::u:::scSCED:::::ed25519:::0:
";
        let keys = parse_keys(listing, Use::Encrypt);
        assert_eq!(
            keys[0],
            Key { fingerprint: "0123AA".into(), user: "Me : <me@example.org>".into(), fault: None }
        );
        let faults: Vec<_> = keys[1..].iter().map(|key| key.fault).collect();
        let expired = |at| Some(Fault::Expired(Some(at)));
        assert_eq!(
            faults,
            [
                expired(1_600_000_000),
                expired(1_650_000_000),
                Some(Fault::Revoked),
                Some(Fault::Disabled)
            ]
        );
    }
}
