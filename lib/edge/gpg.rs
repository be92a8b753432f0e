//! gpg as a child: one process for each object, and its word on which keys can be used.
//!
//! What the user's configuration says about where keys are and how they are unlocked holds; what
//! it says that would change bytes does not (`arguments`). Success is judged by what gpg's status
//! lines say (`status`).

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::pipe;
use handed::Handed;

mod arguments;
mod handed;
mod input;
mod keys;
mod secret;
mod signature;
mod status;
mod trial;

pub use input::GpgInput;
pub use keys::{
    GpgKey, KeyFault, KeyPart, Use, export, find, find_in_file, find_secret, parse_keys, secret_ids,
};
pub use secret::Passphrase;
#[cfg(test)]
pub(crate) use signature::{SIGNER, stand_in};
pub use signature::{Signatory, SignatureStanding, SignatureVerdict, Signer, verdict, verify};
pub use status::OpenedMessage;
pub use trial::{TrialError, TrialMessage, seal_key, seal_keys, trial};

/// What gpg encrypts to.
#[derive(Debug)]
pub enum Keys {
    /// Public keys.
    Public(Vec<Recipient>),
    /// A passphrase.
    Symmetric(Arc<Passphrase>, Strength),
}

/// How hard a passphrase is to guess, so how slowly it is made into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// A person's: with gpg's full derivation.
    Weak,
    /// Long enough to need no slow one.
    Strong,
    /// A run key of 256 random bits, which needs none.
    RunKey,
}

/// A key that gpg encrypts to.
#[derive(Debug)]
pub struct Recipient {
    /// The key, and of its encrypting parts only the one that is wanted if that was said.
    pub key: Vec<u8>,
    /// Ids of the parts that a message may be for.
    pub ids: Vec<crate::format::openpgp::KeyId>,
    /// True if messages do not name it.
    pub hidden: bool,
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
    /// It ended before it looked at its input: for want of a home, or for an option in gpg.conf.
    #[error("gpg cannot be used here: {0}")]
    Unusable(String),
    /// None of the secret keys that could decrypt is there; their ids.
    #[error("no secret key that decrypts it{}", would_do(.0))]
    NoSecretKey(Vec<String>),
    /// A key may be there, and cannot be used: no pinentry, no agent, no card, nobody who answers.
    #[error("gpg cannot use the key: {0}")]
    Locked(String),
    /// The passphrase that it had opens neither the message nor a key that would.
    #[error("the passphrase does not open it")]
    WrongPassphrase,
    /// The message gives more than it may: so many bytes.
    #[error("it holds over {0} bytes, more than an object of its size may")]
    TooLarge(u64),
    /// The message is not whole; what gpg said.
    #[error("it is damaged{}", behind_colon(.0))]
    Damaged(String),
    /// Something else failed; what gpg said.
    #[error("gpg failed{}", behind_colon(.0))]
    Failed(String),
    /// It did not fail, but its status does not say that it succeeded.
    #[error("gpg did not report success")]
    Unsure,
}

impl GpgError {
    /// The same once more, for another object that fails for the same reason.
    pub fn again(&self) -> GpgError {
        let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            GpgError::Start(error) => GpgError::Start(copy(error)),
            GpgError::Talk(error) => GpgError::Talk(copy(error)),
            GpgError::Unusable(said) => GpgError::Unusable(said.clone()),
            GpgError::NoSecretKey(ids) => GpgError::NoSecretKey(ids.clone()),
            GpgError::Locked(said) => GpgError::Locked(said.clone()),
            GpgError::WrongPassphrase => GpgError::WrongPassphrase,
            GpgError::TooLarge(limit) => GpgError::TooLarge(*limit),
            GpgError::Damaged(said) => GpgError::Damaged(said.clone()),
            GpgError::Failed(said) => GpgError::Failed(said.clone()),
            GpgError::Unsure => GpgError::Unsure,
        }
    }
}

