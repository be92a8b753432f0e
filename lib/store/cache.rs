//! A host's own copies of what it has written or read: plain HEADs, indexes and tables of contents,
//! laid out as in an archive.
//!
//! The cache is a hint: it never decides what is in an archive. A copy counts only under the id of
//! its band, and whoever asks has to know from the archive that the object is there. It may be
//! deleted, shared or broken at any time.

use std::io;
use std::path::{Path, PathBuf};

use super::durable;
use crate::format::band::{BandId, BandName};
use crate::format::object::{Object, ObjectName};

/// A directory of copies.
#[derive(Debug, Clone)]
pub struct Cache(PathBuf);

impl Cache {
    /// The cache in `dir`, which is made with mode 0700 if it is not there. A full disk is told by
    /// the first copy that has no room.
    pub fn open(dir: &Path) -> io::Result<Cache> {
        match durable::create_private_dirs(dir) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Err(error)
            }
            _ => Ok(Cache(dir.to_owned())),
        }
    }

    fn folder(&self, band: &BandName) -> PathBuf {
        self.0.join(band.to_string())
    }

    /// The newest band of which there are copies.
    pub fn newest(&self) -> Option<BandName> {
        let names = std::fs::read_dir(&self.0)
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        names.max_by_key(|name: &BandName| (name.start(), name.to_string()))
    }

    /// The id that the copies of a band belong to.
    fn id(&self, band: &BandName) -> Option<BandId> {
        let head = std::fs::read(self.folder(band).join("HEAD")).ok()?;
        let text = std::str::from_utf8(&head).ok()?;
        text.lines().find_map(|line| line.strip_prefix("id: "))?.parse().ok()
    }

    /// The copy of an object of the band with this id, as pack wrote it: not encrypted.
    pub fn get(&self, band: &BandName, id: BandId, object: Object) -> Option<Vec<u8>> {
        (self.id(band)? == id).then_some(())?;
        let bytes =
            std::fs::read(self.folder(band).join(ObjectName::plain(object).to_string())).ok()?;
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Keeps a copy. Copies of another band with the same name give way. HEAD must be kept before
    /// all others.
    pub fn put(&self, band: &BandName, id: BandId, object: Object, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder(band);
        if object == Object::Head && self.id(band) != Some(id) {
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        } else if self.id(band) != Some(id) {
            return Ok(());
        }
        let path = folder.join(ObjectName::plain(object).to_string());
        durable::create_private_dirs(path.parent().unwrap_or(&folder))?;
        durable::replace_lightly(&path, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_count_under_their_id_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("deep/cache")).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(
            &std::fs::metadata(dir.path().join("deep/cache")).unwrap(),
        );
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(cache.newest(), None);
        let band: BandName = "20261101T020000Z".parse().unwrap();
        let (one, two) = (BandId([1; 16]), BandId([2; 16]));
        let index = Object::Index(7);
        assert_eq!(cache.get(&band, one, index), None);
        cache.put(&band, one, index, b"no head yet").unwrap();
        assert_eq!(cache.get(&band, one, index), None);
        cache.put(&band, one, Object::Head, format!("id: {one}\n").as_bytes()).unwrap();
        cache.put(&band, one, index, b"index").unwrap();
        assert_eq!(cache.get(&band, one, index).as_deref(), Some(&b"index"[..]));
        assert_eq!(cache.newest(), Some(band.clone()));
        assert_eq!(cache.get(&band, two, index), None);
        cache.put(&band, two, Object::Head, format!("id: {two}\n").as_bytes()).unwrap();
        assert_eq!(cache.get(&band, two, index), None);
        assert_eq!(cache.get(&band, one, index), None);
        std::fs::write(dir.path().join("deep/cache/20261101T020000Z/HEAD"), b"\xff broken")
            .unwrap();
        assert_eq!(cache.get(&band, two, Object::Head), None);
    }
}
