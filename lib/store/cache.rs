//! A host's own copies of what it has written or read: plain HEADs, indexes and tables of contents.
//!
//! The copies of a band lie in `DIR/ID/BAND/`, laid out as in an archive, so that bands of one name
//! in several archives do not meet. Earlier releases had them in `DIR/BAND/`, or in a folder for
//! each archive; those are read as they are.
//!
//! The cache is a hint: it never decides what is in an archive. A copy counts only under the id of
//! its band, and whoever asks has to know from the archive that the object is there. It may be
//! deleted, shared or broken at any time.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::cut::CutNotes;
use super::durable;
use super::local::Local;
use super::sealed::SealedNotes;
use super::{Store, StoreError, StoreErrorKind};
use crate::format::band::{BandId, BandName};
use crate::format::object::{Object, ObjectName};

/// Why a directory is not used as a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be read or made.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is another user's, who could put anything into it.
    #[error("belongs to another user (uid {0})")]
    Foreign(u32),
    /// Others may write to it.
    #[error("others may write to it (mode {0:04o})")]
    Writable(u32),
    /// Others may put another in its place.
    #[error("others may replace it: they may write to {above}, which is above it (mode {mode:04o}, without the sticky bit)", above = .0.display(), mode = .1)]
    Above(PathBuf, u32),
}

/// A directory of copies.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
    /// Where an earlier release has the copies of a band, as far as it was looked for.
    earlier: Arc<Mutex<HashMap<BandId, Option<PathBuf>>>>,
}

impl Cache {
    /// The cache in `dir`, which is made with mode 0700 if it is not there. A full disk is told by
    /// the first copy that has no room.
    ///
    /// # Errors
    /// If the folder cannot be made, or is not to be trusted.
    pub fn open(dir: &Path) -> Result<Cache, CacheError> {
        match durable::create_private_dirs(dir) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Err(error.into());
            }
            _ => {}
        }
        if let Ok(stat) = std::fs::metadata(dir) {
            owned(&stat)?;
            kept_above(dir)?;
            // What cannot be looked into holds no copies, and takes none.
            std::fs::read_dir(dir)?;
        }
        Ok(Cache { dir: dir.to_owned(), earlier: Arc::default() })
    }

    fn folder(&self, band: &BandName, id: BandId) -> PathBuf {
        self.dir.join(id.to_string()).join(band.to_string())
    }

    /// The newest band of which there are copies.
    pub fn newest(&self) -> Option<BandName> {
        let mut newest: Option<BandName> = None;
        let age = |band: &BandName| (band.start(), band.to_string());
        let mut take = |name: BandName| {
            if newest.as_ref().is_none_or(|newest| age(newest) < age(&name)) {
                newest = Some(name);
            }
        };
        for name in names(&self.dir) {
            match name.parse() {
                Ok(band) => take(band),
                Err(_) if is_id(&name) => names(&self.dir.join(name))
                    .filter_map(|name| name.parse().ok())
                    .for_each(&mut take),
                Err(_) => {}
            }
        }
        newest
    }

    /// Where an earlier release has the copies of this band.
    pub fn earlier(&self, band: &BandName, id: BandId) -> Option<PathBuf> {
        let mut known = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let find = || {
            let below = names(&self.dir).filter(|name| is_id(name)).map(|name| self.dir.join(name));
            // Its own folders are not an earlier release's.
            let below = below.filter(|dir| !dir.ends_with(id.to_string()));
            let folders = std::iter::once(self.dir.clone()).chain(below);
            let mut folders = folders.map(|dir| dir.join(band.to_string()));
            folders.find(|folder| id_in(folder) == Some(id))
        };
        known.entry(id).or_insert_with(find).clone()
    }

    /// The copy of an object of the band with this id, as pack wrote it: not encrypted.
    pub fn get(&self, band: &BandName, id: BandId, object: Object) -> Option<Vec<u8>> {
        let name = ObjectName::plain(object).to_string();
        let read = |folder: &Path| {
            std::fs::read(folder.join(&name)).ok().filter(|bytes| !bytes.is_empty())
        };
        let own = self.folder(band, id);
        let copy = read(&own).filter(|_| id_in(&own) == Some(id));
        copy.or_else(|| read(&self.earlier(band, id).filter(|folder| *folder != own)?))
    }

    /// Keeps a copy. HEAD must be kept before all others.
    ///
    /// # Errors
    /// What the system says.
    pub fn put(&self, band: &BandName, id: BandId, object: Object, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder(band, id).join(ObjectName::plain(object).to_string());
        if let Some(folder) = path.parent() {
            durable::create_private_dirs(folder)?;
        }
        durable::replace_lightly(&path, bytes)
    }

    /// A file beside the copies of a band, of which this program keeps the form.
    ///
    /// # Errors
    /// Those of the file, which may not be there.
    pub fn open_beside(&self, band: &BandName, id: BandId, name: &str) -> io::Result<File> {
        File::open(self.folder(band, id).join(name))
    }

    /// Makes such a file, as `fill` writes it.
    ///
    /// # Errors
    /// Those of `fill`, and of the folder.
    pub fn put_beside<T>(
        &self,
        band: &BandName,
        id: BandId,
        name: &str,
        fill: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = self.folder(band, id).join(name);
        durable::fill_lightly(&path, fill)
    }

    /// Where scratch files lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What dura-seal has noted of the band with this id.
    pub fn sealed(&self, id: BandId) -> SealedNotes {
        SealedNotes::of(&self.dir, id)
    }

    /// What dura-pack has noted of the large files of the band with this id; none while another run
    /// has them.
    ///
    /// # Errors
    /// What the system says.
    pub fn cut(&self, id: BandId) -> io::Result<Option<CutNotes>> {
        CutNotes::open(&self.dir, id)
    }

    /// Whether HEAD is kept.
    pub fn has_head(&self, band: &BandName, id: BandId) -> bool {
        id_in(&self.folder(band, id)) == Some(id)
    }
}

