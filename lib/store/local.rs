//! An archive in a local directory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Remove, Store, StoreError, durable};

/// The largest object that is read as a whole. `dura-pack` writes none over a gibibyte, and a file
/// that names its size and holds nothing would fill memory.
const MOST: u64 = 4 << 30;

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

    /// The file that holds an object, to be read as a whole.
    pub fn open(&self, name: &str) -> io::Result<File> {
        let (file, len) = self.file(name)?;
        let too_much =
            || io::Error::new(io::ErrorKind::InvalidData, "over 4 GiB, which no object has");
        if len > MOST { Err(too_much()) } else { Ok(file) }
    }

    fn file(&self, name: &str) -> io::Result<(File, u64)> {
        let file = File::open(self.path(name))?;
        match file.metadata()?.len() {
            0 => Err(io::ErrorKind::NotFound.into()),
            len => Ok((file, len)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file, after its folders when they are not there.
    fn write(&self, path: &Path, write: impl Fn() -> io::Result<()>) -> Result<(), StoreError> {
        let written = match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                durable::create_dirs(path.parent().unwrap_or(&self.root)).and_then(|()| write())
            }
            other => other,
        };
        written.map_err(failed(path))
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::new(path.display(), error)
}

impl Store for Local {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        self.write(&path, || durable::create_new(&path, bytes, self.unnamed))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        self.write(&path, || durable::replace(&path, bytes))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let read = || {
            let mut bytes = Vec::new();
            self.open(name)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(failed(&self.path(name)))
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let read = || {
            let (mut file, len) = self.file(name)?;
            file.seek(SeekFrom::Start(start))?;
            let most = len.saturating_sub(start).min(length);
            let mut bytes = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(failed(&self.path(name)))
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.path(name);
        match std::fs::metadata(&path) {
            Ok(stat) if stat.is_file() && stat.len() > 0 => Ok(Some(stat.len())),
            Ok(_) => Ok(None),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
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

impl Remove for Local {
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        durable::remove(&path).map_err(failed(&path))?;
        // Up to the archive itself, and no further; a folder that is not empty stays.
        for dir in path.ancestors().skip(1).take_while(|dir| *dir != self.root) {
            if std::fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }
}
