//! The indexes that a part of a version needs, by tables of contents alone.

use super::super::message::Hinted;
use super::version::Holds;
use super::{Archive, Band};
use crate::core::chain::ancestors::Extent;
use crate::format::path::Path;

impl Archive {
    /// Which of a band's counted indexes may list one of `paths`, what lies below it, or a directory above it; none if the tables
    /// of contents do not say. Reads the last table, and of the earlier ones those that may.
    pub(in super::super) fn holds_part(&self, band: &Band, paths: &[Path]) -> anyhow::Result<Option<Holds>> {
        let (Extent::UpTo(last), Some(tail)) = (band.extent, &band.tail) else { return Ok(None) };
        let newest = match self.toc(&band.head, tail.toc) {
            Ok(Some(toc)) => toc,
            Err(error) if error.is::<Hinted>() => return Err(error),
            _ => return Ok(None),
        };
        let mut firsts = newest.earlier.iter().map(|earlier| earlier.first.as_ref());
        let own = newest.rows.iter().find_map(|row| row.span.as_ref()).map(|(first, _)| first);
        // Every band lists its root first; tables of a later run alone do not reach back to it.
        if !firsts.clone().chain([own]).flatten().next().is_some_and(Path::is_root) {
            return Ok(None);
        }
        let mut rows = Vec::new();
        for earlier in &newest.earlier {
            firsts.next();
            let next = firsts.clone().flatten().next().or(own);
            if earlier.first.as_ref().is_some_and(|first| paths.iter().any(|path| concerns(path, first, next))) {
                let Ok(Some(toc)) = self.toc(&band.head, earlier.number) else { return Ok(None) };
                rows.extend(toc.rows);
            }
        }
        rows.extend(newest.rows);
        let may = |row: &crate::format::toc::Row| {
            let span = row.span.as_ref();
            span.is_some_and(|(first, last)| paths.iter().any(|path| concerns(path, first, Some(last))))
        };
        let numbers = rows.iter().filter(|row| row.number <= last && may(row)).map(|row| row.number..=row.number).collect();
        Ok(Some(Holds { numbers, lost: Vec::new() }))
    }
}

/// Whether a run of lines from `first` to `last` may have the path, what is below it, or a directory above it.
fn concerns(path: &Path, first: &Path, last: Option<&Path>) -> bool {
    let reaches = |path: &Path| last.is_none_or(|last| last >= path);
    if reaches(path) && (first <= path || path.holds(first)) {
        return true;
    }
    let mut above = path.parent();
    while let Some(dir) = above {
        if first <= &dir && reaches(&dir) {
            return true;
        }
        above = dir.parent();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_concerns_what_lies_above_and_below() {
        for (path, first, last, does) in [
            ("a/b", "a/a", "a/c", true),
            ("a/b", "a/b/x", "a/b/y", true),
            ("a/b", "a/b/x", "z", true),
            ("a/b", "", "", true),
            ("a/b", "0", "a", true),
            ("a/b", "a/0", "a/a", false),
            ("a/b", "a/b!", "a/c", false),
            ("a/b", "b", "c", false),
            ("a", "a-b", "a-c", false),
        ] {
            let path_of = |text: &str| Path::from_raw(text.as_bytes());
            assert_eq!(concerns(&path_of(path), &path_of(first), Some(&path_of(last))), does, "{path} {first} {last}");
        }
    }
}