fn would_do(ids: &[String]) -> String {
    let named: Vec<&str> =
        ids.iter().map(String::as_str).filter(|id| id.contains(|c| c != '0')).collect();
    match (named.as_slice(), ids.len()) {
        ([], 0) => String::new(),
        ([], _) => " (it does not name one)".to_owned(),
        ([id], _) => format!(": wanted {id}"),
        (ids, _) => format!(": wanted one of {}", ids.join(", ")),
    }
}

fn behind_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// What gpg wrote to stderr.
#[derive(Debug, Default)]
struct Said {
    /// The `[GNUPG:]` lines, without that word.
    status: Vec<String>,
    /// All else.
    other: Vec<String>,
}

impl Said {
    fn parse(stderr: &[u8]) -> Said {
        let mut said = Said::default();
        for line in String::from_utf8_lossy(stderr).lines() {
            match line.strip_prefix("[GNUPG:] ") {
                Some(status) => said.status.push(status.to_owned()),
                None => said.other.push(line.strip_prefix("gpg: ").unwrap_or(line).to_owned()),
            }
        }
        said
    }

    /// Whether a status line with this word is there.
    fn has(&self, word: &str) -> bool {
        self.lines(word).next().is_some()
    }

    /// The rest of each status line with this word.
    fn lines(&self, word: &str) -> impl Iterator<Item = Vec<&str>> {
        self.status.iter().filter_map(move |line| {
            let mut words = line.split(' ');
            (words.next() == Some(word)).then(|| words.collect())
        })
    }

    /// The codes of `ERROR` lines with this location, without who they came from.
    fn errors(&self, at: &str) -> impl Iterator<Item = u32> {
        self.lines("ERROR").filter_map(move |words| match words[..] {
            [location, code, ..] if location == at => {
                let digits = code.split('_').next().unwrap_or(code);
                digits.parse::<u32>().ok().map(|code| code & 0xffff)
            }
            _ => None,
        })
    }

    fn others(&self) -> impl Iterator<Item = &str> {
        self.other.iter().map(String::as_str)
    }

    /// What it said for people, in a line, without what only describes the message.
    fn text(&self) -> String {
        let told = |line: &&str| {
            !line.starts_with(' ')
                && ![
                    "encrypted with",
                    "anonymous recipient",
                    "Note:",
                    "decryption failed: No secret",
                ]
                .iter()
                .any(|start| line.starts_with(start))
        };
        let lines: Vec<&str> = self.others().filter(told).collect();
        lines.join("; ")
    }
}

/// What a child gave.
struct GpgOutput {
    stdout: Vec<u8>,
    said: Said,
    /// Its exit status was 0.
    success: bool,
    /// It gave more than it may, and was stopped.
    too_much: bool,
}

/// What a child is to do.
struct GpgCall<'a> {
    args: Vec<OsString>,
    /// Given before the input, or through a pipe of its own where gpg reads a file by itself.
    passphrase: Option<&'a Passphrase>,
    input: GpgInput<'a>,
    /// Bytes of output that are taken.
    limit: u64,
}

