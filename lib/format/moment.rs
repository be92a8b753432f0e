//! Times as people give them: which moment is meant.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

use super::time::Stamp;

/// A moment that somebody named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When it is.
    pub stamp: Stamp,
    /// The time zone that it was taken in, if it was given without one.
    pub zone: Option<String>,
}

/// What is wanted, for a message.
pub const WANTED: &str = "expected a time, such as 2026-11-27, 2026-11-27T22:30, \
    2026-11-27T22:30+02:00, 2026-11-27T20:30:00Z, yesterday, or 3d (3 days ago; also h and w)";

impl Moment {
    /// Reads a time: with `Z` or an offset, or in the zone of `now`; a day means its end; `today`
    /// and `yesterday`; so many hours, days or weeks before `now`; or a stamp as in a band's name.
    pub fn parse(text: &str, now: &Zoned) -> Option<Moment> {
        if let Some(stamp) = Stamp::parse(text) {
            return Some(Moment { stamp, zone: None });
        }
        let at = |time: Timestamp, zone| {
            Some(Moment { stamp: Stamp::from_unix(time.as_second())?, zone })
        };
        if let Some(ago) = ago(text) {
            return at(now.checked_sub(ago).ok()?.timestamp(), None);
        }
        let here = |civil: DateTime| {
            let zoned = civil.to_zoned(now.time_zone().clone()).ok()?;
            // In UTC there is nothing to tell.
            let zone = (*zoned.time_zone() != TimeZone::UTC && !is_utc(&zoned)).then(|| {
                let offset = zoned.strftime("%:z").to_string();
                match zoned.time_zone().iana_name() {
                    Some(name) => format!("{name}, {offset}"),
                    None => offset,
                }
            });
            at(zoned.timestamp(), zone)
        };
        let end_of = |date: Date| here(date.to_datetime(Time::constant(23, 59, 59, 0)));
        match text {
            "now" => return at(now.timestamp(), None),
            "today" => return end_of(now.date()),
            "yesterday" => return end_of(now.date().yesterday().ok()?),
            _ => {}
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return None;
        }
        if text.len() == "2026-11-27".len() {
            return end_of(text.parse().ok()?);
        }
        match text.parse::<Timestamp>() {
            Ok(time) => at(time, None),
            // A time alone, without a day, is none.
            Err(_) if text.len() < "2026-11-27T22:30".len() => None,
            // An offset that is no time would be passed over.
            Err(_) if text[10..].contains(['+', '-', 'Z', 'z', '[']) => None,
            Err(_) => here(text.parse().ok()?),
        }
    }
}

/// The next moment at which the clock of `now` says `HH:MM`; none if that is no time of day.
pub fn next(text: &str, now: &Zoned) -> Option<Stamp> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| -> Option<i8> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let time = Time::new(number(hour)?, number(minute)?, 0, 0).ok()?;
    // On the day on which clocks go forward some are skipped: then it is the moment after.
    let on = |date: Date| date.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
    let today = on(now.date()).filter(|moment| moment > now);
    let moment = today.or_else(|| on(now.date().tomorrow().ok()?))?;
    Stamp::from_unix(moment.timestamp().as_second())
}

fn is_utc(time: &Zoned) -> bool {
    time.offset().is_zero()
        && matches!(time.time_zone().iana_name(), None | Some("UTC" | "Etc/UTC"))
}

/// `3d`, `12h`, `2w`.
fn ago(text: &str) -> Option<Span> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if count.is_empty() || count.len() > 5 || !count.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: i64 = count.parse().ok()?;
    match unit {
        "h" => Some(count.hours()),
        "d" => Some(count.days()),
        "w" => Some(count.weeks()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        // Two hours ahead of UTC, without a name.
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        "2026-11-28T01:15:00Z".parse::<Timestamp>().unwrap().to_zoned(zone)
    }

    #[test]
    fn times_as_people_give_them() {
        let here = Some("+02:00");
        for (text, wanted, zone) in [
            ("20261127T203000Z", "2026-11-27T20:30:00Z", None),
            ("2026-11-27T20:30:00Z", "2026-11-27T20:30:00Z", None),
            ("2026-11-27T20:30Z", "2026-11-27T20:30:00Z", None),
            ("2026-11-27T22:30+02:00", "2026-11-27T20:30:00Z", None),
            ("2026-11-27 22:30:15-05:00", "2026-11-28T03:30:15Z", None),
            ("2026-11-27T22:30", "2026-11-27T20:30:00Z", here),
            ("2026-11-27 22:30:15", "2026-11-27T20:30:15Z", here),
            ("2026-11-27", "2026-11-27T21:59:59Z", here),
            ("today", "2026-11-28T21:59:59Z", here),
            ("yesterday", "2026-11-27T21:59:59Z", here),
            ("now", "2026-11-28T01:15:00Z", None),
            ("3d", "2026-11-25T01:15:00Z", None),
            ("12h", "2026-11-27T13:15:00Z", None),
            ("2w", "2026-11-14T01:15:00Z", None),
        ] {
            let moment = Moment::parse(text, &now()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(moment.stamp.to_rfc3339(), wanted, "{text}");
            assert_eq!(moment.zone.as_deref(), zone, "{text}");
        }
        let utc = now().with_time_zone(TimeZone::UTC);
        assert_eq!(Moment::parse("2026-11-27", &utc).unwrap().zone, None);
    }

    #[test]
    fn the_next_time_of_day() {
        for (text, wanted) in [
            ("03:16", Some("2026-11-28T01:16:00Z")),
            ("03:15", Some("2026-11-29T01:15:00Z")),
            ("00:00", Some("2026-11-28T22:00:00Z")),
            ("23:59", Some("2026-11-28T21:59:00Z")),
            ("24:00", None),
            ("7:00", None),
            ("07:60", None),
            ("07", None),
            ("+7:00", None),
            ("07:00:00", None),
            ("", None),
        ] {
            let next = next(text, &now()).map(|stamp| stamp.to_rfc3339());
            assert_eq!(next.as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "d",
            "3",
            "-3d",
            "3 d",
            "3m",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-11-31",
            "22:30",
            "2026-11-27T25:00",
            "2026-11-27T22:30+99:00",
            "2026-11-27T22:30 Europe",
            "2026-11-2\u{661}",
            "tomorrow",
        ] {
            assert_eq!(Moment::parse(text, &now()), None, "{text}");
        }
    }
}
