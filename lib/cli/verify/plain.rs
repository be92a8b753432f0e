//! Plain objects where sealed ones belong: no key is needed to put them there.

use super::super::archive::plain::NOT_ENCRYPTED;
use super::super::unlock::PLAIN;
use super::band::{Walk, Walking};
use crate::core::verify::audit::Objects;
use crate::core::verify::{Finding, Kind, Subject};
use crate::edge::ordered::Gone;
use crate::format::band::BandName;
use crate::format::object::ObjectName;

/// Plain objects of a band that are named if others of it are sealed.
const NAMED: usize = 1000;

/// What was seen of a band.
#[derive(Debug, Default)]
pub(super) struct Sealing {
    /// Whether an object is sealed.
    pub sealed: bool,
    /// Those that are plain and should be sealed if others are.
    plain: Vec<ObjectName>,
}

impl Sealing {
    /// The objects of a folder.
    pub(super) fn handle_folder(&mut self, objects: &Objects) {
        for (name, _) in objects.values().filter(|(name, size)| *size > 0 && name.is_secret()) {
            self.sealed |= name.encrypted;
            if !name.encrypted && self.plain.len() < NAMED {
                self.plain.push(*name);
            }
        }
    }
}

impl Walk {
    /// Tells of plain objects in a sealed band, and of a plain band above a sealed one.
    pub(super) fn plain(&self, walking: &Walking<'_>) -> Result<(), Gone> {
        let Sealing { sealed, plain } = &walking.sealing;
        if self.plain || plain.is_empty() {
            return Ok(());
        }
        if *sealed {
            let what = format!("not encrypted, though the band is: readers leave it out ({PLAIN})");
            let of = |name: &ObjectName| {
                Finding::of(Kind::Unexpected, walking.band, *name, what.as_str())
            };
            return self.found(plain.iter().map(of).collect());
        }
        let mut below = std::iter::successors(walking.band.parent(), BandName::parent);
        if below.any(|band| self.seen.get(&band).is_some_and(|seen| seen.encrypted)) {
            let band = Subject::Band(walking.band.clone());
            let what = format!("{NOT_ENCRYPTED} ({PLAIN})");
            return self.found(vec![Finding::new(Kind::Unexpected, band, what)]);
        }
        Ok(())
    }
}
