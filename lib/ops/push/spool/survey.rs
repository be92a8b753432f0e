//! What an archive or a spool has of a folder of a band.

use std::collections::HashMap;

use crate::archive::catalogue::BandFolder;
use crate::format::band::BandName;
use crate::format::object::ObjectName;
use crate::store::Store;

/// What an archive has of a folder, with sizes.
pub(crate) type FolderSizes = HashMap<ObjectName, u64>;

/// The objects in a folder of a band: its own, or the one below it that has this number.
pub(crate) fn folder(
    store: &dyn Store,
    band: &BandName,
    number: Option<u32>,
) -> anyhow::Result<FolderSizes> {
    Ok(BandFolder::list(store, band, number)?.objects().collect())
}
