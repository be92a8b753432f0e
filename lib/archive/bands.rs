//! The bands of an archive, and what is found out about each when a choice needs it.

use std::cmp::Reverse;

use anyhow::Context;

use crate::archive::catalogue;
use crate::archive::index_text::IndexFacts;
use crate::archive::{Archive, Trust, side_by_side};
use crate::core::chain::choice::{Ask, BandCondition, ChoiceFacts, KnownBand, Mask};
use crate::core::chain::taken::TakenFrom;
use crate::format::band::BandName;
use crate::format::head::Head;
use crate::format::listing::{Header, parse_header};
use crate::format::object::Object;
use crate::report::message::Report;
use crate::store::cache::Cache;
use crate::store::{StoreError, StoreErrorKind};

impl Archive {
    /// The names of all bands, by their start; none for an archive that is not there.
    pub(crate) fn names(&self) -> anyhow::Result<Vec<BandName>> {
        let listed = self.store.list("").context("cannot list the archive")?;
        let names = catalogue::bands(&listed);
        self.looks.names.get_or_init(|| names.clone());
        Ok(names)
    }

    /// The names of all folders that hold a band; the others are reported.
    pub(crate) fn bands(&self, report: &Report) -> anyhow::Result<Vec<BandName>> {
        let mut names = self.names()?;
        names.retain(|name| match self.look(name) {
            Ok(found) => {
                report_found(name, &found, report);
                matches!(found, BandCondition::Band(_))
            }
            // Why it cannot be read is reported where it is.
            Err(_) => true,
        });
        Ok(names)
    }

    /// Forgets what HEAD, TAIL and other objects of a band were when they were last read.
    pub(crate) fn forget(&self, band: &BandName) {
        self.kept.forget(band);
    }

    /// All bands, about which nothing but the name is known.
    ///
    /// With `chain`, the newest will be read with its ancestors. So they are asked side by side;
    /// and if the cache knows a newest band, at once, while the archive is listed: it most often is
    /// the newest there, too. With `heads`, whoever builds on it will want their HEADs as well.
    pub(crate) fn rows(&self, chain: bool, heads: bool) -> anyhow::Result<Vec<KnownBand>> {
        let names = std::thread::scope(|scope| {
            if let Some(likely) = self.cache.as_ref().filter(|_| chain).and_then(Cache::newest) {
                scope.spawn(move || self.ask_ahead(&likely, heads));
            }
            self.names()
        })?;
        if let Some(newest) = names.last().filter(|_| chain) {
            self.ask_ahead(newest, heads);
        }
        Ok(names.into_iter().map(KnownBand::new).collect())
    }

    /// Looks at bands until the choice needs to know no more. `together` of them are looked at at
    /// once, from the one that is asked for to older ones.
    pub(crate) fn settle(
        &self,
        rows: &mut [KnownBand],
        together: usize,
        report: &Report,
        needs: impl Fn(&[KnownBand]) -> Option<Ask>,
    ) -> anyhow::Result<()> {
        while let Some(Ask(name)) = needs(rows) {
            let from = (name.start(), name);
            let mut next: Vec<&mut KnownBand> = rows
                .iter_mut()
                .filter(|row| {
                    row.found == BandCondition::Unasked
                        && (row.name.start(), &row.name) <= (from.0, &from.1)
                })
                .collect();
            next.sort_by_key(|row| Reverse((row.name.start(), row.name.clone())));
            next.truncate(together);
            let names: Vec<BandName> = next.iter().map(|row| row.name.clone()).collect();
            let found = side_by_side(&names, |name| self.look(name))?;
            for (row, found) in next.into_iter().zip(found) {
                report_found(&row.name, &found, report);
                self.tell_of_damaged_ends(&row.name, report);
                row.found = found;
            }
        }
        Ok(())
    }

    /// What is found in a band's folder. The mask of an unfinished band is read only as far as
    /// needed to know that there is one: see [`Archive::mask`].
    fn look(&self, name: &BandName) -> anyhow::Result<BandCondition> {
        let ends = self.state(name, false)?;
        if let Some(other) = ends.foreign {
            return Ok(BandCondition::Foreign(other));
        }
        let Some(head) = ends.head else {
            let is_part = |object: &Object| matches!(object, Object::Index(_) | Object::List(..));
            let is_band = ends.tail_damaged
                || match self.objects(name) {
                    // What it holds cannot be told; it is no reason to keep quiet of the others.
                    Err(error) if is_failing(&error) => true,
                    objects => objects?.iter().any(|(name, _)| is_part(&name.object)),
                };
            return Ok(if is_band { BandCondition::Ruin } else { BandCondition::Nothing });
        };
        let complete = ends.tail.is_some();
        Ok(BandCondition::Band(ChoiceFacts {
            as_of: head.as_of,
            mask: self.has_mask(&head, complete),
            headless: ends.headless,
            tail_damaged: ends.tail_damaged,
            nameless: ends.head_damaged && !complete,
            ..ChoiceFacts::new(head.as_of.unwrap_or(head.started), complete)
        }))
    }

