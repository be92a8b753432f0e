//! What `--exclude` leaves out and `--only-from` lets in: gitignore patterns relative to the
//! source.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FsPath, PathBuf};

use super::super::asked::{self, read_file};
use super::super::message::Report;
use crate::core::patterns::Patterns;
use crate::format::digest::{self, Digest};

/// The patterns of a run.
#[derive(Debug)]
pub(super) struct Masks {
    exclude: Patterns,
    only: Option<Patterns>,
    /// The sha256 of the text of `--only-from`.
    only_sha256: Option<Digest>,
}

impl Masks {
    /// Reads all patterns; those of `--exclude` come before those of files, and the last that
    /// matches decides.
    pub(super) fn load(
        exclude: &[OsString],
        exclude_from: &[PathBuf],
        only_from: Option<&FsPath>,
        report: &Report,
    ) -> anyhow::Result<Masks> {
        let mut patterns = Patterns::default();
        exclude.iter().for_each(|pattern| patterns.add_line(pattern.as_bytes()));
        for file in exclude_from {
            patterns.add_text(&read_file(file)?);
        }
        let only = only_from
            .map(|file| {
                let mut only = Patterns::default();
                let text = read_file(file)?;
                only.add_text(&text);
                anyhow::Ok((only, digest::of(&text)))
            })
            .transpose()?;
        let (only, only_sha256) = only.unzip();
        let lists = [&patterns].into_iter().chain(&only);
        asked::tell_of_braces(lists.flat_map(Patterns::with_braces), report);
        Ok(Masks { exclude: patterns, only, only_sha256 })
    }

    /// The sha256 of the text of `--only-from`, if there is one.
    pub(super) fn only_sha256(&self) -> Option<Digest> {
        self.only_sha256
    }

    /// True if the entry is left out. Its directory was not, so only the entry itself is asked
    /// about.
    pub(super) fn excludes(&self, raw: &FsPath, is_dir: bool) -> bool {
        self.exclude.selects(raw.as_os_str().as_bytes(), is_dir)
    }

    /// True if the entry, or a directory above it, is let in.
    pub(super) fn selects(&self, raw: &FsPath, is_dir: bool) -> bool {
        let Some(only) = &self.only else { return true };
        let verdicts = raw.ancestors().filter(|raw| !raw.as_os_str().is_empty());
        let mut dirs = verdicts.zip(std::iter::once(is_dir).chain(std::iter::repeat(true)));
        dirs.find_map(|(raw, is_dir)| only.verdict(raw.as_os_str().as_bytes(), is_dir))
            == Some(true)
    }
}
