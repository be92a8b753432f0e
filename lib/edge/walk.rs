//! Looking at a tree: the walk in canonical order, and what `lstat` says of each entry.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path as FsPath, PathBuf};

use walkdir::WalkDir;

use super::attributes::{self, At};
use crate::format::entry::{Entry, Inode, Kind, Meta, State};
use crate::format::path::{Path, compare_names};
use crate::format::time::Time;

/// Each directory's entries in canonical order, parents first. Symbolic links are not followed, but
/// for `root` itself.
///
/// The walk is from the working directory, which becomes `root`: a path is looked up at each entry,
/// and twice, so a short one saves a good part of the work.
pub fn walk(root: &FsPath, one_file_system: bool) -> io::Result<walkdir::IntoIter> {
    std::env::set_current_dir(root)?;
    let walk = WalkDir::new(".")
        .same_file_system(one_file_system)
        .sort_by(|a, b| compare_names(a.file_name().as_bytes(), b.file_name().as_bytes()));
    Ok(walk.into_iter())
}

/// An entry that the walk came upon.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is, from the root: `.` or `./a/b`.
    pub at: PathBuf,
    /// What the directory says it is; `None` for a socket.
    pub kind: Option<Kind>,
}

impl Found {
    /// An entry of a walk.
    pub fn new(entry: walkdir::DirEntry) -> Found {
        Found { kind: kind(entry.file_type()), at: entry.into_path() }
    }

    /// Its raw bytes below the root, without `./`; empty for the root.
    pub fn raw(&self) -> &FsPath {
        FsPath::new(OsStr::from_bytes(self.at.as_os_str().as_bytes().get(2..).unwrap_or_default()))
    }

    /// Where it is below the root.
    pub fn path(&self) -> Path {
        Path::from_raw(self.raw().as_os_str().as_bytes())
    }
}

/// The kind of a file; none for a socket.
fn kind(file_type: std::fs::FileType) -> Option<Kind> {
    match file_type {
        t if t.is_file() => Some(Kind::File),
        t if t.is_dir() => Some(Kind::Dir),
        t if t.is_symlink() => Some(Kind::Link),
        t if t.is_fifo() => Some(Kind::Fifo),
        t if t.is_char_device() => Some(Kind::Char),
        t if t.is_block_device() => Some(Kind::Block),
        _ => None,
    }
}

/// An entry as the walk has seen it.
#[derive(Debug)]
pub struct Seen {
    /// What `lstat` says. It has no `hard` yet.
    pub entry: Entry,
    /// The device that it is on.
    pub device: u64,
    /// Why its attributes could not be listed. The entry then has no ctime, so that pack asks once
    /// more, and a later scan does not take it for unchanged.
    pub unlisted: Option<io::Error>,
}

/// What `lstat` says; `Ok(None)` for a socket.
pub fn look(found: &Found) -> io::Result<Option<Seen>> {
    let stat = std::fs::symlink_metadata(&found.at)?;
    let Some(kind) = kind(stat.file_type()) else { return Ok(None) };
    let meta = Meta {
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        time: Time { sec: stat.mtime(), nsec: stat.mtime_nsec() as u32 },
    };
    let mut entry = Entry::new(found.path(), kind, State::Present(meta));
    entry.ctime = Some(Time { sec: stat.ctime(), nsec: stat.ctime_nsec() as u32 });
    let several = kind != Kind::Dir && stat.nlink() > 1;
    entry.nlink = (kind == Kind::File || several).then(|| stat.nlink());
    entry.inode = several.then(|| Inode { dev: stat.dev(), ino: stat.ino() });
    match kind {
        Kind::File => entry.size = Some(stat.size()),
        Kind::Link => {
            entry.link = Some(std::fs::read_link(&found.at)?.into_os_string().as_bytes().to_vec())
        }
        Kind::Char | Kind::Block => {
            let rdev = stat.rdev();
            entry.device = Some((rustix::fs::major(rdev), rustix::fs::minor(rdev)));
        }
        Kind::Dir | Kind::Fifo => {}
    }
    let unlisted = match attributes::any(At::Path(&found.at)) {
        Ok(any) => {
            entry.x = any;
            None
        }
        // The file itself would not be found either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
        Err(error) => {
            entry.ctime = None;
            Some(error)
        }
    };
    Ok(Some(Seen { entry, device: stat.dev(), unlisted }))
}

/// True if the directory says by a CACHEDIR.TAG that its content need not be kept.
///
/// Source: the Cache Directory Tagging Specification, <https://bford.info/cachedir/>.
pub fn is_tagged_cache(dir: &FsPath) -> bool {
    const SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";
    let path = dir.join("CACHEDIR.TAG");
    let is_file = std::fs::symlink_metadata(&path).is_ok_and(|stat| stat.is_file());
    let mut start = [0; SIGNATURE.len()];
    is_file
        && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *SIGNATURE
}