impl<'a> GpgCall<'a> {
    /// A call with no bound on its output but memory.
    fn new(args: Vec<OsString>, input: GpgInput<'a>) -> GpgCall<'a> {
        GpgCall { args, passphrase: None, input, limit: u64::MAX }
    }
}

/// Runs gpg, its three streams served at once.
fn run(call: GpgCall<'_>) -> Result<GpgOutput, GpgError> {
    let size = call.input.size().map_err(GpgError::Talk)?;
    let line = call.passphrase.map(Passphrase::line);
    let own = match (&call.input, &line) {
        (GpgInput::File(_), Some(line)) => handed::through_pipe(line).map_err(GpgError::Talk)?,
        _ => None,
    };
    let (stdin, feed) = match (call.input, &line) {
        (GpgInput::File(file), None) => (Stdio::from(file), None),
        (GpgInput::File(file), Some(_)) if own.is_some() => (Stdio::from(file), None),
        (input, _) => (Stdio::piped(), Some(input)),
    };
    let mut command = Command::new("gpg");
    command.args(arguments::COMMON);
    if line.is_some() {
        let fd = own.as_ref().map_or(0, std::os::fd::AsRawFd::as_raw_fd);
        command.args(["--passphrase-fd".to_owned(), fd.to_string()]);
    }
    command
        .args(&call.args)
        // Messages in English, to be read here. What is not ASCII in names is given as it is.
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(GpgError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    stdin.iter().for_each(pipe::widen);
    stdout.iter().for_each(pipe::widen);
    let (written, read, stderr) = std::thread::scope(|scope| {
        let errors = scope.spawn(move || read_all(stderr));
        let line = line.as_deref().map_or(&[][..], Vec::as_slice);
        let writer = stdin.zip(feed).map(|(stdin, feed)| scope.spawn(|| write(stdin, line, feed)));
        let read = read_much(stdout, size.min(call.limit), call.limit, &mut child);
        let broken = || Err(io::Error::other("a thread stopped unexpectedly"));
        let written = writer.map_or(Ok(()), |writer| writer.join().unwrap_or_else(|_| broken()));
        (written, read, errors.join().unwrap_or_else(|_| broken().map(|()| Vec::new())))
    });
    let success = child.wait().map_err(GpgError::Talk)?.success();
    let (stdout, too_much) = read.map_err(GpgError::Talk)?;
    let said = Said::parse(&stderr.map_err(GpgError::Talk)?);
    // A child that ends early closes its stdin: then its own words matter more than the broken
    // pipe.
    if success {
        written.map_err(GpgError::Talk)?;
    }
    Ok(GpgOutput { stdout, said, success, too_much })
}

/// Runs gpg; once more without its trust database if that is broken. Trust is not asked for.
fn run_without_trust<'a>(call: impl Fn() -> GpgCall<'a>) -> Result<GpgOutput, GpgError> {
    let outcome = run(call())?;
    if outcome.success || !outcome.said.others().any(|line| line.contains("trustdb")) {
        return Ok(outcome);
    }
    let mut again = call();
    again.args.splice(0..0, strings(arguments::WITHOUT_TRUST));
    run(again)
}

fn write(mut to: impl Write + AsFd, line: &[u8], input: GpgInput<'_>) -> io::Result<()> {
    to.write_all(line)?;
    match input {
        GpgInput::Bytes(bytes) => pipe::write_all(to, bytes),
        GpgInput::File(mut file) => io::copy(&mut file, &mut to).map(|_| ()),
    }
}

/// Reads what is probably as long as this, and stops the child when more than the limit comes. gpg
/// writes some kilobytes at a time: where much comes, a pause lets more come.
fn read_much(
    stream: Option<impl Read + AsFd>,
    probably: u64,
    limit: u64,
    child: &mut Child,
) -> io::Result<(Vec<u8>, bool)> {
    const LITTLE: u64 = 64 << 10;
    let mut bytes = Vec::with_capacity(usize::try_from(probably).unwrap_or(0));
    let Some(mut stream) = stream else { return Ok((bytes, false)) };
    loop {
        let there = rustix::io::ioctl_fionread(&stream).unwrap_or(0).max(LITTLE);
        let came = (&mut stream).take(there).read_to_end(&mut bytes)? as u64;
        if bytes.len() as u64 > limit {
            // It may have ended just now.
            let _ = child.kill();
            return Ok((Vec::new(), true));
        }
        if came < there {
            return Ok((bytes, false));
        }
        std::thread::sleep(pipe::PAUSE);
    }
}

fn read_all(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
    // What gpg says of one object is short, whatever the object is made to be.
    const MAX: u64 = 1 << 20;
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return Ok(bytes) };
    (&mut stream).take(MAX).read_to_end(&mut bytes)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(bytes)
}

