//! What can still be read of a damaged block that is sealed.

use std::io::Seek as _;

use crate::archive::locked::locked;
use crate::archive::{Archive, StoredObject};
use crate::core::runs::order;
use crate::edge::gpg::{self, GpgError, GpgInput};
use crate::format::band::BandName;
use crate::format::object::Object;

impl Archive {
    /// The first of these objects that is there, as far as gpg still gives it: in the end gpg says
    /// that it is not what was encrypted, so whoever takes it has to check what it gives.
    pub(crate) fn remains(&self, band: &BandName, objects: &[Object]) -> Option<(Object, Vec<u8>)> {
        let (found, stored) = self.stored_first(band, objects).ok()??;
        if !found.encrypted {
            return None;
        }
        let limit = self.opener.limit.max(input(&stored).ok()?.size().ok()?);
        let unlock = &self.opener.unlock;
        let Some(runs) = self.runs_of(band).ok()? else {
            let bytes = gpg::remains(input(&stored).ok()?, None, unlock, limit)?;
            return Some((found.object, bytes));
        };
        let places = locked(&runs).places.clone();
        order(&places, found.number().unwrap_or(0)).into_iter().find_map(|place| {
            let key = self.run_key(band, &mut locked(&runs), place).ok()?.ok()?;
            let bytes = gpg::remains(input(&stored).ok()?, Some(&key), unlock, limit)?;
            Some((found.object, bytes))
        })
    }
}

/// What gpg is to read: an object from its begin.
pub(super) fn input(stored: &StoredObject) -> Result<GpgInput<'_>, GpgError> {
    match stored {
        StoredObject::Bytes(bytes) => Ok(GpgInput::Bytes(bytes)),
        StoredObject::File(file) => {
            let mut file = file.try_clone().map_err(GpgError::Talk)?;
            file.rewind().map_err(GpgError::Talk)?;
            Ok(GpgInput::File(file))
        }
    }
}
