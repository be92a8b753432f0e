//! Where a host keeps its copies: `--cache`, `DURA_CACHE`, or the usual place; and what is said
//! when that cannot be used.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::report::message::{Hinted, Report};
use crate::store::cache::{Cache, CacheError};

/// The usual place for caches: `$XDG_CACHE_HOME/dura`, else `~/.cache/dura`; none without either.
pub(crate) fn default_dir() -> Option<PathBuf> {
    home("XDG_CACHE_HOME", ".cache")
}

/// The usual place for what must last: `$XDG_STATE_HOME/dura`, else `~/.local/state/dura`.
pub(crate) fn state_dir() -> Option<PathBuf> {
    home("XDG_STATE_HOME", ".local/state")
}

fn home(variable: &str, below: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let value = std::env::var_os(name).map(PathBuf::from);
        value.filter(|path| path.is_absolute())
    };
    Some(absolute(variable).or_else(|| Some(absolute("HOME")?.join(below)))?.join("dura"))
}

/// The cache's directory as the options say; none with `--no-cache`.
pub(crate) fn dir(asked: Option<&Path>, no_cache: bool) -> Option<PathBuf> {
    if no_cache {
        return None;
    }
    asked.map(Path::to_owned).or_else(default_dir)
}

/// The cache of a reader. One that cannot be used is told of, and the reader goes on without.
pub(crate) fn to_read(asked: Option<&Path>, no_cache: bool, report: &Report) -> Option<Cache> {
    let dir = dir(asked, no_cache)?;
    match Cache::open(&dir) {
        Ok(cache) => Some(cache),
        Err(error) => {
            report.note(format_args!(
                "{}: {}: continuing without a cache",
                dir.display(),
                why(error)
            ));
            None
        }
    }
}

/// The cache of who writes a band. One into which others can put something is not believed, and not
/// passed over either: without it the run might build on something else. One that cannot be made
/// is told of, and the run goes on without.
pub(crate) fn to_write(
    asked: Option<&Path>,
    no_cache: bool,
    report: &Report,
) -> anyhow::Result<Option<Cache>> {
    let Some(dir) = dir(asked, no_cache) else { return Ok(None) };
    match Cache::open(&dir) {
        Err(error) if !matches!(error, CacheError::Io(_)) => {
            let hint = "you must own the cache, and nobody else may be able to write to it: chmod 700, or name another with --cache DIR, or use --no-cache";
            Err(Hinted::wrap(anyhow!("{}: {error}", dir.display()), hint))
        }
        Err(_) => Ok(to_read(asked, no_cache, report)),
        Ok(cache) => Ok(Some(cache)),
    }
}

fn why(error: CacheError) -> String {
    match error {
        CacheError::Io(error) => crate::report::message::why(&error),
        error => error.to_string(),
    }
}
