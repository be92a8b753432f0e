//! Which bands may go, by rules like "7 daily, 5 weekly, 12 monthly".
//!
//! The rules mean what they mean in `restic forget`: versions are looked at from the newest on; a
//! rule keeps a version when its hour, day, ISO week, month or year is not that of the last version
//! that this rule kept, as long as its count is not used up; a version that any rule keeps stays;
//! the oldest version is also kept by each counting rule that is not used up. What Dura adds: a
//! band stays while one that stays needs it, and nothing that may be wrong (a date in the future, a
//! version that has shrunk, one without the signature or the encryption that others have) uses up a
//! count.

use std::collections::{BTreeMap, HashSet};

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::format::band::BandName;
use crate::format::time::Stamp;

/// How many versions are to stay; 0 for a rule that was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The newest.
    pub last: u64,
    /// The newest of each hour that has any.
    pub hourly: u64,
    /// Of each day.
    pub daily: u64,
    /// Of each ISO week.
    pub weekly: u64,
    /// Of each month.
    pub monthly: u64,
    /// Of each year.
    pub yearly: u64,
    /// All that are younger than this, counted back from the newest.
    pub within: Option<Period>,
    /// The newest that take so many bytes in the archive, with what they need.
    pub space: Option<u64>,
    /// Where the day begins.
    pub zone: Offset,
}

impl Rules {
    fn is_empty(&self) -> bool {
        let Rules { last, hourly, daily, weekly, monthly, yearly, within, space, .. } = self;
        [last, hourly, daily, weekly, monthly, yearly].iter().all(|count| **count == 0)
            && within.is_none_or(Period::is_zero)
            && space.is_none()
    }
}

/// A span of the calendar: `1y5m7d2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
}

impl Period {
    /// Reads `30d`, `1y6m`, `12h`: each unit once at most, the larger ones first.
    pub fn parse(text: &str) -> Option<Period> {
        let mut period = Period::default();
        let (mut rest, mut units) = (text, "ymdh");
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let count: i64 = rest.get(..digits).filter(|text| text.len() < 6)?.parse().ok()?;
            let unit = rest[digits..].chars().next()?;
            units = &units[units.find(unit)? + 1..];
            let slot = match unit {
                'y' => &mut period.years,
                'm' => &mut period.months,
                'd' => &mut period.days,
                _ => &mut period.hours,
            };
            *slot = count;
            rest = &rest[digits + 1..];
        }
        (!text.is_empty()).then_some(period)
    }

    fn is_zero(self) -> bool {
        self == Period::default()
    }

    /// The moment so long before another. A day that the month does not have is counted on into the
    /// next month.
    fn before(self, moment: &Zoned) -> Option<Timestamp> {
        let date = moment.date();
        let months = i64::from(date.year()) * 12 + i64::from(date.month())
            - 1
            - self.years * 12
            - self.months;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let first = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
        let days = i64::from(date.day()) - 1 - self.days;
        let day = first.checked_add(days.days()).ok()?;
        let then = day.to_datetime(moment.time()).to_zoned(moment.time_zone().clone()).ok()?;
        then.timestamp().checked_sub(self.hours.hours()).ok()
    }
}

/// What a band counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryStanding {
    /// A complete version of the whole source.
    Version,
    /// Complete, made with a mask.
    Masked,
    /// Its run was cut off.
    Unfinished,
    /// It cannot be told.
    Unreadable,
}

/// A band of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryCandidate {
    /// Its name.
    pub name: BandName,
    /// When its version was current.
    pub time: Stamp,
    /// What it counts for.
    pub standing: ExpiryStanding,
    /// Its TAIL has a signature.
    pub signed: bool,
    /// It is encrypted, or that is no matter.
    pub sealed: bool,
    /// Files of the version, where that was counted.
    pub files: Option<u64>,
    /// What the band takes in the archive; 0 where nobody asked.
    pub stored: u64,
}

