//! Passphrases: read once, kept in memory alone, and given to gpg through a pipe.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A file or command that gives more than this gives no passphrase.
const MAX: u64 = 64 << 10;

/// The bytes of a run key.
const RUN_KEY: usize = 32;

/// The same in base64.
const RUN_KEY_LINE: usize = 44;

/// A passphrase. It is wiped from memory when it is dropped, and never in an argument, in the
/// environment or on disk.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl Passphrase {
    /// The first line of a file, which may be a pipe.
    ///
    /// # Errors
    /// When the file cannot be read. An empty passphrase is none of this function's errors.
    pub fn from_file(path: &Path) -> io::Result<Passphrase> {
        guard();
        Passphrase::first_line(File::open(path)?)
    }

    /// The first line that a shell command writes.
    ///
    /// # Errors
    /// When the command cannot be started, or does not end with status 0.
    pub fn from_command(command: &OsStr) -> io::Result<Passphrase> {
        guard();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let read = child
            .stdout
            .take()
            .map_or_else(|| Err(io::Error::other("it has no output")), Passphrase::first_line);
        let status = child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("it failed: {status}")));
        }
        read
    }

    fn first_line(from: impl Read) -> io::Result<Passphrase> {
        // Large enough from the start: a buffer that grows would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX as usize + 1));
        from.take(MAX + 1).read_to_end(&mut bytes)?;
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        if end as u64 > MAX {
            return Err(io::Error::other("its first line is too long for a passphrase"));
        }
        Ok(Passphrase(Zeroizing::new(bytes[..end].to_vec())))
    }

    /// The passphrase with these bytes.
    #[cfg(test)]
    pub(super) fn known(bytes: &[u8]) -> Passphrase {
        Passphrase(Zeroizing::new(bytes.to_vec()))
    }

    /// A run key: 32 bytes from the system's source of randomness, in base64.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn random() -> io::Result<Passphrase> {
        guard();
        let mut key = Zeroizing::new([0; RUN_KEY]);
        let mut filled = 0;
        while filled < RUN_KEY {
            let flags = rustix::rand::GetRandomFlags::empty();
            filled += rustix::rand::getrandom(&mut key[filled..], flags)?;
        }
        let mut line = Zeroizing::new(vec![0; RUN_KEY_LINE]);
        let written = STANDARD.encode_slice(key.as_slice(), &mut line);
        match written {
            Ok(RUN_KEY_LINE) => Ok(Passphrase(line)),
            _ => Err(io::Error::other("a run key has another length")),
        }
    }

    /// The run keys in the text of a key object, a line each; none if it is another text.
    pub fn run_keys(text: &[u8]) -> Option<Vec<Passphrase>> {
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        let lines = text.strip_suffix(b"\n")?.split(|&byte| byte == b'\n');
        lines
            .map(|line| {
                let is_key = line.len() == RUN_KEY_LINE && line.iter().all(is_base64);
                is_key.then(|| Passphrase(Zeroizing::new(line.to_vec())))
            })
            .collect()
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What gpg reads of it: a line.
    pub fn line(&self) -> Zeroizing<Vec<u8>> {
        let mut line = Zeroizing::new(Vec::with_capacity(self.0.len() + 1));
        line.extend_from_slice(&self.0);
        line.push(b'\n');
        line
    }
}

/// Keeps what is in memory out of core dumps, of this process and of its children. Where the
/// system does not allow that, the passphrase is used all the same.
pub(super) fn guard() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        let of = |text: &str| Passphrase::first_line(text.as_bytes()).map(|got| got.0.to_vec());
        assert_eq!(of("a b\nc\n").unwrap(), b"a b");
        assert_eq!(of("a b").unwrap(), b"a b");
        assert_eq!(of("").unwrap(), b"");
        assert!(of(&"x".repeat(70_000)).is_err());
        assert_eq!(of(&format!("x\n{}", "y".repeat(70_000))).unwrap(), b"x");
    }

    #[test]
    fn run_keys_are_lines_of_base64() {
        let (one, two) = (Passphrase::random().unwrap(), Passphrase::random().unwrap());
        assert_ne!(*one.line(), *two.line());
        assert_eq!(STANDARD.decode(one.0.as_slice()).unwrap().len(), RUN_KEY);
        let text = [one.line().as_slice(), two.line().as_slice()].concat();
        let read = Passphrase::run_keys(&text).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((*read[0].line()).clone(), *one.line());
        assert!(Passphrase::run_keys(&text[..text.len() - 1]).is_none());
        for bad in [&b""[..], b"\n", b"a phrase\n", &[&text[..], b"x\n"].concat()] {
            assert!(Passphrase::run_keys(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn commands() {
        let of = |command: &str| Passphrase::from_command(OsStr::new(command));
        assert_eq!(*of("echo one; echo two").unwrap().line(), b"one\n");
        assert!(of("echo one; exit 3").is_err());
        assert_eq!(format!("{:?}", of("echo one").unwrap()), "Passphrase(…)");
    }
}
