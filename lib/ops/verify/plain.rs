//! Plain objects where sealed ones belong: no key is needed to put them there.

use crate::archive::plain::not_encrypted;
use crate::archive::unlock::PLAIN;
use crate::core::chain::sealing::Oddity;
use crate::core::verify::stream_order::ObjectSizes;
use crate::core::verify::{Finding, FindingKind, Subject};
use crate::edge::ordered::Gone;
use crate::format::band::BandName;
use crate::ops::verify::band::BandWalk;

impl BandWalk {
    /// Notes which objects of a folder are sealed.
    pub(super) fn see_sealed(&self, band: &BandName, objects: &ObjectSizes) {
        let mut sealing = self.sealing.borrow_mut();
        for (name, _) in objects.values().filter(|(_, size)| *size > 0) {
            sealing.handle_object(band, *name);
        }
    }

    /// Tells of plain objects in a sealed band, and of a plain band above a sealed one.
    pub(super) fn plain(&self) -> Result<(), Gone> {
        let mut sealing = self.sealing.borrow_mut();
        let mut found: Vec<Finding> = std::iter::from_fn(|| sealing.poll()).map(finding).collect();
        found.reverse();
        match self.plain {
            true => Ok(()),
            false => self.found(found),
        }
    }
}

fn finding(oddity: Oddity) -> Finding {
    match oddity {
        Oddity::Object(band, name, _) => {
            let what = format!("not encrypted, though the band is: readers leave it out ({PLAIN})");
            Finding::of(FindingKind::Unexpected, &band, name, what)
        }
        Oddity::Above(band, sealed) => {
            let what = format!("{} ({PLAIN})", not_encrypted(&band, &sealed));
            Finding::new(FindingKind::Unexpected, Subject::Band(band), what)
        }
    }
}
