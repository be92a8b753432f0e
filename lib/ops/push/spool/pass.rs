//! One walk through a band of a spool, and when the spool loses an object.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::core::spool::Loses;
use crate::format::band::BandName;
use crate::format::object::ObjectName;
use crate::ops::push::run::{UploadRun, UploadTarget};
use crate::report::message::chain;
use crate::store::Remove;
use crate::store::local::Local;

/// One walk through a band.
pub(super) struct Pass<'a> {
    pub run: &'a UploadRun,
    pub places: &'a [UploadTarget],
    pub local: &'a Local,
    pub band: &'a BandName,
    /// What is removed of what all archives have.
    pub loses: Loses,
    /// The band is looked at again and again while it grows.
    pub follow: bool,
}

/// What waits for being confirmed by archives, and by how many.
pub(super) type Unconfirmed = Mutex<HashMap<ObjectName, (usize, bool)>>;

impl Pass<'_> {
    /// An archive has an object. The last one to say so sets the room free.
    pub(super) fn confirm(&self, name: &ObjectName, open: &Unconfirmed) {
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((count, remove)) = open.get_mut(name) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        let remove = *remove;
        open.remove(name);
        drop(open);
        if remove && let Err(error) = self.local.remove(&format!("{}/{name}", self.band)) {
            self.run
                .report
                .warn(format_args!("cannot remove what is stored: {}", chain(&error.into())));
        }
    }
}
