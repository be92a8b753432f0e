//! Blocks that are handed on in slices, from a file: of a block that is read slowly, beside others,
//! little is in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What has no more bytes stays in memory; and what has, comes in slices of so many.
const SLICE: usize = 2 << 20;

/// The rest of what was fetched last.
pub(super) struct Slices {
    is_on: bool,
    file: Option<File>,
    at: u64,
    end: u64,
}

impl Slices {
    /// Cuts what comes if that is wanted, else hands it on.
    pub(super) fn new(is_on: bool) -> Slices {
        Slices { is_on, file: None, at: 0, end: 0 }
    }

    /// The next slice, of the object that `fetch` gives if nothing is left of the one before.
    /// Also given is what is dropped when the object is not in memory any more.
    pub(super) fn next_of<T>(
        &mut self,
        fetch: &mut dyn FnMut() -> io::Result<Option<(Vec<u8>, T)>>,
    ) -> io::Result<Option<Vec<u8>>> {
        if self.at == self.end {
            let Some((mut bytes, _room)) = fetch()? else { return Ok(None) };
            if !self.is_on || bytes.len() <= SLICE {
                return Ok(Some(bytes));
            }
            let file = match &self.file {
                Some(file) => file,
                None => self.file.insert(tempfile::tempfile()?),
            };
            file.write_all_at(&bytes[SLICE..], 0)?;
            (self.at, self.end) = (0, (bytes.len() - SLICE) as u64);
            bytes.truncate(SLICE);
            bytes.shrink_to_fit();
            return Ok(Some(bytes));
        }
        let mut slice = vec![0; (self.end - self.at).min(SLICE as u64) as usize];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut slice, self.at)?;
        }
        self.at += slice.len() as u64;
        Ok(Some(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_the_objects_one_after_another() {
        let object = |len: usize| (0..len).map(|at| (at / 1000) as u8).collect::<Vec<u8>>();
        let objects = [object(3), object(SLICE), object(2 * SLICE + 7), object(SLICE + 1)];
        for is_on in [false, true] {
            let (mut left, mut slices) = (objects.iter().cloned(), Slices::new(is_on));
            let (mut came, mut most) = (Vec::new(), 0);
            while let Some(slice) =
                slices.next_of(&mut || Ok(left.next().map(|object| (object, ())))).unwrap()
            {
                most = most.max(slice.len());
                came.extend(slice);
            }
            assert!(came == objects.concat());
            assert_eq!(most, if is_on { SLICE } else { 2 * SLICE + 7 });
        }
    }
}
