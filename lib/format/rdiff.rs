//! Deltas in the format of librsync: a file as pieces of another one, and what is new.
//!
//! The magic number 72730236, then commands: one byte, numbers in as many bytes as it says, the
//! highest first, and the bytes of a literal; a zero ends it. The commands are those of librsync's
//! `prototab.c`. In what Dura writes and reads, copies only go forward in the base, so that the new
//! file is made in one pass over both; other programs that apply deltas take any order.

use std::io::{self, BufRead, Read};

/// What a delta begins with.
pub const MAGIC: [u8; 4] = 0x7273_0236_u32.to_be_bytes();

/// What it ends with.
pub const END: u8 = 0;

/// Literals up to this length have their length in the command.
const MAX_SHORT: u64 = 64;
const LITERAL: u8 = 65;
const COPY: u8 = 69;

/// A command of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeltaCommand {
    /// The next bytes are these of the base, from here on so many.
    Copy(u64, u64),
    /// The next bytes follow in the delta, so many.
    Literal(u64),
}

impl DeltaCommand {
    /// Appends the command; the bytes of a literal have to follow.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            DeltaCommand::Literal(len) if (1..=MAX_SHORT).contains(&len) => out.push(len as u8),
            DeltaCommand::Literal(len) => {
                out.push(LITERAL + width(len));
                push(out, len);
            }
            DeltaCommand::Copy(start, len) => {
                out.push(COPY + 4 * width(start) + width(len));
                push(out, start);
                push(out, len);
            }
        }
    }
}

/// The binary logarithm of how many bytes a number takes: 1, 2, 4 or 8.
fn width(number: u64) -> u8 {
    match number {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        0x1_0000..=0xffff_ffff => 2,
        _ => 3,
    }
}

fn push(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes()[8 - (1 << width(number))..]);
}

/// Why a delta is refused.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin with the magic number.
    #[error("not a delta")]
    NoDelta,
    /// It ends in the middle.
    #[error("the delta is cut off")]
    Cut,
    /// A command that librsync does not have, or one of no length.
    #[error("the delta has a bad command")]
    BadCommand,
    /// A copy begins before the end of the one before it.
    #[error("the delta goes back in its base")]
    GoesBack,
    /// Something follows the end.
    #[error("something follows the end of the delta")]
    Trailing,
}

/// Reads a delta.
#[derive(Debug)]
pub struct DeltaReader<R> {
    input: R,
    begun: bool,
    /// Behind the last copy.
    at: u64,
    /// Bytes of the last literal that were not read.
    left: u64,
}

impl<R: BufRead> DeltaReader<R> {
    /// At its begin.
    pub fn new(input: R) -> DeltaReader<R> {
        DeltaReader { input, begun: false, at: 0, left: 0 }
    }

    fn number(&mut self, width: u8) -> Result<u64, DeltaError> {
        let mut bytes = [0; 8];
        let low = 8 - (1 << width);
        self.exact(low, &mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn exact(&mut self, from: usize, bytes: &mut [u8]) -> Result<(), DeltaError> {
        self.input.read_exact(&mut bytes[from..]).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => DeltaError::Cut,
            _ => error.into(),
        })
    }

    /// The next command, whose literal bytes [`DeltaReader::read`] gives; none at the end, behind
    /// which nothing is. What was not read of the last literal is passed over.
    ///
    /// # Errors
    /// What is wrong with the delta.
    pub fn next_command(&mut self) -> Result<Option<DeltaCommand>, DeltaError> {
        if !self.begun {
            let mut magic = [0; 4];
            self.exact(0, &mut magic)?;
            if magic != MAGIC {
                return Err(DeltaError::NoDelta);
            }
            self.begun = true;
        }
        self.skip(self.left)?;
        let mut command = [0];
        self.exact(0, &mut command)?;
        let command = match command[0] {
            END => {
                let ended = self.input.fill_buf()?.is_empty();
                return if ended { Ok(None) } else { Err(DeltaError::Trailing) };
            }
            short @ 1..LITERAL => DeltaCommand::Literal(short.into()),
            long @ LITERAL..COPY => DeltaCommand::Literal(self.number(long - LITERAL)?),
            copy @ COPY..=84 => {
                let start = self.number((copy - COPY) / 4)?;
                DeltaCommand::Copy(start, self.number((copy - COPY) % 4)?)
            }
            _ => return Err(DeltaError::BadCommand),
        };
        match command {
            DeltaCommand::Literal(0) | DeltaCommand::Copy(_, 0) => {
                return Err(DeltaError::BadCommand);
            }
            DeltaCommand::Literal(len) => self.left = len,
            DeltaCommand::Copy(start, len) => {
                if start < self.at {
                    return Err(DeltaError::GoesBack);
                }
                self.at = start.checked_add(len).ok_or(DeltaError::BadCommand)?;
            }
        }
        Ok(Some(command))
    }

