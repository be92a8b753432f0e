//! What must hold in an archive before a band goes into it.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use crate::archive::catalogue;
use crate::archive::strangers::strangers;
use crate::archive::{piece, side_by_side};
use crate::core::chain::ends::ends;
use crate::core::chain::kept_up::{Forgotten, Waived, questions};
use crate::core::chain::level::{Lack, folders, lacking};
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::cut::BegunBlock;
use crate::format::head::{Head, Parent, Tail};
use crate::format::object::{BlockForm, Compression, Object, ObjectName};
use crate::format::stream::{SealedAs, StreamItem};
use crate::ops::push::run::UploadTarget;
use crate::ops::push::spool::survey;
use crate::report::message::{Hinted, causes};
use crate::store::{LookAhead, Store, StoreError, StoreErrorKind};

/// What a band stands on, from the parent down, with the last index of each that counts. One of
/// which only the name is known is not in it.
pub(super) type Ancestry = Vec<Parent>;

/// A new band: all its ancestors are there as they were when it was made. Returns its id, and them.
///
/// Whether the band itself is there already shows when its HEAD is stored, before anything else of
/// it.
pub(super) fn new_band(
    store: &dyn Store,
    ahead: Option<&dyn LookAhead>,
    head: &StreamItem,
    counted: &CountedBlocks,
) -> anyhow::Result<(BandId, Ancestry)> {
    let name = format!("{}/HEAD", head.band);
    let parsed = Head::parse(&head.bytes).with_context(|| name.clone())?;
    if parsed.band != head.band {
        bail!("{name}: it is the HEAD of band {}", parsed.band);
    }
    // The look before that goes beside.
    let checked = std::thread::scope(|scope| {
        let _looks = ahead.map(|ahead| scope.spawn(|| ahead.look_ahead(&name)));
        ancestors(store, &parsed, counted)
    });
    let below = checked.map_err(|error| {
        let hint = "this archive lacks bands on which this one is based: push them first, or make a full band";
        Hinted::wrap(error, hint)
    })?;
    Ok((parsed.id, below))
}

/// A full band makes an archive where there is none: where nothing else lies, or other bands do.
/// What stands on a band was made for this archive, and needs no look.
pub(super) fn settles(
    store: &dyn Store,
    shown: &str,
    head: &StreamItem,
    beside_others: bool,
) -> anyhow::Result<()> {
    if beside_others || head.band.parent().is_some() {
        return Ok(());
    }
    let listed = match store.list("") {
        // Some keys may write and read, and not list.
        Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::NoListing) => {
            return Ok(());
        }
        listed => listed.context("cannot list the archive")?,
    };
    match strangers(&listed) {
        None => Ok(()),
        Some(_) if listed.iter().any(|(name, _)| name == "HEAD") => {
            let hint = "name the archive, which is the folder above it";
            Err(Hinted::wrap(anyhow!("{shown}: this is a band, not an archive"), hint))
        }
        Some(names) => {
            let hint =
                "check that this is the right place; use a separate folder, or --beside-others";
            Err(Hinted::wrap(anyhow!("{shown}: an archive would be made beside {names}"), hint))
        }
    }
}

type FoundEnds = (BandName, Option<Arc<Vec<u8>>>, Option<Arc<Vec<u8>>>);

/// All ancestors of a band are there, with the ids and up to the indexes that the bands on top of
/// them name.
///
/// `counted` is what diff counted of the parent: of one without TAIL, all of it must be there.
fn ancestors(store: &dyn Store, head: &Head, counted: &CountedBlocks) -> anyhow::Result<Ancestry> {
    let mut parent = head.parent.clone();
    let mut below = Ancestry::new();
    // The last index of the others is looked for before TAIL, when their HEADs have told it.
    let (found, has_last) = std::thread::scope(|scope| {
        let last = parent.as_ref().map(|parent| scope.spawn(|| has_index(store, parent)));
        let broke_off = |_| Err(anyhow!("a reader thread stopped unexpectedly"));
        let found = fetch(store, head);
        (found, last.map_or(Ok(true), |last| last.join().unwrap_or_else(broke_off)))
    });
    let has_last = has_last?;
    for (depth, (band, head, tail)) in found?.into_iter().enumerate() {
        let Some(wanted) = parent.filter(|parent| parent.band == band) else { break };
        let head = piece(head, Head::parse).with_context(|| format!("{band}/HEAD"))?;
        let tail = piece(tail, Tail::parse).with_context(|| format!("{band}/TAIL"))?;
        let found = ends(&band, head, tail);
        if found.headless {
            bail!("{band}/HEAD: missing: somebody may be removing the band");
        }
        let Some(head) = found.head else {
            bail!("{band}: the band's parent is not in this archive")
        };
        if head.id != wanted.id {
            bail!(
                "{band}: has id {}, but the new band is based on one with id {}",
                head.id,
                wanted.id
            );
        }
        let reaches = found.tail.as_ref().is_none_or(|tail| tail.last >= wanted.last);
        let has = match depth {
            0 => has_last,
            _ => found.tail.is_some() || has_index(store, &wanted)?,
        };
        if !reaches || !has {
            bail!("{band}: lacks index {:09}, on which the new band is based", wanted.last);
        }
        if found.tail.is_none() && depth == 0 {
            level(store, &band, head.compression, (counted, &[]))?;
        }
        parent = head.parent;
        below.push(wanted);
    }
    Ok(below)
}

