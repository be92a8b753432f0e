//! The descent through a tree: one directory at a time, each opened below the one that holds it.
//!
//! No path is ever looked up, so paths may have any length, and what is exchanged for a symbolic
//! link during the walk leads nowhere. The walk enters a directory only when its caller says so:
//! an error never moves it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path as FsPath;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use crate::format::path::{Path, compare_names};

/// Levels above the current one whose directories stay open. Those further up are opened again on
/// the way back.
const OPEN_LEVELS: usize = 32;

/// Bytes of names that are asked for at once.
const BUFFER: usize = 64 << 10;

const READ: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const ONLY_PASS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open directory, shared with those who look at its entries.
#[derive(Debug)]
pub struct OpenDirectory {
    fd: OwnedFd,
    /// Where it is.
    pub path: Path,
    /// True if a mask selects what is in it.
    pub selected: bool,
}

impl OpenDirectory {
    /// Opens what this directory has under a name, if that is a directory and no link to one.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self, name: &CStr, selected: bool) -> io::Result<Arc<OpenDirectory>> {
        let fd = rustix::fs::openat(&self.fd, name, READ, Mode::empty())?;
        Ok(Arc::new(OpenDirectory { fd, path: self.path.child(name.to_bytes()), selected }))
    }
}

impl AsFd for OpenDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The names in a directory, in canonical order.
#[derive(Debug, Default)]
pub struct DirectoryNames {
    /// Each with a NUL behind it.
    bytes: Vec<u8>,
    items: Vec<WalkItem>,
}

#[derive(Debug, Clone, Copy)]
struct WalkItem {
    start: usize,
    len: u32,
    kind: FileType,
    ino: u64,
}

impl DirectoryNames {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The raw bytes of a name.
    pub fn raw(&self, at: usize) -> &[u8] {
        self.text(&self.items[at])
    }

    /// The same for the system.
    pub fn name(&self, at: usize) -> &CStr {
        let WalkItem { start, len, .. } = self.items[at];
        let with_nul = &self.bytes[start..=start + len as usize];
        CStr::from_bytes_with_nul(with_nul).unwrap_or_default()
    }

    /// What the directory says that it is; [`FileType::Unknown`] where it does not say.
    pub fn kind(&self, at: usize) -> FileType {
        self.items[at].kind
    }

    /// The inode that the directory says it has: of a mount point, what lies under it.
    pub fn ino(&self, at: usize) -> u64 {
        self.items[at].ino
    }

    fn text(&self, item: &WalkItem) -> &[u8] {
        &self.bytes[item.start..item.start + item.len as usize]
    }

    fn push(&mut self, name: &CStr, kind: FileType, ino: u64) {
        let raw = name.to_bytes_with_nul();
        let (start, len) = (self.bytes.len(), raw.len() as u32 - 1);
        self.bytes.extend_from_slice(raw);
        self.items.push(WalkItem { start, len, kind, ino });
    }

    fn sort(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        items.sort_unstable_by(|a, b| compare_names(self.text(a), self.text(b)));
        // No tree has a name twice, but a file system in trouble may say so.
        items.dedup_by(|a, b| self.text(a) == self.text(b));
        self.items = items;
    }

    /// Where a name stands, if it is there.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.items.binary_search_by(|item| compare_names(self.text(item), name)).ok()
    }

    /// Leaves only this name, if it is there.
    pub fn keep(&mut self, name: &[u8]) {
        let mut items = std::mem::take(&mut self.items);
        items.retain(|item| self.text(item) == name);
        self.items = items;
    }
}

/// A directory that the walk is in, or above.
#[derive(Debug)]
struct Level {
    /// None while it is far above the current one.
    place: Option<Arc<OpenDirectory>>,
    names: Arc<DirectoryNames>,
    next: usize,
    selected: bool,
    /// Device and inode, once it is closed.
    identity: Option<(u64, u64)>,
    /// Where it was, if it could not be opened again.
    lost: Option<Path>,
}

/// Where the walk stands.
#[derive(Debug, Default)]
pub struct TreeWalk {
    levels: Vec<Level>,
    buffer: Vec<u8>,
}

/// A step of the walk.
#[derive(Debug)]
pub enum WalkStep {
    /// The entry with this number of the current directory.
    Entry(usize),
    /// The directory with this path could not be opened again after a deep descent: its names from
    /// this number on cannot be examined.
    Lost(Path, Arc<DirectoryNames>, usize),
    /// There is nothing more.
    End,
}

