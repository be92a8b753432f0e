//! Passphrases: read once, kept in memory alone, and given to gpg through a pipe.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

/// A file or command that gives more than this gives no passphrase.
const MAX: u64 = 64 << 10;

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

    /// The passphrase with these bytes; for trials.
    pub(super) fn known(bytes: &[u8]) -> Passphrase {
        Passphrase(Zeroizing::new(bytes.to_vec()))
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
    pub(super) fn line(&self) -> Zeroizing<Vec<u8>> {
        let mut line = Zeroizing::new(Vec::with_capacity(self.0.len() + 1));
        line.extend_from_slice(&self.0);
        line.push(b'\n');
        line
    }
}

/// Keeps what is in memory out of core dumps, of this process and of its children. Where the
/// system does not allow that, the passphrase is used all the same.
fn guard() {
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
    fn commands() {
        let of = |command: &str| Passphrase::from_command(OsStr::new(command));
        assert_eq!(*of("echo one; echo two").unwrap().line(), b"one\n");
        assert!(of("echo one; exit 3").is_err());
        assert_eq!(format!("{:?}", of("echo one").unwrap()), "Passphrase(…)");
    }
}
