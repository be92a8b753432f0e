//! Files that are kept while a tar is written, because later ones have the same content.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::core::restore::key_in_block;
use crate::format::entry::Within;
use crate::format::path;

/// Bytes that are kept at most.
pub(super) const MOST: u64 = 4 << 30;

/// Their tar entries, in a scratch file that is made with the first one.
#[derive(Default)]
pub(super) struct KeptFiles {
    dir: Option<PathBuf>,
    file: Option<File>,
    end: u64,
    /// Nothing more can be kept.
    is_full: bool,
    places: HashMap<u64, (u64, u32)>,
}

impl KeptFiles {
    /// In this directory, or where temporary files lie.
    pub(super) fn new(dir: Option<&Path>) -> KeptFiles {
        KeptFiles { dir: dir.map(Path::to_owned), ..KeptFiles::default() }
    }

    /// Keeps the tar entry that a block has under this name; after an error none any more.
    pub(super) fn put(&mut self, block: Within, name: &path::Path, tar: &[u8]) -> io::Result<()> {
        if self.is_full {
            return Ok(());
        }
        self.is_full = true;
        let file = match self.file.take() {
            Some(file) => file,
            None => match &self.dir {
                Some(dir) => tempfile::tempfile_in(dir)?,
                None => tempfile::tempfile()?,
            },
        };
        let file = self.file.insert(file);
        file.write_all_at(tar, self.end)?;
        self.places.insert(key_in_block(block, name), (self.end, tar.len() as u32));
        self.end += tar.len() as u64;
        self.is_full = false;
        Ok(())
    }

    /// What was kept; none if it was not.
    pub(super) fn get(&self, block: Within, name: &path::Path) -> Option<Vec<u8>> {
        let (at, len) = *self.places.get(&key_in_block(block, name))?;
        let mut tar = vec![0; len as usize];
        self.file.as_ref()?.read_exact_at(&mut tar, at).ok()?;
        Some(tar)
    }
}
