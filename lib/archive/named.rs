//! ARCHIVE as it stands on a command line: bytes, as names of files are.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::core::place::{Destination, place};
use crate::edge::resolve::resolve;
use crate::format::path::shown;
use crate::report::message::Hinted;

/// The name of an archive, which messages show as they show paths.
#[derive(Debug, Clone)]
pub struct ArchiveName {
    raw: OsString,
    shown: String,
}

impl From<OsString> for ArchiveName {
    fn from(raw: OsString) -> ArchiveName {
        let shown = shown(raw.as_bytes());
        ArchiveName { raw, shown }
    }
}

impl Display for ArchiveName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl ArchiveName {
    /// What it stands for.
    pub(crate) fn place(&self) -> anyhow::Result<Destination<'_>> {
        place(self.raw.as_bytes()).map_err(|error| {
            let hint = error.instead.clone();
            Hinted::wrap(error, hint)
        })
    }

    /// The archive in a folder of this place.
    pub(crate) fn below(&self, folder: &str) -> ArchiveName {
        let mut raw = self.raw.clone();
        if !raw.as_bytes().ends_with(b"/") {
            raw.push("/");
        }
        raw.push(folder);
        raw.into()
    }

    /// The directory that it names, if it names one.
    pub(crate) fn local(&self) -> anyhow::Result<Option<&Path>> {
        Ok(match self.place()? {
            Destination::Directory(dir) => Some(Path::new(OsStr::from_bytes(dir))),
            Destination::Bucket(_) | Destination::Web(_) | Destination::Ssh(_) => None,
        })
    }

    /// The name under which the journal knows the archive, which need not be there.
    pub(crate) fn address(&self) -> anyhow::Result<String> {
        let Some(dir) = self.local()? else {
            return Ok(self.shown.trim_end_matches('/').to_owned());
        };
        Ok(shown(resolve(dir).as_deref().unwrap_or(dir).as_os_str().as_bytes()))
    }
}
