//! Removing one band, so that wherever that is cut nobody takes what is left for a band: see
//! [`Stage`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::archive::catalogue::{self, BandFolder};
use crate::archive::retrying::Retrying;
use crate::archive::side_by_side;
use crate::core::prune::Stage;
use crate::format::band::BandName;
use crate::format::object::ObjectName;
use crate::ops::prune::hidden::Hiding;
use crate::report::message::Hinted;
use crate::store::{Remove, Store, StoreErrorKind};

/// How often, and after how long, an object is looked for that was removed and still shows: some
/// stores show for a moment what was.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// What was removed.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was left because no program of ours writes it.
    pub strays: Vec<String>,
}

/// Objects with their sizes, and the names of what else lies in a band's folder.
type Inside = (Vec<(ObjectName, u64)>, Vec<String>);

/// What removes.
pub(crate) struct Remover {
    /// The archive, to read.
    pub store: Arc<Retrying>,
    /// The same, to remove from.
    pub from: Arc<dyn Remove>,
    /// How many objects are removed at once.
    pub jobs: usize,
    /// What hides bands instead.
    pub hiding: Option<Hiding>,
}

impl Remover {
    /// Removes a band; those in `going` are to go as well.
    pub(crate) fn remove(
        &self,
        band: &BandName,
        going: &BTreeSet<&BandName>,
    ) -> anyhow::Result<Removed> {
        self.nobody_stands_on(band, going)?;
        if let Some(hiding) = &self.hiding {
            return self.hide(hiding, band, going);
        }
        let mut outcome = Removed::default();
        let head = match self.store.get(&format!("{band}/HEAD")) {
            Ok(bytes) => Some(bytes),
            Err(error)
                if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Damaged) =>
            {
                None
            }
            Err(error) => return Err(error.into()),
        };
        let (objects, strays) = self.objects(band)?;
        for stage in Stage::ALL {
            let of_stage = objects.iter().filter(|(name, _)| Stage::of(name) == stage);
            let names: Vec<ObjectName> = of_stage.clone().map(|(name, _)| *name).collect();
            if names.is_empty() {
                continue;
            }
            self.all_of(band, stage, &names)?;
            outcome.objects += names.len() as u64;
            outcome.bytes += of_stage.map(|(_, size)| size).sum::<u64>();
            // A run that began before may have made a band on top meanwhile. It looks at HEAD once
            // more when its own is stored; so either it sees that HEAD is gone, or we see the band.
            if stage == Stage::Head
                && let Err(error) = self.nobody_stands_on(band, going)
            {
                return Err(self.put_back(band, head.as_deref(), error));
            }
        }
        outcome.strays = strays;
        Ok(outcome)
    }

    /// Hides a band. To all others it is as if it had lost HEAD, and whatever else it has.
    fn hide(
        &self,
        hiding: &Hiding,
        band: &BandName,
        going: &BTreeSet<&BandName>,
    ) -> anyhow::Result<Removed> {
        let (objects, _) = self.objects(band)?;
        hiding.hide(band)?;
        if let Err(error) = self.nobody_stands_on(band, going) {
            return Err(match hiding.put_back(band) {
                Ok(()) => error,
                Err(why) => error.context(format!("it cannot be brought back: {why:#}")),
            });
        }
        let bytes = objects.iter().map(|(_, size)| size).sum();
        Ok(Removed { objects: objects.len() as u64, bytes, strays: Vec::new() })
    }

    /// Fails if the archive has a band on top of this one that is not to go.
    fn nobody_stands_on(&self, band: &BandName, going: &BTreeSet<&BandName>) -> anyhow::Result<()> {
        let listed = self.store.list("")?;
        let mut names = catalogue::bands(&listed).into_iter();
        // What is left in such a folder may be no band: then the next one counts.
        let on_top = names.find(|name: &BandName| {
            let is_above = name != band && name.chain().contains(band) && !going.contains(name);
            is_above && self.holds_a_band(name)
        });
        match on_top {
            Some(name) => bail!("{name} has been based on it in the meantime"),
            None => Ok(()),
        }
    }

    /// Whether a folder holds anything that a version could need.
    fn holds_a_band(&self, name: &BandName) -> bool {
        let ends = ["HEAD", "TAIL"]
            .iter()
            .any(|end| !matches!(self.store.stat(&format!("{name}/{end}")), Ok(None)));
        let is_part = |name: &ObjectName| Stage::of(name) == Stage::Lists;
        ends || self.objects(name).map_or(true, |(objects, _)| {
            objects.iter().any(|(name, size)| is_part(name) && *size > 0)
        })
    }

    fn put_back(&self, band: &BandName, head: Option<&[u8]>, why: anyhow::Error) -> anyhow::Error {
        let Some(head) = head else { return why };
        match self.from.put_new(&format!("{band}/HEAD"), head) {
            Ok(()) => why,
            Err(error) => Hinted::wrap(
                why.context(format!("HEAD cannot be restored: {}", error.source)),
                "rebuild it: dura-verify --repair ARCHIVE | dura-push --replace ARCHIVE",
            ),
        }
    }

    /// All objects of a band, whatever their size, and what else lies in its folder.
    fn objects(&self, band: &BandName) -> anyhow::Result<Inside> {
        let found = BandFolder::list_all(self.store.as_ref(), band)?;
        let strays = found.strangers.into_iter().map(|name| format!("{band}/{name}"));
        Ok((found.all, strays.collect()))
    }

    /// Removes all objects of a stage, and looks whether they are gone.
    fn all_of(&self, band: &BandName, stage: Stage, names: &[ObjectName]) -> anyhow::Result<()> {
        for names in names.chunks(self.jobs) {
            side_by_side(names, |name| {
                Ok(self.store.remove(self.from.as_ref(), &format!("{band}/{name}"))?)
            })?;
        }
        let mut left = None;
        for look in 0..LOOKS {
            std::thread::sleep(PAUSE * look);
            left = match stage {
                Stage::Head | Stage::Tail | Stage::TailSig => self.still_there(band, names)?,
                // There may be many.
                Stage::Lists | Stage::Rest => {
                    let objects = self.objects(band)?.0.into_iter();
                    objects.map(|(name, _)| name).find(|name| Stage::of(name) == stage)
                }
            };
            if left.is_none() {
                return Ok(());
            }
        }
        left.map_or(Ok(()), |name| {
            Err(anyhow!("{band}/{name}: the store confirmed its removal, but it still exists"))
        })
    }

    fn still_there(
        &self,
        band: &BandName,
        names: &[ObjectName],
    ) -> anyhow::Result<Option<ObjectName>> {
        for name in names {
            if self.store.stat(&format!("{band}/{name}"))?.is_some() {
                return Ok(Some(*name));
            }
        }
        Ok(None)
    }
}
