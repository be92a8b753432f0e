//! `--against`: two archives are compared, or an archive and a cache, which has only HEADs, indexes
//! and tables of contents.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::Context;

use crate::archive::catalogue::{self, BandFolder};
use crate::archive::kind::is_locked;
use crate::archive::{Archive, Trust, unzip};
use crate::core::verify::part::ObjectSample;
use crate::core::verify::stream_order::{ObjectSizes, place};
use crate::core::verify::{Finding, FindingKind, ObjectState, Subject};
use crate::format::band::BandName;
use crate::format::group::{GroupMember, List};
use crate::format::head::{Head, MAX_LEN};
use crate::format::object::{Object, ObjectName};
use crate::ops::verify::check::{compare, describe};
use crate::report::message::{chain, why};
use crate::store::Store;

/// An archive, and what it is compared with.
pub(super) struct Against<'a> {
    /// The archive, without a cache.
    pub archive: &'a Archive,
    /// The other one.
    pub other: &'a dyn Store,
    /// The other one as it was named.
    pub shown: &'a str,
    /// Whether only names and sizes are compared.
    pub quick: bool,
    /// What is read.
    pub part: ObjectSample,
}

/// Where findings and notes go.
pub(super) trait Tell {
    /// Something differs.
    fn found(&mut self, finding: Finding) -> anyhow::Result<()>;
    /// Worth knowing.
    fn note(&mut self, what: String);
}

