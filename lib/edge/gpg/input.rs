//! What gpg is given to read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::format::openpgp;

/// What gpg is to read.
#[derive(Debug)]
pub enum GpgInput<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// All of a file, which it reads by itself if nothing has to come before: nothing is copied.
    File(File),
}

impl GpgInput<'_> {
    /// How many bytes it has.
    ///
    /// # Errors
    /// When the file cannot be asked.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            GpgInput::Bytes(bytes) => Ok(bytes.len() as u64),
            GpgInput::File(file) => Ok(file.metadata()?.len()),
        }
    }

    /// Whether another packet comes first than those that an encrypted message begins with: gpg may
    /// do with it whatever that packet asks for, and says nothing that tells of damage.
    pub(super) fn is_something_else(&self) -> bool {
        let mut first = [0];
        match self {
            GpgInput::Bytes(bytes) => bytes.iter().take(1).for_each(|byte| first[0] = *byte),
            GpgInput::File(file) => _ = file.read_at(&mut first, 0),
        }
        openpgp::begins_something_else(first[0])
    }
}