impl TreeWalk {
    /// Opens the root; a symbolic link to it is followed.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_root(dir: &FsPath, selected: bool) -> io::Result<Arc<OpenDirectory>> {
        let flags = READ.difference(OFlags::NOFOLLOW);
        let fd = rustix::fs::open(dir, flags, Mode::empty())?;
        Ok(Arc::new(OpenDirectory { fd, path: Path::root(), selected }))
    }

    /// Reads the names in a directory. With an error come those that were read before it.
    pub fn read(&mut self, place: &OpenDirectory) -> (DirectoryNames, Option<io::Error>) {
        let mut names = DirectoryNames::default();
        self.buffer.clear();
        self.buffer.reserve(BUFFER);
        let mut entries = RawDir::new(&place.fd, self.buffer.spare_capacity_mut());
        let mut failed = None;
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name();
                    if !matches!(name.to_bytes(), b"." | b"..") {
                        names.push(name, entry.file_type(), entry.ino());
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    failed = Some(error.into());
                    break;
                }
            }
        }
        names.sort();
        (names, failed)
    }

    /// Goes down: the next entries are those of this directory, which [`TreeWalk::read`] read.
    pub fn enter(&mut self, place: Arc<OpenDirectory>, names: Arc<DirectoryNames>) {
        let selected = place.selected;
        self.levels.push(Level {
            place: Some(place),
            names,
            next: 0,
            selected,
            identity: None,
            lost: None,
        });
        // The root stays open: from there, any other is found again.
        if let Some(far) = self.levels.len().checked_sub(OPEN_LEVELS + 1).filter(|far| *far > 0) {
            let level = &mut self.levels[far];
            if let Some(stat) = level.place.as_ref().and_then(|it| rustix::fs::fstat(&it.fd).ok()) {
                level.identity = Some((stat.st_dev, stat.st_ino));
                level.place = None;
            }
        }
    }

    /// The next entry of the current directory, or, behind its last, of the one above it.
    pub fn step(&mut self) -> WalkStep {
        while let Some(level) = self.levels.last_mut() {
            let (at, end) = (level.next, level.names.len());
            if at < end {
                if let Some(path) = &level.lost {
                    level.next = end;
                    return WalkStep::Lost(path.clone(), Arc::clone(&level.names), at);
                }
                level.next += 1;
                return WalkStep::Entry(at);
            }
            self.climb();
        }
        WalkStep::End
    }

    /// The current directory, behind [`WalkStep::Entry`], and the names in it.
    pub fn here(&self) -> Option<(&Arc<OpenDirectory>, &Arc<DirectoryNames>)> {
        let level = self.levels.last()?;
        Some((level.place.as_ref()?, &level.names))
    }

    /// Leaves the current directory, and sees to it that the one above it is open.
    fn climb(&mut self) {
        let Some(left) = self.levels.pop() else { return };
        let Some(above) = self.levels.last() else { return };
        let known = left.place.as_ref().map(|place| &place.path).or(left.lost.as_ref());
        let (None, Some(known)) = (&above.place, known) else { return };
        let path = known.parent().unwrap_or_else(Path::root);
        let fd = left
            .place
            .as_ref()
            .and_then(|place| above.recognise(pass(&place.fd, c"..")?))
            .or_else(|| above.recognise(self.find(&path)?));
        let selected = above.selected;
        if let Some(level) = self.levels.last_mut() {
            match fd {
                Some(fd) => level.place = Some(Arc::new(OpenDirectory { fd, path, selected })),
                None => level.lost = Some(path),
            }
        }
    }

    /// Opens a directory from the root, name by name.
    fn find(&self, path: &Path) -> Option<OwnedFd> {
        let root = self.levels.first()?.place.as_ref()?;
        let mut found: Option<OwnedFd> = None;
        for name in path.raw().split(|byte| *byte == b'/') {
            let name = CString::new(name).ok()?;
            found = Some(pass(found.as_ref().unwrap_or(&root.fd), &name)?);
        }
        found
    }
}

impl Level {
    /// The directory, if it is the one that was closed.
    fn recognise(&self, fd: OwnedFd) -> Option<OwnedFd> {
        let stat = rustix::fs::fstat(&fd).ok()?;
        (self.identity == Some((stat.st_dev, stat.st_ino))).then_some(fd)
    }
}

/// Opens a directory only to get to what is in it.
fn pass(dir: &OwnedFd, name: &CStr) -> Option<OwnedFd> {
    rustix::fs::openat(dir, name, ONLY_PASS, Mode::empty()).ok()
}

/// Lets the process have as many open files as it may, and says how many those are.
pub fn open_files() -> usize {
    const ENOUGH: u64 = 16 << 10;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    let now = limit.current.unwrap_or(ENOUGH);
    let more = Rlimit { current: Some(wanted), maximum: limit.maximum };
    let raised = now < wanted && rustix::process::setrlimit(Resource::Nofile, more).is_ok();
    (if raised { wanted } else { now }) as usize
}

#[cfg(test)]
mod tests;
