//! The journal on this host's disk: one file for each band, and one with the archives that were
//! used. It is not the cache: nothing that is read adds to it.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::{CacheError, kept_above, owned};
use super::durable;
use crate::format::band::{BandId, BandName};
use crate::format::journal::{BandRecord, JournalEntry, lines};

/// The file that names the archives that were built on.
const ARCHIVES: &str = "archives";

/// The file that names those into which bands were stored, whoever made them.
const STORED: &str = "stored";

/// The file with the band that was built on last in each archive: `BAND ADDRESS`, the last line of
/// an address counts.
const NEWEST: &str = "newest";

/// A journal.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
    read: Arc<Mutex<HashMap<BandId, Option<Arc<BandRecord>>>>>,
}

impl Journal {
    /// The journal in `dir`, which is made with mode 0700 when something is written.
    ///
    /// # Errors
    /// If the folder is there and not to be trusted.
    pub fn open(dir: &Path) -> Result<Journal, CacheError> {
        match fs::metadata(dir) {
            Ok(stat) => owned(&stat).and_then(|()| kept_above(dir))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Journal { dir: dir.to_owned(), read: Arc::default() })
    }

    /// What it knows of the band with this id; none if nothing.
    ///
    /// # Errors
    /// What the system says.
    pub fn band(&self, id: BandId) -> io::Result<Option<Arc<BandRecord>>> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = known.get(&id) {
            return Ok(record.clone());
        }
        let record = self.text(&id.to_string())?.and_then(|text| BandRecord::parse(&text));
        let record = record.map(Arc::new);
        known.insert(id, record.clone());
        Ok(record)
    }

    /// Adds to what it knows of a band.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&self, id: BandId, entries: &[JournalEntry]) -> io::Result<()> {
        let path = self.dir.join(id.to_string());
        let begins = fs::metadata(path).map_or(true, |stat| stat.len() == 0);
        self.add(&id.to_string(), &lines(entries, begins))?;
        self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(())
    }

    /// Whether an archive was used from this host.
    ///
    /// # Errors
    /// What the system says.
    pub fn knows_archive(&self, address: &str) -> io::Result<bool> {
        self.names(ARCHIVES, address)
    }

    /// Notes that an archive is used from this host.
    ///
    /// # Errors
    /// What the system says.
    pub fn note_archive(&self, address: &str) -> io::Result<()> {
        self.note(ARCHIVES, address)
    }

    /// Whether this host has seen or stored bands in an archive.
    ///
    /// # Errors
    /// What the system says.
    pub fn has_seen_bands(&self, address: &str) -> io::Result<bool> {
        Ok(self.names(STORED, address)? || self.knows_archive(address)?)
    }

    /// Notes that this host has stored a band in an archive. That vouches for no band.
    ///
    /// # Errors
    /// What the system says.
    pub fn note_stored(&self, address: &str) -> io::Result<()> {
        self.note(STORED, address)
    }

    fn names(&self, file: &str, address: &str) -> io::Result<bool> {
        Ok(self.text(file)?.unwrap_or_default().lines().any(|line| line == address))
    }

    fn note(&self, file: &str, address: &str) -> io::Result<()> {
        if address.contains('\n') || self.names(file, address)? {
            return Ok(());
        }
        self.add(file, &format!("{address}\n"))
    }

    /// The band that was built on last in an archive.
    ///
    /// # Errors
    /// What the system says.
    pub fn newest(&self, address: &str) -> io::Result<Option<BandName>> {
        let text = self.text(NEWEST)?.unwrap_or_default();
        let of = |line: &str| {
            let (band, of) = line.split_once(' ')?;
            (of == address).then(|| band.parse().ok()).flatten()
        };
        Ok(text.lines().rev().find_map(of))
    }

    /// Notes which band is built on in an archive.
    ///
    /// # Errors
    /// What the system says.
    pub fn note_newest(&self, address: &str, band: &BandName) -> io::Result<()> {
        if address.contains('\n') || self.newest(address)?.as_ref() == Some(band) {
            return Ok(());
        }
        self.add(NEWEST, &format!("{band} {address}\n"))
    }

    /// The bands of which it learned last, the last one first.
    ///
    /// # Errors
    /// What the system says.
    pub fn latest(&self, most: usize) -> io::Result<Vec<BandName>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().len() == 2 * size_of::<BandId>() {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort_by(|one, other| other.cmp(one));
        let name = |path: &Path| {
            // The name stands at the begin.
            let mut text = Vec::new();
            fs::File::open(path).ok()?.take(4096).read_to_end(&mut text).ok()?;
            BandRecord::parse(&String::from_utf8_lossy(&text))?.band
        };
        Ok(files.iter().take(most).filter_map(|(_, path)| name(path)).collect())
    }

    fn text(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read(self.dir.join(name)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Appends in one write, so that two runs do not mix their lines.
    fn add(&self, name: &str, text: &str) -> io::Result<()> {
        durable::create_private_dirs(&self.dir)?;
        let mut file =
            OpenOptions::new().append(true).create(true).mode(0o600).open(self.dir.join(name))?;
        file.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::digest;

    #[test]
    fn it_knows_what_was_added() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("deep/journal")).unwrap();
        let id = BandId([1; 16]);
        assert_eq!(journal.band(id).unwrap(), None);
        assert!(!journal.knows_archive("/a").unwrap());
        let index = |number| JournalEntry::Index(number, digest::of(b"t"), digest::of(b"g"));
        journal.append(id, &[index(0)]).unwrap();
        journal.append(id, &[index(1)]).unwrap();
        let record = journal.band(id).unwrap().unwrap();
        assert!(record.knows(0) && record.knows(1) && !record.knows(2));
        journal.note_archive("/a").unwrap();
        journal.note_archive("/a").unwrap();
        let again = Journal::open(&dir.path().join("deep/journal")).unwrap();
        assert!(again.knows_archive("/a").unwrap() && !again.knows_archive("/b").unwrap());
        assert!(again.band(id).unwrap().unwrap().knows(1));
        assert_eq!(again.latest(9).unwrap(), []);
        let name: BandName = "20261101T020000Z".parse().unwrap();
        again.append(BandId([2; 16]), &[JournalEntry::Band(name.clone()), index(0)]).unwrap();
        assert_eq!(again.latest(9).unwrap(), [name]);
        assert_eq!(again.latest(0).unwrap(), []);
        let text = fs::read_to_string(dir.path().join("deep/journal/archives")).unwrap();
        assert_eq!(text, "/a\n");
        again.note_stored("/b").unwrap();
        assert!(again.has_seen_bands("/a").unwrap() && again.has_seen_bands("/b").unwrap());
        assert!(!again.knows_archive("/b").unwrap() && !again.has_seen_bands("/c").unwrap());
        let bands = ["20260101T000000Z", "20260102T000000Z"].map(|name| name.parse().unwrap());
        assert_eq!(journal.newest("/a").unwrap(), None);
        for (address, band) in [("/a", 0), ("/a", 1), ("/b c", 0), ("/a", 1)] {
            journal.note_newest(address, &bands[band]).unwrap();
        }
        assert_eq!(again.newest("/a").unwrap().as_ref(), Some(&bands[1]));
        assert_eq!(again.newest("/b c").unwrap().as_ref(), Some(&bands[0]));
        let text = fs::read_to_string(dir.path().join("deep/journal/newest")).unwrap();
        assert_eq!(text.lines().count(), 3);
    }
}
