//! Which runs continue a band that was taken from an archive.

use super::super::choice::{BandCondition, BandToWrite, BandWish, ChoiceFacts, KnownBand, target};
use super::super::taken::TakenFrom;
use crate::format::band::{BandId, BandName};
use crate::format::head::Parent;
use crate::format::time::Stamp;

fn stamp(second: i64) -> Stamp {
    Stamp::from_unix(1_793_491_200 + second).unwrap()
}

fn version(last: u32) -> Parent {
    Parent { band: BandName::full(stamp(1)), id: BandId([7; 16]), last }
}

/// Unfinished bands, or complete ones, each from files or from an archive.
fn bands(kinds: &[(bool, Option<TakenFrom>)]) -> Vec<KnownBand> {
    let facts = |(complete, taken): &(bool, Option<TakenFrom>), at: i64| ChoiceFacts {
        as_of: taken.as_ref().map(|_| stamp(1)),
        taken: taken.clone().unwrap_or_default(),
        ..ChoiceFacts::new(stamp(at), *complete)
    };
    let known = |(kind, at)| KnownBand {
        name: BandName::full(stamp(at)),
        found: BandCondition::Band(facts(kind, at)),
    };
    kinds.iter().zip(10..).map(known).collect()
}

#[test]
fn only_runs_of_its_version_continue_a_band() {
    let (one, two) = (version(3), version(4));
    let of = |version: &Parent| Some(TakenFrom::Version(version.clone()));
    let unread = || Some(TakenFrom::Unread);
    for (kinds, wanted, says) in [
        (vec![(false, None)], None, Some(0)),
        (vec![(false, of(&one))], None, None),
        (vec![(false, None)], Some(&one), None),
        (vec![(false, of(&one))], Some(&one), Some(0)),
        (vec![(false, of(&one))], Some(&two), None),
        (vec![(false, Some(TakenFrom::Unknown))], Some(&one), None),
        // It is looked at when the choice falls on it.
        (vec![(false, unread())], Some(&one), Some(0)),
        (vec![(true, unread())], Some(&one), None),
        // Each goes on with its own, whatever came later.
        (vec![(false, of(&one)), (false, of(&two)), (false, None)], Some(&one), Some(0)),
        (vec![(false, None), (false, of(&two)), (true, unread())], None, Some(0)),
    ] {
        let bands = bands(&kinds);
        let wish = BandWish { version: wanted, ..BandWish::default() };
        let continued = match target(&bands, &wish).unwrap() {
            BandToWrite::Continue(band) => Some(&band.name),
            BandToWrite::New { .. } => None,
        };
        assert_eq!(continued, says.map(|at: usize| &bands[at].name), "{kinds:?} {wanted:?}");
    }
}