/// Why a band stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A rule keeps it: its option.
    Rule(&'static str),
    /// A band that stays stands on it.
    NeededBy(BandName),
    /// It is dated in the future.
    Future,
    /// It is unfinished, or has a mask, and no later band of the whole source is complete.
    NothingLater,
    /// It cannot be read.
    Unreadable,
    /// No rule was given.
    NoRules,
}

/// What may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpiryPlan {
    /// Bands that no rule and no other band needs: those that stand on others first.
    pub expired: Vec<BandName>,
    /// All others, with the reasons.
    pub kept: BTreeMap<BandName, Vec<Reason>>,
    /// How many versions stay only because later ones stand on them.
    pub held: usize,
}

/// Decides what may go of an archive's bands, at the time `now`.
pub fn expire(bands: &[ExpiryCandidate], rules: &Rules, now: Stamp) -> ExpiryPlan {
    let mut kept: BTreeMap<BandName, Vec<Reason>> = BTreeMap::new();
    let mut keep = |band: &ExpiryCandidate, reason| {
        kept.entry(band.name.clone()).or_default().push(reason);
    };
    let mut versions: Vec<&ExpiryCandidate> = bands
        .iter()
        .filter(|band| band.standing == ExpiryStanding::Version && band.time <= now)
        .collect();
    versions.sort_by(|a, b| (b.time, &b.name).cmp(&(a.time, &a.name)));
    let newest = versions.iter().map(|version| version.name.start()).max();
    for band in bands {
        let later = newest.is_some_and(|newest| newest > band.name.start());
        let reason = match band.standing {
            _ if rules.is_empty() => Reason::NoRules,
            ExpiryStanding::Unreadable => Reason::Unreadable,
            ExpiryStanding::Version if band.time > now => Reason::Future,
            ExpiryStanding::Masked | ExpiryStanding::Unfinished if !later => Reason::NothingLater,
            _ => continue,
        };
        keep(band, reason);
    }
    for chosen in selections(&versions) {
        for (band, rule) in by_rules(&chosen, rules) {
            keep(band, Reason::Rule(rule));
        }
    }
    let mut plan = ExpiryPlan::default();
    let known: HashSet<&BandName> = bands.iter().map(|band| &band.name).collect();
    let staying: Vec<BandName> = kept.keys().cloned().collect();
    for name in staying {
        let below = std::iter::successors(name.parent(), BandName::parent);
        for ancestor in below.filter(|ancestor| known.contains(ancestor)) {
            kept.entry(ancestor).or_default().push(Reason::NeededBy(name.clone()));
        }
    }
    for band in bands {
        match kept.get_mut(&band.name) {
            None => plan.expired.push(band.name.clone()),
            Some(why) => {
                why.sort();
                why.dedup();
                let only_needed = why.iter().all(|why| matches!(why, Reason::NeededBy(_)));
                plan.held += usize::from(only_needed && band.standing == ExpiryStanding::Version);
            }
        }
    }
    plan.kept = kept;
    plan.expired.sort_by_key(|name| (std::cmp::Reverse(name.tier()), name.start()));
    plan
}

/// The versions that the rules are applied to, each time: all of them; and without those that may
/// be wrong, so that these push out no other.
fn selections<'a>(versions: &[&'a ExpiryCandidate]) -> Vec<Vec<&'a ExpiryCandidate>> {
    let mut selections = vec![versions.to_vec()];
    let shrunken: HashSet<&BandName> = shrunken(versions);
    if !shrunken.is_empty() {
        let sound = versions.iter().filter(|version| !shrunken.contains(&version.name));
        selections.push(sound.copied().collect());
    }
    for is_good in
        [|version: &ExpiryCandidate| version.signed, |version: &ExpiryCandidate| version.sealed]
    {
        let good: Vec<&ExpiryCandidate> = (versions.iter().copied())
            .filter(|version| is_good(version) && !shrunken.contains(&version.name))
            .collect();
        if !good.is_empty() && good.len() < versions.len() {
            selections.push(good);
        }
    }
    selections
}

