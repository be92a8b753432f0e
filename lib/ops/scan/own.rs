//! The cache of this host, which is no part of what is backed up from it.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path as FsPath;

use crate::archive::caching;
use crate::edge::look;
use crate::edge::mounts;
use crate::edge::resolve::resolve;
use crate::edge::walk::OpenDirectory;
use crate::format::path::Path;

/// A directory that may lie in the source.
#[derive(Debug)]
pub(super) struct OwnCache {
    /// Device and inode, if it was there when the scan began.
    identity: Option<(u64, u64)>,
    /// Where it is below the source, by its path and by those that other mounts give it.
    paths: Vec<Path>,
}

impl OwnCache {
    /// The cache that an option or the environment names, and the one that is used without.
    pub(super) fn all(named: Option<&FsPath>, root: &FsPath) -> Vec<OwnCache> {
        let usual = caching::default_dir();
        let dirs = named.map(FsPath::to_owned).into_iter().chain(usual);
        dirs.filter_map(|dir| OwnCache::at(&dir, root)).collect()
    }

    /// A directory, which may not be there yet; none if it is the source itself or above it.
    fn at(dir: &FsPath, root: &FsPath) -> Option<OwnCache> {
        let dir = resolve(dir)?;
        let stat = std::fs::metadata(&dir).ok();
        if root.starts_with(&dir) {
            return None;
        }
        let below = |name: std::path::PathBuf| {
            let below = name.strip_prefix(root).ok()?.as_os_str().as_bytes().to_owned();
            (!below.is_empty()).then(|| Path::from_raw(&below))
        };
        Some(OwnCache {
            identity: stat.map(|stat| (stat.dev(), stat.ino())),
            paths: mounts::names(dir).into_iter().filter_map(below).collect(),
        })
    }

    /// True if an entry is this directory. `ino` is the inode that its directory says it has.
    pub(super) fn is(&self, above: &OpenDirectory, name: &CStr, path: &Path, ino: u64) -> bool {
        let named = self.paths.contains(path);
        match self.identity {
            // What the directory says is not enough: of a mount point, it is what lies under it.
            Some(identity) if named || ino == identity.1 => {
                look::stat(above, name).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == identity)
            }
            Some(_) => false,
            None => named,
        }
    }
}
