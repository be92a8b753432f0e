//! `dura-push --replace`: puts rebuilt objects, as `dura-verify --repair` writes them, in the place
//! of damaged or missing ones.

use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use crate::archive::retrying::Retrying;
use crate::format::band::{BandId, BandName};
use crate::format::group::{List, MAX_LIST};
use crate::format::head::{Head, MAX_LEN, Tail};
use crate::format::object::{Object, ObjectName};
use crate::format::stream::{StreamError, StreamItem, StreamReader};
use crate::ops::push::run::{UploadRun, UploadTarget};
use crate::report::message::Hinted;
use crate::report::units::human;
use crate::store::{Store, StoreErrorKind};

/// An archive that is repaired.
pub(super) struct RepairTarget<'a> {
    place: &'a UploadTarget,
    store: Retrying,
    /// The band that is being repaired, and whether it may be.
    band: Option<(BandName, bool)>,
    failed: bool,
    replaced: (u64, u64),
    same: u64,
}

/// Replaces what the stream holds, in each archive, one object after the other. What has come when
/// it is cut off stays: each is whole.
pub(super) fn run(
    run: &UploadRun,
    places: &[UploadTarget],
    input: impl Read,
) -> anyhow::Result<(u64, u64)> {
    let mut stream = StreamReader::repairs(input);
    let store = |place: &UploadTarget| {
        Retrying::new(
            Arc::clone(&place.store),
            run.limits.patience,
            run.limits.seed,
            &run.report,
            &run.stop,
        )
    };
    let fresh = |place| RepairTarget {
        place,
        store: store(place),
        band: None,
        failed: false,
        replaced: (0, 0),
        same: 0,
    };
    let mut targets: Vec<RepairTarget<'_>> = places.iter().map(fresh).collect();
    while let Some(item) = stream.next_item()? {
        if run.stop.is_set() {
            let hint =
                "each object is either the old one or the new one: run the same command again";
            return Err(Hinted::wrap(anyhow!("interrupted"), hint));
        }
        let id = stream.continues().ok_or(StreamError::Empty)?;
        belongs(&item, id)?;
        std::thread::scope(|scope| {
            for target in targets.iter_mut().filter(|target| !target.failed) {
                let item = &item;
                scope.spawn(move || {
                    if let Err(error) = target.handle_item(run, item, id) {
                        run.report.fail(&target.place.label, error);
                        target.failed = true;
                    }
                });
            }
        });
        if targets.iter().all(|target| target.failed) {
            return Ok((0, 0));
        }
    }
    let mut all = (0, 0);
    for target in &targets {
        let ((objects, bytes), same, label) = (target.replaced, target.same, &target.place.label);
        run.report.verbose(format_args!(
            "{label}replaced {objects} objects, {}, {same} were already in order",
            human(bytes)
        ));
        run.report.events().emit(
            "replaced",
            &[("objects", objects.into()), ("bytes", bytes.into()), ("already", same.into())],
        );
        all = (all.0 + objects, all.1 + bytes);
    }
    Ok(all)
}

/// The band that an object says it is of; none if it is of a kind that does not say.
pub(super) fn own(object: Object, bytes: &[u8]) -> anyhow::Result<Option<(BandName, BandId)>> {
    Ok(Some(match object {
        Object::Head => Head::parse(bytes).map(|head| (head.band, head.id))?,
        Object::Tail => Tail::parse(bytes).map(|tail| (tail.band, tail.id))?,
        Object::List(..) | Object::KeyList(..) => {
            List::parse(bytes).map(|list| (list.band, list.id))?
        }
        _ => return Ok(None),
    }))
}

/// What says of itself which band it is of must say the right one.
pub(super) fn belongs(item: &StreamItem, id: BandId) -> anyhow::Result<()> {
    let name = || format!("{}/{}", item.band, item.name);
    match own(item.name.object, &item.bytes).with_context(name)? {
        Some((band, other)) if (&band, other) != (&item.band, id) => {
            bail!("{}: belongs to band {band} with id {other}, not id {id}", name())
        }
        _ => Ok(()),
    }
}

impl RepairTarget<'_> {
    fn handle_item(
        &mut self,
        run: &UploadRun,
        item: &StreamItem,
        id: BandId,
    ) -> anyhow::Result<()> {
        if self.band.as_ref().is_none_or(|(band, _)| *band != item.band) {
            let may = self.may_repair(run, &item.band, id)?;
            self.band = Some((item.band.clone(), may));
        }
        if self.band.as_ref().is_some_and(|(_, may)| !may) {
            return Ok(());
        }
        let name = format!("{}/{}", item.band, item.name);
        let size = item.bytes.len() as u64;
        if self.store.stat(&name)? == Some(size) && self.store.get(&name)? == item.bytes {
            self.same += 1;
            return Ok(());
        }
        if !run.dry_run {
            self.place.pace(run, size);
            self.store.replace(&name, &item.bytes).context("cannot replace")?;
        }
        self.replaced = (self.replaced.0 + 1, self.replaced.1 + size);
        self.place.share.handle_object(size);
        let what = if run.dry_run { "would replace" } else { "replaced" };
        run.report.verbose(format_args!("{}{what} {name} {size} bytes", self.place.label));
        Ok(())
    }

    /// Whether the archive's band is the one that was repaired. When nothing in it says so there is
    /// nothing to tell by: it may be what is to be replaced, and all else in the band may still be
    /// worth it.
    fn may_repair(&self, run: &UploadRun, band: &BandName, id: BandId) -> anyhow::Result<bool> {
        let label = &self.place.label;
        let mut there = None;
        // TAIL and lists have a checksum of their own. HEAD has none, and what it says of itself
        // may be what is damaged.
        for object in [Object::Tail, Object::List(0, 0), Object::Head] {
            let max = if matches!(object, Object::List(..)) { MAX_LIST } else { MAX_LEN };
            let bytes = match self.store.get_range(
                &format!("{band}/{}", ObjectName::plain(object)),
                0,
                max as u64,
            ) {
                Ok(bytes) => bytes,
                Err(error) if error.kind == StoreErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            there = own(object, &bytes).ok().flatten().filter(|(name, _)| name == band);
            if there.is_some() {
                break;
            }
        }
        match there {
            Some((_, other)) if other != id => {
                let error =
                    anyhow!("{band}: has id {other}, but the stream replaces objects of id {id}");
                run.report.fail(label, error);
                Ok(false)
            }
            Some(_) => Ok(true),
            None => {
                run.report.note(format_args!(
                    "{label}{band}: HEAD, TAIL and the first list are missing or damaged: assuming id {id}"
                ));
                Ok(true)
            }
        }
    }
}
