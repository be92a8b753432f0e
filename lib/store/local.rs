//! An archive in a local directory.

use std::io;
use std::path::{Path, PathBuf};

use super::{Store, StoreError, durable};

/// A directory. It need not be there before the first write.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
    unnamed: bool,
}

impl Local {
    /// The archive in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Local {
        Local { root: root.into(), unnamed: true }
    }

    /// The same, on a file system whose files must have names from the start.
    #[cfg(test)]
    pub(super) fn with_named_temporaries(root: impl Into<PathBuf>) -> Local {
        Local { root: root.into(), unnamed: false }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::new(path.display(), error)
}

impl Store for Local {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        let write = || match durable::create_new(&path, bytes, self.unnamed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                durable::create_dirs(path.parent().unwrap_or(&self.root))?;
                durable::create_new(&path, bytes, self.unnamed)
            }
            other => other,
        };
        write().map_err(failed(&path))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name);
        let read = || match std::fs::read(&path)? {
            bytes if bytes.is_empty() => Err(io::ErrorKind::NotFound.into()),
            bytes => Ok(bytes),
        };
        read().map_err(failed(&path))
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.path(name);
        match std::fs::metadata(&path) {
            Ok(stat) if stat.is_file() && stat.len() > 0 => Ok(Some(stat.len())),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let path = self.path(folder);
        let read = || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&path)? {
                let entry = entry?;
                // What no program of ours names is none of ours.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let stat = match std::fs::metadata(entry.path()) {
                    Ok(stat) => stat,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                found.push(if stat.is_dir() { (name + "/", 0) } else { (name, stat.len()) });
            }
            found.sort();
            Ok(found)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(failed(&path)),
        }
    }
}
