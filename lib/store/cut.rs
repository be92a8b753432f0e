//! The notes of dura-pack on large files, in a cache: a file for each band, which one run at a time
//! has.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use super::sealed::{clear, end_line, open};
use crate::format::band::BandId;
use crate::format::cut::{BegunFile, CutNote, begun};

/// The folder of a cache that holds them.
const FOLDER: &str = "cut";

/// The notes of one band.
#[derive(Debug)]
pub struct CutNotes {
    file: File,
    begins: bool,
}

impl CutNotes {
    /// Those of the band with this id, in the cache `dir`; none if another run writes them.
    pub(super) fn open(dir: &Path, id: BandId) -> io::Result<Option<CutNotes>> {
        let path = dir.join(FOLDER).join(id.to_string());
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        clear(&path);
        Ok(Some(CutNotes { file, begins: true }))
    }

    /// What is noted, by the numbers of blocks.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&mut self) -> io::Result<BTreeMap<u32, BegunFile>> {
        let mut text = Vec::new();
        self.file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        Ok(begun(text.split_inclusive('\n').filter_map(CutNote::parse)))
    }

    /// Notes something, before what it is about leaves.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&mut self, note: &CutNote) -> io::Result<()> {
        if std::mem::take(&mut self.begins) {
            end_line(&mut self.file)?;
        }
        self.file.write_all(note.line().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::cut::{FileMark, PartEnd};
    use crate::format::path::Path as EntryPath;
    use crate::format::time::Time;

    #[test]
    fn notes_last_and_one_run_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let id = BandId([1; 16]);
        let time = Time { sec: 1, nsec: 0 };
        let path = EntryPath::parse(b"./x").unwrap();
        let mark = FileMark {
            path,
            size: 9,
            time,
            ctime: time,
            inode: 3,
            is_delta: false,
            headers: [0; 32],
        };
        let part = |part| CutNote::Part(7, part, PartEnd { place: 5, sha256: [4; 32] });
        let mut notes = CutNotes::open(dir.path(), id).unwrap().unwrap();
        assert!(notes.read().unwrap().is_empty());
        notes.append(&CutNote::File(7, mark.clone())).unwrap();
        notes.append(&part(0)).unwrap();
        assert!(CutNotes::open(dir.path(), id).unwrap().is_none());
        assert!(CutNotes::open(dir.path(), BandId([2; 16])).unwrap().is_some());
        // It is killed in a line.
        notes.file.write_all(b"part 00000").unwrap();
        drop(notes);
        let mut notes = CutNotes::open(dir.path(), id).unwrap().unwrap();
        assert_eq!(notes.read().unwrap()[&7].parts.len(), 1);
        notes.append(&part(1)).unwrap();
        drop(notes);
        let found = CutNotes::open(dir.path(), id).unwrap().unwrap().read().unwrap();
        assert_eq!(found[&7].mark, mark);
        assert_eq!(found[&7].parts.keys().collect::<Vec<_>>(), [&0, &1]);
    }
}
