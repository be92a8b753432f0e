//! An archive in a local directory.
//!
//! Whoever may write into the directory may put anything in the place of an object: what is opened
//! is never followed as a link, never waited for, and has to be a regular file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::durable::{FileSystem, Way};
use super::{Notice, Remove, Store, StoreError, StoreErrorKind, UNSEEN, Word, most, unheard};

/// A directory. It need not be there before the first write.
pub struct Local {
    root: PathBuf,
    system: FileSystem,
    notice: Notice,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Local {
    /// The archive in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Local {
        Local::with(root, unheard())
    }

    /// The same, with somebody who is told what has to be said of it.
    pub fn with(root: impl Into<PathBuf>, notice: Notice) -> Local {
        Local { root: root.into(), system: FileSystem::knows(Way::Unnamed), notice }
    }

    /// The same, on a file system where new files can do no better than this.
    #[cfg(test)]
    pub(super) fn knowing(root: impl Into<PathBuf>, way: Way) -> Local {
        Local { root: root.into(), system: FileSystem::knows(way), notice: unheard() }
    }

    /// The file that holds an object, to be read as a whole.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self, name: &str) -> io::Result<File> {
        let (file, size) = self.file(name)?;
        if size > most(name) {
            let text = format!("{size} bytes, more than any such object has");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(file)
    }

    /// Moves a folder of the archive to another place in it, all at once.
    ///
    /// # Errors
    /// What the system says, also that something is there.
    pub fn move_folder(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let from = self.path(from);
        self.system.move_dir(&from, &self.path(to)).map_err(failed(&from))
    }

    /// An object's file, and its size, which is not 0.
    fn file(&self, name: &str) -> io::Result<(File, u64)> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let open = || {
            OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(self.path(name))
        };
        let file = open()?;
        let stat = file.metadata()?;
        if !stat.is_file() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "not a regular file"));
        }
        match stat.len() {
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
                let folder = path.parent().unwrap_or(&self.root);
                self.system.create_dirs(folder).and_then(|()| write())
            }
            other => other,
        };
        for news in self.system.news() {
            (self.notice)(Word::Note(news));
        }
        written.map_err(failed(path))
    }

    /// An entry of a folder, with its size; none if no program of ours named it, or if it is gone.
    fn entry(&self, entry: &std::fs::DirEntry) -> Option<(String, u64)> {
        let name = entry.file_name().into_string().ok()?;
        let seen = entry.file_type().and_then(|kind| match kind {
            kind if kind.is_dir() => Ok(None),
            kind if kind.is_symlink() => {
                // A folder may lie elsewhere, an object is a file.
                let is_dir = std::fs::metadata(entry.path())?.is_dir();
                Ok(if is_dir { None } else { Some(UNSEEN) })
            }
            kind if kind.is_file() => entry.metadata().map(|stat| Some(stat.len())),
            _ => Ok(Some(UNSEEN)),
        });
        match seen {
            Ok(None) => Some((name + "/", 0)),
            Ok(Some(size)) => Some((name, size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                (self.notice)(Word::Flaw(&StoreError::new(entry.path().display(), error)));
                Some((name, UNSEEN))
            }
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::new(path.display(), error)
}

/// The same for reads: what is too large to be an object is none.
fn unread(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            StoreError::of(StoreErrorKind::Damaged, path.display(), error)
        }
        _ => StoreError::new(path.display(), error),
    }
}

impl Store for Local {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        self.write(&path, || self.system.create_new(&path, bytes))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        self.write(&path, || self.system.replace(&path, bytes))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let read = || {
            let file = self.open(name)?;
            // At once, if there is so much memory: what grows is moved again and again. But the file
            // may grow while it is read.
            let mut bytes = Vec::new();
            let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            _ = bytes.try_reserve_exact(len);
            file.take(most(name)).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(unread(&self.path(name)))
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
        read().map_err(unread(&self.path(name)))
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.path(name);
        match std::fs::symlink_metadata(&path) {
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
                found.extend(self.entry(&entry?));
            }
            found.sort();
            io::Result::Ok(found)
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
        self.system.remove(&path).map_err(failed(&path))?;
        // Up to the archive itself, and no further; a folder that is not empty stays.
        for dir in path.ancestors().skip(1).take_while(|dir| *dir != self.root) {
            if std::fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }
}