/// Refuses a directory into which another user can put something.
pub(super) fn owned(stat: &std::fs::Metadata) -> Result<(), CacheError> {
    let mode = stat.mode() & 0o7777;
    if stat.uid() != rustix::process::geteuid().as_raw() {
        return Err(CacheError::Foreign(stat.uid()));
    }
    if mode & 0o022 != 0 { Err(CacheError::Writable(mode)) } else { Ok(()) }
}

/// Refuses a directory of which others can rename one above it, or a link that leads to it.
pub(super) fn kept_above(dir: &Path) -> Result<(), CacheError> {
    let paths = [std::path::absolute(dir), dir.canonicalize()];
    let above = paths.iter().flatten().flat_map(|path| path.ancestors().skip(1));
    for above in above {
        let mode = std::fs::metadata(above).map_or(0, |stat| stat.mode() & 0o7777);
        if mode & 0o1002 == 0o002 {
            return Err(CacheError::Above(above.to_owned(), mode));
        }
    }
    Ok(())
}

fn names(dir: &Path) -> impl Iterator<Item = String> {
    let listed = std::fs::read_dir(dir).into_iter().flatten();
    listed.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()))
}

fn is_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The id that the copies in a folder belong to.
fn id_in(folder: &Path) -> Option<BandId> {
    let head = std::fs::read(folder.join("HEAD")).ok()?;
    let text = std::str::from_utf8(&head).ok()?;
    text.lines().find_map(|line| line.strip_prefix("id: "))?.parse().ok()
}

/// A cache seen as an archive, for whoever compares an archive with it: nothing is written to it.
/// None if the directory has no copies in folders of ids.
pub fn as_archive(dir: &Path) -> Option<impl Store + use<>> {
    let mut bands = HashMap::new();
    for id in names(dir).filter(|name| is_id(name)) {
        for band in names(&dir.join(&id)).filter(|name| name.parse::<BandName>().is_ok()) {
            bands.insert(band, id.clone());
        }
    }
    (!bands.is_empty()).then(|| Shelves { local: Local::new(dir), bands })
}

/// The folders of a cache, by the names of their bands.
struct Shelves {
    local: Local,
    /// The id's folder of each band.
    bands: HashMap<String, String>,
}

impl Shelves {
    fn place(&self, name: &str) -> String {
        let band = name.split('/').next().unwrap_or(name);
        self.bands.get(band).map_or_else(|| name.to_owned(), |id| format!("{id}/{name}"))
    }

    fn refused(name: &str) -> StoreError {
        let source = io::Error::from(io::ErrorKind::Unsupported);
        StoreError { kind: StoreErrorKind::Denied, at: name.to_owned(), source, retry_after: None }
    }
}

impl Store for Shelves {
    fn put_new(&self, name: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(Shelves::refused(name))
    }

