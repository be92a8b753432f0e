//! What a run builds on by the calendar, `--tier calendar`: for archives that keep a version of
//! each of the last days, weeks, months and years.
//!
//! The last band of a month builds on that of the month before, the last of a week on that of the
//! month before too, and all others on the last of a week or month before them. These last ones are
//! what rules like `--keep-weekly` keep: so a version that is kept stands on few that are not, and
//! each change is stored once for a day, a week and a month. When the chain of months gets too long
//! for one more, it goes on from the last band of the year before, or if that has a long chain of its
//! own, from a full band; so the old chain ends, and can expire.
//!
//! It is all in the dates of the bands, and comes to a tier as for `--tier N`: a band that builds on
//! the newest of a tier below it. Days are those of UTC, as in the names, and those of
//! [`expire`](crate::core::expire) unless a zone is given.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use super::choice::{Ask, BandCondition, KnownBand, Mask};
use crate::format::band::{BandName, MAX_TIER};
use crate::format::time::Stamp;

/// What a run builds on that is given neither a band nor `--full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TierRule {
    /// The newest band, or the newest of tier 8 if that has tier 9.
    #[default]
    Newest,
    /// The newest band of a tier below this one; 0: none.
    Below(u8),
    /// What [`tier`] says.
    Calendar,
}

/// The tier of the last band of a month that no other month builds on: weeks and days take one more
/// each.
const LAST_MONTH: u8 = MAX_TIER - 2;

/// The highest tier of the last band of a year on which a month is built when the chain is too long.
const LAST_YEAR: u8 = 3;

/// The tier for a run without a mask at `now`: a new band builds on the newest below it. None where
/// no band of that time counts; those with a mask, and those from old versions, do not.
///
/// The next run is expected after as many days as have passed since the last band, so that a run is
/// taken for the last of its week or month if it is one.
///
/// # Errors
/// The band whose HEAD has to be read first.
pub fn tier(bands: &[KnownBand], now: Stamp) -> Result<Option<u8>, Ask> {
    let mut bands: Vec<&KnownBand> = bands.iter().filter(|band| band.name.start() <= now).collect();
    bands.sort_by_key(|band| band.name.start());
    let Some(last) = bands.last() else { return Ok(None) };
    let (today, day) = (date(now), |band: &BandName| date(band.start()));
    let above = |below: &BandName| (below.tier() + 1).min(MAX_TIER);
    // Of the bands of one day the later ones build on the first.
    if let Some(first) = first(bands.iter(), |band| day(band) == today)? {
        return Ok(Some(above(first)));
    }
    let days = (now.unix() - last.name.start().unix() + DAY / 2) / DAY;
    let next = today.checked_add(days.clamp(1, 31).days()).unwrap_or(today);
    let (ends_week, ends_month) = (week(today) != week(next), month(today) != month(next));
    let newest = |wanted: &dyn Fn(&BandName) -> bool| first(bands.iter().rev(), wanted);
    let full = newest(&|band| band.tier() == 0)?;
    let of_month = later(full, newest(&|band| month(day(band)) != month(today))?);
    let of_week = later(of_month, newest(&|band| week(day(band)) != week(today))?);
    let (Some(of_month), Some(of_week)) = (of_month, of_week) else { return Ok(None) };
    let is_long = of_month.tier() > LAST_MONTH;
    if is_long || (ends_month && of_month.tier() == LAST_MONTH) {
        // The last of an earlier year stays for years anyway.
        let of_year = newest(&|band| day(band).year() != today.year())?;
        let is_short =
            |band: &&BandName| band.tier() <= LAST_YEAR && later(full, Some(band)) == Some(band);
        return Ok(Some(of_year.filter(is_short).map_or(0, above)));
    }
    Ok(Some(above(if ends_week || ends_month { of_month } else { of_week })))
}

/// The later of two bands.
fn later<'a>(a: Option<&'a BandName>, b: Option<&'a BandName>) -> Option<&'a BandName> {
    a.into_iter().chain(b).max_by_key(|band| band.start())
}

/// The first of these bands that is wanted, and counts.
fn first<'a>(
    bands: impl Iterator<Item = &'a &'a KnownBand>,
    wanted: impl Fn(&BandName) -> bool,
) -> Result<Option<&'a BandName>, Ask> {
    for band in bands.filter(|band| wanted(&band.name)) {
        match &band.found {
            BandCondition::Unasked => return Err(Ask(band.name.clone())),
            BandCondition::Band(facts) if facts.mask == Mask::Whole && facts.as_of.is_none() => {
                return Ok(Some(&band.name));
            }
            _ => {}
        }
    }
    Ok(None)
}

const DAY: i64 = 86_400;

fn date(stamp: Stamp) -> Date {
    Offset::UTC.to_datetime(Timestamp::from_second(stamp.unix()).unwrap_or_default()).date()
}

fn month(date: Date) -> (i16, i8) {
    (date.year(), date.month())
}