/// Versions with less than a tenth of the files of the sound one before.
fn shrunken<'a>(versions: &[&'a ExpiryCandidate]) -> HashSet<&'a BandName> {
    let mut before = None;
    let mut found = HashSet::new();
    for version in versions.iter().rev() {
        match (version.files, before) {
            (Some(files), Some(before)) if files.saturating_mul(10) < before => {
                found.insert(&version.name);
            }
            (Some(files), _) => before = Some(files),
            (None, _) => {}
        }
    }
    found
}

/// Versions that a rule keeps, from the newest on, and the rule.
fn by_rules<'a>(
    versions: &[&'a ExpiryCandidate],
    rules: &Rules,
) -> Vec<(&'a ExpiryCandidate, &'static str)> {
    let at = |version: &ExpiryCandidate| {
        let time = Timestamp::from_second(version.time.unix()).unwrap_or_default();
        rules.zone.to_datetime(time)
    };
    type Bucket = fn(jiff::civil::DateTime) -> i64;
    let day: Bucket = |at| i64::from(at.year()) * 400 + i64::from(at.day_of_year());
    let counting: [(&'static str, u64, Bucket); 5] = [
        ("--keep-hourly", rules.hourly, |at| {
            (i64::from(at.year()) * 400 + i64::from(at.day_of_year())) * 24 + i64::from(at.hour())
        }),
        ("--keep-daily", rules.daily, day),
        ("--keep-weekly", rules.weekly, |at| {
            let week = at.date().iso_week_date();
            i64::from(week.year()) * 100 + i64::from(week.week())
        }),
        ("--keep-monthly", rules.monthly, |at| i64::from(at.year()) * 12 + i64::from(at.month())),
        ("--keep-yearly", rules.yearly, |at| i64::from(at.year())),
    ];
    let mut left: Vec<(u64, Option<i64>)> =
        counting.iter().map(|(_, count, _)| (*count, None)).collect();
    let (mut last, mut last_time) = (rules.last, None);
    let since = versions.first().zip(rules.within.filter(|period| !period.is_zero())).and_then(
        |(newest, period)| {
            let newest = Timestamp::from_second(newest.time.unix()).ok()?;
            period.before(&newest.to_zoned(rules.zone.to_time_zone()))
        },
    );
    let (mut space, mut room) = (HashSet::new(), rules.space);
    let mut kept = Vec::new();
    for (number, version) in versions.iter().enumerate() {
        let oldest = number + 1 == versions.len();
        if since.is_some_and(|since| version.time.unix() > since.as_second()) {
            kept.push((*version, "--keep-within"));
        }
        if last > 0 && (last_time != Some(version.time) || oldest) {
            last -= 1;
            last_time = Some(version.time);
            kept.push((*version, "--keep-last"));
        }
        for ((rule, _, bucket), (count, before)) in counting.iter().zip(&mut left) {
            let value = bucket(at(version));
            if *count > 0 && (*before != Some(value) || oldest) {
                *count -= 1;
                *before = Some(value);
                kept.push((*version, *rule));
            }
        }
        if let Some(bytes) = room {
            let chain = version.name.chain();
            let new = versions.iter().filter(|band| chain.contains(&band.name));
            let new: Vec<&&ExpiryCandidate> =
                new.filter(|band| !space.contains(&band.name)).collect();
            let needed: u64 = new.iter().map(|band| band.stored).sum();
            // The newest stays, whatever it takes.
            room = if number == 0 {
                Some(bytes.saturating_sub(needed))
            } else {
                bytes.checked_sub(needed)
            };
            if room.is_some() {
                space.extend(new.into_iter().map(|band| &band.name));
                kept.push((*version, "--keep-space"));
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests;