    fn replace(&self, name: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(Shelves::refused(name))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.local.get(&self.place(name))
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.local.get_range(&self.place(name), start, length)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.local.stat(&self.place(name))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        if !folder.is_empty() {
            return self.local.list(&self.place(folder));
        }
        let mut bands: Vec<_> = self.bands.keys().map(|band| (format!("{band}/"), 0)).collect();
        bands.sort();
        Ok(bands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const BAND: &str = "20261101T020000Z";

    fn mode(dir: &Path, mode: u32) {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn copies_count_under_their_id_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("deep/cache")).unwrap();
        let stat = std::fs::metadata(dir.path().join("deep/cache")).unwrap();
        assert_eq!(stat.mode() & 0o777, 0o700);
        assert_eq!(cache.newest(), None);
        let band: BandName = BAND.parse().unwrap();
        let (one, two) = (BandId([1; 16]), BandId([2; 16]));
        let index = Object::Index(7);
        assert_eq!(cache.get(&band, one, index), None);
        cache.put(&band, one, index, b"no head yet").unwrap();
        assert_eq!(cache.get(&band, one, index), None);
        assert!(!cache.has_head(&band, one));
        cache.put(&band, one, Object::Head, format!("id: {one}\n").as_bytes()).unwrap();
        cache.put(&band, one, index, b"index").unwrap();
        assert_eq!(cache.get(&band, one, index).as_deref(), Some(&b"index"[..]));
        assert_eq!(cache.newest(), Some(band.clone()));
        // Another band of the same name keeps its own.
        assert_eq!(cache.get(&band, two, index), None);
        cache.put(&band, two, Object::Head, format!("id: {two}\n").as_bytes()).unwrap();
        cache.put(&band, two, index, b"other").unwrap();
        assert_eq!(cache.get(&band, one, index).as_deref(), Some(&b"index"[..]));
        assert_eq!(cache.get(&band, two, index).as_deref(), Some(&b"other"[..]));
        let head = dir.path().join(format!("deep/cache/{two}/{BAND}/HEAD"));
        std::fs::write(head, b"\xff broken").unwrap();
        assert_eq!(cache.get(&band, two, Object::Head), None);
    }

    #[test]
    fn folders_of_earlier_releases_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two, three) = (BandId([1; 16]), BandId([2; 16]), BandId([3; 16]));
        for (folder, id) in [("", one), ("0123456789abcdef0123456789abcdef/", two)] {
            let folder = dir.path().join(format!("{folder}{BAND}"));
            std::fs::create_dir_all(folder.join("00000")).unwrap();
            std::fs::write(folder.join("HEAD"), format!("id: {id}\n")).unwrap();
            std::fs::write(folder.join("00000/000000007.mtree.gz"), id.to_string()).unwrap();
        }
        let band: BandName = BAND.parse().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        for id in [one, two] {
            let copy = cache.get(&band, id, Object::Index(7)).unwrap();
            assert_eq!(copy, id.to_string().into_bytes());
        }
        assert_eq!(cache.get(&band, three, Object::Index(7)), None);
        assert_eq!(cache.newest(), Some(band));
    }

    #[test]
    fn what_others_can_write_to_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        for open in [0o777, 0o770, 0o1777] {
            mode(dir.path(), open);
            assert!(matches!(Cache::open(dir.path()), Err(CacheError::Writable(_))), "{open:o}");
            // In one that is open to all, only the sticky bit keeps it where it is.
            let below = dir.path().join("below");
            let found = Cache::open(&below);
            let is_open = matches!(found, Err(CacheError::Above(..)));
            let can_rename = open & 0o1002 == 0o2;
            assert_eq!((is_open, found.is_ok()), (can_rename, !can_rename), "{open:o}");
            mode(dir.path(), open | 0o1000);
            assert!(Cache::open(&below).is_ok(), "{open:o}");
        }
        mode(dir.path(), 0o755);
        assert!(Cache::open(dir.path()).is_ok());
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(65_534), None).unwrap();
            assert!(matches!(Cache::open(dir.path()), Err(CacheError::Foreign(65_534))));
        }
    }

    #[test]
    fn a_cache_is_compared_as_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        assert!(as_archive(dir.path()).is_none());
        let cache = Cache::open(dir.path()).unwrap();
        let (band, id): (BandName, _) = (BAND.parse().unwrap(), BandId([1; 16]));
        cache.put(&band, id, Object::Index(7), b"index").unwrap();
        let store = as_archive(dir.path()).unwrap();
        assert_eq!(store.list("").unwrap(), [(format!("{BAND}/"), 0)]);
        let name = format!("{BAND}/00000/000000007.mtree.gz");
        assert_eq!(store.get(&name).unwrap(), b"index");
        assert_eq!(store.list(&format!("{BAND}/00000")).unwrap().len(), 1);
        assert!(store.put_new(&name, b"x").is_err());
    }
}
