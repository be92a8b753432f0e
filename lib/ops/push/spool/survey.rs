//! What an archive has of a band that is to be sent to it.

use std::collections::HashMap;

use anyhow::{Context, bail};

use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::head::Head;
use crate::format::object::ObjectName;
use crate::format::stream::Item;
use crate::ops::push::checks;
use crate::store::{Kind, Store};

/// What an archive has of a folder, with sizes.
pub(crate) type Have = HashMap<ObjectName, u64>;

/// Whether the archive has begun the band; fails if it is another one of that name, or if what it
/// stands on is not there.
pub(super) fn begun(
    store: &dyn Store,
    shown: &str,
    head: &Item,
    id: BandId,
    beside_others: bool,
) -> anyhow::Result<bool> {
    let name = format!("{}/HEAD", head.band);
    match store.get(&name) {
        Ok(bytes) => {
            let there = Head::parse(&bytes).with_context(|| name.clone())?.id;
            if there != id {
                bail!(
                    "{name}: has id {there}, but the band in the spool has id {id}: they are different bands"
                );
            }
            Ok(true)
        }
        Err(error) if error.kind == Kind::NotFound => {
            checks::settles(store, shown, head, beside_others)?;
            checks::new_band(store, None, head, &CountedBlocks::default()).map(|_| false)
        }
        Err(error) => Err(error.into()),
    }
}

/// The objects in one folder of a band; the folder `""` is the band itself.
pub(crate) fn folder(store: &dyn Store, band: &BandName, folder: &str) -> anyhow::Result<Have> {
    let (at, prefix) = match folder {
        "" => (band.to_string(), String::new()),
        folder => (format!("{band}/{folder}"), format!("{folder}/")),
    };
    let listed = store.list(&at)?;
    let object =
        |(name, size): (String, u64)| Some((ObjectName::parse(&format!("{prefix}{name}"))?, size));
    Ok(listed.into_iter().filter_map(object).filter(|(_, size)| *size > 0).collect())
}
