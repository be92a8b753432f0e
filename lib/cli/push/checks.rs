//! What must hold in an archive before a band goes into it.

use anyhow::{Context, anyhow, bail};

use super::super::message::Hinted;
use crate::format::band::{BandId, BandName};
use crate::format::head::{Head, Parent};
use crate::format::object::{Object, ObjectName};
use crate::format::stream::Item;
use crate::store::{Kind, Store};

/// A new band: its HEAD is not there, or the same, and all its ancestors are there as they were when it was made. Returns its id.
pub(super) fn new_band(store: &dyn Store, head: &Item) -> anyhow::Result<BandId> {
    let name = format!("{}/HEAD", head.band);
    let parsed = Head::parse(&head.bytes).with_context(|| name.clone())?;
    if parsed.band != head.band {
        bail!("{name}: it is the HEAD of band {}", parsed.band);
    }
    match store.get(&name) {
        Ok(bytes) if bytes == head.bytes => {}
        Ok(_) => return Err(super::conflict(&name)),
        Err(error) if error.kind == Kind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut below = parsed.parent;
    while let Some(parent) = below {
        below = ancestor(store, &parent).map_err(|error| {
            let hint = "this archive lacks what the band stands on: push the missing bands first, or make a full band";
            Hinted::wrap(error, hint)
        })?;
    }
    Ok(parsed.id)
}

/// Checks one ancestor and gives its own parent.
fn ancestor(store: &dyn Store, parent: &Parent) -> anyhow::Result<Option<Parent>> {
    let name = format!("{}/HEAD", parent.band);
    let bytes = match store.get(&name) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == Kind::NotFound => bail!("{}: the band's parent is not in this archive", parent.band),
        Err(error) => return Err(error.into()),
    };
    let head = Head::parse(&bytes).context(name)?;
    if head.id != parent.id {
        bail!("{}: has id {}, but the band was made over one with id {}", parent.band, head.id, parent.id);
    }
    if !has_index(store, parent)? {
        bail!("{}: lacks index {:09}, up to which the band was made over it", parent.band, parent.last);
    }
    Ok(head.parent)
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
    let head = Head::parse(&store.get(&name).with_context(|| format!("{band} cannot be continued"))?).context(name)?;
    if head.id != id {
        return Err(anyhow!("{band}: has id {}, but the stream continues one with id {id}", head.id));
    }
    if store.stat(&format!("{band}/TAIL"))?.is_some() {
        bail!("{band}: complete already");
    }
    Ok(id)
}