    /// Whether a mask was used, as far as that can be told.
    pub(crate) fn has_mask(&self, head: &Head, complete: bool) -> Mask {
        if head.partial {
            return Mask::Masked(None);
        }
        // Releases that did not write `partial` did not write this either. Their first index says.
        if head.source_id.is_some() {
            return Mask::Whole;
        }
        let trust = if complete { Trust::Complete } else { Trust::Listed(u64::MAX) };
        let Ok(Some(text)) = self.text_kept(head, Object::Index(0), trust) else {
            return Mask::Whole;
        };
        let mut headers =
            text.split(|&b| b == b'\n').take_while(|line| line.first() == Some(&b'#'));
        if headers.any(|line| parse_header(line) == Ok(Header::Partial)) {
            Mask::Earlier
        } else {
            Mask::Whole
        }
    }

    /// The mask of an unfinished band that was made with one: that of its first counted index.
    pub(crate) fn mask(&self, name: &BandName) -> anyhow::Result<Mask> {
        Ok(match self.first_counted(name)? {
            Ok(index) => index.mask.map_or(Mask::Earlier, |mask| Mask::Masked(Some(mask))),
            Err(true) => Mask::Earlier,
            Err(false) => Mask::Masked(None),
        })
    }

    /// The version that an unfinished band was taken from, as its first counted index says.
    pub(crate) fn taken_from(&self, name: &BandName) -> anyhow::Result<TakenFrom> {
        let said = self.first_counted(name)?.ok().and_then(|index| index.taken);
        Ok(said.map_or(TakenFrom::Unknown, TakenFrom::Version))
    }

    /// The first index of an unfinished band that counts; without one, whether there may be some
    /// that cannot be read.
    fn first_counted(&self, name: &BandName) -> anyhow::Result<Result<IndexFacts, bool>> {
        let Some(head) = self.ends(name)?.0 else { return Ok(Err(true)) };
        let (indexes, facts) = self.indexes(&head)?;
        let counted = indexes.of_unfinished();
        let first = facts.found.into_iter().find(|index| counted.contains(index.number));
        Ok(first.ok_or(facts.unreadable.is_some()))
    }

    /// The `#source` line of a band's first index, if that can be read.
    pub(crate) fn source_line(&self, head: &Head) -> Option<Header> {
        let text = self.text_kept(head, Object::Index(0), Trust::Listed(u64::MAX)).ok()??;
        let headers = text.split(|&b| b == b'\n').take_while(|line| line.first() == Some(&b'#'));
        let mut headers = headers.filter_map(|line| parse_header(line).ok());
        headers.find(|header| matches!(header, Header::Source(..)))
    }

    /// Tells if a band is of another source than the one that is read: somebody may have copied it
    /// there, or two hosts use one archive.
    pub(super) fn tell_of_sources(&self, taken: &BandName, other: &BandName, report: &Report) {
        let source = |name: &BandName| self.ends(name).ok()?.0?.source_id;
        if let (Some(own), Some(others)) = (source(taken), source(other))
            && own != others
        {
            report.note(format_args!(
                "{taken}: has another source than {other}: check whether it belongs here"
            ));
        }
    }

    /// Asks for TAIL of a band and its ancestors, and HEAD if it is wanted, once. What fails here
    /// fails again where it is needed.
    fn ask_ahead(&self, band: &BandName, heads: bool) {
        let chain = band.chain();
        // Whoever builds on it wants to know as well whether it is sealed.
        let ends: &[Option<&str>] = match heads {
            true if chain.len() > 1 && !self.plain_is_meant => &[Some("TAIL"), Some("HEAD"), None],
            true => &[Some("TAIL"), Some("HEAD")],
            false => &[Some("TAIL")],
        };
        let names: Vec<(&BandName, Option<&str>)> =
            chain.iter().flat_map(|band| ends.iter().map(move |end| (band, *end))).collect();
        let _ = side_by_side(&names, |(band, end)| match end {
            Some(end) => self.once(band, end).map(drop),
            None => self.has_first_index(band, true).map(drop),
        });
    }
}

/// Whether a disk fails at a folder that others can be read beside.
fn is_failing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<StoreError>().is_some_and(|error| error.kind == StoreErrorKind::Damaged)
}

/// Reports a folder that is passed over.
fn report_found(name: &BandName, found: &BandCondition, report: &Report) {
    match found {
        BandCondition::Unasked | BandCondition::Band(_) => {}
        BandCondition::Nothing => report.verbose(format_args!("{name}: holds no band: ignored")),
        BandCondition::Ruin => report.note(format_args!(
            "{name}: has neither HEAD nor TAIL: ignored (dura-verify reports what is left)"
        )),
        BandCondition::Foreign(other) => report.warn(format_args!(
            "{name}: its HEAD is that of band {other}: the folder was renamed: ignored"
        )),
    }
}