/// Looks again before TAIL is stored: neither HEAD nor the last index of what the band stands on
/// may have gone meanwhile, which a removal takes first.
pub(super) fn still_there(
    store: &dyn Store,
    band: &BandName,
    below: &Ancestry,
) -> anyhow::Result<()> {
    let ancestors = std::iter::successors(band.parent(), BandName::parent);
    let looks: Vec<(BandName, Option<&Parent>)> = ancestors
        .map(|band| (band, None))
        .chain(below.iter().map(|parent| (parent.band.clone(), Some(parent))))
        .collect();
    let looked = side_by_side(&looks, |(band, parent)| {
        let (what, there) = match parent {
            None => ("HEAD".to_owned(), store.stat(&format!("{band}/HEAD"))?.is_some()),
            Some(parent) => {
                let name = ObjectName::plain(Object::Index(parent.last));
                (name.to_string(), has_index(store, parent)?)
            }
        };
        if !there {
            bail!(
                "{band}/{what}: no longer exists: it was removed while a band based on it was written, so TAIL is not stored"
            );
        }
        Ok(())
    });
    looked.map(drop)
}

/// What the band with this HEAD stands on, as far as the HEADs of those bands can be read.
pub(super) fn below(store: &dyn Store, head: &Head) -> anyhow::Result<Ancestry> {
    let bands: Vec<BandName> =
        std::iter::successors(head.band.parent(), BandName::parent).collect();
    let heads = side_by_side(&bands, |band| match store.get(&format!("{band}/HEAD")) {
        Ok(bytes) => Ok(Head::parse(&bytes).ok()),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    let parents =
        std::iter::once(head.parent.clone()).chain(heads.into_iter().map(|head| head?.parent));
    Ok(parents
        .zip(bands)
        .filter_map(|(parent, band)| parent.filter(|it| it.band == band))
        .collect())
}

/// HEAD and TAIL of all ancestors, from the parent down, asked for side by side: one round trip.
fn fetch(store: &dyn Store, head: &Head) -> anyhow::Result<Vec<FoundEnds>> {
    let bands: Vec<BandName> =
        std::iter::successors(head.band.parent(), BandName::parent).collect();
    let names: Vec<String> = bands
        .iter()
        .flat_map(|band| ["HEAD", "TAIL"].map(|object| format!("{band}/{object}")))
        .collect();
    let found = side_by_side(&names, |name| match store.get(name) {
        Ok(bytes) => Ok(Some(Arc::new(bytes))),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    let mut found = found.into_iter();
    Ok(bands
        .into_iter()
        .map(|band| (band, found.next().flatten(), found.next().flatten()))
        .collect())
}

fn has_index(store: &dyn Store, parent: &Parent) -> anyhow::Result<bool> {
    has_either(store, &parent.band, Object::Index(parent.last))
}

/// Whether an object is there, encrypted or not.
fn has_either(store: &dyn Store, band: &BandName, object: Object) -> anyhow::Result<bool> {
    let has = |encrypted: &bool| {
        let name = ObjectName { object, encrypted: *encrypted };
        Ok(store.stat(&format!("{band}/{name}"))?.is_some())
    };
    Ok(side_by_side(&[true, false], has)?.contains(&true))
}

/// How many objects that a listing lacks are asked for one by one, in case the listing is late.
const ASKED: usize = 64;

/// The archive has all objects of the band that diff counted.
fn level(
    store: &dyn Store,
    band: &BandName,
    compression: Compression,
    (counted, begun): (&CountedBlocks, &[BegunBlock]),
) -> anyhow::Result<()> {
    for folder in folders(counted, begun) {
        let have = survey::folder(store, band, Some(folder))?;
        let lacks = lacking(counted, begun, folder, have.keys());
        for (at, lack) in lacks.into_iter().enumerate() {
            let object = |form: BlockForm| match lack {
                Lack::Index(number) => Object::Index(number),
                Lack::Block(number) => Object::Block(number, form),
                Lack::Part(number, part) => Object::Part(number, form, part),
                Lack::Sums(number) => Object::Sums(number),
            };
            let (object, delta) =
                (object(compression.into()), object(BlockForm::Delta(compression)));
            let is_there = at < ASKED
                && (has_either(store, band, object)?
                    || delta != object && has_either(store, band, delta)?);
            if !is_there {
                bail!("{band}: lacks {}, on which the backup builds", ObjectName::plain(object));
            }
        }
    }
    Ok(())
}

/// A band that is continued: its HEAD is there with that id, it is not complete, and all that diff
/// counted of it is there.
pub(super) fn continued(
    store: &dyn Store,
    band: &BandName,
    id: BandId,
    counted: (&CountedBlocks, &[BegunBlock]),
) -> anyhow::Result<(BandId, Ancestry)> {
    let name = format!("{band}/HEAD");
    let head =
        Head::parse(&store.get(&name).with_context(|| format!("{band} cannot be continued"))?)
            .context(name)?;
    if head.id != id {
        return Err(anyhow!(
            "{band}: has id {}, but the stream continues one with id {id}",
            head.id
        ));
    }
    if store.stat(&format!("{band}/TAIL"))?.is_some() {
        bail!("{band}: already complete");
    }
    let below = std::thread::scope(|scope| {
        let below = scope.spawn(|| below(store, &head));
        level(store, band, head.compression, counted)?;
        below.join().unwrap_or_else(|_| Err(anyhow!("a reader thread stopped unexpectedly")))
    })?;
    Ok((id, below))
}

/// What helps an archive that lacks something which another archive of the run may have.
pub(super) fn behind(
    error: anyhow::Error,
    places: &[UploadTarget],
    place: &UploadTarget,
) -> anyhow::Error {
    let of_store = causes(&error)
        .into_iter()
        .filter_map(|cause| cause.downcast_ref::<StoreError>())
        .any(|error| error.kind != StoreErrorKind::NotFound);
    let other = places.iter().find(|other| other.shown != place.shown);
    match other {
        Some(other) if !of_store => {
            let hint = format!(
                "copy what it lacks first: dura-push --from {} {} (with --newer-than BAND, only what is newer than BAND)",
                other.shown, place.shown
            );
            Hinted::wrap(anyhow!("{error:#}"), hint)
        }
        _ => error,
    }
}

/// The band that the run goes on with, or stands on, has nothing that the run lacks and nobody
/// waived: encryption, signatures, parity.
pub(super) fn kept_up(
    store: &dyn Store,
    below: &BandName,
    index: Option<u32>,
    run: SealedAs,
    waived: Waived,
) -> anyhow::Result<()> {
    let asked = questions(run, waived);
    let has = |what: &Forgotten| {
        let (object, encrypted) = match what {
            Forgotten::Encryption => (Object::Index(index.unwrap_or(0)), true),
            Forgotten::Signature => (Object::ListSig(0, 0), false),
            Forgotten::Parity => (Object::Parity(0, 0, 0), false),
        };
        let name = ObjectName { object, encrypted };
        Ok(store.stat(&format!("{below}/{name}"))?.is_some())
    };
    let found = side_by_side(&asked, has)?;
    let forgotten: Vec<Forgotten> =
        asked.into_iter().zip(found).filter(|(_, has)| *has).map(|(what, _)| what).collect();
    if forgotten.is_empty() {
        return Ok(());
    }
    let list = |of: &dyn Fn((&'static str, &'static str, &'static str)) -> &'static str| {
        let words: Vec<&str> = forgotten.iter().map(|what| of(what.words())).collect();
        words.join(", ")
    };
    let (is, options, waive) = (list(&|w| w.0), list(&|w| w.1), list(&|w| w.2));
    let hint = format!("use dura-seal {options}; or, if this is intended, dura-push {waive}");
    Err(Hinted::wrap(anyhow!("{below} is {is}, but this band is not"), hint))
}

/// The archive holds a band.
pub(super) fn holds_a_band(store: &dyn Store, shown: &str) -> anyhow::Result<()> {
    if !catalogue::bands(&store.list("")?).is_empty() {
        return Ok(());
    }
    let hint = "check that the disk is mounted and the address is right";
    Err(Hinted::wrap(anyhow!("{shown}: holds no band, and --must-exist was given"), hint))
}