impl GpgOutput {
    /// The output, if gpg succeeded and says `sign`.
    fn require(self, sign: &str) -> Result<Vec<u8>, GpgError> {
        if !self.success {
            return Err(GpgError::Failed(self.said.text()));
        }
        if self.said.has(sign) && !self.stdout.is_empty() {
            Ok(self.stdout)
        } else {
            Err(GpgError::Unsure)
        }
    }
}

fn strings(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

/// Encrypts objects, one message each.
#[derive(Debug)]
pub struct GpgSealer {
    keys: Keys,
}

impl GpgSealer {
    /// A sealer for these keys.
    pub fn new(keys: Keys) -> GpgSealer {
        GpgSealer { keys }
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Encrypts `input` as one message.
    ///
    /// # Errors
    /// When gpg cannot be run, or does not say that it has encrypted.
    pub fn encrypt(&self, input: &[u8]) -> Result<Vec<u8>, GpgError> {
        Ok(self.encrypt_as_told(input)?.0)
    }

    /// The same, with the numbers of integrity method and cipher that gpg says it used.
    fn encrypt_as_told(&self, input: &[u8]) -> Result<(Vec<u8>, Vec<u8>), GpgError> {
        let handed = self.handed()?;
        let outcome = run(self.call(&handed, input))?;
        let told = outcome.said.lines("BEGIN_ENCRYPTION").next().unwrap_or_default();
        let told = told.iter().filter_map(|number| number.parse().ok()).collect();
        Ok((outcome.require("END_ENCRYPTION")?, told))
    }

    fn handed(&self) -> Result<Vec<(Handed, bool)>, GpgError> {
        let Keys::Public(recipients) = &self.keys else { return Ok(Vec::new()) };
        let handed = |to: &Recipient| Ok((Handed::new(&to.key)?, to.hidden));
        recipients.iter().map(handed).collect::<io::Result<_>>().map_err(GpgError::Talk)
    }

    fn call<'a>(&'a self, handed: &[(Handed, bool)], input: &'a [u8]) -> GpgCall<'a> {
        let mut args = strings(arguments::ENCRYPTION);
        let passphrase = match &self.keys {
            Keys::Public(_) => {
                for (key, hidden) in handed {
                    let option =
                        if *hidden { "--hidden-recipient-file" } else { "--recipient-file" };
                    args.extend([option.into(), key.path().into()]);
                }
                args.push("--encrypt".into());
                None
            }
            Keys::Symmetric(passphrase, strength) => {
                args.extend(strings(arguments::WITH_PASSPHRASE));
                args.extend(strings(arguments::derivation(*strength)));
                args.push("--symmetric".into());
                Some(&**passphrase)
            }
        };
        GpgCall { args, passphrase, input: GpgInput::Bytes(input), limit: u64::MAX }
    }
}

/// What gpg may do to open messages.
#[derive(Debug, Clone, Default)]
pub struct Unlock {
    /// A passphrase, for messages under one and for secret keys.
    pub passphrase: Option<Arc<Passphrase>>,
}

/// Decrypts one message, which gives at most `limit` bytes; says how it was opened.
///
/// # Errors
/// When not all of the message came out of it unchanged.
pub fn decrypt(
    input: GpgInput<'_>,
    unlock: &Unlock,
    limit: u64,
) -> Result<(Vec<u8>, OpenedMessage), GpgError> {
    let again = match &input {
        GpgInput::Bytes(bytes) => Some(GpgInput::Bytes(bytes)),
        GpgInput::File(file) => file.try_clone().ok().map(GpgInput::File),
    };
    match decrypt_with(strings(arguments::DECRYPTION), input, unlock, limit) {
        // A home is needed for keys only.
        Err(GpgError::Unusable(said)) if unlock.passphrase.is_some() => {
            let mut args = strings(arguments::ALONE);
            args.extend(strings(arguments::DECRYPTION));
            let input = again.ok_or_else(|| GpgError::Unusable(said.clone()))?;
            if let GpgInput::File(file) = &input {
                io::Seek::rewind(&mut &*file).map_err(GpgError::Talk)?;
            }
            decrypt_with(args, input, unlock, limit).map_err(|error| match error {
                GpgError::WrongPassphrase => error,
                _ => GpgError::Unusable(said),
            })
        }
        result => result,
    }
}

/// Decrypts a key object: gives the run keys in it, and says how it was opened.
///
/// # Errors
/// When it is not opened, or holds something else.
pub fn open_key(
    message: &[u8],
    unlock: &Unlock,
) -> Result<(Vec<Arc<Passphrase>>, OpenedMessage), GpgError> {
    secret::guard();
    let (text, opened) = decrypt(GpgInput::Bytes(message), unlock, message.len() as u64)?;
    let text = zeroize::Zeroizing::new(text);
    let keys = Passphrase::run_keys(&text)
        .ok_or_else(|| GpgError::Damaged("what it holds is no run key".to_owned()))?;
    Ok((keys.into_iter().map(Arc::new).collect(), opened))
}

/// Decrypts one message under a run key, which gives at most `limit` bytes. No home and no agent is
/// needed for that, and no other key is tried.
///
/// # Errors
/// When not all of the message came out of it unchanged.
pub fn decrypt_under(
    key: &Arc<Passphrase>,
    input: GpgInput<'_>,
    limit: u64,
) -> Result<Vec<u8>, GpgError> {
    let unlock = Unlock { passphrase: Some(Arc::clone(key)) };
    let mut args = strings(arguments::ALONE);
    args.extend(strings(arguments::DECRYPTION));
    decrypt_with(args, input, &unlock, limit).map(|(plain, _)| plain)
}

/// What gpg still gives of a damaged message, under a run key or as `unlock` opens it: whether it
/// is what was encrypted is not known.
pub fn remains(
    input: GpgInput<'_>,
    key: Option<&Arc<Passphrase>>,
    unlock: &Unlock,
    limit: u64,
) -> Option<Vec<u8>> {
    let mut args = strings(if key.is_some() { arguments::ALONE } else { &[] });
    args.extend(strings(arguments::DECRYPTION));
    let under = key.map(|key| Unlock { passphrase: Some(Arc::clone(key)) });
    let outcome = attempt(args, input, under.as_ref().unwrap_or(unlock), limit).ok()?;
    (outcome.said.has("PLAINTEXT") && !outcome.stdout.is_empty()).then_some(outcome.stdout)
}

fn decrypt_with(
    args: Vec<OsString>,
    input: GpgInput<'_>,
    unlock: &Unlock,
    limit: u64,
) -> Result<(Vec<u8>, OpenedMessage), GpgError> {
    let outcome = attempt(args, input, unlock, limit)?;
    let opened = status::judge(&outcome.said, outcome.stdout.len())?;
    Ok((outcome.stdout, opened))
}

/// Lets gpg decrypt a message, however that ends.
fn attempt(
    mut args: Vec<OsString>,
    input: GpgInput<'_>,
    unlock: &Unlock,
    limit: u64,
) -> Result<GpgOutput, GpgError> {
    if unlock.passphrase.is_some() {
        args.extend(strings(arguments::WITH_PASSPHRASE));
    }
    args.push("--decrypt".into());
    if input.is_something_else() {
        return Err(GpgError::Damaged("it is no encrypted message".to_owned()));
    }
    let outcome = run(GpgCall { args, passphrase: unlock.passphrase.as_deref(), input, limit })?;
    if outcome.too_much {
        return Err(GpgError::TooLarge(limit));
    }
    if outcome.stdout.starts_with(b"gpg: ") {
        return Err(GpgError::Unusable("its messages are mixed with its output".to_owned()));
    }
    Ok(outcome)
}
