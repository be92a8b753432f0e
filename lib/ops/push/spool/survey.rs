//! What an archive has of a band that is to be sent to it.

use std::collections::HashMap;

use anyhow::{Context, bail};

use crate::archive::catalogue::BandFolder;
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::head::Head;
use crate::format::object::ObjectName;
use crate::format::stream::StreamItem;
use crate::ops::push::checks;
use crate::store::{Store, StoreErrorKind};

/// What an archive has of a folder, with sizes.
pub(crate) type FolderSizes = HashMap<ObjectName, u64>;

/// Whether the archive has begun the band; fails if it is another one of that name, or if what it
/// stands on is not there.
pub(super) fn begun(
    store: &dyn Store,
    shown: &str,
    head: &StreamItem,
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
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            checks::settles(store, shown, head, beside_others)?;
            checks::new_band(store, None, head, &CountedBlocks::default()).map(|_| false)
        }
        Err(error) => Err(error.into()),
    }
}

/// The objects in a folder of a band: its own, or the one below it that has this number.
pub(crate) fn folder(
    store: &dyn Store,
    band: &BandName,
    number: Option<u32>,
) -> anyhow::Result<FolderSizes> {
    Ok(BandFolder::list(store, band, number)?.objects().collect())
}