impl Against<'_> {
    /// Compares these bands; with `all`, the other archive should have no others.
    pub(super) fn run(
        &self,
        bands: &[BandName],
        all: bool,
        tell: &mut dyn Tell,
    ) -> anyhow::Result<()> {
        let listed =
            self.other.list("").with_context(|| format!("{}: cannot be listed", self.shown))?;
        let others: BTreeSet<BandName> = catalogue::bands(&listed).into_iter().collect();
        // A cache has what its host has seen, and no band has to be in it.
        let is_cache = !others.is_empty() && !others.iter().any(|band| self.is_whole(band));
        for band in bands {
            match others.contains(band) {
                true => self.band(band, tell)?,
                false if is_cache => {
                    tell.note(format!("{band} is not in {}: not compared", self.shown))
                }
                false => tell.found(Finding::new(
                    FindingKind::Missing,
                    Subject::Band(band.clone()),
                    format!("this band is not in {}", self.shown),
                ))?,
            }
        }
        for band in others.iter().filter(|band| all && !bands.contains(band)) {
            tell.found(Finding::new(
                FindingKind::Missing,
                Subject::Band(band.clone()),
                format!("this band is only in {}", self.shown),
            ))?;
        }
        Ok(())
    }

    /// Whether a band is there with more than its summaries.
    fn is_whole(&self, band: &BandName) -> bool {
        BandFolder::list(self.other, band, None).is_ok_and(|found| is_whole(&found))
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.archive.store()
    }

    fn band(&self, band: &BandName, tell: &mut dyn Tell) -> anyhow::Result<()> {
        let top = BandFolder::list(self.other, band, None)?;
        let whole = is_whole(&top);
        let own = BandFolder::list(self.store().as_ref(), band, None)?;
        let folders: BTreeSet<u32> = top.folders.into_iter().chain(own.folders).collect();
        let heads = (self.head(self.store().as_ref(), band), self.head(self.other, band));
        if let (Some(own), Some(other)) = &heads
            && own.id != other.id
        {
            let what =
                format!("{} has another band of this name, with id {}", self.shown, other.id);
            return tell.found(Finding::top(FindingKind::Damaged, band, Object::Head, what));
        }
        for at in std::iter::once(None).chain(folders.into_iter().map(Some)) {
            let own = objects(self.store().as_ref(), band, at)?;
            let other = objects(self.other, band, at)?;
            match (whole, &heads.0) {
                (true, _) => self.folder(band, &own, &other, tell)?,
                (false, Some(head)) => self.summaries(head, &own, &other, tell)?,
                (false, None) => {}
            }
        }
        Ok(())
    }

    fn head(&self, store: &dyn Store, band: &BandName) -> Option<Head> {
        Head::parse(&store.get_range(&format!("{band}/HEAD"), 0, MAX_LEN as u64).ok()?).ok()
    }

    /// Compares a folder with that of another archive.
    fn folder(
        &self,
        band: &BandName,
        own: &ObjectSizes,
        other: &ObjectSizes,
        tell: &mut dyn Tell,
    ) -> anyhow::Result<()> {
        let mut listed: HashMap<ObjectName, GroupMember> = HashMap::new();
        for (name, _) in
            own.values().filter(|(name, _)| !self.quick && matches!(name.object, Object::List(..)))
        {
            let list = self
                .store()
                .get_range(&format!("{band}/{name}"), 0, name.most())
                .ok()
                .and_then(|text| List::parse(&text).ok());
            listed.extend(
                list.into_iter().flat_map(|list| list.members).map(|member| (member.name, member)),
            );
        }
        for (name, size) in own.values() {
            let finding = |kind, what| Finding::of(kind, band, *name, what);
            match other.get(&place(name)) {
                None => {
                    tell.found(finding(FindingKind::Missing, format!("not in {}", self.shown)))?
                }
                Some((_, theirs)) if theirs != size => {
                    tell.found(finding(
                        FindingKind::Damaged,
                        format!("has {size} bytes here, and {theirs} in {}", self.shown),
                    ))?;
                }
                Some(_) if self.quick || !self.part.has(&format!("{band}/{name}")) => {}
                Some(_) => {
                    if let Some(what) = self.object(band, *name, *size, listed.get(name)) {
                        tell.found(finding(FindingKind::Damaged, what))?;
                    }
                }
            }
        }
        for (at, (name, _)) in other {
            if !own.contains_key(at) {
                tell.found(Finding::of(
                    FindingKind::Missing,
                    band,
                    *name,
                    format!("only in {}", self.shown),
                ))?;
            }
        }
        Ok(())
    }

    /// How the other archive's object differs; none if it does not. What is listed was compared
    /// with its list here already.
    fn object(
        &self,
        band: &BandName,
        name: ObjectName,
        size: u64,
        listed: Option<&GroupMember>,
    ) -> Option<String> {
        let shown = self.shown;
        let Some(member) = listed else {
            let digest =
                |store: &dyn Store| describe(store, band, name).map_err(|error| why(&error.source));
            return match (digest(self.store().as_ref()), digest(self.other)) {
                (Ok(own), Ok(other)) if own == other => None,
                (Ok(_), Ok(_)) => Some(format!("is another in {shown}")),
                (_, Err(what)) => Some(format!("cannot be read in {shown}: {what}")),
                (Err(what), _) => Some(format!("cannot be read: {what}")),
            };
        };
        match compare(self.other, band, member, size) {
            ObjectState::Good => None,
            ObjectState::Failed(what) | ObjectState::Unavailable(what) => {
                Some(format!("cannot be read in {shown}: {what}"))
            }
            _ => Some(format!("in {shown} it is not as the list here says")),
        }
    }

    /// Compares a folder with what a cache has of it.
    fn summaries(
        &self,
        head: &Head,
        own: &ObjectSizes,
        cache: &ObjectSizes,
        tell: &mut dyn Tell,
    ) -> anyhow::Result<()> {
        let band = &head.band;
        for (name, size) in cache
            .values()
            .filter(|(name, _)| matches!(name.object, Object::Index(_) | Object::Toc(_)))
        {
            let here = [true, false]
                .into_iter()
                .find_map(|encrypted| own.get(&place(&ObjectName { encrypted, ..*name })));
            let Some((stored, bytes)) = here.filter(|(_, bytes)| *bytes > 0) else {
                tell.found(Finding::of(
                    FindingKind::Missing,
                    band,
                    *name,
                    format!("{} has a copy of it", self.shown),
                ))?;
                continue;
            };
            let finding = |what| Finding::of(FindingKind::Damaged, band, *stored, what);
            if bytes < size {
                tell.found(finding(format!(
                    "has {bytes} bytes, less than its plain copy in {}",
                    self.shown
                )))?;
                continue;
            }
            if self.quick || !self.part.has(&format!("{band}/{stored}")) {
                continue;
            }
            let copy = self
                .other
                .get_range(&format!("{band}/{name}"), 0, name.most())
                .ok()
                .and_then(|bytes| unzip(&bytes, name.object).ok());
            let Some(copy) = copy else {
                tell.note(format!("{}/{band}/{name}: cannot be read: not compared", self.shown));
                continue;
            };
            match self.archive.text(head, name.object, Trust::Listed(*bytes)) {
                Ok(Some(text)) if text == copy => {}
                Ok(_) => tell.found(finding(format!(
                    "lists something else than its copy in {}",
                    self.shown
                )))?,
                Err(error) if is_locked(&error) => {
                    tell.note(format!("without the secret key, encrypted indexes are compared with {} by size only", self.shown));
                }
                Err(error) => tell.found(finding(chain(&error)))?,
            }
        }
        Ok(())
    }
}

/// True if a band's folder has what only an archive has.
fn is_whole(found: &BandFolder) -> bool {
    found.all.iter().any(|(name, _)| matches!(name.object, Object::Tail | Object::Note(_)))
}

/// The objects in a folder, or directly in the band's.
fn objects(store: &dyn Store, band: &BandName, folder: Option<u32>) -> anyhow::Result<ObjectSizes> {
    let found = BandFolder::list(store, band, folder);
    let found = found.with_context(|| format!("{band}: cannot be listed"))?;
    Ok(found.all.iter().map(|(name, size)| (place(name), (*name, *size))).collect())
}
