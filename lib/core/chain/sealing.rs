//! Sealed or plain: whoever can write to the store needs no key to put plain objects there. In a
//! band that has sealed ones they do not count, and a plain band above a sealed one, or newer than
//! one, is named.
//!
//! What a reader comes upon tells, and what it sees when it looks: the machine is given each object
//! that was found, in any order. So all who read decide it here: restore, index, diff and verify.

use std::collections::BTreeMap;

use crate::format::band::BandName;
use crate::format::object::ObjectName;

/// Plain objects of a band that are kept to be named if the band turns out to be sealed.
const NAMED: usize = 1000;

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// An object that is plain, in a band that is sealed; whether it was taken already.
    Object(BandName, ObjectName, bool),
    /// A plain band, and a sealed one that is below it, or else older.
    Above(BandName, BandName),
}

#[derive(Debug, Default)]
struct ObjectForms {
    sealed: bool,
    is_plain: bool,
    plain: Vec<ObjectName>,
    told: bool,
}

/// The machine: `handle_object` for each numbered object that is found, `handle_sealed` for a band
/// that shows in another way that it is sealed, `handle_plain` that it is not, `poll` for what is
/// to be told.
#[derive(Debug, Default)]
pub struct Sealing {
    bands: BTreeMap<BandName, ObjectForms>,
    odd: Vec<Oddity>,
}

impl Sealing {
    /// An object was found. False if it is not to be taken.
    pub fn handle_object(&mut self, band: &BandName, name: ObjectName) -> bool {
        if !name.is_secret() && !name.is_key() {
            return true;
        }
        if name.encrypted {
            self.handle_sealed(band);
            return true;
        }
        let seen = self.bands.entry(band.clone()).or_default();
        if seen.sealed {
            self.odd.push(Oddity::Object(band.clone(), name, false));
            return false;
        }
        if seen.plain.len() < NAMED && !seen.plain.contains(&name) {
            seen.plain.push(name);
        }
        self.handle_plain(band);
        true
    }

    /// The band has no sealed object where every sealed band has one.
    pub fn handle_plain(&mut self, band: &BandName) {
        self.bands.entry(band.clone()).or_default().is_plain = true;
        self.above();
    }

    /// The band has a sealed object, or one of its lists names some.
    pub fn handle_sealed(&mut self, band: &BandName) {
        let seen = self.bands.entry(band.clone()).or_default();
        if seen.sealed {
            return;
        }
        seen.sealed = true;
        let taken = std::mem::take(&mut seen.plain);
        self.odd.extend(taken.into_iter().map(|name| Oddity::Object(band.clone(), name, true)));
        self.above();
    }

    /// Whether the band is sealed, as far as was seen.
    pub fn is_sealed(&self, band: &BandName) -> bool {
        self.bands.get(band).is_some_and(|seen| seen.sealed)
    }

    /// The next thing to be told; the same may come several times.
    pub fn poll(&mut self) -> Option<Oddity> {
        self.odd.pop()
    }

    fn above(&mut self) {
        let sealed: Vec<BandName> = (self.bands.iter())
            .filter(|(_, seen)| seen.sealed)
            .map(|(band, _)| band.clone())
            .collect();
        for (band, seen) in &mut self.bands {
            if !seen.told
                && !seen.sealed
                && seen.is_plain
                && let Some(older) = sealed_before(band, &sealed)
            {
                seen.told = true;
                self.odd.push(Oddity::Above(band.clone(), older.clone()));
            }
        }
    }
}

/// Of these bands, which are sealed, one that the band stands on, or else one that is older.
pub fn sealed_before<'a>(band: &BandName, sealed: &'a [BandName]) -> Option<&'a BandName> {
    let below = band.chain();
    let is_below = |other: &&BandName| *other != band && below.contains(other);
    let is_older = |other: &&BandName| other.start() < band.start();
    sealed.iter().find(is_below).or_else(|| sealed.iter().find(is_older))
}

/// Which bands are looked at, whether they are sealed, before a plain one is read that neither
/// stands on them nor they on it: the newest and the oldest, `most` in all.
pub fn to_look_at<'a>(names: &'a [BandName], band: &BandName, most: usize) -> Vec<&'a BandName> {
    let chain = band.chain();
    let is_beside = |other: &&BandName| !chain.contains(other) && !other.chain().contains(band);
    let mut beside: Vec<&BandName> = names.iter().filter(is_beside).collect();
    beside.sort_by_key(|name| (name.start(), *name));
    if beside.len() > most {
        let newest = beside.split_off(beside.len() - most / 2);
        beside.truncate(most - most / 2);
        beside.extend(newest);
    }
    beside
}

