//! The indexes that a part of a version needs, by tables of contents alone.

use crate::archive::kind::is_locked;
use crate::archive::stream::has_above;
use crate::archive::version::Holds;
use crate::archive::{Archive, BandInChain, Trust};
use crate::core::chain::ancestors::Extent;
use crate::core::selection::PathSet;
use crate::format::object::Object;
use crate::format::path::Path;
use crate::format::toc::TocRow;

/// What is looked for in the spans of indexes.
type Touches = fn(&PathSet, &Path, Option<&Path>) -> bool;

impl Archive {
    /// Which of a band's counted indexes are needed for `paths`, what lies below them and the
    /// directories above; none if the tables of contents do not say. Reads the last table, and of
    /// the earlier ones those that may name one.
    ///
    /// One index is enough for a path: the one in whose place among the lines the path lies, or the
    /// last line before it. The directories above stand there, or are repeated. Where they are not,
    /// as in the first index of a run that went on with a band, all indexes are taken that may list
    /// them.
    pub(crate) fn holds_part(
        &self,
        band: &BandInChain,
        paths: &[Path],
    ) -> anyhow::Result<Option<Holds>> {
        let paths = &PathSet::new(paths);
        let Some(rows) = self.rows_for(band, paths, PathSet::lies_in)? else { return Ok(None) };
        let mut before = None;
        for number in rows.iter().map(|row| row.number) {
            if before.is_none_or(|before| before + 1 != number)
                && !self.stands_alone(band, number)?
            {
                let Some(rows) = self.rows_for(band, paths, PathSet::concerns)? else {
                    return Ok(None);
                };
                return Ok(Some(holds(&rows)));
            }
            before = Some(number);
        }
        Ok(Some(holds(&rows)))
    }

    /// Whether an index tells of all directories above what it lists. One that cannot be read is
    /// told of when it is read for good.
    fn stands_alone(&self, band: &BandInChain, number: u32) -> anyhow::Result<bool> {
        match self.text_kept(&band.head, Object::Index(number), Trust::Complete) {
            Ok(text) => Ok(text.is_none_or(|text| has_above(&text))),
            Err(error) if is_locked(&error) => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// The counted rows of the tables of contents that may list what is looked for; none if the
    /// tables do not say.
    fn rows_for(
        &self,
        band: &BandInChain,
        paths: &PathSet,
        touches: Touches,
    ) -> anyhow::Result<Option<Vec<TocRow>>> {
        let (Extent::UpTo(last), Some(tail)) = (band.extent, &band.tail) else { return Ok(None) };
        let newest = match self.toc(&band.head, tail.toc) {
            Ok(Some(toc)) => toc,
            Err(error) if is_locked(&error) => return Err(error),
            _ => return Ok(None),
        };
        let mut firsts = newest.earlier.iter().map(|earlier| earlier.first.as_ref());
        let own = newest.rows.iter().find_map(|row| row.span.as_ref()).map(|(first, _)| first);
        // Every band lists its root first; tables of a later run alone do not reach back to it.
        if !firsts.clone().chain([own]).flatten().next().is_some_and(Path::is_root) {
            return Ok(None);
        }
        let mut rows: Vec<TocRow> = Vec::new();
        for earlier in &newest.earlier {
            firsts.next();
            let next = firsts.clone().flatten().next().or(own);
            if earlier.first.as_ref().is_some_and(|first| touches(paths, first, next)) {
                let Ok(Some(toc)) = self.toc(&band.head, earlier.number) else { return Ok(None) };
                rows.extend(toc.rows);
            }
        }
        rows.extend(newest.rows);
        rows.retain(|row| row.number <= last && row.span.is_some());
        let firsts =
            rows.iter().skip(1).map(|row| row.span.as_ref().map(|(first, _)| first)).chain([None]);
        let wanted: Vec<bool> = rows
            .iter()
            .zip(firsts)
            .map(|(row, next)| {
                row.span.as_ref().is_some_and(|(first, _)| touches(paths, first, next))
            })
            .collect();
        let mut wanted = wanted.into_iter();
        rows.retain(|_| wanted.next() == Some(true));
        Ok(Some(rows))
    }
}

fn holds(rows: &[TocRow]) -> Holds {
    let numbers = rows.iter().map(|row| row.number..=row.number).collect();
    Holds { numbers, ..Holds::default() }
}
