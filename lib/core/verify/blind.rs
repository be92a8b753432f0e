//! Folders that cannot be listed now: of what they hold nobody knows that it is not there.

use std::collections::HashSet;

use super::{Finding, FindingKind, Subject};
use crate::format::band::BandName;

/// The folders that could not be listed so far.
#[derive(Debug, Default)]
pub struct Blind {
    bands: HashSet<BandName>,
    folders: HashSet<(BandName, u32)>,
}

impl Blind {
    /// A band's folder, with all that is in it.
    pub fn handle_band(&mut self, band: &BandName) {
        self.bands.insert(band.clone());
    }

    /// A folder of numbers.
    pub fn handle_folder(&mut self, band: &BandName, folder: u32) {
        self.folders.insert((band.clone(), folder));
    }

    /// Whether any folder of the band could not be listed.
    pub fn is_in(&self, band: &BandName) -> bool {
        self.bands.contains(band) || self.folders.iter().any(|(blind, _)| blind == band)
    }

    /// Whether a finding says no more than that something was not seen, which may lie where
    /// nothing can be seen. The folder itself is told of.
    pub fn hides(&self, finding: &Finding) -> bool {
        let Subject::Object(band, name) = &finding.subject else { return false };
        let lies_there =
            || name.folder().is_some_and(|folder| self.folders.contains(&(band.clone(), folder)));
        match finding.kind {
            FindingKind::Missing => self.bands.contains(band) || lies_there(),
            // Its list may be in any folder.
            FindingKind::Unlisted => self.is_in(band),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::object::ObjectName;

    #[test]
    fn what_was_not_seen_is_not_missing() {
        let band = |day| format!("202611{day}T020000Z").parse::<BandName>().unwrap();
        let mut blind = Blind::default();
        blind.handle_folder(&band("01"), 1);
        blind.handle_band(&band("02"));
        for (kind, day, object, hidden) in [
            (FindingKind::Missing, "01", "00001/000010005.mtree.gz", true),
            (FindingKind::Missing, "01", "00000/000000005.mtree.gz", false),
            (FindingKind::Missing, "01", "HEAD", false),
            (FindingKind::Damaged, "01", "00001/000010005.mtree.gz", false),
            (FindingKind::Unlisted, "01", "HEAD", true),
            (FindingKind::Unlisted, "01", "00000/000000005.mtree.gz", true),
            (FindingKind::Missing, "02", "HEAD", true),
            (FindingKind::Missing, "02", "00000/000000005.mtree.gz", true),
            (FindingKind::Missing, "03", "HEAD", false),
            (FindingKind::Unlisted, "02", "HEAD", true),
            (FindingKind::Unlisted, "03", "HEAD", false),
        ] {
            let name = ObjectName::parse(object).unwrap();
            let finding = Finding::of(kind, &band(day), name, "");
            assert_eq!(blind.hides(&finding), hidden, "{finding:?}");
        }
        let band = Finding::new(FindingKind::Unavailable, Subject::Band(band("02")), "");
        assert!(!blind.hides(&band));
    }
}