/// The first plain band of a chain that stands above a sealed one, by which of them are sealed.
pub fn plain_above_sealed(sealed: &[bool]) -> Option<usize> {
    let first = sealed.iter().position(|sealed| *sealed)?;
    sealed.iter().skip(first).position(|sealed| !sealed).map(|at| first + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::object::{Compression, Object};

    const FULL: &str = "20260101T000000Z";
    const LAYER: &str = "20260101T000000Z-20260102T000000Z";

    fn band(name: &str) -> BandName {
        name.parse().unwrap()
    }

    fn index(number: u32, encrypted: bool) -> ObjectName {
        ObjectName { object: Object::Index(number), encrypted }
    }

    fn told(sealing: &mut Sealing) -> Vec<Oddity> {
        std::iter::from_fn(|| sealing.poll()).collect()
    }

    #[test]
    fn plain_objects_of_a_sealed_band_do_not_count() {
        let mut sealing = Sealing::default();
        let full = band(FULL);
        assert!(sealing.handle_object(&full, index(0, true)));
        assert!(sealing.handle_object(&full, ObjectName::plain(Object::Head)));
        assert!(sealing.handle_object(&full, ObjectName::plain(Object::List(0, 0))));
        assert_eq!(told(&mut sealing), []);
        let block = ObjectName::plain(Object::Block(1, Compression::Gzip.into()));
        assert!(!sealing.handle_object(&full, block));
        assert_eq!(told(&mut sealing), [Oddity::Object(full, block, false)]);
    }

    #[test]
    fn what_was_taken_before_is_named() {
        let mut sealing = Sealing::default();
        let full = band(FULL);
        assert!(sealing.handle_object(&full, index(0, false)));
        assert!(sealing.handle_object(&full, index(0, false)));
        assert_eq!(told(&mut sealing), []);
        assert!(sealing.handle_object(&full, index(1, true)));
        assert_eq!(told(&mut sealing), [Oddity::Object(full.clone(), index(0, false), true)]);
        assert!(!sealing.handle_object(&full, index(0, false)));
    }

    #[test]
    fn a_plain_band_above_a_sealed_one_is_named_once() {
        let (full, layer) = (band(FULL), band(LAYER));
        for (sealed_full, sealed_layer, odd) in
            [(true, false, true), (false, true, false), (true, true, false), (false, false, false)]
        {
            for turned in [false, true] {
                let mut sealing = Sealing::default();
                let mut seen = vec![(&full, sealed_full), (&layer, sealed_layer)];
                if turned {
                    seen.reverse();
                }
                for (band, encrypted) in [seen.clone(), seen].concat() {
                    assert!(sealing.handle_object(band, index(0, encrypted)));
                }
                let wanted =
                    if odd { vec![Oddity::Above(layer.clone(), full.clone())] } else { vec![] };
                assert_eq!(told(&mut sealing), wanted);
            }
        }
    }

    /// Somebody may put a plain full band on top of a sealed archive, or have put sealed objects
    /// out of the way of which lists still tell.
    #[test]
    fn a_plain_band_beside_sealed_ones() {
        let (first, layer, other) = (band(FULL), band(LAYER), band("20260103T000000Z"));
        let mut sealing = Sealing::default();
        sealing.handle_plain(&other);
        assert_eq!(told(&mut sealing), []);
        sealing.handle_sealed(&layer);
        assert_eq!(told(&mut sealing), [Oddity::Above(other.clone(), layer.clone())]);
        assert!(sealing.is_sealed(&layer) && !sealing.is_sealed(&other));
        // One that is older is as it should be.
        assert!(sealing.handle_object(&first, index(0, false)));
        assert_eq!(told(&mut sealing), []);
        assert!(sealing.handle_object(&other, index(0, false)));
        sealing.handle_sealed(&other);
        assert_eq!(told(&mut sealing), [Oddity::Object(other, index(0, false), true)]);
    }

    #[test]
    fn bands_to_look_at() {
        let names: Vec<BandName> =
            (1..10).map(|day| band(&format!("2026010{day}T000000Z"))).collect();
        let days = |most| {
            let found = to_look_at(&names, &names[8], most);
            found.iter().map(|name| name.to_string()[7..8].to_owned()).collect::<String>()
        };
        assert_eq!(days(100), "12345678");
        assert_eq!(days(4), "1278");
        let (full, above) = (band(FULL), band(LAYER));
        assert_eq!(to_look_at(&[full.clone(), above.clone()], &full, 9), Vec::<&BandName>::new());
        assert_eq!(to_look_at(std::slice::from_ref(&full), &above, 9), Vec::<&BandName>::new());
    }

    #[test]
    fn chains() {
        for (sealed, wanted) in [
            (&[][..], None),
            (&[false, false], None),
            (&[false, true, true], None),
            (&[true], None),
            (&[true, false, true], Some(1)),
            (&[false, true, false], Some(2)),
        ] {
            assert_eq!(plain_above_sealed(sealed), wanted);
        }
    }
}
