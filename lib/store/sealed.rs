//! The notes of dura-seal in a cache: of each band two files at most, the older of which goes when
//! the newer is full. By then all that it names is stored with its lists, or the run is over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::durable;
use crate::format::band::BandId;
use crate::format::sealed::SealedNote;

/// The folder of a cache that holds them.
const FOLDER: &str = "sealed";

/// A file is full with so many bytes: far more than what is under way at once takes.
const FULL: u64 = 4 << 20;

/// Files of other bands that are kept.
const KEPT: usize = 16;

/// The notes of one band.
#[derive(Debug)]
pub struct SealedNotes {
    path: PathBuf,
    open: Option<(File, u64)>,
}

impl SealedNotes {
    /// Those of the band with this id, in the cache `dir`.
    pub(super) fn of(dir: &Path, id: BandId) -> SealedNotes {
        SealedNotes { path: dir.join(FOLDER).join(id.to_string()), open: None }
    }

    fn older(&self) -> PathBuf {
        self.path.with_extension("old")
    }

    /// What was noted, oldest first.
    pub fn read(&self) -> Vec<SealedNote> {
        let text =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let both = [text(&self.older()), text(&self.path)];
        both.iter().flat_map(|text| text.lines()).filter_map(SealedNote::parse).collect()
    }

    /// Notes an object. What the host loses of this when it goes down costs nothing but a finding.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&mut self, note: &SealedNote) -> io::Result<()> {
        let (mut file, size) = match self.open.take() {
            Some((_, size)) if size >= FULL => {
                durable::rename_lightly(&self.path, &self.older())?;
                self.begin()?
            }
            Some(open) => open,
            None => {
                self.clear();
                self.begin()?
            }
        };
        let line = note.line();
        file.write_all(line.as_bytes())?;
        self.open = Some((file, size + line.len() as u64));
        Ok(())
    }

    fn begin(&self) -> io::Result<(File, u64)> {
        let mut file = open(&self.path)?;
        let size = end_line(&mut file)?;
        Ok((file, size))
    }

    fn clear(&self) {
        clear(&self.path);
    }
}

/// Opens a file of notes to read it and to append to it; makes it if it is not there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        durable::create_private_dirs(folder)?;
    }
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Whatever a killed run has left is a line of its own. Gives the size.
pub(super) fn end_line(file: &mut File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    if size > 0 {
        file.write_all(b"\n")?;
    }
    Ok(size)
}

/// Removes the files of bands beside this one's of which nothing was noted for long.
pub(super) fn clear(own: &Path) {
    let Some(folder) = own.parent() else { return };
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .filter(|(_, path)| path.file_stem() != own.file_stem())
        .collect();
    files.sort();
    let old = files.len().saturating_sub(KEPT);
    files.into_iter().take(old).for_each(|(_, path)| drop(fs::remove_file(path)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::group::GroupMember;
    use crate::format::object::ObjectName;

    fn note(number: u32) -> SealedNote {
        let name = ObjectName::parse(&format!("00000/{number:09}.tar.gz")).unwrap();
        SealedNote { group: (number, 0), member: GroupMember::of(name, b"x") }
    }

    #[test]
    fn notes_last_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let id = BandId([1; 16]);
        let mut notes = SealedNotes::of(dir.path(), id);
        assert_eq!(notes.read(), []);
        notes.append(&note(0)).unwrap();
        // A run that was killed in a line.
        let mut file = OpenOptions::new().append(true).open(&notes.path).unwrap();
        file.write_all(b"000000001-0 00000/00").unwrap();
        let mut notes = SealedNotes::of(dir.path(), id);
        notes.append(&note(2)).unwrap();
        assert_eq!(notes.read(), [note(0), note(2)]);
        notes.open.as_mut().unwrap().1 = FULL;
        notes.append(&note(3)).unwrap();
        assert_eq!(notes.read(), [note(0), note(2), note(3)]);
        notes.open.as_mut().unwrap().1 = FULL;
        notes.append(&note(4)).unwrap();
        assert_eq!(notes.read(), [note(3), note(4)]);
        for other in 2..40 {
            SealedNotes::of(dir.path(), BandId([other; 16])).append(&note(9)).unwrap();
        }
        assert!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count() <= KEPT + 2);
        assert_eq!(SealedNotes::of(dir.path(), BandId([39; 16])).read(), [note(9)]);
    }
}
