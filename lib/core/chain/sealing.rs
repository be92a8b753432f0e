//! Sealed or plain: whoever can write to the store needs no key to put plain objects there. In a
//! band that has sealed ones they do not count, and a plain band above a sealed one is named.
//!
//! What a reader comes upon tells: the machine is given each object that was found, in any order.

use std::collections::BTreeMap;

use crate::format::band::BandName;
use crate::format::object::ObjectName;

/// Plain objects of a band that are kept to be named if the band turns out to be sealed.
const NAMED: usize = 100;

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// An object that is plain, in a band that is sealed; whether it was taken already.
    Object(BandName, ObjectName, bool),
    /// A plain band above a sealed one.
    Above(BandName),
}

#[derive(Debug, Default)]
struct Seen {
    sealed: bool,
    plain: Vec<ObjectName>,
    told: bool,
}

/// The machine: `handle_object` for each numbered object that is found, `poll` for what is to be
/// told.
#[derive(Debug, Default)]
pub struct Sealing {
    bands: BTreeMap<BandName, Seen>,
    odd: Vec<Oddity>,
}

impl Sealing {
    /// An object was found. False if it is not to be taken.
    pub fn handle_object(&mut self, band: &BandName, name: ObjectName) -> bool {
        if !name.is_secret() {
            return true;
        }
        let seen = self.bands.entry(band.clone()).or_default();
        if name.encrypted {
            seen.sealed = true;
            let taken = std::mem::take(&mut seen.plain);
            self.odd.extend(taken.into_iter().map(|name| Oddity::Object(band.clone(), name, true)));
            self.above();
            return true;
        }
        if seen.sealed {
            self.odd.push(Oddity::Object(band.clone(), name, false));
            return false;
        }
        if seen.plain.len() < NAMED && !seen.plain.contains(&name) {
            seen.plain.push(name);
        }
        self.above();
        true
    }

    /// The next thing to be told; the same may come several times.
    pub fn poll(&mut self) -> Option<Oddity> {
        self.odd.pop()
    }

    /// Whether the band is plain, as far as was seen.
    fn is_plain(seen: &Seen) -> bool {
        !seen.sealed && !seen.plain.is_empty()
    }

    fn above(&mut self) {
        let is_sealed = |band: &BandName, bands: &BTreeMap<BandName, Seen>| {
            let below = std::iter::successors(band.parent(), BandName::parent);
            below.into_iter().any(|band| bands.get(&band).is_some_and(|seen| seen.sealed))
        };
        let odd: Vec<BandName> = (self.bands.iter())
            .filter(|(band, seen)| {
                !seen.told && Sealing::is_plain(seen) && is_sealed(band, &self.bands)
            })
            .map(|(band, _)| band.clone())
            .collect();
        for band in odd {
            if let Some(seen) = self.bands.get_mut(&band) {
                seen.told = true;
            }
            self.odd.push(Oddity::Above(band));
        }
    }
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
        let block = ObjectName::plain(Object::Block(1, Compression::Gzip));
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
                let wanted = if odd { vec![Oddity::Above(layer.clone())] } else { vec![] };
                assert_eq!(told(&mut sealing), wanted);
            }
        }
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
