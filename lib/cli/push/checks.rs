//! What must hold in an archive before a band goes into it.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use super::super::archive::{piece, side_by_side};
use super::super::message::Hinted;
use crate::core::chain::ends::ends;
use crate::format::band::{BandId, BandName};
use crate::format::head::{Head, Parent, Tail};
use crate::format::object::{Object, ObjectName};
use crate::format::stream::Item;
use crate::store::{Kind, LookAhead, Store};

/// A new band: all its ancestors are there as they were when it was made. Returns its id.
///
/// Whether the band itself is there already shows when its HEAD is stored, before anything else of
/// it.
pub(super) fn new_band(
    store: &dyn Store,
    ahead: Option<&dyn LookAhead>,
    head: &Item,
) -> anyhow::Result<BandId> {
    let name = format!("{}/HEAD", head.band);
    let parsed = Head::parse(&head.bytes).with_context(|| name.clone())?;
    if parsed.band != head.band {
        bail!("{name}: it is the HEAD of band {}", parsed.band);
    }
    // The look before that goes beside.
    let checked = std::thread::scope(|scope| {
        let _looks = ahead.map(|ahead| scope.spawn(|| ahead.look_ahead(&name)));
        ancestors(store, &parsed)
    });
    checked.map_err(|error| {
        let hint = "this archive lacks what the band stands on: push the missing bands first, or make a full band";
        Hinted::wrap(error, hint)
    })?;
    Ok(parsed.id)
}

type Found = (BandName, Option<Arc<Vec<u8>>>, Option<Arc<Vec<u8>>>);

/// All ancestors of a band are there, with the ids and up to the indexes that the bands on top of
/// them name.
fn ancestors(store: &dyn Store, head: &Head) -> anyhow::Result<()> {
    let mut parent = head.parent.clone();
    for (band, head, tail) in fetch(store, head)? {
        let Some(wanted) = parent.filter(|parent| parent.band == band) else { break };
        let head = piece(head, Head::parse).with_context(|| format!("{band}/HEAD"))?;
        let tail = piece(tail, Tail::parse).with_context(|| format!("{band}/TAIL"))?;
        let found = ends(&band, head, tail);
        if found.headless {
            bail!("{band}/HEAD: not there: the band may be about to be removed");
        }
        let Some(head) = found.head else {
            bail!("{band}: the band's parent is not in this archive")
        };
        if head.id != wanted.id {
            bail!(
                "{band}: has id {}, but the band was made over one with id {}",
                head.id,
                wanted.id
            );
        }
        let reaches = match found.tail {
            Some(tail) => tail.last >= wanted.last,
            None => has_index(store, &wanted)?,
        };
        if !reaches {
            bail!("{band}: lacks index {:09}, up to which the band was made over it", wanted.last);
        }
        parent = head.parent;
    }
    Ok(())
}

/// Looks again before TAIL is stored: no HEAD of what the band stands on may have gone meanwhile,
/// which is the first object that a removal takes.
pub(super) fn still_there(store: &dyn Store, band: &BandName) -> anyhow::Result<()> {
    let ancestors: Vec<BandName> = std::iter::successors(band.parent(), BandName::parent).collect();
    let looked = side_by_side(&ancestors, |band| match store.get(&format!("{band}/HEAD")) {
        Err(error) if error.kind == Kind::NotFound => bail!("{band}/HEAD: not there any more"),
        other => Ok(other.map(drop)?),
    });
    looked
        .map(drop)
        .context("what the band stands on has gone while it was written: no TAIL is stored")
}

/// HEAD and TAIL of all ancestors, from the parent down, asked for side by side: one round trip.
fn fetch(store: &dyn Store, head: &Head) -> anyhow::Result<Vec<Found>> {
    let bands: Vec<BandName> =
        std::iter::successors(head.band.parent(), BandName::parent).collect();
    let names: Vec<String> = bands
        .iter()
        .flat_map(|band| ["HEAD", "TAIL"].map(|object| format!("{band}/{object}")))
        .collect();
    let found = side_by_side(&names, |name| match store.get(name) {
        Ok(bytes) => Ok(Some(Arc::new(bytes))),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    let mut found = found.into_iter();
    Ok(bands
        .into_iter()
        .map(|band| (band, found.next().flatten(), found.next().flatten()))
        .collect())
}

fn has_index(store: &dyn Store, parent: &Parent) -> anyhow::Result<bool> {
    for encrypted in [true, false] {
        let index = ObjectName { object: Object::Index(parent.last), encrypted };
        if store.stat(&format!("{}/{index}", parent.band))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A band that is continued: its HEAD is there with that id, and it is not complete.
pub(super) fn continued(store: &dyn Store, band: &BandName, id: BandId) -> anyhow::Result<BandId> {
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
        bail!("{band}: complete already");
    }
    Ok(id)
}