    /// Passes over so many bytes of the last literal.
    ///
    /// # Errors
    /// If the delta cannot be read, or ends before.
    pub fn skip(&mut self, len: u64) -> Result<(), DeltaError> {
        let mut left = len.min(self.left);
        self.left -= left;
        while left > 0 {
            let came = (self.input.fill_buf()?.len() as u64).min(left);
            if came == 0 {
                return Err(DeltaError::Cut);
            }
            self.input.consume(came as usize);
            left -= came;
        }
        Ok(())
    }

    /// The next bytes of the last literal, at most as many as `out` has room for; nothing if there
    /// are no more.
    ///
    /// # Errors
    /// If the delta cannot be read, or ends before.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, DeltaError> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let came = (&mut self.input).take(want as u64).read(&mut out[..want])?;
        if came == 0 && want > 0 {
            return Err(DeltaError::Cut);
        }
        self.left -= came as u64;
        Ok(came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(delta: &[u8]) -> Result<Vec<DeltaCommand>, DeltaError> {
        let mut reader = DeltaReader::new(delta);
        let mut commands = Vec::new();
        while let Some(command) = reader.next_command()? {
            commands.push(command);
        }
        Ok(commands)
    }

    #[test]
    fn commands_are_written_as_librsync_writes_them() {
        let mut delta = MAGIC.to_vec();
        let all = [
            DeltaCommand::Copy(0, 0x100),
            DeltaCommand::Literal(3),
            DeltaCommand::Copy(0x1234, 7),
            DeltaCommand::Literal(65),
            DeltaCommand::Copy(1 << 32, 1 << 33),
        ];
        for command in all {
            command.write(&mut delta);
            if let DeltaCommand::Literal(len) = command {
                delta.resize(delta.len() + len as usize, b'x');
            }
        }
        delta.push(END);
        let text = [
            "72730236",
            "46000100",
            "03787878",
            "49123407",
            "4141",
            &"78".repeat(65),
            "5400000001000000000000000200000000",
            "00",
        ]
        .concat();
        assert_eq!(hex::encode(&delta), text);
        assert_eq!(commands(&delta).unwrap(), all);
        for len in 1..delta.len() {
            assert!(commands(&delta[..len]).is_err(), "{len}");
        }
        delta.push(0);
        assert!(matches!(commands(&delta), Err(DeltaError::Trailing)));
    }

    #[test]
    fn literals_come_in_pieces() {
        let delta = [&MAGIC[..], &[5], b"abcde", &[END]].concat();
        let mut reader = DeltaReader::new(&delta[..]);
        assert_eq!(reader.next_command().unwrap(), Some(DeltaCommand::Literal(5)));
        let mut out = [0; 3];
        assert_eq!((reader.read(&mut out).unwrap(), &out), (3, b"abc"));
        assert_eq!(reader.read(&mut out[..1]).unwrap(), 1);
        assert_eq!(reader.next_command().unwrap(), None);
    }

    #[test]
    fn what_cannot_be_made_in_one_pass_is_refused() {
        let delta = |rest: &[u8]| commands(&[&MAGIC[..], rest, &[END]].concat());
        assert_eq!(delta(&[69, 5, 5, 69, 10, 1]).unwrap().len(), 2);
        assert!(matches!(delta(&[69, 5, 5, 69, 9, 1]), Err(DeltaError::GoesBack)));
        assert!(matches!(delta(&[69, 5, 0]), Err(DeltaError::BadCommand)));
        assert!(matches!(delta(&[65, 0]), Err(DeltaError::BadCommand)));
        assert!(matches!(delta(&[85]), Err(DeltaError::BadCommand)));
        assert!(matches!(commands(b"\x72\x73\x01\x36\0"), Err(DeltaError::NoDelta)));
        let long = [&[72 + 8 + 4][..], &[0xff; 16]].concat();
        assert!(matches!(delta(&long), Err(DeltaError::BadCommand)));
        // A literal of 2^62 bytes that are not there.
        let huge = [&[68, 0x40][..], &[0; 7], b"abc"].concat();
        assert!(matches!(delta(&huge), Err(DeltaError::Cut)));
    }
}