fn week(date: Date) -> (i16, i8) {
    let week = date.iso_week_date();
    (week.year(), week.week())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::chain::choice::ChoiceFacts;

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(&format!("{text}Z")).unwrap()
    }

    fn whole(name: &BandName) -> KnownBand {
        let found = BandCondition::Band(ChoiceFacts::new(name.start(), true));
        KnownBand { name: name.clone(), found }
    }

    /// The new band of a run, beside these.
    fn run(bands: &mut Vec<BandName>, now: Stamp) -> BandName {
        let known: Vec<KnownBand> = bands.iter().map(whole).collect();
        let tier = tier(&known, now).unwrap();
        let lower = bands.iter().filter(|band| tier.is_none_or(|tier| band.tier() < tier));
        let parent = lower.max_by_key(|band| band.start());
        let name = parent.map_or(BandName::full(now), |parent| parent.child(now).unwrap());
        bands.push(name.clone());
        name
    }

    /// Runs once a day, from a day on; the tier of each day.
    fn days(first: &str, days: i64) -> (Vec<BandName>, String) {
        let (first, mut bands) = (stamp(first).unix(), Vec::new());
        let tiers = (0..days).map(|day| {
            let now = Stamp::from_unix(first + day * DAY).unwrap();
            char::from(b'0' + run(&mut bands, now).tier())
        });
        let tiers = tiers.collect();
        (bands, tiers)
    }

    #[test]
    fn the_last_of_a_week_and_of_a_month_are_built_on() {
        // 2026-11-01 is a Sunday.
        let (bands, tiers) = days("20261031T020000", 70);
        let (november, december) = (&tiers[1..31], &tiers[31..62]);
        assert_eq!(&tiers[..1], "0");
        assert_eq!(november, "122222212222221222222122222211");
        assert_eq!(december, "2222223333332333333233333323332");
        // The days of January up to Sunday build on the end of December, the next on that Sunday.
        assert_eq!(&tiers[62..], "33344444");
        let parent = |at: usize| bands[at].parent().map(|parent| parent.start());
        assert_eq!(parent(61), Some(bands[30].start()));
        assert_eq!(parent(36), Some(bands[30].start()));
    }

    #[test]
    fn the_chain_of_months_ends_in_a_full_band() {
        let (bands, _) = days("20261031T020000", 3 * 365);
        let is_last = |band: &BandName| {
            let day = date(band.start());
            month(day) != month(day.tomorrow().unwrap())
        };
        let full = bands.iter().filter(|band| band.tier() == 0);
        let months: Vec<(i16, i8)> = full.clone().map(|band| month(date(band.start()))).collect();
        assert_eq!(months, [(2026, 10), (2028, 4), (2028, 12)]);
        assert!(full.clone().all(is_last));
        for band in bands.iter().filter(|band| is_last(band)) {
            assert!(band.tier() <= LAST_MONTH && band.parent().is_none_or(|band| is_last(&band)));
        }
    }

    /// Whenever it runs, there is a band below, and a full one now and then.
    #[test]
    fn runs_at_any_time() {
        let mut seed = 1_u64;
        for longest in [1, 3, 24, 60, 200, 1000] {
            let (mut bands, mut now) = (Vec::new(), stamp("20261015T120000").unix());
            for _ in 0..300 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                now += 600 + (seed >> 33) as i64 % (longest * 3_600);
                run(&mut bands, Stamp::from_unix(now).unwrap());
            }
            let full: Vec<_> = bands.iter().filter(|band| band.tier() == 0).collect();
            let apart = full.windows(2).map(|two| two[1].start().unix() - two[0].start().unix());
            assert!(apart.max().unwrap_or_default() < 800 * DAY, "{longest}: {full:?}");
            assert!(longest < 200 || full.len() > 1, "{longest}");
        }
        // What is dated ahead counts for nothing, and so does an archive without a band.
        let ahead = BandName::full(stamp("20990101T000000"));
        assert_eq!(tier(&[whole(&ahead)], stamp("20261101T020000")), Ok(None));
        assert_eq!(tier(&[], stamp("20261101T020000")), Ok(None));
    }

    #[test]
    fn of_one_day_the_later_ones_build_on_the_first() {
        let mut bands = days("20261031T020000", 1).0;
        let at = |hour: i64| Stamp::from_unix(stamp("20261130T000000").unix() + hour * 3_600);
        for hour in 0..24 {
            run(&mut bands, at(hour).unwrap());
        }
        assert!(bands[2..].iter().all(|band| band.parent().as_ref() == Some(&bands[1])));
    }

    /// What only looks like one of the bands that count changes nothing; and no HEAD is read that is
    /// not needed.
    #[test]
    fn what_counts_is_asked() {
        let names = days("20261031T020000", 40).0;
        let now = stamp("20261210T020000");
        let mut bands: Vec<KnownBand> = names.iter().cloned().map(KnownBand::new).collect();
        let mut asked = Vec::new();
        let found = loop {
            match tier(&bands, now) {
                Ok(tier) => break tier,
                Err(Ask(name)) => {
                    let row = bands.iter_mut().find(|row| row.name == name).unwrap();
                    *row = whole(&name);
                    asked.push(name.start().to_string()[..8].to_owned());
                }
            }
        };
        assert_eq!(found, Some(3));
        assert_eq!(asked, ["20261031", "20261130", "20261206"]);
        for masked in [true, false] {
            let mut odd = whole(&names[39].child(stamp("20261210T010000")).unwrap());
            if let BandCondition::Band(facts) = &mut odd.found {
                match masked {
                    true => facts.mask = Mask::Masked(None),
                    false => facts.as_of = Some(now),
                }
            }
            let with: Vec<KnownBand> = names.iter().map(whole).chain([odd]).collect();
            assert_eq!(tier(&with, now), Ok(Some(3)));
        }
    }
}
